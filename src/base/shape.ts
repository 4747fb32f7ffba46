// Shapes: sizes, strides, broadcasting and axes. Row-major, as everywhere in Burnish.
import { fail } from './errors.js'

export type Shape = readonly number[]

export function sizeOf(shape: Shape): number {
  let size = 1
  for (let i = 0; i < shape.length; i++) size *= shape[i]
  return size
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i]
  }
  return strides
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

/** An axis counted from the end when negative, checked against the rank. */
export function axisOf(axis: number, rank: number, where: string): number {
  const resolved = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= Math.max(rank, 1))
    fail(`${where}: axis ${axis} is out of range for a tensor of ${rank} dimensions`)
  return resolved
}

export function broadcastShapes(a: Shape, b: Shape, where: string): number[] {
  const rank = Math.max(a.length, b.length)
  const out = new Array<number>(rank)
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1)
      fail(
        `${where}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast: dimension ${i - rank} is ${x} and ${y}; make them equal, or one of them 1`,
      )
    out[i] = x === 1 ? y : x
  }
  return out
}
