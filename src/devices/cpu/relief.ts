// What is done when memory is short: garbage is collected, and its finalizers give device memory back.

/**
 * Engines count array buffers as memory, though nobody touches these and so they take none. Measured: V8 collects all
 * garbage at 2 GB of them, and hardly any at 256 MB.
 */
const NUDGES = 8
const NUDGE = 256 * 2 ** 20

/** Milliseconds: finalizers are tasks of the engine's own, which come late on a busy machine. */
const TURN = 5

/** How often, before a request fails. */
export const MOST_RELIEFS = 8

export async function letFinalizersRun(): Promise<void> {
  try {
    for (let i = 0; i < NUDGES; i++) new ArrayBuffer(NUDGE)
  } catch {
    // An engine that refuses has collected before it did.
  }
  await new Promise<void>((resolve) => setTimeout(resolve, TURN))
}
