// The interpreter's loops: a strided copy, and a contraction.
//
// Note: contraction without bounds. Each operand is first copied into a block that holds every position its
// indices can name, with zeros where the operand has none and between elements where `divide` > 1. Its address
// is then linear in the axes, and the loops need no test. An operand whose indices never leave it is used as it is.
import { sizeOf, stridesOf } from '../base/shape.js'
import type { Contract, Index } from './contract.js'

/** Elements at offset + Σ index·stride. */
export interface Block {
  readonly data: Float64Array
  readonly offset: number
  readonly strides: readonly number[]
}

/** to[i…] = from[i…] for every index within `shape`. */
export function copyBlock(shape: readonly number[], from: Block, to: Block): void {
  const size = sizeOf(shape)
  if (size === 0) return
  const last = shape.length - 1
  const n = last < 0 ? 1 : shape[last]
  const fromStep = last < 0 ? 0 : from.strides[last]
  const toStep = last < 0 ? 0 : to.strides[last]
  const source = from.data
  const target = to.data
  const index = new Int32Array(shape.length)
  let p = from.offset
  let q = to.offset
  for (let done = 0; done < size; done += n) {
    for (let i = 0, s = p, t = q; i < n; i++, s += fromStep, t += toStep) target[t] = source[s]
    for (let d = last - 1; d >= 0; d--) {
      p += from.strides[d]
      q += to.strides[d]
      if (++index[d] < shape[d]) break
      p -= from.strides[d] * shape[d]
      q -= to.strides[d] * shape[d]
      index[d] = 0
    }
  }
}

/** An operand whose address is `offset` + Σ axis·stride over the contraction's axes, all within `data`. */
function linear(
  spec: Contract,
  indices: readonly Index[],
  data: Float64Array,
  shape: readonly number[],
): Block {
  const { extents } = spec
  const lows: number[] = []
  const sizes: number[] = []
  for (const index of indices) {
    let low = index.offset
    let high = index.offset
    for (const [axis, c] of index.terms) {
      if (c > 0) high += c * (extents[axis] - 1)
      else low += c * (extents[axis] - 1)
    }
    lows.push(low)
    sizes.push(high - low + 1)
  }
  let block: Block = { data, offset: 0, strides: stridesOf(shape) }
  const fits = indices.every(
    (index, d) => index.divide === 1 && lows[d] >= 0 && lows[d] + sizes[d] <= shape[d],
  )
  let origin = lows
  if (fits) origin = lows.map(() => 0)
  else {
    const strides = stridesOf(sizes)
    const wide = new Float64Array(sizeOf(sizes))
    // Positions q of the operand with low ≤ q·divide ≤ high lie at q·divide − low.
    const first = indices.map((index, d) => Math.max(0, Math.ceil(lows[d] / index.divide)))
    const counts = indices.map((index, d) => {
      const end = Math.min(shape[d] - 1, Math.floor((lows[d] + sizes[d] - 1) / index.divide))
      return Math.max(0, end - first[d] + 1)
    })
    let from = 0
    let to = 0
    indices.forEach((index, d) => {
      from += first[d] * block.strides[d]
      to += (first[d] * index.divide - lows[d]) * strides[d]
    })
    copyBlock(
      counts,
      { data, offset: from, strides: block.strides },
      { data: wide, offset: to, strides: strides.map((s, d) => s * indices[d].divide) },
    )
    block = { data: wide, offset: 0, strides }
  }
  const perAxis = new Array<number>(extents.length).fill(0)
  let offset = 0
  indices.forEach((index, d) => {
    offset += (index.offset - origin[d]) * block.strides[d]
    for (const [axis, c] of index.terms) perAxis[axis] += c * block.strides[d]
  })
  return { data: block.data, offset, strides: perAxis }
}

/** The addresses of every combination of the given axes, row-major. */
function addresses(axes: readonly number[], extents: readonly number[], block: Block): Int32Array {
  const shape = axes.map((axis) => extents[axis])
  let out = new Int32Array(1)
  shape.forEach((n, i) => {
    const stride = block.strides[axes[i]]
    const next = new Int32Array(out.length * n)
    for (let p = 0, at = 0; p < out.length; p++)
      for (let k = 0; k < n; k++) next[at++] = out[p] + k * stride
    out = next
  })
  return out
}

const ROWS = 4 // results computed together along an axis that only b has,
const COLUMNS = 2 // and along one that only a has: 8 sums share 6 loads

/** out[o…] = Σ a·b. */
export function contractInto(
  out: Float64Array,
  spec: Contract,
  aData: Float64Array,
  aShape: readonly number[],
  bData: Float64Array,
  bShape: readonly number[],
): void {
  const { extents, rank } = spec
  if (sizeOf(extents) === 0) return
  const axes = extents.map((_, i) => i)
  const outputs = axes.slice(0, rank)
  const summed = axes.slice(rank)
  let a = linear(spec, spec.a, aData, aShape)
  let b = linear(spec, spec.b, bData, bShape)
  const only = (x: Block, y: Block) =>
    outputs.filter((axis) => x.strides[axis] !== 0 && y.strides[axis] === 0)
  // Whole blocks first, then length; the operand with the better axis is called b.
  const worth = (axis: number) =>
    axis < 0 ? 0 : extents[axis] + (extents[axis] % ROWS === 0 ? sizeOf(extents) : 0)
  const best = (list: readonly number[]) =>
    list.reduce((chosen, axis) => (worth(axis) >= worth(chosen) ? axis : chosen), -1)
  if (worth(best(only(a, b))) > worth(best(only(b, a)))) [a, b] = [b, a]
  const row = best(only(b, a))
  const column = best(only(a, b))
  // The longest summed axis is the inner loop, the others a list of addresses.
  const inner = summed.reduce(
    (long, axis) => (long < 0 || extents[axis] > extents[long] ? axis : long),
    -1,
  )
  const listed = summed.filter((axis) => axis !== inner)
  const others = outputs.filter((axis) => axis !== row && axis !== column)
  const to: Block = { data: out, offset: 0, strides: stridesOf(extents.slice(0, rank)) }
  const along = (block: Block, axis: number) => (axis < 0 ? 0 : block.strides[axis])
  const count = (axis: number) => (axis < 0 ? 1 : extents[axis])
  const loops: Loops = {
    a: a.data,
    b: b.data,
    count: count(inner),
    aStep: along(a, inner),
    bStep: along(b, inner),
    aList: addresses(listed, extents, a),
    bList: addresses(listed, extents, b),
  }

  const rows = count(row)
  const columns = count(column)
  const bRow = along(b, row)
  const aColumn = along(a, column)
  const outRow = along(to, row)
  const outColumn = along(to, column)
  const aBase = addresses(others, extents, a)
  const bBase = addresses(others, extents, b)
  const outBase = addresses(others, extents, to)
  const wholeRows = rows - (rows % ROWS)
  const wholeColumns = columns - (columns % COLUMNS)
  for (let o = 0; o < outBase.length; o++)
    for (let c = 0; c < columns; ) {
      const p = a.offset + aBase[o] + c * aColumn
      const wide = c < wholeColumns
      for (let r = 0; r < rows; ) {
        const q = b.offset + bBase[o] + r * bRow
        const at = outBase[o] + c * outColumn + r * outRow
        if (wide && r < wholeRows) {
          block(loops, p, aColumn, q, bRow, out, at, outColumn, outRow)
          r += ROWS
        } else {
          out[at] = single(loops, p, q)
          if (wide) out[at + outColumn] = single(loops, p + aColumn, q)
          r++
        }
      }
      c += wide ? COLUMNS : 1
    }
}

/** The summed loops: an inner one of `count` steps within a list of addresses. */
interface Loops {
  readonly a: Float64Array
  readonly b: Float64Array
  readonly count: number
  readonly aStep: number
  readonly bStep: number
  readonly aList: Int32Array
  readonly bList: Int32Array
}

function single(loops: Loops, p0: number, q0: number): number {
  const { a, b, count, aStep, bStep, aList, bList } = loops
  let sum = 0
  for (let l = 0; l < aList.length; l++) {
    let p = p0 + aList[l]
    let q = q0 + bList[l]
    for (let k = 0; k < count; k++) {
      sum += a[p] * b[q]
      p += aStep
      q += bStep
    }
  }
  return sum
}

/** COLUMNS × ROWS results at once. */
function block(
  loops: Loops,
  p0: number,
  aColumn: number,
  q0: number,
  bRow: number,
  out: Float64Array,
  at: number,
  outColumn: number,
  outRow: number,
): void {
  const { a, b, count, aStep, bStep, aList, bList } = loops
  let s00 = 0
  let s01 = 0
  let s02 = 0
  let s03 = 0
  let s10 = 0
  let s11 = 0
  let s12 = 0
  let s13 = 0
  for (let l = 0; l < aList.length; l++) {
    let p = p0 + aList[l]
    let q = q0 + bList[l]
    for (let k = 0; k < count; k++) {
      const x0 = a[p]
      const x1 = a[p + aColumn]
      const y0 = b[q]
      const y1 = b[q + bRow]
      const y2 = b[q + 2 * bRow]
      const y3 = b[q + 3 * bRow]
      s00 += x0 * y0
      s01 += x0 * y1
      s02 += x0 * y2
      s03 += x0 * y3
      s10 += x1 * y0
      s11 += x1 * y1
      s12 += x1 * y2
      s13 += x1 * y3
      p += aStep
      q += bStep
    }
  }
  out[at] = s00
  out[at + outRow] = s01
  out[at + 2 * outRow] = s02
  out[at + 3 * outRow] = s03
  out[at + outColumn] = s10
  out[at + outColumn + outRow] = s11
  out[at + outColumn + 2 * outRow] = s12
  out[at + outColumn + 3 * outRow] = s13
}
