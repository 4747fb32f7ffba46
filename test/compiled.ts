// For tests: runs a compiled program in one WebAssembly instance on this thread, on plain arrays.
import { allocate, type TypedArray, typedView } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { type CompileOptions, compileGraph, inputsOf } from '../src/compiler/compile.js'
import { align } from '../src/compiler/memory.js'
import type { Machine, Program } from '../src/compiler/program.js'
import type { Graph, InputNode } from '../src/graph/node.js'
import { control, controlBytes } from '../src/targets/wasm/control.js'
import { emitWasm } from '../src/targets/wasm/emit.js'

export const testMachine: Machine = {
  name: 'wasm',
  lanes: 4,
  tile: { splats: 2, vectors: 4 },
  fma: false,
  firstLevelCache: 32 * 1024,
  secondLevelCache: 1024 * 1024,
}

/** Caches so small that every sum is cut in blocks and no copy is local. */
export const crampedMachine: Machine = {
  ...testMachine,
  firstLevelCache: 512,
  secondLevelCache: 4096,
}

export interface Ran {
  readonly program: Program
  readonly outputs: readonly TypedArray[]
  readonly updates: readonly TypedArray[]
  readonly code: number
  readonly value: number
}

/** Compiles and runs; `bind` gives each input's content. */
export function runGraph(
  graph: Graph,
  bind: (input: InputNode) => TypedArray,
  options: CompileOptions & { readonly machine?: Machine } = {},
): Ran {
  const inputs = inputsOf(graph)
  const { machine = testMachine } = options
  const program = compileGraph(graph, machine, inputs, options)
  return { program, ...runProgram(program, inputs, graph, bind) }
}

function runProgram(
  program: Program,
  inputs: readonly InputNode[],
  graph: Graph,
  bind: (input: InputNode) => TypedArray,
): Omit<Ran, 'program'> {
  const { bytes } = emitWasm(program, { shared: false, relaxed: false })
  let at = 65536
  const place = (size: number) => {
    const where = at
    at += align(Math.max(size, 1)) + 64
    return where
  }
  const controlAt = place(controlBytes(1))
  const args = place(program.arguments.length * 4)
  const arena = place(program.arenaBytes)
  const scratch = place(program.scratchBytes)
  const places = program.arguments.map((argument) => place(argument.bytes))
  const memory = new WebAssembly.Memory({ initial: Math.ceil(at / 65536) + 1 })
  // Garbage where nothing was written must not pass for zeros.
  new Uint8Array(memory.buffer).fill(0x7f, 65536)
  new Uint8Array(memory.buffer).fill(0, controlAt, controlAt + controlBytes(1))
  new Int32Array(memory.buffer, args, places.length).set(places)
  inputs.forEach((input, i) => {
    const data = bind(input)
    typedView(input.dtype, memory.buffer, places[i], data.length).set(data)
  })
  const module = new WebAssembly.Module(bytes)
  const instance = new WebAssembly.Instance(module, {
    env: { memory, now: () => performance.now() },
  })
  const run = instance.exports.run as (...numbers: number[]) => number
  run(0, 1, args, arena, scratch, controlAt)
  const copy = (i: number): TypedArray => {
    const { dtype, shape } = program.arguments[i]
    const out = allocate(dtype, sizeOf(shape))
    out.set(typedView(dtype, memory.buffer, places[i], out.length))
    return out
  }
  const words = new Int32Array(memory.buffer)
  return {
    outputs: graph.outputs.map((_, k) => copy(inputs.length + k)),
    updates: graph.updates.map(({ target }) => copy(inputs.indexOf(target))),
    code: words[(controlAt + control.code) / 4],
    value: words[(controlAt + control.value) / 4],
  }
}
