// Runs the table of operations: the float64 interpreter against the values given by hand and, for gradients,
// against central differences; then compiled programs, optimised and not, and the devices `reference` and `cpu` with
// one and two threads against the interpreter.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isHalf, numbersOf } from '../src/base/dtype.js'
import { interpret } from '../src/graph/interpret.js'
import type { InputNode } from '../src/graph/node.js'
import * as burnish from '../src/index.js'
import { closeDevices, setDevice, Tensor } from '../src/index.js'
import * as nn from '../src/nn/index.js'
import { adopt } from '../src/tensor/create.js'
import { fromNode } from '../src/tensor/tensor.js'
import { runGraph } from './compiled.js'
import type { Case } from './ops/case.js'
import { operations, operationsPage } from './ops/page.js'
import { type Built, bind, build } from './ops/run.js'
import { cases, errorCases, nnCases, readCases } from './ops.cases.js'
import { difference } from './support.js'

/** What is exported beside operations, tested elsewhere. */
const NOT_OPERATIONS = new Set<string>([
  'checkpoint',
  'constructor',
  'positive',
  'summary',
  'backward',
  'dropDefinition',
  'toString',
  'valueNode',
  'closeDevices',
  'compile',
  'currentDevice',
  'grad',
  'keep',
  'manualSeed',
  'noGrad',
  'scalar',
  'setDevice',
  'step',
  'withDevice',
])

const TOLERANCE = 2e-5 // float32, a few operations one after the other
const all = [...cases, ...nnCases]
const title = ({ op, name }: Case) => `${op}: ${name}`

const built = new Map<Case, Built>()
const exact = new Map<Case, readonly Float64Array[]>()
for (const line of all) {
  const ready = build(line)
  built.set(line, ready)
  exact.set(line, interpret(ready.graph, bind).outputs)
}
const of = <T>(map: Map<Case, T>, line: Case): T => map.get(line) as T

/** Compares every result and gradient with the interpreter's. */
function compare(line: Case, given: readonly ArrayLike<number>[]): void {
  const { results } = of(built, line)
  of(exact, line).forEach((values, i) => {
    const half = results.some((node) => isHalf(node.dtype))
    const tolerance = line.tolerance ?? (half ? 1e-2 : TOLERANCE)
    const wanted =
      i < results.length && results[i].dtype === 'float32' ? Float32Array.from(values) : values
    const text = difference(given[i], wanted, tolerance, tolerance)
    expect(text, `${i < results.length ? 'result' : 'gradient'} ${i}`).toBeUndefined()
  })
}

describe('the interpreter', () => {
  it('covers 300 cases and more', () => {
    expect(all.length + errorCases.length + readCases.length).toBeGreaterThan(300)
    const titles = all.map(title)
    expect(titles.filter((text, i) => titles.indexOf(text) !== i)).toEqual([])
  })

  it.each(all.map((line) => [title(line), line] as const))('%s', (_, line) => {
    const { results } = of(built, line)
    if (line.shape !== undefined) expect(results[0].shape).toEqual(line.shape)
    if (line.dtype !== undefined) expect(results[0].dtype).toBe(line.dtype)
    if (line.gives !== undefined)
      expect(difference(of(exact, line)[0], line.gives, 1e-6, 1e-6)).toBeUndefined()
  })
})

const STEP = 1e-5
const MOST_ELEMENTS = 24

describe('gradients are those of central differences', () => {
  const smooth = all.filter(
    (line) =>
      line.rough === undefined && of(built, line).gradients.some((node) => node !== undefined),
  )
  it.each(smooth.map((line) => [title(line), line] as const))('%s', (_, line) => {
    const ready = of(built, line)
    const { total } = ready
    if (total === undefined) return
    const found = of(exact, line).slice(ready.results.length)
    let at = 0
    ready.inputs.forEach((node, k) => {
      if (ready.gradients[k] === undefined) return
      const gradient = found[at++]
      const base = Float64Array.from(line.inputs[k].data)
      const totalWith = (i: number, by: number): number => {
        const moved = base.slice()
        moved[i] += by
        const shifted = (other: InputNode) => (other === node ? moved : bind(other))
        return interpret({ outputs: [total], updates: [] }, shifted).outputs[0][0]
      }
      const stride = Math.max(1, Math.floor(base.length / MOST_ELEMENTS))
      for (let i = 0; i < base.length; i += stride) {
        const slope = (totalWith(i, STEP) - totalWith(i, -STEP)) / (2 * STEP)
        expect(
          Math.abs(slope - gradient[i]),
          `input ${k}[${i}]: ${gradient[i]}, not ${slope}`,
        ).toBeLessThan(1e-5 * Math.max(1, Math.abs(slope)) + 1e-6)
      }
    })
  })
})

describe.each([
  ['optimised', {}],
  ['not optimised', { simplify: false, layouts: false }],
])('compiled, %s', (_, options) => {
  it.each(all.map((line) => [title(line), line] as const))('%s', (_, line) => {
    const { graph } = of(built, line)
    const { outputs, code } = runGraph(graph, bind, options)
    expect(code).toBe(0)
    compare(
      line,
      outputs.map((data, i) => numbersOf(graph.outputs[i].dtype, data)),
    )
  })
})

describe.each([
  ['reference', {}],
  ['cpu', { threads: 1 }],
  ['cpu', { threads: 2 }],
])('on the device %s %o', (device, options) => {
  beforeAll(async () => {
    await setDevice(device, options)
  })
  afterAll(closeDevices)

  it.each(all.map((line) => [title(line), line] as const))('%s', async (_, line) => {
    const { graph } = of(built, line)
    const values = await Promise.all(graph.outputs.map((node) => fromNode(node).data()))
    compare(line, values)
  })

  it.each(readCases.map((line) => [`${line.op}: ${line.name}`, line] as const))(
    '%s',
    async (_, line) => {
      expect(await line.run()).toEqual(line.gives)
    },
  )

  it('an index out of range is an error of the run, which names it', async () => {
    const x = adopt(Float32Array.of(1, 2, 3), [3], 'float32')
    const at = adopt(Int32Array.of(0, 3), [2], 'int32')
    await expect(x.index(at).data()).rejects.toThrow(/gather: index 3 is out of range 0 … 2/)
    const rows = x.reshape(1, 3)
    const second = adopt(Int32Array.of(-4, 0), [2], 'int32')
    await expect(rows.index(at.mul(0), second).data()).rejects.toThrow(/out of range/)
    await expect(x.scatter(0, at, 0).data()).rejects.toThrow(/index 3 is out of range/)
  })
})

describe('errors', () => {
  it.each(errorCases.map((line) => [`${line.op}: ${line.name}`, line] as const))(
    '%s',
    (_, line) => {
      expect(line.run).toThrow(line.error)
    },
  )
})

describe('docs/operations.md', () => {
  it('is what the table says', () => {
    const page = readFileSync(new URL('../docs/operations.md', import.meta.url), 'utf8')
    expect(page, 'stale: run node scripts/operations.mjs').toBe(operationsPage())
  })

  it('names every operation there is', () => {
    const known = new Set([
      ...operations(),
      ...nnCases.map((line) => line.op),
      ...readCases.map((line) => line.op),
    ])
    const methods: string[] = []
    for (
      let proto = Tensor.prototype;
      proto !== Object.prototype;
      proto = Object.getPrototypeOf(proto)
    )
      for (const name of Object.getOwnPropertyNames(proto))
        if (typeof Object.getOwnPropertyDescriptor(proto, name)?.value === 'function')
          methods.push(name)
    expect(methods.filter((name) => !known.has(name) && !NOT_OPERATIONS.has(name))).toEqual([])
    const functions = Object.entries(burnish).filter(
      ([name, value]) => typeof value === 'function' && !/^[A-Z]/.test(name),
    )
    expect(
      functions
        .map(([name]) => name)
        .filter((name) => !known.has(name) && !NOT_OPERATIONS.has(name)),
    ).toEqual([])
    const ofNn = Object.entries(nn).filter(
      ([name, value]) => typeof value === 'function' && !/^[A-Z]/.test(name),
    )
    expect(
      ofNn.map(([name]) => name).filter((name) => !known.has(name) && !NOT_OPERATIONS.has(name)),
    ).toEqual([])
  })
})
