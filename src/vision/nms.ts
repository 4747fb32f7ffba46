// Non-maximum suppression on host arrays: of boxes that overlap, the one with the highest score stays. After
// torchvision.ops.nms and batched_nms: overlaps in float32 against a float64 threshold, equal ones stay, and of
// equal scores the one that comes first goes first.
import { fail } from '../base/errors.js'

const round = Math.fround

/** Positions of scores from the highest to the lowest, of equal ones in their order; NaN last. */
export function byScore(scores: ArrayLike<number>): Int32Array {
  const order = Int32Array.from(scores, (_, i) => i)
  const key = (i: number) => (Number.isNaN(scores[i]) ? -Infinity : scores[i])
  return order.sort((a, b) => (key(b) > key(a) ? 1 : key(b) < key(a) ? -1 : a - b))
}

function check(where: string, boxes: ArrayLike<number>, scores: ArrayLike<number>): void {
  if (boxes.length !== 4 * scores.length)
    fail(
      `${where}: ${boxes.length} numbers for ${scores.length} scores; a box is four: x1, y1, x2, y2`,
    )
}

/** Whether IoU(i, j) > threshold, computed as torchvision's kernel does. */
function overlaps(
  boxes: ArrayLike<number>,
  areas: Float32Array,
  i: number,
  j: number,
  threshold: number,
): boolean {
  const [a, b] = [4 * i, 4 * j]
  const x1 = Math.max(boxes[a], boxes[b])
  const y1 = Math.max(boxes[a + 1], boxes[b + 1])
  const x2 = Math.min(boxes[a + 2], boxes[b + 2])
  const y2 = Math.min(boxes[a + 3], boxes[b + 3])
  const width = Math.max(0, round(x2 - x1))
  const height = Math.max(0, round(y2 - y1))
  const inner = round(width * height)
  const union = round(round(areas[i] + areas[j]) - inner)
  return round(inner / union) > threshold
}

/**
 * Boxes that stay, as positions, highest score first: `boxes` holds corners [N, 4], `scores` [N]. A box goes when its
 * IoU with one that stays is greater than the threshold.
 *
 *     nms([0, 0, 10, 10, 1, 1, 10, 10], [0.9, 0.8], 0.5) // Int32Array [0]
 *
 * @throws BurnishError when there are not four numbers for each score.
 */
export function nms(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  iouThreshold: number,
): Int32Array {
  check('nms', boxes, scores)
  return suppressed(boxes, scores, iouThreshold, () => true)
}

/**
 * Suppression within each class: boxes of different `classes` [N] never suppress each other. Positions of all that
 * stay, highest score first.
 * @throws BurnishError when there are not four numbers, and one class, for each score.
 */
export function batchedNms(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: ArrayLike<number>,
  iouThreshold: number,
): Int32Array {
  check('batchedNms', boxes, scores)
  if (classes.length !== scores.length)
    fail(`batchedNms: ${classes.length} classes for ${scores.length} scores; give one each`)
  return suppressed(boxes, scores, iouThreshold, (i, j) => classes[i] === classes[j])
}

function suppressed(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  threshold: number,
  rivals: (i: number, j: number) => boolean,
): Int32Array {
  const corners = Float32Array.from(boxes)
  const areas = new Float32Array(scores.length)
  for (let i = 0; i < areas.length; i++) {
    const at = 4 * i
    areas[i] = round(corners[at + 2] - corners[at]) * round(corners[at + 3] - corners[at + 1])
  }
  const order = byScore(scores)
  const gone = new Uint8Array(order.length)
  const kept: number[] = []
  order.forEach((i, place) => {
    if (gone[place] === 1) return
    kept.push(i)
    for (let later = place + 1; later < order.length; later++) {
      const j = order[later]
      if (gone[later] === 0 && rivals(i, j) && overlaps(corners, areas, i, j, threshold))
        gone[later] = 1
    }
  })
  return Int32Array.from(kept)
}
