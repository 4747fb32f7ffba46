// Random graphs, and their gradients, compiled to WebAssembly against the interpreter's float64.
import { describe, expect, it } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { interpret } from '../src/graph/interpret.js'
import { type Graph, map, reduce } from '../src/graph/node.js'
import { printGraph } from '../src/graph/print.js'
import { runGraph } from './compiled.js'
import { type RandomGraph, randomGraph } from './random-graph.js'

const SEEDS = 250
const TOLERANCE = 2e-4 // float32 through some thirty operations of moderate values

/** What differs between the compiled and the interpreted graph; '' where nothing does. */
function difference(graph: Graph, { bind }: RandomGraph): string {
  const exact = interpret(graph, bind)
  const wanted = [...exact.outputs, ...exact.updates]
  let found: ReturnType<typeof runGraph>
  try {
    found = runGraph(graph, bind)
  } catch (error) {
    return String(error)
  }
  const given = [...found.outputs, ...found.updates]
  for (let i = 0; i < wanted.length; i++)
    for (let k = 0; k < wanted[i].length; k++) {
      const value = wanted[i][k]
      const gap = Math.abs(value - given[i][k])
      if (!(gap <= TOLERANCE * Math.max(1, Math.abs(value))))
        return `root ${i}[${k}]: ${given[i][k]}, not ${value}`
    }
  return ''
}

function check(seed: number, graph: Graph, random: RandomGraph): void {
  const text = difference(graph, random)
  if (text !== '') expect.fail(`seed ${seed}: ${text}\n${printGraph(graph)}`)
}

describe('compiled random graphs', () => {
  it('give the interpreter’s values', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { smooth: true, updates: true })
      check(seed, random.graph, random)
    }
  })

  it('give the interpreter’s gradients', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 12 })
      const of = map('tanh', random.graph.outputs[0])
      const root = reduce(
        'sum',
        of.shape.map((_, i) => i),
        of,
      )
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      check(seed, { outputs: [root, ...found], updates: [] }, random)
    }
  })

  it('give the interpreter’s gradients, with axes longer than vectors', () => {
    for (let seed = 1; seed <= SEEDS / 2; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 12, wide: 13 })
      const of = map('tanh', random.graph.outputs[0])
      const root = reduce(
        'sum',
        of.shape.map((_, i) => i),
        of,
      )
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      check(seed, { outputs: [root, ...found], updates: [] }, random)
    }
  })

  it('give the interpreter’s values with comparisons, argmax and rounding', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomGraph(seed, { nodes: 15 })
      check(seed, random.graph, random)
    }
  })
})
