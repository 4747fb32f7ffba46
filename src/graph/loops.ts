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

const ROWS = 4 // results computed together, sharing the loads of one operand

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
  let a = linear(spec, spec.a, aData, aShape)
  let b = linear(spec, spec.b, bData, bShape)
  const axes = extents.map((_, i) => i)
  const summed = axes.slice(rank)
  const outputs = axes.slice(0, rank)
  // The longest summed axis is the inner loop, the others a list of addresses.
  const inner = summed.reduce(
    (best, axis) => (best < 0 || extents[axis] > extents[best] ? axis : best),
    -1,
  )
  const listed = summed.filter((axis) => axis !== inner)
  // A long output axis that only one operand has is computed ROWS at a time; call that operand b.
  const only = (x: Block, y: Block) => (axis: number) =>
    x.strides[axis] !== 0 && y.strides[axis] === 0 && extents[axis] >= ROWS
  if (!outputs.some(only(b, a)) && outputs.some(only(a, b))) [a, b] = [b, a]
  const wide = outputs.filter(only(b, a))
  const row = wide.reduce(
    (best, axis) => (best < 0 || extents[axis] > extents[best] ? axis : best),
    -1,
  )
  const others = outputs.filter((axis) => axis !== row)
  const outStrides = stridesOf(extents.slice(0, rank))
  const to: Block = { data: out, offset: 0, strides: outStrides }

  const n = inner < 0 ? 1 : extents[inner]
  const aStep = inner < 0 ? 0 : a.strides[inner]
  const bStep = inner < 0 ? 0 : b.strides[inner]
  const aList = addresses(listed, extents, a)
  const bList = addresses(listed, extents, b)
  const aBase = addresses(others, extents, a)
  const bBase = addresses(others, extents, b)
  const outBase = addresses(others, extents, to)
  const rows = row < 0 ? 1 : extents[row]
  const bRow = row < 0 ? 0 : b.strides[row]
  const outRow = row < 0 ? 0 : outStrides[row]
  const A = a.data
  const B = b.data
  for (let o = 0; o < outBase.length; o++) {
    const a0 = a.offset + aBase[o]
    let r = 0
    for (; r + ROWS <= rows; r += ROWS) {
      const b0 = b.offset + bBase[o] + r * bRow
      let s0 = 0
      let s1 = 0
      let s2 = 0
      let s3 = 0
      for (let l = 0; l < aList.length; l++) {
        let p = a0 + aList[l]
        let q = b0 + bList[l]
        for (let k = 0; k < n; k++) {
          const x = A[p]
          s0 += x * B[q]
          s1 += x * B[q + bRow]
          s2 += x * B[q + 2 * bRow]
          s3 += x * B[q + 3 * bRow]
          p += aStep
          q += bStep
        }
      }
      const at = outBase[o] + r * outRow
      out[at] = s0
      out[at + outRow] = s1
      out[at + 2 * outRow] = s2
      out[at + 3 * outRow] = s3
    }
    for (; r < rows; r++) {
      const b0 = b.offset + bBase[o] + r * bRow
      let sum = 0
      for (let l = 0; l < aList.length; l++) {
        let p = a0 + aList[l]
        let q = b0 + bList[l]
        for (let k = 0; k < n; k++) {
          sum += A[p] * B[q]
          p += aStep
          q += bStep
        }
      }
      out[outBase[o] + r * outRow] = sum
    }
  }
}
