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
