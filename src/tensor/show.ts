// What console.log(tensor) prints: shape, dtype, device, and the values if evaluated, else `lazy`.
import { itemSize, numbersOf, type TypedArray, typedView } from '../base/dtype.js'
import { type Shape, showShape } from '../base/shape.js'
import type { Handle } from './handle.js'
import type { Cell, Value } from './value.js'

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

/** The data where it can be seen without waiting. */
function visible({ host, held, ready, dtype }: Value): TypedArray | undefined {
  if (host !== undefined) return numbersOf(dtype, host)
  if (held === undefined || ready !== undefined) return undefined
  const { buffer, byteOffset, byteLength } = held.device.peek(held.storage)
  const data = typedView(dtype, buffer, byteOffset, Math.floor(byteLength / itemSize[dtype]))
  return numbersOf(dtype, data)
}

export function show(t: Handle): string {
  const { value } = t
  const device = value?.held === undefined ? '' : `, ${value.held.device.name}`
  const head = `Tensor ${showShape(t.shape)} ${t.dtype}${device}`
  if (value?.disposed) return `${head} disposed`
  const data = value === undefined ? undefined : visible(value)
  return data === undefined
    ? `${head} lazy`
    : `${head} ${values(data, t.shape, t.dtype === 'bool')}`
}

/** A parameter's data may be in the hands of a queued step: only what the host still has is shown. */
export function showCell({ shape, dtype, name, value }: Cell): string {
  const where =
    value.host === undefined
      ? ', on the device'
      : ` ${values(numbersOf(dtype, value.host), shape, false)}`
  return `Parameter ${name === '' ? '' : `${name} `}${showShape(shape)} ${dtype}${where}`
}
