// Resize and Upsample: one dimension after the other, each position a few weighted elements.
import { type Picks, resample } from '../../../nn/nodes/resample.js'
import { fromNode, type Tensor } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import type { Table } from './table.js'

interface Way {
  readonly mode: string
  readonly coordinates: string
  readonly nearest: string
  readonly cubic: number
  readonly excludeOutside: boolean
}

/** Where position i of `count` lies among `size` elements. */
function positionOf(call: Call, way: Way, i: number, size: number, count: number, scale: number) {
  switch (way.coordinates) {
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5
    case 'pytorch_half_pixel':
      return count > 1 ? (i + 0.5) / scale - 0.5 : 0
    case 'half_pixel_symmetric': {
      const adjustment = count / (size * scale)
      return (size / 2) * (1 - adjustment) + (i + 0.5) / scale - 0.5
    }
    case 'asymmetric':
      return i / scale
    case 'align_corners':
      return count > 1 ? (i * (size - 1)) / (count - 1) : 0
    default:
      return call.fail(`coordinate_transformation_mode ${way.coordinates} is not supported`)
  }
}

function nearestOf(call: Call, mode: string, at: number, scale: number): number {
  switch (mode) {
    case 'round_prefer_floor':
      return Math.ceil(at - 0.5)
    case 'round_prefer_ceil':
      return Math.floor(at + 0.5)
    case 'floor':
      return Math.floor(at)
    case 'ceil':
      return Math.ceil(at)
    case 'simple':
      return scale < 1 ? Math.ceil(at) : Math.floor(at)
    default:
      return call.fail(`nearest_mode ${mode} is not known`)
  }
}

/** Keys' cubic: the weights of the elements at −1, 0, 1, 2 for a part t. */
function cubicOf(a: number, t: number): readonly number[] {
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  return [far(t + 1), near(t), near(1 - t), far(2 - t)]
}

function picksOf(call: Call, way: Way, size: number, count: number, scale: number): Picks {
  const inside = (element: number) => Math.min(Math.max(element, 0), size - 1)
  return Array.from({ length: count }, (_, i) => {
    const at = positionOf(call, way, i, size, count, scale)
    if (way.mode === 'nearest') return [[inside(nearestOf(call, way.nearest, at, scale)), 1]]
    if (way.mode === 'linear') {
      const clamped = Math.min(Math.max(at, 0), size - 1)
      const low = Math.floor(clamped)
      const part = clamped - low
      return part === 0
        ? [[low, 1]]
        : [
            [low, 1 - part],
            [inside(low + 1), part],
          ]
    }
    if (way.mode !== 'cubic') call.fail(`the mode ${way.mode} is not known`)
    const first = Math.floor(at)
    const merged = new Map<number, number>()
    let total = 0
    cubicOf(way.cubic, at - first).forEach((w, k) => {
      const element = first - 1 + k
      if (way.excludeOutside && element !== inside(element)) return
      total += w
      merged.set(inside(element), (merged.get(inside(element)) ?? 0) + w)
    })
    return [...merged].map(([element, w]) => [element, way.excludeOutside ? w / total : w])
  })
}

/** A table of elements is made for each dimension. */
const MOST_POSITIONS = 1 << 20

function resize(call: Call): Tensor {
  const x = call.tensor(0)
  const old = call.version < 11 || call.node.op === 'Upsample'
  if (call.flag('antialias', false)) call.fail('antialias is not supported')
  if (call.text('keep_aspect_ratio_policy', 'stretch') !== 'stretch')
    call.fail('keep_aspect_ratio_policy is not supported')
  const way: Way = {
    mode: call.text('mode', 'nearest'),
    coordinates: old ? 'asymmetric' : call.text('coordinate_transformation_mode', 'half_pixel'),
    nearest: old ? 'simple' : call.text('nearest_mode', 'round_prefer_floor'),
    cubic: call.float('cubic_coeff_a', -0.75),
    excludeOutside: call.flag('exclude_outside', false),
  }
  const axes = (call.list('axes') ?? x.shape.map((_, i) => i)).map((axis) =>
    call.axis(axis, x.shape.length),
  )
  const at = old ? 1 : 2
  const given =
    call.node.op === 'Upsample' && call.version < 9
      ? call.list('scales')
      : call.has(at)
        ? call.numbers(at, 'the scales')
        : undefined
  const scales = given?.length ? given : undefined
  const sizes = scales ? undefined : call.numbers(3, 'the sizes')
  let node = x.float().node
  axes.forEach((axis, i) => {
    const size = x.shape[axis]
    const count = sizes ? sizes[i] : Math.floor(Math.fround(size * (scales?.[i] ?? 1)))
    const scale = scales ? scales[i] : count / size
    if (!(count > 0 && count <= MOST_POSITIONS && Number.isInteger(count)))
      call.fail(`dimension ${axis} would be ${count}`)
    if (!(scale > 0)) call.fail(`a scale is ${scale}, but must be above 0`)
    if (count === size && scale === 1) return
    node = resample(node, axis, picksOf(call, way, size, count, scale))
  })
  const y = fromNode(node, x)
  return x.dtype === 'float32' ? y : y.to(x.dtype)
}

export const resizing: Table = { Resize: { run: resize }, Upsample: { run: resize } }
