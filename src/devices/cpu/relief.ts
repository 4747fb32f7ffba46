// What is done when memory is short: garbage is collected, and its finalizers give device memory back.

/** Engines count this as memory and collect garbage, though nobody touches it and so it takes none. */
const NUDGE = 256 * 2 ** 20

/** How often, before a request fails. */
export const MOST_RELIEFS = 4

export async function letFinalizersRun(): Promise<void> {
  try {
    new ArrayBuffer(NUDGE)
  } catch {
    // An engine that refuses has collected before it did.
  }
  await new Promise<void>((resolve) => setTimeout(resolve, 0))
}
