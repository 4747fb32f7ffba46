// The tier: what a device computes with. Results are the same bits on the same tier.
import type { Device } from '../compiler/program.js'

/** Such as `cpu wasm-relaxed`; `cpu c`; `cpu wasm-relaxed or c` where the device may move over; `reference`. */
export function tierOf({ name, machine, replans = false }: Device): string {
  const own = machine.name === name ? name : `${name} ${machine.name}`
  return replans && !machine.fma ? `${own} or c` : own
}
