// Two kinds of error. `BurnishError` is for users and says where, which rule, both values and the fix;
// `invariant` is for us: its text begins with `internal:`.

/** An error a user can act on. `where` grows from the inside out as it passes through modules. */
export class BurnishError extends Error {
  override readonly name = 'BurnishError'
  /** A module has put its path in front of the text. */
  located = false
}

/** A device has no room. Rooms may be found when finalizers have run: see `Device.relieve`. */
export class OutOfMemoryError extends BurnishError {}

export function fail(message: string): never {
  throw new BurnishError(message)
}

export function invariant(ok: boolean, message: () => string): asserts ok {
  if (!ok) throw new Error(`internal: ${message()}`)
}
