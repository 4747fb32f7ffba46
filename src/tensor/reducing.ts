// Reducing and ordering methods of Tensor: over one dimension, several, or all; running results; sorting.
import { fail } from '../base/errors.js'
import type { Node } from '../graph/node.js'
import { binary } from './arithmetic.js'
import { derive } from './derive.js'
import { Elementwise } from './elementwise.js'
import type { Handle } from './handle.js'
import type { Dims } from './reduction.js'
import * as reduction from './reduction.js'
import * as sorting from './sorting.js'
import * as statistics from './statistics.js'
import type { Tensor } from './tensor.js'

interface KeepDim {
  /** Keeps reduced dimensions with size 1. */
  readonly keepdim?: boolean
}

interface Picked {
  readonly values: Tensor
  /** int32: where along the dimension each value was. */
  readonly indices: Tensor
}

interface PickedNodes {
  readonly values: Node
  readonly indices: Node
}

type Variance = KeepDim & { readonly correction?: number }

export abstract class Reducing extends Elementwise {
  sum(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.sum(this.node, dims, keepdim), this)
  }
  /** As sum, but NaN counts as 0. */
  nansum(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.nanSum(this.node, dims, keepdim), this)
  }
  /** Floats only: a mean of integers is an error. */
  mean(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.mean(this.node, dims, keepdim), this)
  }
  prod(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.prod(this.node, dims, keepdim), this)
  }
  /** The greatest; ties share the gradient equally. */
  amax(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.amax(this.node, dims, keepdim), this)
  }
  amin(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.amin(this.node, dims, keepdim), this)
  }
  /** The greatest along a dimension and its position; the gradient goes to the first of ties. */
  max(dim: number, { keepdim = false }: KeepDim = {}): Picked {
    return picked(reduction.maxAlong(this.node, dim, keepdim), this)
  }
  /** The least along a dimension and its position; the gradient goes to the first of ties. */
  min(dim: number, options: KeepDim = {}): Picked {
    const { values, indices } = this.neg().max(dim, options)
    return { values: values.neg(), indices }
  }
  /** int32: the first position of the greatest. */
  argmax(dim?: number, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.argmax(this.node, dim, keepdim), this)
  }
  argmin(dim?: number, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.argmin(this.node, dim, keepdim), this)
  }
  /** The sum of squared distances from the mean, divided by count − correction. */
  var(dims?: Dims, { keepdim = false, correction = 1 }: Variance = {}): Tensor {
    return derive(reduction.variance(this.node, dims, keepdim, correction), this)
  }
  std(dims?: Dims, options: Variance = {}): Tensor {
    return this.var(dims, options).sqrt()
  }
  varMean(dims?: Dims, options: Variance = {}): { readonly var: Tensor; readonly mean: Tensor } {
    return { var: this.var(dims, options), mean: this.mean(dims, options) }
  }
  /** log Σ eˣ without overflow. */
  logsumexp(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.logSumExp(this.node, dims, keepdim), this)
  }
  /** (Σ |x|ᵖ)^(1/p), p = 2 by default; Infinity and 0 as in PyTorch. The gradient at 0 is 0. */
  norm(p = 2, dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.norm(this.node, p, dims, keepdim), this)
  }
  /** The norm of the difference. */
  dist(other: Tensor, p = 2): Tensor {
    return this.sub(other).norm(p)
  }
  /** bool: some element is not 0. */
  any(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.some(this.node, dims, keepdim), this)
  }
  /** bool: every element is not 0. */
  all(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.every(this.node, dims, keepdim), this)
  }
  /** int32: how many elements are not 0. */
  countNonzero(dims?: Dims): Tensor {
    return derive(reduction.sum(binary('ne', this.node, 0, 'countNonzero'), dims, false), this)
  }

  // ---- running along a dimension ----

  cumsum(dim: number): Tensor {
    return derive(statistics.running('sum', this.node, dim, 'cumsum'), this)
  }
  cumprod(dim: number): Tensor {
    return derive(statistics.running('prod', this.node, dim, 'cumprod'), this)
  }
  /** The greatest so far, and where it first is. */
  cummax(dim: number): Picked {
    return picked(statistics.runningMax(this.node, dim), this)
  }
  cummin(dim: number): Picked {
    const { values, indices } = this.neg().cummax(dim)
    return { values: values.neg(), indices }
  }

  // ---- order: stable, NaN last ----

  sort(dim = -1, { descending = false }: { readonly descending?: boolean } = {}): Picked {
    const indices = sorting.argsort(this.node, dim, descending)
    const axis = dim < 0 ? dim + this.shape.length : dim
    return picked({ values: sorting.takeAlong(this.node, axis, indices), indices }, this)
  }
  /** int32: the positions that sort along a dimension. */
  argsort(dim = -1, { descending = false }: { readonly descending?: boolean } = {}): Tensor {
    return derive(sorting.argsort(this.node, dim, descending), this)
  }
  /** The k greatest (or least) in order, and where they are. */
  topk(k: number, dim = -1, { largest = true }: { readonly largest?: boolean } = {}): Picked {
    return picked(sorting.topk(this.node, k, dim, largest), this)
  }
  /** The k-th least, k from 1. */
  kthvalue(k: number, dim = -1): Picked {
    if (k < 1) fail(`kthvalue(${k}): k counts from 1`)
    const { values, indices } = this.topk(k, dim, { largest: false })
    const last = (t: Tensor) => (t.shape.length === 0 ? t : t.slice(k - 1, k, { dim }).squeeze(dim))
    return { values: last(values), indices: last(indices) }
  }
  /** The lower of the two in the middle, and where it is. */
  median(dim = -1, { keepdim = false }: KeepDim = {}): Picked {
    return picked(statistics.median(this.node, dim, keepdim), this)
  }
  /** The value below which the share q lies, 0 … 1; between neighbours by a line. */
  quantile(q: number, dim = -1, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(statistics.quantile(this.node, q, dim, keepdim), this)
  }
}

function picked({ values, indices }: PickedNodes, from: Handle): Picked {
  return { values: derive(values, from), indices: derive(indices, from) }
}
