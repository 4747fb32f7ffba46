// What the suites of exported ONNX share: a model's results here against those of ONNX Runtime on its export.
import { expect } from 'vitest'
import { type Shape, sizeOf } from '../src/base/shape.js'
import { type ExampleInput, type Exportable, exportOnnx } from '../src/io/onnx/export.js'
import { loadOnnx } from '../src/io/onnx/load.js'
import { decodeModel, type Graph } from '../src/io/onnx/wire.js'
import { Module } from '../src/nn/index.js'
import { tensor } from '../src/tensor/create.js'
import { Tensor } from '../src/tensor/tensor.js'
import type { Ort } from './peers.js'
import { ortSession } from './peers.js'
import { difference, uniform } from './support.js'

/** Numbers in −1 … 1, or whole ones below `below`, or bools. */
export function values(name: string, shape: Shape, below?: number): Tensor {
  const u = uniform(name, shape)
  if (below === undefined) return tensor(u, { shape })
  const whole = Int32Array.from(u, (x) => Math.floor(((x + 1) / 2) * below))
  return tensor(whole, { shape })
}

/** Parameters and state from a formula, so that running statistics and biases are not trivial. */
export function filledModel<M extends Module<unknown>>(model: M): M {
  for (const [name, parameter] of Object.entries(model.stateDict())) {
    if (parameter.dtype !== 'float32') continue
    const u = uniform(name, parameter.shape)
    const fan = parameter.shape.length > 1 ? sizeOf(parameter.shape.slice(1)) : 0
    parameter.set(
      u.map((x) =>
        name.endsWith('running_var')
          ? 1 + 0.5 * x
          : fan > 0
            ? x * Math.sqrt(3 / fan)
            : /weight$/.test(name)
              ? 1 + 0.2 * x
              : 0.2 * x,
      ),
    )
  }
  return model
}

type Arguments = readonly ExampleInput[]

const tensorsOf = (given: Arguments): [string, Tensor][] =>
  given.flatMap((item, i): [string, Tensor][] =>
    item instanceof Tensor
      ? [[given.length === 1 ? 'input' : `input_${i}`, item]]
      : Object.entries(item).filter((entry): entry is [string, Tensor] => entry[1] !== undefined),
  )

function resultsOf(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value]
  if (Array.isArray(value)) return value.flatMap(resultsOf)
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(resultsOf) : []
}

export interface Compared {
  readonly bytes: Uint8Array
  readonly graph: Graph
  readonly fixed: string | undefined
}

const TYPES: { readonly [dtype: string]: string } = {
  float32: 'float32',
  int32: 'int32',
  bool: 'bool',
  uint8: 'uint8',
}

/**
 * Exports with the first arguments as example, and compares what both give for all of them, within `tolerance` of the
 * largest. More than one must differ in the batch only. With `back` also what loadOnnx makes of it, for the first.
 */
export async function compareExport(
  ort: Ort,
  model: Exportable,
  given: readonly Arguments[],
  { tolerance = 1e-4, batchDim = 0, dynamic = true, back = false } = {},
): Promise<Compared> {
  if (model instanceof Module) model.eval()
  let fixed: string | undefined
  const bytes = await exportOnnx(model, given[0], {
    batchDim,
    ...(dynamic ? {} : { dynamicBatch: false }),
    onFixedBatch: (reason) => {
      fixed = reason
    },
  })
  if (dynamic) expect(fixed).toBeUndefined()
  const own = back ? await loadOnnx(bytes) : undefined
  own?.eval()
  const session = await ortSession(ort, bytes, { graphOptimizationLevel: 'disabled' })
  try {
    for (const list of given) {
      const feeds: { [name: string]: InstanceType<Ort['Tensor']> } = {}
      for (const [name, t] of tensorsOf(list)) {
        const data = await t.data()
        feeds[name] = new ort.Tensor(TYPES[t.dtype], data as Float32Array, t.shape)
      }
      const call = (model instanceof Module ? model.forward : model) as (
        ...args: unknown[]
      ) => unknown
      const expected = resultsOf(call.apply(model, [...list]))
      const again = list === given[0] ? own?.run(Object.fromEntries(tensorsOf(list))) : undefined
      const actual = await session.run(feeds)
      expect(session.outputNames.length).toBe(expected.length)
      for (const [i, name] of session.outputNames.entries()) {
        const here = expected[i]
        expect([...actual[name].dims], name).toEqual([...here.shape])
        expect(actual[name].type, name).toBe(TYPES[here.dtype])
        const problem = difference(
          actual[name].data as ArrayLike<number>,
          await here.data(),
          tolerance,
        )
        expect(problem, `${name}`).toBeUndefined()
        if (again === undefined) continue
        const read = difference(await again[name].data(), await here.data(), tolerance)
        expect(read, `${name}, read again`).toBeUndefined()
      }
    }
  } finally {
    await session.release()
  }
  return { bytes, graph: decodeModel(bytes, 'test').graph ?? {}, fixed }
}

/** How often each operator is in the graph. */
export function operators(graph: Graph): { [op: string]: number } {
  const counts: { [op: string]: number } = {}
  for (const { opType = '' } of graph.node ?? []) counts[opType] = (counts[opType] ?? 0) + 1
  return counts
}
