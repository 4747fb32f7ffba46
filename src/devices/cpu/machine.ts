// The machines the compiler plans for on the cpu device.
import type { Machine } from '../../compiler/program.js'

const KB = 1024

/** Measured: 2×4 tiles reach the ceiling where multiply and add are two instructions, 6×2 where they are one. */
export function cpuMachine(relaxed: boolean): Machine {
  return {
    name: relaxed ? 'wasm-relaxed' : 'wasm',
    lanes: 4,
    tile: relaxed ? { splats: 6, vectors: 2 } : { splats: 2, vectors: 4 },
    fma: relaxed,
    firstLevelCache: 32 * KB,
    secondLevelCache: 1024 * KB,
    winograd: true,
  }
}

/** The name of a machine, with its lanes where there are more than WebAssembly's. */
export function machineTier({ name, lanes }: Machine): string {
  return lanes > 4 ? `${name} of ${lanes} lanes` : name
}
