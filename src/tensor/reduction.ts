// Reductions over nodes, with PyTorch's dimensions and `keepdim`.
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { axisOf, type Shape, showShape, sizeOf } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { constant, type Node, reduce } from '../graph/node.js'
import { arithmeticType, binary, cast, numericFn, select } from './arithmetic.js'

/** One dimension, several, or (undefined) all. */
export type Dims = number | readonly number[] | undefined

export function axesOf(dims: Dims, rank: number, where: string): number[] {
  if (dims === undefined) return Array.from({ length: rank }, (_, i) => i)
  const list = typeof dims === 'number' ? [dims] : dims
  if (rank === 0) return []
  const axes = list.map((dim) => axisOf(dim, rank, where)).sort((a, b) => a - b)
  for (let i = 1; i < axes.length; i++)
    if (axes[i] === axes[i - 1]) fail(`${where}: dimension ${axes[i]} is named twice`)
  return axes
}

function keep(x: Node, from: Shape, axes: readonly number[], keepdim: boolean): Node {
  return keepdim
    ? graph.reshape(
        x,
        from.map((n, i) => (axes.includes(i) ? 1 : n)),
      )
    : x
}

const countOf = (x: Node, axes: readonly number[]) => sizeOf(axes.map((axis) => x.shape[axis]))

export function sum(x: Node, dims: Dims, keepdim: boolean): Node {
  const axes = axesOf(dims, x.shape.length, 'sum')
  return keep(reduce('sum', axes, cast(x, arithmeticType(x.dtype))), x.shape, axes, keepdim)
}

export function prod(x: Node, dims: Dims, keepdim: boolean): Node {
  const axes = axesOf(dims, x.shape.length, 'prod')
  return keep(reduce('prod', axes, cast(x, arithmeticType(x.dtype))), x.shape, axes, keepdim)
}

export function mean(x: Node, dims: Dims, keepdim: boolean): Node {
  if (!isFloat(x.dtype))
    fail(`mean of ${x.dtype}: a mean of integers is not an integer; use float() first`)
  const axes = axesOf(dims, x.shape.length, 'mean')
  const total = keep(reduce('sum', axes, cast(x, 'float32')), x.shape, axes, keepdim)
  return binary('div', total, constant(countOf(x, axes)), 'mean')
}

/** Divided by count − correction, as PyTorch's var. */
export function variance(x: Node, dims: Dims, keepdim: boolean, correction: number): Node {
  if (!isFloat(x.dtype)) fail(`var of ${x.dtype}: use float() first`)
  const axes = axesOf(dims, x.shape.length, 'var')
  const centred = binary('sub', x, mean(x, axes, true), 'var')
  const total = keep(
    reduce('sum', axes, binary('mul', centred, centred, 'var')),
    x.shape,
    axes,
    keepdim,
  )
  return binary('div', total, constant(Math.max(countOf(x, axes) - correction, 0)), 'var')
}

function notEmpty(x: Node, axes: readonly number[], where: string): void {
  if (countOf(x, axes) === 0)
    fail(`${where} of ${showShape(x.shape)}: there is no element to choose from`)
}

/** The greatest; gradients are shared equally among ties. */
export function amax(x: Node, dims: Dims, keepdim: boolean): Node {
  const axes = axesOf(dims, x.shape.length, 'amax')
  notEmpty(x, axes, 'amax')
  return keep(reduce('max', axes, cast(x, arithmeticType(x.dtype))), x.shape, axes, keepdim)
}

export function amin(x: Node, dims: Dims, keepdim: boolean): Node {
  const axes = axesOf(dims, x.shape.length, 'amin')
  notEmpty(x, axes, 'amin')
  const least = graph.map('neg', reduce('max', axes, numericFn('neg', x)))
  return keep(least, x.shape, axes, keepdim)
}

/** int32: the first position of the greatest along `dim`, or in all elements in order. */
export function argmax(x: Node, dim: number | undefined, keepdim: boolean): Node {
  const axes = axesOf(dim, x.shape.length, 'argmax')
  notEmpty(x, axes, 'argmax')
  return keep(reduce('argmax', axes, cast(x, arithmeticType(x.dtype))), x.shape, axes, keepdim)
}

export function argmin(x: Node, dim: number | undefined, keepdim: boolean): Node {
  return argmax(numericFn('neg', x), dim, keepdim)
}

/** The greatest along `dim` and where it is; the gradient goes to the first of ties. */
export function maxAlong(x: Node, dim: number, keepdim: boolean): { values: Node; indices: Node } {
  // Programs in JavaScript, after torch's x.max().
  if (dim === undefined) fail('max: along which dimension? The greatest of all is amax()')
  const axis = axisOf(dim, x.shape.length, 'max')
  if (x.shape.length === 0) return { values: x, indices: constant(0, 'int32') }
  const at = argmax(x, axis, true)
  const here = binary('eq', graph.iota(x.shape, axis), at, 'max')
  const numeric = cast(x, arithmeticType(x.dtype))
  const values = reduce('sum', [axis], select(here, numeric, 0, 'max'))
  return {
    values: keep(values, x.shape, [axis], keepdim),
    indices: keepdim ? at : graph.reshape(at, values.shape),
  }
}
