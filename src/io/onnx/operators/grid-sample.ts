// GridSample: the input read at positions that a grid gives, in any number of dimensions. Each position takes one, two
// or four elements along each dimension; all have gradients, into the input and into the grid.
import { type Shape, sizeOf } from '../../../base/shape.js'
import type { Tensor } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import type { Table } from './table.js'

/** One element along one dimension for each position [n, 1, p]: where it lies, and its weight. */
interface Tap {
  readonly at: Tensor
  readonly weight: Tensor | undefined
}

const MODES: { readonly [mode: string]: 'nearest' | 'linear' | 'cubic' } = {
  nearest: 'nearest',
  bilinear: 'linear',
  linear: 'linear',
  bicubic: 'cubic',
  cubic: 'cubic',
}

/** What is outside of [low, high], mirrored at its ends as often as it takes. */
function reflected(x: Tensor, low: number, high: number): Tensor {
  const range = high - low
  if (range === 0) return x.mul(0).add(low)
  const from = x.sub(low)
  const turns = from.div(2 * range).floor()
  const t = from.sub(turns.mul(2 * range))
  return t.sub(range).abs().mul(-1).add(high)
}

const A = -0.75

/** Keys' cubic: the weights of the elements at −1, 0, 1, 2 for a part t. */
function cubicOf(t: Tensor): readonly Tensor[] {
  const near = (d: Tensor) =>
    d
      .mul(A + 2)
      .sub(A + 3)
      .mul(d.square())
      .add(1)
  const far = (d: Tensor) =>
    d
      .mul(A)
      .sub(5 * A)
      .mul(d)
      .add(8 * A)
      .mul(d)
      .sub(4 * A)
  const rest = t.mul(-1).add(1)
  return [far(t.add(1)), near(t), near(rest), far(rest.add(1))]
}

/** The elements of `size` which positions −1 … 1 take. */
function tapsOf(call: Call, grid: Tensor, size: number, mode: string): Tap[] {
  const align = call.flag('align_corners', false)
  const padding = call.text('padding_mode', 'zeros')
  const [low, high] = align ? [0, size - 1] : [-0.5, size - 0.5]
  const outside = (x: Tensor): Tensor => {
    if (padding === 'border') return x.clamp(0, size - 1)
    if (padding === 'reflection') return reflected(x, low, high)
    return padding === 'zeros' ? x : call.fail(`padding_mode ${padding} is not known`)
  }
  const scaled = grid.add(1)
  const raw = align ? scaled.mul((size - 1) / 2) : scaled.mul(size).sub(1).div(2)
  const tap = (at: Tensor, weight: Tensor | undefined): Tap => {
    const place = outside(at)
    const inside = place.clamp(0, size - 1)
    if (padding !== 'zeros') return { at: inside.int(), weight }
    const counts = place
      .ge(0)
      .float()
      .mul(place.le(size - 1).float())
    return { at: inside.int(), weight: weight?.mul(counts) ?? counts }
  }
  if (mode === 'nearest') return [tap(raw.round(), undefined)]
  const first = raw.floor()
  const part = raw.sub(first)
  if (mode === 'linear') return [tap(first, part.mul(-1).add(1)), tap(first.add(1), part)]
  return cubicOf(part).map((weight, k) => tap(first.add(k - 1), weight))
}

/** X [n, c, …sizes], grid [n, …counts, rank] with the last dimension's position first → [n, c, …counts]. */
function gridSample(call: Call): Tensor {
  const [x, grid] = [call.tensor(0), call.tensor(1)]
  const [n, c, ...sizes] = x.shape
  const rank = sizes.length
  const counts: Shape = grid.shape.slice(1, -1)
  if (rank < 1 || counts.length !== rank || grid.shape.at(-1) !== rank || grid.shape[0] !== n)
    call.fail(
      `an input [${x.shape}] needs a grid of ${n} by ${rank} dimensions by ${rank}, but it is [${grid.shape}]`,
    )
  const name = call.text('mode', 'linear')
  const mode = Object.hasOwn(MODES, name) ? MODES[name] : call.fail(`the mode ${name} is not known`)
  const places = sizeOf(counts)
  const flat = x.float().reshape(n, c, sizeOf(sizes))
  let taps: Tap[] = []
  sizes.forEach((size, d) => {
    const k = rank - 1 - d
    const along = grid.slice(k, k + 1, { dim: -1 }).reshape(n, 1, places)
    const own = tapsOf(call, along, size, mode)
    taps = d === 0 ? own : taps.flatMap((one) => own.map((other) => joined(one, other, size)))
  })
  let sum: Tensor | undefined
  for (const { at, weight } of taps) {
    const picked = flat.gather(2, at.expand(n, c, places))
    const term = weight === undefined ? picked : picked.mul(weight)
    sum = sum === undefined ? term : sum.add(term)
  }
  return (sum ?? call.fail('there is nothing to sample')).reshape(n, c, ...counts)
}

/** An element of a plane from one along each of its sides. */
function joined(outer: Tap, inner: Tap, size: number): Tap {
  const [a, b] = [outer.weight, inner.weight]
  return {
    at: outer.at.mul(size).add(inner.at),
    weight: a === undefined ? b : b === undefined ? a : a.mul(b),
  }
}

export const sampling: Table = { GridSample: { run: gridSample } }
