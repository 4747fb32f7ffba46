// The tier: what a device computes with. Results are the same bits on the same tier.
import type { Device } from '../compiler/program.js'

/** A vector of WebAssembly. */
const WASM_LANES = 4
const UNDECIDED = 'auto'

/** Such as `cpu wasm-relaxed`, `cpu native of 16 lanes`, `reference`; `cpu auto` before the device has chosen. */
export function tierOf({ name, machine, tier }: Device): string {
  const own =
    machine.lanes > WASM_LANES ? `${machine.name} of ${machine.lanes} lanes` : machine.name
  const told = tier ?? own
  return told === name ? name : `${name} ${told}`
}

/**
 * Says once that a run goes on with another tier than the one its checkpoint was computed on. Returns whether it is
 * known: a device that chooses by itself has to run first.
 */
export function compareTiers(path: string, before: string, device: Device): boolean {
  const here = tierOf(device)
  if (device.tier === UNDECIDED) return false
  if (here !== before)
    console.warn(
      `burnish: ${path} was computed on the tier ${before}, this run goes on with ${here}: results differ by rounding`,
    )
  return true
}
