// The one node behind convolution and matrix product: a sum over loop axes of a[index]·b[index].
//
// Axes 0 … rank−1 are the output's (their extents are its shape), the rest are summed. Each dimension of
// an operand has an affine index over the axes; where it falls outside of the operand, or is not divisible
// by `divide`, the factor is 0. The family is closed under differentiation: see `gradientOf`.
import { fail } from '../base/errors.js'
import { type Shape, sameShape, showShape } from '../base/shape.js'
import { mix } from './node.js'

/** (Σ coefficient·axis + offset) / divide, for one dimension of an operand. */
export interface Index {
  /** [axis, coefficient ≠ 0], ascending in axis, each axis at most once. */
  readonly terms: readonly (readonly [axis: number, coefficient: number])[]
  readonly offset: number
  readonly divide: number
}

export interface Contract {
  readonly extents: readonly number[]
  readonly rank: number
  readonly a: readonly Index[]
  readonly b: readonly Index[]
  /** Hash of the fields above. */
  readonly hash: number
  /** The gradient specs, derived once a spec and shapes: for a (over G and b) and for b (over G and a). */
  gradients?: { a?: DerivedSpec; b?: DerivedSpec }
}

interface DerivedSpec {
  readonly aShape: Shape
  readonly bShape: Shape
  readonly spec: Contract
}

/** The axis itself. */
export function plain(axis: number): Index {
  return { terms: [[axis, 1]], offset: 0, divide: 1 }
}

/** (Σ coefficient·axis + offset) / divide in normal form: terms merged, ascending, no common factor. */
export function affine(
  terms: readonly (readonly [axis: number, coefficient: number])[],
  offset: number,
  divide = 1,
): Index {
  const merged: [number, number][] = []
  for (const [axis, coefficient] of terms) {
    const same = merged.find((term) => term[0] === axis)
    if (same) same[1] += coefficient
    else merged.push([axis, coefficient])
  }
  const kept = merged.filter((term) => term[1] !== 0).sort((x, y) => x[0] - y[0])
  let factor = greatestDivisor(divide, offset)
  for (const term of kept) factor = greatestDivisor(factor, term[1])
  if (factor > 1) for (const term of kept) term[1] /= factor
  return { terms: kept, offset: offset / factor + 0, divide: divide / factor }
}

function greatestDivisor(a: number, b: number): number {
  let x = Math.abs(a)
  let y = Math.abs(b)
  while (y > 0) [x, y] = [y, x % y]
  return x
}

/** The index is one axis as it stands. */
export function isPlain(index: Index): boolean {
  return (
    index.terms.length === 1 && index.terms[0][1] === 1 && index.offset === 0 && index.divide === 1
  )
}

export function makeContract(fields: {
  readonly extents: readonly number[]
  readonly rank: number
  readonly a: readonly Index[]
  readonly b: readonly Index[]
}): Contract {
  const { extents, rank, a, b } = fields
  let hash = mix(extents.length, rank)
  for (const extent of extents) hash = mix(hash, extent)
  hash = mixIndices(mix(hash, a.length), a)
  hash = mixIndices(mix(hash, b.length), b)
  return { extents, rank, a, b, hash }
}

function mixIndices(hash: number, indices: readonly Index[]): number {
  let h = hash
  for (const index of indices) {
    h = mix(h, index.terms.length)
    for (const [axis, coefficient] of index.terms) h = mix(mix(h, axis), coefficient)
    h = mix(mix(h, index.offset), index.divide)
  }
  return h
}

// ---- the gradient rule ----

/**
 * The gradient of a contraction for one operand, as a contraction over (G, the other operand) whose output
 * has that operand's shape.
 *
 * Note: the gradient rule. Dimensions of the operand that are one whole axis keep it as an output axis.
 * Every other dimension d gets an axis h of its own, and its equation index(axes) = h is solved for one of
 * its axes v, which is then substituted in G and in the other operand. Where h has no integer v in range,
 * the factor must be 0, so v must be guarded: G has every output axis as a dimension of exactly its extent,
 * and the other operand may have v as a whole dimension. Of several such axes the one with the largest
 * extent·coefficient leaves the fewest terms to sum. What is neither kept nor solved is summed.
 *
 * @throws for a diagonal such as a[i, i], and for a fixed position in a dimension of more than one element.
 */
export function gradientOf(
  spec: Contract,
  operand: 'a' | 'b',
  aShape: Shape,
  bShape: Shape,
): Contract {
  const known = spec.gradients?.[operand]
  if (known && sameShape(known.aShape, aShape) && sameShape(known.bShape, bShape)) return known.spec
  const derived =
    operand === 'a'
      ? derive(spec, 'a', spec.a, aShape, spec.b, bShape)
      : derive(spec, 'b', spec.b, bShape, spec.a, aShape)
  spec.gradients = { ...spec.gradients, [operand]: { aShape, bShape, spec: derived } }
  return derived
}

function derive(
  spec: Contract,
  name: string,
  own: readonly Index[],
  shape: Shape,
  other: readonly Index[],
  otherShape: Shape,
): Contract {
  const { extents, rank } = spec
  const axes = extents.length
  /** In how many dimensions of the operand each axis occurs. */
  const uses = new Array<number>(axes).fill(0)
  for (const index of own) for (const [axis] of index.terms) uses[axis]++
  /** The axis of the new contraction that an old one becomes; −1: not yet, or solved for. */
  const place = new Array<number>(axes).fill(-1)
  const windowed: number[] = []
  own.forEach((index, d) => {
    const axis = isPlain(index) ? index.terms[0][0] : -1
    if (axis >= 0 && extents[axis] === shape[d] && place[axis] < 0) place[axis] = d
    else windowed.push(d)
  })

  const guarded = (axis: number) =>
    axis < rank ||
    other.some(
      (index, d) => isPlain(index) && index.terms[0][0] === axis && otherShape[d] === extents[axis],
    )
  const solvedIn = new Array<number>(axes).fill(-1)
  for (const d of windowed) {
    const index = own[d]
    if (index.terms.length === 0) {
      if (shape[d] !== 1 || index.offset !== 0)
        fail(
          `contract: no gradient for ${name} ${showShape(shape)}: dimension ${d} is read at the fixed position ${index.offset / index.divide} of ${shape[d]}; slice the operand first`,
        )
      continue
    }
    let best = -1
    let bestGain = 0
    for (const [axis, coefficient] of index.terms) {
      if (uses[axis] > 1 || !guarded(axis)) continue
      const gain = extents[axis] * Math.abs(coefficient)
      if (best < 0 || gain > bestGain) {
        best = axis
        bestGain = gain
      }
    }
    if (best < 0)
      fail(
        `contract: no gradient for ${name} ${showShape(shape)}: dimension ${d}, index ${showIndex(index)}, has no axis of its own that can be solved for; diagonals such as a[i, i] are not supported`,
      )
    solvedIn[best] = d
  }

  const newExtents = [...shape]
  for (let axis = 0; axis < axes; axis++) {
    if (place[axis] >= 0 || solvedIn[axis] >= 0) continue
    place[axis] = newExtents.length
    newExtents.push(extents[axis])
  }

  const solutions = solvedIn.map((d, axis) => {
    if (d < 0) return plain(place[axis])
    const index = own[d]
    let coefficient = 0
    for (const term of index.terms) if (term[0] === axis) coefficient = term[1]
    const sign = Math.sign(coefficient)
    const terms: [number, number][] = [[d, sign * index.divide]]
    for (const [u, c] of index.terms) if (u !== axis) terms.push([place[u], -sign * c])
    return affine(terms, -sign * index.offset, Math.abs(coefficient))
  })
  return makeContract({
    extents: newExtents,
    rank: shape.length,
    a: solutions.slice(0, rank),
    b: other.map((index) => substitute(index, solutions)),
  })
}

/** The index with each axis replaced by its solution, over a common divisor. */
function substitute(index: Index, solutions: readonly Index[]): Index {
  let common = 1
  for (const [axis] of index.terms) {
    const { divide } = solutions[axis]
    common *= divide / greatestDivisor(common, divide)
  }
  const terms: [number, number][] = []
  let offset = index.offset * common
  for (const [axis, coefficient] of index.terms) {
    const solution = solutions[axis]
    const scale = (coefficient * common) / solution.divide
    for (const [u, c] of solution.terms) terms.push([u, c * scale])
    offset += solution.offset * scale
  }
  return affine(terms, offset, index.divide * common)
}

// ---- text ----

const AXIS_NAMES = 'ijklmnpqrstuvwxyz'
export function axisName(axis: number): string {
  return AXIS_NAMES[axis] ?? `i${axis}`
}

export function showIndex(index: Index): string {
  let text = ''
  for (const [axis, c] of index.terms) {
    const size = Math.abs(c) === 1 ? axisName(axis) : `${Math.abs(c)}${axisName(axis)}`
    text += c < 0 ? `-${size}` : text === '' ? size : `+${size}`
  }
  if (text === '') text = `${index.offset}`
  else if (index.offset !== 0) text += index.offset < 0 ? `${index.offset}` : `+${index.offset}`
  return index.divide === 1 ? text : `(${text})/${index.divide}`
}

/** `i=64 j=6 | k=25: a[i, k] b[j, k]`: output axes, summed axes, the operands' indices. */
export function showContract(spec: Contract): string {
  const axis = (i: number) => `${axisName(i)}=${spec.extents[i]}`
  const names = spec.extents.map((_, i) => axis(i))
  const loops = [...names.slice(0, spec.rank), '|', ...names.slice(spec.rank)].join(' ')
  return `${loops}: a[${spec.a.map(showIndex).join(', ')}] b[${spec.b.map(showIndex).join(', ')}]`
}

// ---- builders, each remembered by its numbers so that a step rebuilt costs nothing ----

const specs = new Map<string, Contract>()
const MOST_SPECS = 4096 // a bound against programs with ever new shapes

function remembered(key: string, build: () => Contract): Contract {
  let spec = specs.get(key)
  if (spec === undefined) {
    if (specs.size >= MOST_SPECS) specs.clear()
    spec = build()
    specs.set(key, spec)
  }
  return spec
}

/** Matrix product: a [batch…, m, k] · b [batch…, k, n] → [batch…, m, n]. Axes: batch… m n | k. */
export function matmulSpec(batch: Shape, m: number, n: number, k: number): Contract {
  return remembered(`matmul ${batch} ${m} ${n} ${k}`, () => {
    const r = batch.length
    const lead = batch.map((_, i) => plain(i))
    return makeContract({
      extents: [...batch, m, n, k],
      rank: r + 2,
      a: [...lead, plain(r), plain(r + 2)],
      b: [...lead, plain(r + 2), plain(r + 1)],
    })
  })
}

/** A linear layer: a [lead…, k] · b [o, k] → [lead…, o]. Axes: lead… o | k. */
export function linearSpec(lead: Shape, o: number, k: number): Contract {
  return remembered(`linear ${lead} ${o} ${k}`, () => {
    const r = lead.length
    return makeContract({
      extents: [...lead, o, k],
      rank: r + 1,
      a: [...lead.map((_, i) => plain(i)), plain(r + 1)],
      b: [plain(r), plain(r + 1)],
    })
  })
}

/** What a convolution is besides its operands; spatial lists have 1, 2 or 3 entries. */
export interface ConvSizes {
  readonly batch: number
  readonly groups: number
  /** Channels within one group. */
  readonly inChannels: number
  readonly outChannels: number
  readonly kernel: readonly number[]
  readonly stride: readonly number[]
  /** Before the first element of each spatial dimension. */
  readonly padding: readonly number[]
  readonly dilation: readonly number[]
  /** The result's spatial size. */
  readonly output: readonly number[]
}

function convKey(name: string, s: ConvSizes): string {
  return `${name} ${s.batch} ${s.groups} ${s.inChannels} ${s.outChannels} ${s.kernel} ${s.stride} ${s.padding} ${s.dilation} ${s.output}`
}

/** Axes n, (g), o, y… | c, i…; the g axis only where groups > 1. */
function convAxes(s: ConvSizes) {
  const grouped = s.groups > 1
  const o = grouped ? 2 : 1
  const y = o + 1
  const c = y + s.output.length
  return {
    extents: [
      s.batch,
      ...(grouped ? [s.groups] : []),
      s.outChannels,
      ...s.output,
      s.inChannels,
      ...s.kernel,
    ],
    rank: c,
    n: plain(0),
    g: grouped ? [plain(1)] : [],
    o: plain(o),
    y,
    c: plain(c),
    i: c + 1,
    taps: s.kernel.map((_, d) => plain(c + 1 + d)),
  }
}

/**
 * Convolution: a = x [n, (g), c, h…], b = w [(g), o, c, i…] → [n, (g), o, y…], where c and o count within
 * a group and the g dimension is absent when groups = 1. x is read at y·stride + i·dilation − padding.
 */
export function convSpec(sizes: ConvSizes): Contract {
  return remembered(convKey('conv', sizes), () => {
    const { extents, rank, n, g, o, y, c, i, taps } = convAxes(sizes)
    const window = sizes.kernel.map((_, d) =>
      affine(
        [
          [y + d, sizes.stride[d]],
          [i + d, sizes.dilation[d]],
        ],
        -sizes.padding[d],
      ),
    )
    return makeContract({ extents, rank, a: [n, ...g, c, ...window], b: [...g, o, c, ...taps] })
  })
}

/**
 * Transposed convolution: a = x [n, (g), c, h…], b = w [(g), c, o, i…] (PyTorch's order) → [n, (g), o, y…].
 * x is read at (y + padding − i·dilation) / stride.
 */
export function convTransposeSpec(sizes: ConvSizes): Contract {
  return remembered(convKey('convTranspose', sizes), () => {
    const { extents, rank, n, g, o, y, c, i, taps } = convAxes(sizes)
    const window = sizes.kernel.map((_, d) =>
      affine(
        [
          [y + d, 1],
          [i + d, -sizes.dilation[d]],
        ],
        sizes.padding[d],
        sizes.stride[d],
      ),
    )
    return makeContract({ extents, rank, a: [n, ...g, c, ...window], b: [...g, c, o, ...taps] })
  })
}
