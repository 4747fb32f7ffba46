// Program → one WebAssembly module: a function for each kernel, the barrier, and `run`, which drives them.
// The module imports `env.memory` and `env.now` (milliseconds) and exports `run` (see driver.ts).
import type { Program, Target } from '../../compiler/program.js'
import { kernelParameters, printKernel } from './body.js'
import { nowType, printBarrier, printRun, SPINS } from './driver.js'
import { I32, type ModuleParts, moduleBytes } from './encode.js'

export interface WasmOptions {
  /** The memory is shared between threads; without it there is one thread and no atomics. */
  readonly shared: boolean
  /** The engine has relaxed SIMD: `fma` becomes one instruction. */
  readonly relaxed: boolean
}

export interface WasmCode {
  readonly bytes: Uint8Array<ArrayBuffer>
}

export function emitWasm(program: Program, options: WasmOptions): WasmCode {
  const types: ModuleParts['types'][number][] = [nowType]
  const typeIndices = new Map<number, number>()
  const functions: { type: number; body: Uint8Array }[] = []
  const imported = 1
  const latin1 = new TextDecoder('latin1')
  const texts = new Map<string, number>()
  // Kernels of one text are one function: buffers are parameters.
  const kernels = program.kernels.map((kernel) => {
    const body = printKernel(kernel, options)
    const parameters = kernelParameters(kernel)
    const key = `${parameters.length}:${latin1.decode(body)}`
    const known = texts.get(key)
    if (known !== undefined) return known
    let type = typeIndices.get(parameters.length)
    if (type === undefined) {
      type = types.push({ parameters, results: [] }) - 1
      typeIndices.set(parameters.length, type)
    }
    const index = imported + functions.push({ type, body }) - 1
    texts.set(key, index)
    return index
  })
  let barrier = -1
  if (options.shared) {
    const type = types.push({ parameters: [I32, I32], results: [I32] }) - 1
    barrier = imported + functions.push({ type, body: printBarrier() }) - 1
  }
  const type = types.push({ parameters: [I32, I32, I32, I32, I32, I32], results: [I32] }) - 1
  const body = printRun(program, { kernels, barrier, now: 0, shared: options.shared })
  const run = imported + functions.push({ type, body }) - 1
  return {
    bytes: moduleBytes({
      imports: [{ name: 'now', type: 0 }],
      memory: { shared: options.shared },
      types,
      functions,
      globals: options.shared ? [SPINS] : [],
      exports: [{ name: 'run', index: run }],
    }),
  }
}

export function wasmTarget(options: WasmOptions): Target<WasmCode> {
  return { name: 'wasm', emit: (program) => emitWasm(program, options) }
}
