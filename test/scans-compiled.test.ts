// Random graphs with recurrences, and their gradients, compiled against the interpreter's float64.
import { describe, expect, it } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { checkGraph } from '../src/graph/check.js'
import { interpret } from '../src/graph/interpret.js'
import { type Graph, map, type Node, reduce, rootsOf, topological } from '../src/graph/node.js'
import { printGraph } from '../src/graph/print.js'
import { runGraph } from './compiled.js'
import { type RandomGraph, randomGraph } from './random-graph.js'

const SEEDS = 120
const TOLERANCE = 4e-4 // float32 through some forty operations of moderate values

function check(seed: number, graph: Graph, { bind }: RandomGraph): void {
  if (!topological(rootsOf(graph)).some((node) => node.kind === 'scan')) return
  checkGraph(graph)
  const exact = interpret(graph, bind)
  const fail = (text: string): never => expect.fail(`seed ${seed}: ${text}\n${printGraph(graph)}`)
  let found: ReturnType<typeof runGraph>
  try {
    found = runGraph(graph, bind)
  } catch (error) {
    throw fail(error instanceof Error ? (error.stack ?? '') : String(error))
  }
  const given = [...found.outputs, ...found.updates]
  for (const [i, wanted] of [...exact.outputs, ...exact.updates].entries())
    for (const [k, value] of wanted.entries())
      if (!(Math.abs(value - given[i][k]) <= TOLERANCE * Math.max(1, Math.abs(value))))
        fail(`root ${i}[${k}]: ${given[i][k]}, not ${value}`)
}

function sumOf(node: Node): Node {
  const of = map('tanh', node)
  return reduce(
    'sum',
    of.shape.map((_, i) => i),
    of,
  )
}

describe('compiled random graphs with scans', () => {
  it('give the interpreter’s values', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { smooth: true, updates: true, scans: true, nodes: 20 })
      check(seed, random.graph, random)
    }
  })

  it('give the interpreter’s gradients', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 10, scans: true })
      const root = sumOf(random.graph.outputs[0])
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      check(seed, { outputs: [root, ...found], updates: [] }, random)
    }
  })

  it('give the interpreter’s gradients, with axes longer than vectors', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 8, scans: true, wide: 13 })
      const root = sumOf(random.graph.outputs[0])
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      check(seed, { outputs: [root, ...found], updates: [] }, random)
    }
  })
})
