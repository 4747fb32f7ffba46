// The reference device: storage as bytes, runs in order, updates in place, and none of them after a report.
import { describe, expect, it } from 'vitest'
import type { DType } from '../base/dtype.js'
import type { Argument, BoundGraph, Role, Storage } from '../compiler/program.js'
import { keyOf } from '../graph/key.js'
import { constant, type Graph, gather, input, map, type Node, reshape } from '../graph/node.js'
import { createReference } from './reference.js'

const floatsOf = (bytes: Uint8Array) => [...new Float32Array(bytes.slice().buffer)]
const bytesOf = (data: Float32Array | Int32Array) => new Uint8Array(data.buffer)

function argument(role: Role, node: { shape: readonly number[]; dtype: DType }): Argument {
  return {
    role,
    dtype: node.dtype,
    shape: node.shape,
    bytes: 4 * node.shape.reduce((p, n) => p * n, 1),
  }
}

function bound(graph: Graph): BoundGraph {
  const { inputs } = keyOf(graph)
  const targets = graph.updates.map((update) => update.target)
  return {
    graph,
    inputs,
    arguments: [
      ...inputs.map((node) => argument(targets.includes(node) ? 'update' : 'in', node)),
      ...graph.outputs.map((node: Node) => argument('out', node)),
    ],
  }
}

describe('reference', () => {
  const w = input({}, [2], 'float32')
  const x = input({}, [2], 'float32')
  const step: Graph = {
    outputs: [map('mul', w, x)],
    updates: [{ target: w, value: map('add', w, map('mul', x, constant(0.1, 'float32', [2]))) }],
  }

  it('runs in the order queued, rewriting updates, rounding what it stores', async () => {
    const device = createReference()
    const code = bound(step)
    const executable = device.load(code)
    const storages = code.arguments.map(({ bytes }) => device.alloc(bytes))
    const [forW, forX, out] = storages
    device.write(forW, bytesOf(Float32Array.of(1, 2)))
    device.write(forX, bytesOf(Float32Array.of(1, -1)))
    const runs = [executable.run(storages), executable.run(storages)]
    const values = device.read(forW)
    expect((await runs[1]).code).toBe(0)
    expect(floatsOf(await values)).toEqual([Math.fround(1.2), Math.fround(1.8)])
    expect(floatsOf(await device.read(out))).toEqual([Math.fround(1.1), Math.fround(-1.9)])
    await device.close()
  })

  it('applies no update when an index is out of range or the guard is false', async () => {
    const device = createReference()
    const index = input({}, [1], 'int32')
    const picked = reshape(gather(0, x, index), [])
    const graph: Graph = {
      outputs: [picked],
      updates: step.updates,
      guard: map('isFinite', picked),
    }
    const code = bound(graph)
    const executable = device.load(code)
    const storages = new Map<Node, Storage>()
    const args = code.arguments.map(({ bytes }, i) => {
      const storage = device.alloc(bytes)
      if (i < code.inputs.length) storages.set(code.inputs[i], storage)
      return storage
    })
    const write = (node: Node, data: Float32Array | Int32Array) => {
      const storage = storages.get(node)
      if (storage) device.write(storage, bytesOf(data))
    }
    const weights = async () => floatsOf(await device.read(storages.get(w) ?? args[0]))
    write(w, Float32Array.of(1, 2))
    write(x, Float32Array.of(1, Number.NaN))
    write(index, Int32Array.of(2))
    expect(await executable.run(args)).toMatchObject({ code: 1, value: 2 })
    expect(await weights()).toEqual([1, 2])
    write(index, Int32Array.of(1))
    expect(await executable.run(args)).toMatchObject({ code: 2 })
    expect(await weights()).toEqual([1, 2])
    write(index, Int32Array.of(0))
    expect(await executable.run(args)).toMatchObject({ code: 0 })
    expect((await weights())[0]).toBe(Math.fround(1.1))
  })

  it('refuses freed and foreign storage', async () => {
    const device = createReference()
    const storage = device.alloc(8)
    device.free(storage)
    expect(() => device.peek(storage)).toThrow(/was freed/)
    const foreign: Storage = { device, bytes: 8 }
    expect(() => device.write(foreign, new Uint8Array(8))).toThrow(/belongs to reference/)
  })
})
