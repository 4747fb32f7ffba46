// Mean average precision of detections, by either of the two definitions in use:
//
// - 'coco' (Lin et al. 2014, as pycocotools computes it): each detection takes the free object it overlaps most; average
//   precision is the mean over 101 recalls 0, 0.01 … 1 of the greatest precision at that recall or a higher one; at
//   most 100 detections of a class in an image count. Left out: crowds, areas.
// - 'voc' (Everingham et al. 2010, since 2010): each detection belongs to the object it overlaps most, and is wrong when
//   that one is taken; average precision is the whole area under the same curve.
import { fail } from '../base/errors.js'
import type { Detections, Objects } from './detection.js'
import { byScore } from './nms.js'

export interface PrecisionOptions {
  /** Default 'coco'. */
  readonly interpolation?: 'coco' | 'voc'
  /** Overlaps (IoU) from which a box counts as found. Default 0.5, 0.55 … 0.95. */
  readonly thresholds?: readonly number[]
}

export interface Precision {
  /** Mean over classes and thresholds: mAP@[.5:.95] by default. NaN without objects. */
  readonly mean: number
  /** Mean over classes at each threshold. */
  readonly byThreshold: readonly { readonly threshold: number; readonly mean: number }[]
  /** Mean over thresholds of each class that has objects. */
  readonly byClass: ReadonlyMap<number, number>
}

const THRESHOLDS = Array.from({ length: 10 }, (_, i) => 0.5 + 0.05 * i)
const MOST_DETECTIONS = 100 // of COCO

/**
 * Mean average precision of `found[i]` against the objects `truth[i]` of image i. Classes that no image has are left
 * out.
 *
 *     meanAveragePrecision(found, truth, { thresholds: [0.5] }).mean // mAP@0.5
 *
 * @throws BurnishError when the lists differ in length, or there is no threshold.
 */
export function meanAveragePrecision(
  found: readonly Detections[],
  truth: readonly Objects[],
  options: PrecisionOptions = {},
): Precision {
  const { interpolation = 'coco', thresholds = THRESHOLDS } = options
  if (found.length !== truth.length)
    fail(
      `meanAveragePrecision: detections of ${found.length} images, objects of ${truth.length}; give one of each an image`,
    )
  if (thresholds.length === 0) fail('meanAveragePrecision: there is no threshold')
  const most = interpolation === 'coco' ? MOST_DETECTIONS : Infinity
  const labels = [...new Set(truth.flatMap((image) => Array.from(image.labels)))].sort(
    (a, b) => a - b,
  )
  const table = labels.map((label) => {
    const images = truth.map((objects, i) => imageOf(found[i], objects, label, most))
    return thresholds.map((threshold) => average(images, threshold, interpolation))
  })
  const byThreshold = thresholds.map((threshold, t) => ({
    threshold,
    mean: mean(table.map((row) => row[t])),
  }))
  return {
    mean: mean(byThreshold.map((at) => at.mean)),
    byThreshold,
    byClass: new Map(labels.map((label, i) => [label, mean(table[i])])),
  }
}

const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length

interface ImageOfClass {
  readonly scores: readonly number[]
  /** [detections][objects] */
  readonly overlaps: readonly (readonly number[])[]
  readonly objects: number
}

/** Detections of a class in one image, highest score first, against its objects. */
function imageOf(found: Detections, truth: Objects, label: number, most: number): ImageOfClass {
  const objects = positions(truth.labels, label)
  const ofClass = Array.from(byScore(found.scores))
    .filter((i) => found.labels[i] === label)
    .slice(0, most)
  return {
    scores: ofClass.map((i) => found.scores[i]),
    overlaps: ofClass.map((i) => objects.map((j) => overlap(found.boxes, i, truth.boxes, j))),
    objects: objects.length,
  }
}

function positions(labels: ArrayLike<number>, label: number): number[] {
  return Array.from(labels, (own, i) => (own === label ? i : -1)).filter((i) => i >= 0)
}

function overlap(a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number): number {
  const side = (low: number) =>
    Math.max(
      0,
      Math.min(a[4 * i + low + 2], b[4 * j + low + 2]) - Math.max(a[4 * i + low], b[4 * j + low]),
    )
  const area = (of: ArrayLike<number>, at: number) =>
    (of[4 * at + 2] - of[4 * at]) * (of[4 * at + 3] - of[4 * at + 1])
  const inner = side(0) * side(1)
  const union = area(a, i) + area(b, j) - inner
  return union > 0 ? inner / union : 0
}

/** Whether each detection of an image is right. */
function matches(image: ImageOfClass, threshold: number, rule: 'coco' | 'voc'): boolean[] {
  const taken = new Array<boolean>(image.objects).fill(false)
  return image.overlaps.map((row) => {
    let best = -1
    row.forEach((value, j) => {
      if (rule === 'coco' && taken[j]) return
      if (value >= threshold && (best < 0 || value > row[best])) best = j
    })
    if (best < 0 || taken[best]) return false
    taken[best] = true
    return true
  })
}

/** Average precision of one class at one threshold. */
function average(images: readonly ImageOfClass[], threshold: number, rule: 'coco' | 'voc'): number {
  const objects = images.reduce((sum, image) => sum + image.objects, 0)
  const right = images.flatMap((image) => matches(image, threshold, rule))
  const order = byScore(images.flatMap((image) => image.scores))
  const recalls: number[] = []
  const precisions: number[] = []
  let hits = 0
  order.forEach((i, place) => {
    if (right[i]) hits++
    recalls.push(hits / objects)
    precisions.push(hits / (place + 1))
  })
  // The greatest precision at a recall or a higher one.
  for (let i = precisions.length - 2; i >= 0; i--)
    precisions[i] = Math.max(precisions[i], precisions[i + 1])
  if (rule === 'voc')
    return precisions.reduce(
      (area, value, i) => area + value * (recalls[i] - (i === 0 ? 0 : recalls[i - 1])),
      0,
    )
  const points = Array.from({ length: 101 }, (_, i) => i / 100)
  return mean(
    points.map((recall) => {
      const at = recalls.findIndex((reached) => reached >= recall)
      return at < 0 ? 0 : precisions[at]
    }),
  )
}
