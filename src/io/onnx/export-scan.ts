// Scans as ONNX's Scan, or as LSTM, GRU and RNN where they are one (export-recurrent.ts).
import { type Loop, resultType } from '../../graph/loop.js'
import type { NodeOf } from '../../graph/node.js'
import type { Body, Builder, Value } from './export-model.js'
import type { Translation } from './export-nodes.js'
import { filled, reshape } from './export-ops.js'
import { recurrent } from './export-recurrent.js'

/** What a scan leaves: carries after the last step, carries after each step, stacks. */
export interface Left {
  readonly last: readonly Value[]
  readonly after: readonly (Value | undefined)[]
  readonly stacks: readonly Value[]
}

const known = new WeakMap<Translation, Map<NodeOf<'scan'>, Left>>()

/** A result of a scan; the scan is written when its first result is read. */
export function resultValue(node: NodeOf<'result'>, t: Translation): Value {
  const scan = node.args[0]
  if (scan.kind !== 'scan') return t.builder.refuse('internal: a result of no scan')
  const found = known.get(t) ?? new Map<NodeOf<'scan'>, Left>()
  known.set(t, found)
  let left = found.get(scan)
  if (left === undefined) {
    left = recurrent(scan, t) ?? scanned(scan, t)
    found.set(scan, left)
  }
  const { loop } = scan
  const stack = left.stacks[node.index - loop.carries.length]
  if (stack) return stack
  if (!loop.keep[node.index]) return left.last[node.index]
  return history(t, scan, node.index, left)
}

/** The first value and those after each step, in the order of positions. */
function history(t: Translation, scan: NodeOf<'scan'>, index: number, left: Left): Value {
  const { loop } = scan
  const { dtype, shape } = resultType(loop, index)
  const b = t.builder
  const start = filled(b, t.find(scan.args[index]), shape.slice(1))
  const first = reshape(b, start, [1, ...shape.slice(1)])
  const after = left.after[index] ?? b.refuse('internal: a carry that was not kept')
  const parts = loop.reverse ? [after, first] : [first, after]
  return b.node('Concat', parts, { dtype, shape }, { axis: 0 })
}

function scanned(scan: NodeOf<'scan'>, t: Translation): Left {
  const { loop, args } = scan
  const { carries, slices, wholes, length, keep } = loop
  const b = t.builder
  b.label = scan.label
  const inner = t.inner()
  const bound = (node: { dtype: Value['dtype']; shape: readonly number[] }): Value => ({
    dtype: node.dtype,
    shape: node.shape,
    depth: inner.builder.depth,
    origin: { kind: 'bound' },
  })
  const inputs = [...carries, ...slices].map(bound)
  ;[...carries, ...slices].forEach((node, i) => {
    inner.set(node, inputs[i])
  })
  wholes.forEach((node, i) => {
    inner.set(node, t.find(args[carries.length + slices.length + i]))
  })
  const roots = [...loop.next, ...loop.ys]
  const computed = inner.run(roots).map((value, i) => filled(inner.builder, value, roots[i].shape))
  const kept = carries.flatMap((_, k) => (keep[k] ? [k] : []))
  const outputs = distinct(inner.builder, [...computed, ...kept.map((k) => computed[k])])
  const body: Body = { inputs, outputs, nodes: inner.builder.nodes }
  const given = args
    .slice(0, carries.length + slices.length)
    .map((arg) => filled(b, t.find(arg), arg.shape))
  b.label = scan.label
  const stackOf = (node: Value) => ({ dtype: node.dtype, shape: [length, ...node.shape] })
  const results = outputs.map((value, i) => (i < carries.length ? value : stackOf(value)))
  const stacked = outputs.length - carries.length
  const values = b.several('Scan', given, results, attributesOf(loop, stacked), body)
  const stacks = values.slice(carries.length)
  return {
    last: values.slice(0, carries.length),
    after: carries.map((_, k) => (keep[k] ? stacks[loop.ys.length + kept.indexOf(k)] : undefined)),
    stacks: stacks.slice(0, loop.ys.length),
  }
}

function attributesOf({ slices, reverse }: Loop, stacked: number) {
  const backward = (count: number) => new Array<number>(count).fill(1)
  return {
    num_scan_inputs: slices.length,
    ...(reverse
      ? {
          scan_input_directions: backward(slices.length),
          ...(stacked > 0 ? { scan_output_directions: backward(stacked) } : {}),
        }
      : {}),
  }
}

/** Each a result of a node of the body, and no two the same: what else leaves a body is copied. */
function distinct(b: Builder, values: readonly Value[]): Value[] {
  const used = new Set<Value>()
  return values.map((value) => {
    const own = value.origin.kind === 'result' && value.depth === b.depth && !used.has(value)
    const out = own ? value : copied(b, value)
    used.add(out)
    return out
  })
}

function copied(b: Builder, value: Value): Value {
  const node = {
    op: 'Identity',
    label: b.label,
    inputs: [value],
    outputs: [] as Value[],
    attributes: {},
  }
  const out: Value = {
    dtype: value.dtype,
    shape: value.shape,
    depth: b.depth,
    origin: { kind: 'result', node },
  }
  node.outputs.push(out)
  b.nodes.push(node)
  return out
}
