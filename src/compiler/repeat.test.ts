// The checker of repeats finds what is wrong; and what bodies want of weights is made before the loop.
import { describe, expect, it } from 'vitest'
import { runGraph, testMachine } from '../../test/compiled.js'
import { sizeOf } from '../base/shape.js'
import { linearSpec } from '../graph/contract.js'
import { interpret } from '../graph/interpret.js'
import { resultOf, scanNode } from '../graph/loop.js'
import {
  broadcastTo,
  contract,
  type InputNode,
  input,
  map,
  type Node,
  reduce,
  reshape,
  topological,
} from '../graph/node.js'
import { placeholder, scan, slicePlaceholder } from '../graph/scan.js'
import { checkRepeats } from './check.js'
import { compileGraph } from './compile.js'
import { printProgram } from './print.js'
import type { Program, Slot } from './program.js'

const x = input({}, [7, 8, 16], 'float32')
const w = input({}, [16, 16], 'float32')
const h0 = input({}, [8, 16], 'float32')

/** h′ = tanh(h·wᵀ + x), and the last h alone: two places in turn. */
function program(): Program {
  const [h, xt] = [placeholder(h0), slicePlaceholder(x)]
  const next = map('tanh', map('add', contract(linearSpec([8], 16, 16), h, w), xt))
  const { last } = scan({ length: 7, carries: [h], slices: [xt], next: [next], ys: [] }, [h0], [x])
  return compileGraph({ outputs: last as Node[], updates: [] }, testMachine)
}

const moving = (change: (slot: Slot) => Slot): Program => {
  const good = program()
  const regions = good.regions.map((region) => ({
    ...region,
    steps: region.steps.map((step) => ({
      ...step,
      slots: step.slots.map((slot) => (slot.moves ? change(slot) : slot)),
    })),
  }))
  return { ...good, regions }
}

describe('checkRepeats', () => {
  it('takes what the compiler makes', () => {
    expect(() => checkRepeats(program())).not.toThrow()
  })

  it('finds places that leave their memory', () => {
    expect(() => checkRepeats(moving((slot) => ({ ...slot, from: -4 })))).toThrow(
      /leaves its memory/,
    )
    const far = moving((slot) => ({
      ...slot,
      moves: slot.moves?.map((move) => ({ ...move, by: move.by * 100 })),
    }))
    expect(() => checkRepeats(far)).toThrow(/leaves its memory/)
  })

  it('finds repeats that overlap or are not around what moves', () => {
    const good = program()
    const [repeat] = good.repeats ?? []
    expect(() => checkRepeats({ ...good, repeats: [] })).toThrow(/not around it/)
    expect(() => checkRepeats({ ...good, repeats: [{ ...repeat, turns: 0 }] })).toThrow(/0 turns/)
    const wide = { first: 0, end: repeat.end, turns: 2 }
    expect(() => checkRepeats({ ...good, repeats: [repeat, wide] })).toThrow(/overlap/)
  })
})

describe('a repeat', () => {
  it('shares no memory with another of the same loop over other arguments', () => {
    const [h, xt] = [placeholder(h0), slicePlaceholder(x)]
    const down = reduce('sum', [0], map('mul', h, xt))
    const wide = map('add', broadcastTo(down, [8, 16]), h)
    const across = broadcastTo(reshape(reduce('sum', [1], wide), [8, 1]), [8, 16])
    const next = map('tanh', map('add', across, xt))
    const made = scan({ length: 7, carries: [h], slices: [xt], next: [next], ys: [] }, [h0], [x])
    const [one] = made.last
    const [node] = topological([one]).filter((inner) => inner.kind === 'scan')
    if (node.kind !== 'scan') throw new Error('no scan')
    const other = resultOf(scanNode(node.loop, [map('neg', h0), x]), 0)
    const graph = { outputs: [one, other], updates: [] }
    const bind = (of: InputNode) => {
      const count = sizeOf(of.shape)
      return Float32Array.from({ length: count }, (_, i) => Math.sin(i + count) / 3)
    }
    const exact = interpret(graph, bind).outputs
    runGraph(graph, bind).outputs.forEach((list, i) => {
      list.forEach((value, k) => {
        expect(value).toBeCloseTo(exact[i][k], 4)
      })
    })
  })

  it('copies weights before its turns, once', () => {
    const text = printProgram(program())
    const [before, inside] = text.split(/repeat 0: regions \d+ to \d+, 7 times/)
    expect(before).toMatch(/view \[16, 16\]/)
    expect(inside).not.toMatch(/view/)
    expect(inside).toMatch(/mod 2/)
  })
})
