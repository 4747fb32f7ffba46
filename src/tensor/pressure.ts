// Keeps the host memory of batches bounded between collections.
//
// Note: pressure. A loop makes a batch of some hundred kilobytes each step and drops it. The collector learns of
// such buffers only in sum, and runs when tens of megabytes of them are dead; freed one by one, out of order, they
// leave the C heap fragmented at that height (measured: 18 MB over 5,000 steps of LeNet). So every few megabytes a
// buffer too large to be let pass without a collection of the young objects is asked for; nobody touches it, so it
// takes no memory. It costs some milliseconds each time, so it is asked for no oftener than that memory needs.

const EVERY_BYTES = 8 * 2 ** 20
/** Above twice the largest half of V8's young space, 16 MB: asking for more makes it collect at once. */
const HEAVY_BYTES = 40 * 2 ** 20

const counted = { bytes: 0 }

/** Host data of so many bytes was handed to a tensor. */
export function countHost(bytes: number): void {
  counted.bytes += bytes
  if (counted.bytes < EVERY_BYTES) return
  counted.bytes = 0
  new ArrayBuffer(HEAVY_BYTES)
}

/** Dead host data above which a collection of the old objects is worth its milliseconds. */
const DROPPED_BYTES = 64 * 2 ** 20
/** Above V8's limit of growth between two such collections: asking for so much makes it begin one. */
const TREMENDOUS_BYTES = 256 * 2 ** 20

const dropped = { bytes: 0 }

/** Host data of so many bytes went to a device and is dead here: the first values of parameters. */
export function countDropped(bytes: number): void {
  dropped.bytes += bytes
}

/**
 * Before a run: asks for the collection of what was dropped, where it is much. The collector sees no need by
 * itself, and first values are a quarter of what training takes. As above, nobody touches the buffer.
 */
export function collectDropped(): void {
  if (dropped.bytes < DROPPED_BYTES) return
  dropped.bytes = 0
  try {
    new ArrayBuffer(TREMENDOUS_BYTES)
  } catch (error) {
    // Where there is no room the engine has collected before it said so.
    if (!(error instanceof RangeError)) throw error
  }
}
