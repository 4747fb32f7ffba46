// Movement and indexing methods of Tensor: nothing here computes but the sums of scatters.
import type { TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { broadcastShapes, type Shape, showShape, stridesOf } from '../base/shape.js'
import { binary } from './arithmetic.js'
import { adopt } from './create.js'
import { derive, nodeOf, type Operand } from './derive.js'
import * as indexing from './indexing.js'
import * as movement from './movement.js'
import * as rearrange from './rearrange.js'
import { Reducing } from './reducing.js'
import type { Tensor } from './tensor.js'

/** What `index` takes for a dimension: a position, `slice(…)`, null (new dimension), '...', a tensor of positions. */
export type Index = number | indexing.Slice | null | '...' | Tensor

export abstract class Moving extends Reducing {
  /** The same values in another shape; one size may be −1. */
  reshape(...shape: readonly number[]): Tensor {
    return derive(movement.reshape(this.node, shape), this)
  }
  permute(...dims: readonly number[]): Tensor {
    return derive(movement.permute(this.node, dims), this)
  }
  transpose(dim0: number, dim1: number): Tensor {
    return derive(movement.transpose(this.node, dim0, dim1), this)
  }
  movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor {
    return derive(rearrange.movedim(this.node, source, destination), this)
  }
  flatten(start = 0, end = -1): Tensor {
    return derive(movement.flatten(this.node, start, end), this)
  }
  /** One dimension as several; one size may be −1. */
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return derive(rearrange.unflatten(this.node, dim, sizes), this)
  }
  squeeze(dim?: number): Tensor {
    return derive(movement.squeeze(this.node, dim), this)
  }
  unsqueeze(dim: number): Tensor {
    return derive(movement.unsqueeze(this.node, dim), this)
  }
  /** Repeats dimensions of size 1; −1 keeps a size. */
  expand(...shape: readonly number[]): Tensor {
    return derive(movement.expand(this.node, shape), this)
  }
  /** The whole so many times along each dimension; new dimensions come in front. */
  repeat(...counts: readonly number[]): Tensor {
    return derive(rearrange.repeat(this.node, counts), this)
  }
  /** Each element so many times in a row, along a dimension or of the flattened tensor. */
  repeatInterleave(count: number, dim?: number): Tensor {
    return derive(rearrange.repeatInterleave(this.node, count, dim), this)
  }
  /** Positions start … end−1 along `dim`; negative ones count from the end. */
  slice(
    start: number,
    end?: number,
    { dim = 0, step = 1 }: { readonly dim?: number; readonly step?: number } = {},
  ): Tensor {
    const result = derive(movement.slice(this.node, start, end, dim, step), this)
    if (this.value !== undefined) result.sliceOf = this.value
    return result
  }
  /** Pieces of one size (the last may be smaller), or of the sizes listed. */
  split(sizes: number | readonly number[], dim = 0): Tensor[] {
    return rearrange.split(this.node, sizes, dim).map((node) => derive(node, this))
  }
  /** At most `count` pieces, all of one size but the last. */
  chunk(count: number, dim = 0): Tensor[] {
    if (!Number.isInteger(count) || count < 1) fail(`chunk(${count}): a whole number from 1`)
    const size = this.shape[dim < 0 ? dim + this.shape.length : dim] ?? 0
    return this.split(Math.max(Math.ceil(size / count), 1), dim)
  }
  /** The slices along a dimension, without it. */
  unbind(dim = 0): Tensor[] {
    return this.split(1, dim).map((part) => part.squeeze(dim))
  }
  flip(...dims: readonly number[]): Tensor {
    return derive(movement.flip(this.node, dims), this)
  }
  /** Elements pushed over the end come back at the beginning. */
  roll(shifts: number | readonly number[], dims?: number | readonly number[]): Tensor {
    return derive(rearrange.roll(this.node, shifts, dims), this)
  }
  /** Quarter turns from the first of two dims to the second. */
  rot90(k = 1, dims: readonly [number, number] = [0, 1]): Tensor {
    return derive(rearrange.rot90(this.node, k, dims), this)
  }
  /** `value` around it: pairs (low, high) from the last dimension backwards; other modes: `pad` of burnish/nn. */
  pad(widths: readonly number[], value = 0): Tensor {
    return derive(movement.pad(this.node, widths, value), this)
  }
  /** Windows of `size` elements every `step` along a dimension, as a new last dimension. */
  unfold(dim: number, size: number, step: number): Tensor {
    return derive(rearrange.unfold(this.node, dim, size, step), this)
  }
  /** Zeros above a diagonal of the last two dimensions. */
  tril(diagonal = 0): Tensor {
    return derive(rearrange.triangle(this.node, 'lower', diagonal), this)
  }
  /** Zeros below a diagonal of the last two dimensions. */
  triu(diagonal = 0): Tensor {
    return derive(rearrange.triangle(this.node, 'upper', diagonal), this)
  }
  /** The diagonal of two dims as a new last dimension. */
  diagonal(offset = 0, dim1 = 0, dim2 = 1): Tensor {
    return derive(rearrange.diagonal(this.node, offset, dim1, dim2), this)
  }
  /** Of a vector the matrix with it on a diagonal, of a matrix that diagonal. */
  diag(offset = 0): Tensor {
    const { length } = this.shape
    if (length !== 1 && length !== 2)
      fail(`diag of ${showShape(this.shape)}: a vector or a matrix; use diagonal() for more`)
    return length === 2
      ? this.diagonal(offset)
      : derive(rearrange.diagonalEmbed(this.node, offset), this)
  }
  /** The last dimension on the diagonal of matrices of zeros. */
  diagEmbed(offset = 0): Tensor {
    if (this.shape.length === 0) fail('diagEmbed of a scalar: it needs a dimension')
    return derive(rearrange.diagonalEmbed(this.node, offset), this)
  }
  /** The sum of a matrix's diagonal. */
  trace(): Tensor {
    if (this.shape.length !== 2)
      fail(`trace of ${showShape(this.shape)}: a matrix; use diagonal(0, -2, -1).sum(-1) for more`)
    return this.diagonal().sum()
  }

  // ---- indexing ----

  /** x[…] of PyTorch: `x.index(0, slice(1, 3), null, '...', positions)`. */
  index(...parts: readonly Index[]): Tensor {
    const tensors = parts.filter(
      (part) => typeof part === 'object' && part !== null && 'node' in part,
    )
    return derive(indexing.index(this.node, parts), this, ...(tensors as readonly Tensor[]))
  }
  /** out[i…] = this[i… with i[dim] replaced by index[i…]] */
  gather(dim: number, index: Tensor): Tensor {
    return derive(movement.gather(this.node, dim, index.node), this, index)
  }
  /** As gather, but the other dimensions broadcast. */
  takeAlongDim(index: Tensor, dim: number): Tensor {
    return derive(indexing.takeAlongDim(this.node, index.node, dim), this, index)
  }
  /** Elements at positions of the flattened tensor. */
  take(index: Tensor): Tensor {
    return derive(indexing.take(this.node, index.node), this, index)
  }
  /** Rows along `dim` at a one-dimensional index. */
  indexSelect(dim: number, index: Tensor): Tensor {
    return derive(movement.indexSelect(this.node, dim, index.node), this, index)
  }
  /** This with the rows of `source` added at positions along `dim`. */
  indexAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    return derive(indexing.indexAdd(this.node, dim, index.node, source.node), this, index, source)
  }
  /** This with source[i…] at i… with i[dim] replaced by index[i…]; of several writes the last stands. */
  scatter(dim: number, index: Tensor, source: Operand): Tensor {
    const node = indexing.scatter(this.node, dim, index.node, nodeOf(source))
    return derive(node, this, index, source)
  }
  /** As scatter, but everything written is added. */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    return derive(indexing.scatterAdd(this.node, dim, index.node, source.node), this, index, source)
  }
  /**
   * The elements where the mask holds, one dimension. Their number is known only after the mask was read, so it must
   * be awaited; `where` and `maskedFill` stay in the graph.
   */
  async maskedSelect(mask: Tensor): Promise<Tensor> {
    if (mask.dtype !== 'bool') fail(`maskedSelect: the mask is ${mask.dtype}, not bool`)
    const shape = broadcastShapes(this.shape, mask.shape, 'maskedSelect')
    const kept: number[] = []
    const held = await mask.expand(...shape).data()
    held.forEach((x: number, i: number) => {
      if (x) kept.push(i)
    })
    return this.expand(...shape).take(adopt(Int32Array.from(kept), [kept.length], 'int32'))
  }
  /** int32 [n, rank]: the positions of elements that are not 0. Must be awaited. */
  async nonzero(): Promise<Tensor> {
    const data = await derive(binary('ne', this.node, 0, 'nonzero'), this).data()
    return positionsOf(data, this.shape)
  }
}

function positionsOf(data: TypedArray, shape: Shape): Tensor {
  const strides = stridesOf(shape)
  const found: number[] = []
  let count = 0
  data.forEach((x: number, i: number) => {
    if (!x) return
    count++
    shape.forEach((n, axis) => {
      found.push(Math.floor(i / strides[axis]) % n)
    })
  })
  return adopt(Int32Array.from(found), [count, shape.length], 'int32')
}

/** Positions start, start + step, … before end, for `index`: Python's start:end:step. */
export function slice(start?: number, end?: number, step = 1): indexing.Slice {
  return { start, end, step }
}
