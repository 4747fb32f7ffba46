// SimOTA (Ge et al. 2021, section 2.1; after Ge et al., "OTA", 2021): which cells shall predict which object. Each object
// takes as many cells as its best overlaps add up to, those with the lowest cost; a cell wanted by several serves
// the one it costs least. All in the graph, with shapes that the data do not change: one program for all batches.
import { softplus } from '../nn/index.js'
import { noGrad } from '../tensor/backward.js'
import { arange, zeros } from '../tensor/create.js'
import { type Tensor, where } from '../tensor/tensor.js'
import { boxConvert, boxIou } from '../vision/boxes.js'
import type { Targets } from '../vision/detection.js'

/** What a network says of each of A cells. */
export interface Said {
  /** Corners in pixels, [N, A, 4]. */
  readonly boxes: Tensor
  /** Logits, [N, A] and [N, A, C]. */
  readonly objectness: Tensor
  readonly classes: Tensor
  /** x and y of the middle, and stride, in pixels: [A, 3]. */
  readonly cells: Tensor
}

export interface Assignment {
  /** 1 where the cell shall predict an object, [N, A, 1]. */
  readonly object: Tensor
  /** Which one, [N, A, M]: a 1, or zeros. */
  readonly chosen: Tensor
  /** IoU of the cell's box with its object's, [N, A, 1]; 0 without. */
  readonly iou: Tensor
}

const RADIUS = 2.5 // strides from the centre of an object within which cells are preferred
const OVERLAP_COST = 3 // λ of equation 1
const OUTSIDE_COST = 1e5
const CANDIDATES = 10 // overlaps that are added up to the number of cells
const NEVER = 1e9

/** Visits the `count` greatest along the last axis, from the greatest on: a mask of bools each. */
function eachGreatest(
  values: Tensor,
  count: number,
  visit: (best: Tensor, i: number) => void,
): void {
  const positions = arange(values.shape[values.shape.length - 1])
  let rest = values
  for (let i = 0; i < count; i++) {
    const best = rest.argmax(-1, { keepdim: true }).eq(positions)
    visit(best, i)
    rest = rest.maskedFill(best, -2 * NEVER)
  }
}

/** Objects to cells. No gradient flows through it. */
export function assign(said: Said, targets: Targets): Assignment {
  return noGrad(() => assigned(said, targets))
}

function assigned(said: Said, targets: Targets): Assignment {
  const [images, cells, classes] = said.classes.shape
  const most = targets.labels.shape[1]
  const valid = targets.labels.ge(0).unsqueeze(-1) // [N, M, 1]
  const { near, both } = neighbourhood(said.cells, targets.boxes)
  const candidate = near.logicalAnd(valid).any(1, { keepdim: true }) // [N, 1, A]
  const iou = boxIou(targets.boxes, said.boxes).maskedFill(
    valid.logicalAnd(candidate).logicalNot(),
    0,
  ) // [N, M, A]

  // −log of what √(objectness · class) says of an object's class and of all others.
  const silent = softplus(said.objectness.neg()).unsqueeze(-1) // −log σ
  const yes = softplus(said.classes.neg()).add(silent).mul(0.5) // [N, A, C]
  const no = yes.neg().exp().neg().add(1).clamp(1e-12).log().neg()
  const oneHot = targets.labels.unsqueeze(-1).eq(arange(classes)).float() // [N, M, C]
  const classCost = oneHot.matmul(yes.sub(no).transpose(1, 2)).add(no.sum(-1).unsqueeze(1)) // [N, M, A]
  const cost = classCost
    .sub(iou.add(1e-8).log().mul(OVERLAP_COST))
    .add(both.logicalNot().float().mul(OUTSIDE_COST))
    .maskedFill(candidate.logicalAnd(valid).logicalNot(), NEVER)

  const rounds = Math.min(CANDIDATES, cells)
  let total = zeros([images, most, 1])
  eachGreatest(iou, rounds, (best) => {
    total = total.add(iou.mul(best.float()).sum(-1, { keepdim: true }))
  })
  const wanted = total.floor().clamp(1) // [N, M, 1]
  let taken = zeros([images, most, cells], { dtype: 'bool' })
  eachGreatest(cost.neg(), rounds, (best, i) => {
    taken = taken.logicalOr(best.logicalAnd(wanted.gt(i)))
  })
  taken = taken.logicalAnd(candidate).logicalAnd(valid)

  const owners = taken.int().sum(1, { keepdim: true }) // [N, 1, A]
  const cheapest = cost.argmin(1, { keepdim: true }).eq(arange(most).reshape(1, most, 1))
  const chosen = where(owners.gt(1), cheapest, taken).float() // [N, M, A]
  return {
    object: chosen.sum(1).unsqueeze(-1),
    chosen: chosen.transpose(1, 2),
    iou: chosen.mul(iou).sum(1).unsqueeze(-1),
  }
}

/** Cells in an object's box or near its centre, and those in both: [N, M, A]. */
function neighbourhood(cells: Tensor, boxes: Tensor) {
  const [x, y, stride] = cells.unbind(-1) // [A]
  const [x1, y1, x2, y2] = boxes.unsqueeze(2).unbind(-1) // [N, M, 1]
  const inside = x.gt(x1).logicalAnd(x.lt(x2)).logicalAnd(y.gt(y1)).logicalAnd(y.lt(y2))
  const [cx, cy] = boxConvert(boxes, 'xyxy', 'cxcywh').unsqueeze(2).unbind(-1)
  const reach = stride.mul(RADIUS)
  const close = x.sub(cx).abs().lt(reach).logicalAnd(y.sub(cy).abs().lt(reach))
  return { near: inside.logicalOr(close), both: inside.logicalAnd(close) }
}
