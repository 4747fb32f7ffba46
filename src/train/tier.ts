// The tier: what a device computes with. Results are the same bits on the same tier.
import type { Device } from '../compiler/program.js'

/** Such as `cpu wasm-relaxed`, `cpu native of 16 lanes`, `cpu auto` (WebAssembly, then C), `reference`. */
export function tierOf({ name, machine, tier = machine.name }: Device): string {
  const own = tier === name ? name : `${name} ${tier}`
  return machine.lanes > WASM_LANES ? `${own} of ${machine.lanes} lanes` : own
}

/** A vector of WebAssembly. */
const WASM_LANES = 4
