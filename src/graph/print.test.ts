// Printing, and that the checker finds what is wrong with a graph.
import { describe, expect, it } from 'vitest'
import { checkGraph, checkNodes } from './check.js'
import { convSpec } from './contract.js'
import { building, constant, contract, input, map, type Node, permute, reduce } from './node.js'
import { printGraph } from './print.js'

const x = input({}, [1, 2, 8, 8], 'float32')
const w = input({}, [4, 2, 3, 3], 'float32')
const spec = convSpec({
  batch: 1,
  groups: 1,
  inChannels: 2,
  outChannels: 4,
  kernel: [3, 3],
  stride: [2, 2],
  padding: [1, 1],
  dilation: [1, 1],
  output: [4, 4],
})

describe('printGraph', () => {
  it('gives one line a node, then outputs, updates and the guard', () => {
    building.label = 'conv1'
    const y = map('relu', contract(spec, x, w))
    building.label = ''
    const loss = reduce('sum', [0, 1, 2, 3], y)
    const next = map('sub', w, constant(0.5, 'float32', w.shape))
    const text = printGraph({
      outputs: [loss],
      updates: [{ target: w, value: next }],
      guard: map('isFinite', loss),
    })
    expect(text).toMatchInlineSnapshot(`
      "%0 = input : float32 [1, 2, 8, 8]
      %1 = input : float32 [4, 2, 3, 3]
      %2 = contract {i=1 j=4 k=4 l=4 | m=2 n=3 p=3: a[i, m, 2k+n-1, 2l+p-1] b[j, m, n, p]} %0 %1 : float32 [1, 4, 4, 4] # conv1
      %3 = map relu %2 : float32 [1, 4, 4, 4] # conv1
      %4 = reduce sum [0, 1, 2, 3] %3 : float32 []
      %5 = const 0.5 : float32 [4, 2, 3, 3]
      %6 = map sub %1 %5 : float32 [4, 2, 3, 3]
      %7 = map isFinite %4 : bool []
      output %4
      update %1 = %6
      guard %7"
    `)
  })
})

describe('check', () => {
  const good = map('add', x, x)
  const wrong: readonly [string, Node, RegExp][] = [
    ['a shape', { ...good, shape: [1, 2, 8, 7] }, /every argument has the shape.*map add/],
    ['a dtype', { ...good, dtype: 'int32' }, /dtype: map add/],
    ['arguments', { ...good, args: [x] }, /2 arguments/],
    ['a permutation', permute(x, [0, 1, 3, 3]), /a permutation/],
    ['axes', { ...reduce('sum', [1, 2], x), axes: [2, 1] } as Node, /ascending axes/],
    ['a float function of ints', map('exp', constant(1, 'int32')), /exp takes float32/],
  ]
  for (const [name, node, message] of wrong)
    it(`finds wrong ${name}`, () => {
      expect(() => checkNodes([node])).toThrow(message)
    })

  it('finds a cycle', () => {
    const args: Node[] = [x, x]
    const loop: Node = { ...good, args }
    args[1] = map('neg', loop)
    expect(() => checkNodes([loop])).toThrow(/cycle/)
  })

  it('finds an update that does not fit, and a guard that is no bool', () => {
    expect(() => checkGraph({ outputs: [], updates: [{ target: w, value: x }] })).toThrow(
      /update of/,
    )
    const guard = reduce('sum', [0, 1, 2, 3], x)
    expect(() => checkGraph({ outputs: [], updates: [], guard })).toThrow(/guard is float32/)
  })
})
