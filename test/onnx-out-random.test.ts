// Random graphs exported to ONNX and run by ONNX Runtime against the float64 interpreter. A failure prints its seed.
import { expect, it } from 'vitest'
import { numbersOf } from '../src/base/dtype.js'
import { interpret } from '../src/graph/interpret.js'
import type { Node } from '../src/graph/node.js'
import { topological, withArgs } from '../src/graph/node.js'
import { exportOnnx } from '../src/io/onnx/export.js'
import { tensor } from '../src/tensor/create.js'
import { fromNode, type Tensor } from '../src/tensor/tensor.js'
import { type Ort, onnxruntime, ortSession } from './peers.js'
import { randomGraph } from './random-graph.js'
import { difference } from './support.js'

const ort = onnxruntime()
const SEEDS = 120

async function problemOf(ort: Ort, seed: number): Promise<string | undefined> {
  const { graph, inputs, bind: data } = randomGraph(seed, { scans: seed % 2 === 0 })
  const { outputs } = interpret(graph, data)
  const model = (...given: Tensor[]) => {
    const done = new Map<Node, Node>(inputs.map((node, i) => [node, given[i].node]))
    const find = (node: Node): Node => done.get(node) ?? node
    for (const node of topological(graph.outputs))
      if (!done.has(node)) done.set(node, withArgs(node, node.args.map(find)))
    return graph.outputs.map((node) => fromNode(find(node)))
  }
  const example = inputs.map((node) =>
    tensor(numbersOf(node.dtype, data(node)), { shape: node.shape, dtype: node.dtype }),
  )
  const bytes = await exportOnnx(model, example, { dynamicBatch: false })
  const session = await ortSession(ort, bytes, { graphOptimizationLevel: 'disabled' })
  const names = example.length === 1 ? ['input'] : example.map((_, i) => `input_${i}`)
  const feeds = Object.fromEntries(
    names.map((name, i) => [
      name,
      new ort.Tensor(inputs[i].dtype, data(inputs[i]) as Float32Array, inputs[i].shape),
    ]),
  )
  const results = await session.run(feeds)
  await session.release()
  for (const [i, name] of session.outputNames.entries()) {
    const wrong = difference(results[name].data as ArrayLike<number>, outputs[i], 1e-4, 1e-5)
    if (wrong) return `output ${i}: ${wrong}`
  }
  return undefined
}

it.skipIf(ort === undefined)(
  `${SEEDS} random graphs, every other one with loops`,
  async () => {
    if (!ort) return
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS; seed++) {
      const problem = await problemOf(ort, seed).catch((error: unknown) => String(error))
      if (problem) failures.push(`seed ${seed}: ${problem}`)
    }
    expect(failures).toEqual([])
  },
  60_000,
)
