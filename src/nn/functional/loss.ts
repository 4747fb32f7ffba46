// Losses, with PyTorch's names, reductions and defaults.
import { fail } from '../../base/errors.js'
import { sameShape, showShape } from '../../base/shape.js'
import { map, type Node, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { mixedRows } from '../diagnose.js'
import {
  type ClassTarget,
  crossEntropyRows,
  nllRows,
  rowWeights,
  softCrossEntropyRows,
  total,
} from '../nodes/loss.js'
import { add, atLeast, div, exp, log, lt, mul, neg, square, sub, where } from '../nodes/math.js'
import { softplusNode } from './activation.js'
import { floatNode, named } from './checks.js'
import {
  checkedReduction,
  pairwise,
  type Reduction,
  type ReductionOptions,
  reduced,
  weightFor,
} from './reduction.js'

export type { Reduction } from './reduction.js'

/** Options of losses with class labels. */
export interface ClassLossOptions extends ReductionOptions {
  /** Weight of each class, [C]. */
  readonly weight?: Tensor
  /** Rows with this label count for nothing; default −100. */
  readonly ignoreIndex?: number
}

/** Options of crossEntropy. */
export interface CrossEntropyOptions extends ClassLossOptions {
  /** Mixes the labels with the uniform distribution: between 0 and 1. */
  readonly labelSmoothing?: number
}

function classAxis(name: string, input: Tensor): number {
  if (input.shape.length === 0)
    fail(`${name}: the input is a scalar; it is [N, C] or [N, C, d1, …]`)
  return input.shape.length === 1 ? 0 : 1
}

function classWeight(name: string, weight: Tensor | undefined, classes: number) {
  if (weight && (weight.shape.length !== 1 || weight.shape[0] !== classes))
    fail(
      `${name}: the weight has shape ${showShape(weight.shape)}, but there are ${classes} classes: give [${classes}]`,
    )
  return weight && floatNode(weight, name, 'weight')
}

/** Labels checked against the input they belong to. */
function classTarget(
  name: string,
  input: Tensor,
  target: Tensor,
  axis: number,
  { weight, ignoreIndex = -100 }: ClassLossOptions,
): ClassTarget {
  const expected = input.shape.filter((_, i) => i !== axis)
  if (target.dtype === 'float32' || target.dtype === 'bool')
    fail(
      sameShape(target.shape, expected)
        ? `${name}: the labels are ${target.dtype} of shape ${showShape(target.shape)}, but class labels are int32: use labels.int(), or probabilities of shape ${showShape(input.shape)}`
        : `${name}: the target is ${target.dtype} of shape ${showShape(target.shape)} for an input ${showShape(input.shape)}: give int32 labels of shape ${showShape(expected)}, or probabilities of the input's shape`,
    )
  if (!sameShape(target.shape, expected)) {
    if (axis === 1 && target.shape.length === 1 && input.shape.length === 2)
      fail(
        `${name}: ${input.shape[0]} rows of logits for ${target.shape[0]} labels; ${mixedRows(input.node, target.shape[0]) ?? 'give one label for each row'}`,
      )
    fail(
      `${name}: labels of shape ${showShape(target.shape)} for an input ${showShape(input.shape)}: there must be one for each row, shape ${showShape(expected)}`,
    )
  }
  return {
    labels: target.dtype === 'int32' ? target.node : target.int().node,
    weight: classWeight(name, weight, input.shape[axis]),
    ignoreIndex,
  }
}

/** Reduced over rows: the mean is weighted, and counts only rows that are not ignored. */
function reducedRows(
  name: string,
  rows: Node,
  classes: ClassTarget,
  axis: number,
  reduction: Reduction,
): Node {
  if (checkedReduction(name, reduction) === 'none') return reshape(rows, classes.labels.shape)
  const all = total(rows)
  return reduction === 'sum' ? all : div(all, total(rowWeights(classes, axis)))
}

/**
 * The cross entropy between softmax(input) and the target: input [N, C] or [N, C, d1, …] holds logits, the target
 * int32 labels [N] or [N, d1, …], or float32 probabilities of the input's shape. After
 * torch.nn.functional.cross_entropy.
 * @throws BurnishError when shapes or dtypes do not match; a run with a label outside of 0 … C−1 (and not
 * `ignoreIndex`) rejects with the label.
 */
export function crossEntropy(
  input: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const name = 'crossEntropy'
  const { reduction = 'mean', labelSmoothing = 0 } = options
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    fail(`${name}: labelSmoothing is ${labelSmoothing}, but must be between 0 and 1`)
  const x = floatNode(input, name)
  const axis = classAxis(name, input)
  const soft = target.dtype === 'float32' && sameShape(target.shape, input.shape)
  const build = (): Node => {
    if (!soft) {
      const classes = classTarget(name, input, target, axis, options)
      const rows = crossEntropyRows(x, classes, axis, labelSmoothing)
      return reducedRows(name, rows, classes, axis, reduction)
    }
    const weight = classWeight(name, options.weight, x.shape[axis])
    const rows = softCrossEntropyRows(x, target.node, axis, weight, labelSmoothing)
    const shape = x.shape.filter((_, i) => i !== axis)
    return reduced(name, reshape(rows, shape), reduction)
  }
  return fromNode(named(name, build), input, target, options.weight)
}

/** −input[label] of log-probabilities [N, C] or [N, C, d1, …], as logSoftmax gives them. */
export function nllLoss(input: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  const x = floatNode(input, 'nllLoss')
  const axis = classAxis('nllLoss', input)
  const node = named('nllLoss', () => {
    const classes = classTarget('nllLoss', input, target, axis, options)
    const rows = nllRows(x, classes, axis)
    return reducedRows('nllLoss', rows, classes, axis, options.reduction ?? 'mean')
  })
  return fromNode(node, input, target, options.weight)
}

/** (input − target)² */
export function mseLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean' }: ReductionOptions = {},
): Tensor {
  return pairwise('mseLoss', input, target, reduction, (x, y) => square(sub(x, y)))
}

/** |input − target| */
export function l1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean' }: ReductionOptions = {},
): Tensor {
  return pairwise('l1Loss', input, target, reduction, (x, y) => map('abs', sub(x, y)))
}

/** d²/2β where |d| < β, else |d| − β/2. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', beta = 1 }: ReductionOptions & { readonly beta?: number } = {},
): Tensor {
  if (beta === 0) return l1Loss(input, target, { reduction })
  return pairwise('smoothL1Loss', input, target, reduction, (x, y) => {
    const d = sub(x, y)
    const size = map('abs', d)
    return where(lt(size, beta), div(square(d), 2 * beta), sub(size, beta / 2))
  })
}

/** d²/2 where |d| < δ, else δ(|d| − δ/2). */
export function huberLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', delta = 1 }: ReductionOptions & { readonly delta?: number } = {},
): Tensor {
  return pairwise('huberLoss', input, target, reduction, (x, y) => {
    const d = sub(x, y)
    const size = map('abs', d)
    return where(lt(size, delta), mul(square(d), 0.5), mul(sub(size, delta / 2), delta))
  })
}

/**
 * −(t·log p + (1 − t)·log(1 − p)) of probabilities, times `weight` (broadcast); logarithms are at least −100, as in
 * PyTorch.
 */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', weight }: ReductionOptions & { readonly weight?: Tensor } = {},
): Tensor {
  const name = 'binaryCrossEntropy'
  return pairwise(name, input, target, reduction, (p, t) => {
    const yes = atLeast(log(p), -100)
    const no = atLeast(log(sub(1, p)), -100)
    const loss = neg(add(mul(t, yes), mul(sub(1, t), no)))
    return weight ? mul(loss, weightFor(name, weight, p, 'weight')) : loss
  })
}

/** Binary cross entropy of sigmoid(input), safe for large logits; posWeight weighs the positive class. */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  {
    reduction = 'mean',
    weight,
    posWeight,
  }: ReductionOptions & { readonly weight?: Tensor; readonly posWeight?: Tensor } = {},
): Tensor {
  const name = 'binaryCrossEntropyWithLogits'
  return pairwise(name, input, target, reduction, (x, t) => {
    const soft = softplusNode(neg(x)) // log(1 + e^−x)
    let loss = add(mul(sub(1, t), x), soft)
    if (posWeight) {
      const extra = mul(t, sub(weightFor(name, posWeight, x, 'posWeight'), 1))
      loss = add(loss, mul(extra, soft))
    }
    return weight ? mul(loss, weightFor(name, weight, x, 'weight')) : loss
  })
}

/** target·(log target − input), the input in logarithms; `batchmean` divides the sum by the first dimension. */
export function klDiv(
  input: Tensor,
  target: Tensor,
  {
    reduction = 'mean',
    logTarget = false,
  }: { readonly reduction?: Reduction | 'batchmean'; readonly logTarget?: boolean } = {},
): Tensor {
  const first = input.shape[0] ?? 1
  const result = pairwise(
    'klDiv',
    input,
    target,
    reduction === 'batchmean' ? 'sum' : reduction,
    (x, t) => {
      if (logTarget) return mul(exp(t), sub(t, x))
      const safe = where(lt(0, t), t, 1)
      return sub(mul(t, log(safe)), mul(t, x))
    },
  )
  return reduction === 'batchmean' ? fromNode(div(result.node, first), result) : result
}
