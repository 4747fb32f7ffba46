// What console.log(tensor) prints: shape, dtype, device, and the values if evaluated, else `lazy`.
import type { TypedArray } from '../base/dtype.js'
import { type Shape, showShape } from '../base/shape.js'
import type { Tensor } from './tensor.js'

const EDGE = 3 // values shown at each end of a long dimension, as PyTorch does

function values(data: TypedArray, shape: Shape, bool: boolean, offset = 0): string {
  if (shape.length === 0) {
    const x = data[offset]
    if (bool) return x ? 'true' : 'false'
    return Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(5)))
  }
  const rest = shape.slice(1)
  const stride = rest.reduce((product, n) => product * n, 1)
  const parts: string[] = []
  for (let i = 0; i < shape[0]; i++) {
    if (shape[0] > 2 * EDGE && i === EDGE) {
      parts.push('…')
      i = shape[0] - EDGE
    }
    parts.push(values(data, rest, bool, offset + i * stride))
  }
  return `[${parts.join(', ')}]`
}

export function show(t: Tensor): string {
  const held = t.value?.held
  const device = held === undefined ? '' : `, ${held.device.name}`
  const head = `Tensor ${showShape(t.shape)} ${t.dtype}${device}`
  const host = t.value?.host
  if (host !== undefined) return `${head} ${values(host, t.shape, t.dtype === 'bool')}`
  if (held === undefined || t.value?.ready !== undefined) return `${head} lazy`
  return `${head} evaluated`
}
