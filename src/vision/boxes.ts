// Boxes as tensors [.., 4]: formats, areas, and four measures of overlap with their gradients, pairwise and as losses.
// Named and defined as in torchvision.ops (0.14), whose gradients these have.
import { fail } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import { named } from '../nn/functional/checks.js'
import { type Reduction, reduced } from '../nn/functional/reduction.js'
import { fromNode, stack, type Tensor } from '../tensor/tensor.js'

/**
 * How four numbers say a box: two corners; the upper left corner, width and height; the centre, width and height.
 * y grows downwards.
 */
export type BoxFormat = 'xyxy' | 'xywh' | 'cxcywh'

type Four = readonly [Tensor, Tensor, Tensor, Tensor]

function columns(boxes: Tensor, where: string): Four {
  if (boxes.shape.at(-1) !== 4)
    fail(`${where}: boxes are [.., 4], but these have shape ${showShape(boxes.shape)}`)
  const [a, b, c, d] = boxes.unbind(-1)
  return [a, b, c, d]
}

const toCorners: { readonly [from in BoxFormat]: (box: Four) => Four } = {
  xyxy: (box) => box,
  xywh: ([x, y, w, h]) => [x, y, x.add(w), y.add(h)],
  cxcywh: ([x, y, w, h]) => {
    const [right, down] = [w.mul(0.5), h.mul(0.5)]
    return [x.sub(right), y.sub(down), x.add(right), y.add(down)]
  },
}
const ofCorners: { readonly [to in BoxFormat]: (box: Four) => Four } = {
  xyxy: (box) => box,
  xywh: ([x1, y1, x2, y2]) => [x1, y1, x2.sub(x1), y2.sub(y1)],
  cxcywh: ([x1, y1, x2, y2]) => [x1.add(x2).mul(0.5), y1.add(y2).mul(0.5), x2.sub(x1), y2.sub(y1)],
}

/** [.., 4] in one format → [.., 4] in another. torchvision.ops.box_convert. */
export function boxConvert(boxes: Tensor, from: BoxFormat, to: BoxFormat): Tensor {
  for (const format of [from, to])
    if (!Object.hasOwn(ofCorners, format))
      fail(`boxConvert: '${format}' must be 'xyxy', 'xywh' or 'cxcywh'`)
  const box = columns(boxes, 'boxConvert')
  return from === to ? boxes : stack(ofCorners[to](toCorners[from](box)), -1)
}

/** Corners [.., 4] → areas [..]. */
export function boxArea(boxes: Tensor): Tensor {
  return areaOf(columns(boxes, 'boxArea'))
}

const areaOf = ([x1, y1, x2, y2]: Four): Tensor => x2.sub(x1).mul(y2.sub(y1))

/** [.., N, 4] and [.., M, 4] as columns [.., N, 1] and [.., 1, M]. */
function pairs(a: Tensor, b: Tensor, where: string): readonly [Four, Four] {
  if (a.shape.length < 2 || b.shape.length < 2)
    fail(
      `${where}: boxes ${showShape(a.shape)} and ${showShape(b.shape)} must be [.., N, 4] and [.., M, 4]`,
    )
  return [columns(a.unsqueeze(-2), where), columns(b.unsqueeze(-3), where)]
}

function intersection([ax1, ay1, ax2, ay2]: Four, [bx1, by1, bx2, by2]: Four): Tensor {
  const width = ax2.minimum(bx2).sub(ax1.maximum(bx1)).clamp(0)
  const height = ay2.minimum(by2).sub(ay1.maximum(by1)).clamp(0)
  return width.mul(height)
}

interface Overlap {
  readonly union: Tensor
  readonly iou: Tensor
}

function overlap(a: Four, b: Four, eps: number): Overlap {
  const inner = intersection(a, b)
  const union = areaOf(a).add(areaOf(b)).sub(inner)
  return { union, iou: inner.div(eps === 0 ? union : union.add(eps)) }
}

/** Width and height of the smallest box around both. */
function enclosing(
  [ax1, ay1, ax2, ay2]: Four,
  [bx1, by1, bx2, by2]: Four,
): readonly [Tensor, Tensor] {
  return [ax2.maximum(bx2).sub(ax1.minimum(bx1)), ay2.maximum(by2).sub(ay1.minimum(by1))]
}

/** (C − union) / C of the enclosing box's area C (Rezatofighi et al. 2019). */
function emptiness(a: Four, b: Four, union: Tensor, eps: number): Tensor {
  const [width, height] = enclosing(a, b)
  const area = width.mul(height)
  return area.sub(union).div(eps === 0 ? area : area.add(eps))
}

/** The centres' squared distance over the enclosing box's squared diagonal (Zheng et al. 2019). */
function distance(a: Four, b: Four, eps: number): Tensor {
  const [width, height] = enclosing(a, b)
  const apart = (low: 0 | 1) =>
    a[low]
      .add(a[low + 2])
      .sub(b[low].add(b[low + 2]))
      .mul(0.5)
      .square()
  return apart(0).add(apart(1)).div(width.square().add(height.square()).add(eps))
}

/** α·v, the difference of the aspect ratios v with its weight, through which no gradient flows (Zheng et al. 2019). */
function aspect(a: Four, b: Four, iou: Tensor, eps: number): Tensor {
  const angle = ([x1, y1, x2, y2]: Four) => x2.sub(x1).div(y2.sub(y1)).atan()
  const v = angle(a)
    .sub(angle(b))
    .square()
    .mul(4 / Math.PI ** 2)
  const alpha = v.div(v.sub(iou).add(1 + eps)).detach()
  return alpha.mul(v)
}

const EPSILON = 1e-7

/** Intersection over union of all pairs: corners [.., N, 4] and [.., M, 4] → [.., N, M]; NaN of two empty boxes. */
export function boxIou(a: Tensor, b: Tensor): Tensor {
  return overlap(...pairs(a, b, 'boxIou'), 0).iou
}

/** Generalized IoU of all pairs, −1 … 1: IoU less the empty share of the enclosing box. [.., N, M] */
export function generalizedBoxIou(a: Tensor, b: Tensor): Tensor {
  const [first, second] = pairs(a, b, 'generalizedBoxIou')
  const { iou, union } = overlap(first, second, 0)
  return iou.sub(emptiness(first, second, union, 0))
}

/** Distance IoU of all pairs: IoU less the squared distance of the centres over the diagonal's. [.., N, M] */
export function distanceBoxIou(
  a: Tensor,
  b: Tensor,
  { eps = EPSILON }: { readonly eps?: number } = {},
): Tensor {
  const [first, second] = pairs(a, b, 'distanceBoxIou')
  return overlap(first, second, 0).iou.sub(distance(first, second, eps))
}

/** Complete IoU of all pairs: distance IoU less a measure of how the aspect ratios differ. [.., N, M] */
export function completeBoxIou(
  a: Tensor,
  b: Tensor,
  { eps = EPSILON }: { readonly eps?: number } = {},
): Tensor {
  const [first, second] = pairs(a, b, 'completeBoxIou')
  const { iou } = overlap(first, second, 0)
  return iou.sub(distance(first, second, eps)).sub(aspect(first, second, iou, eps))
}

/** Options of box losses; as in torchvision nothing is reduced by default. */
export interface BoxLossOptions {
  readonly reduction?: Reduction
  /** Added to divisors. Default 1e-7. */
  readonly eps?: number
}

function lossOf(
  name: string,
  a: Tensor,
  b: Tensor,
  { reduction = 'none', eps = EPSILON }: BoxLossOptions,
  build: (a: Four, b: Four, eps: number) => Tensor,
): Tensor {
  if (!sameShape(a.shape, b.shape))
    fail(
      `${name}: boxes ${showShape(a.shape)} and ${showShape(b.shape)} must have one shape: each box is compared with the one at its place`,
    )
  const each = build(columns(a, name), columns(b, name), eps)
  return fromNode(
    named(name, () => reduced(name, each.node, reduction)),
    each,
  )
}

/** 1 − IoU of boxes at the same place: [.., 4] and [.., 4] → [..] (UnitBox writes −log IoU; this is the usual one). */
export function boxIouLoss(a: Tensor, b: Tensor, options: BoxLossOptions = {}): Tensor {
  return lossOf('boxIouLoss', a, b, options, (x, y, eps) => overlap(x, y, eps).iou.neg().add(1))
}

/** 1 − GIoU of boxes at the same place. torchvision.ops.generalized_box_iou_loss. */
export function generalizedBoxIouLoss(a: Tensor, b: Tensor, options: BoxLossOptions = {}): Tensor {
  return lossOf('generalizedBoxIouLoss', a, b, options, (x, y, eps) => {
    const { iou, union } = overlap(x, y, eps)
    return emptiness(x, y, union, eps).sub(iou).add(1)
  })
}

/** 1 − DIoU of boxes at the same place. torchvision.ops.distance_box_iou_loss. */
export function distanceBoxIouLoss(a: Tensor, b: Tensor, options: BoxLossOptions = {}): Tensor {
  return lossOf('distanceBoxIouLoss', a, b, options, (x, y, eps) =>
    distance(x, y, eps)
      .sub(overlap(x, y, eps).iou)
      .add(1),
  )
}

/** 1 − CIoU of boxes at the same place. torchvision.ops.complete_box_iou_loss. */
export function completeBoxIouLoss(a: Tensor, b: Tensor, options: BoxLossOptions = {}): Tensor {
  return lossOf('completeBoxIouLoss', a, b, options, (x, y, eps) => {
    const { iou } = overlap(x, y, eps)
    return distance(x, y, eps)
      .sub(iou)
      .add(1)
      .add(aspect(x, y, iou, eps))
  })
}
