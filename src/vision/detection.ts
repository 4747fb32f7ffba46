// What detectors share: annotations as batches of one shape, so that a training step compiles once; the places on
// the image that predictions belong to; and the choice of boxes from scores.
import { fail } from '../base/errors.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { batchedNms } from './nms.js'

/** The objects of one image, in pixels. */
export interface Objects {
  /** Corners, [n, 4] row by row. */
  readonly boxes: ArrayLike<number>
  /** Classes, [n]. */
  readonly labels: ArrayLike<number>
}

/** The objects a detector found in one image, highest score first. */
export interface Detections extends Objects {
  readonly boxes: Float32Array
  readonly labels: Int32Array
  /** [n], 0 … 1. */
  readonly scores: Float32Array
}

/** The objects of a batch of images. */
export interface Targets {
  /** Corners in pixels, [N, most, 4]; 0 where there is no object. */
  readonly boxes: Tensor
  /** int32 [N, most]; −1 where there is no object. */
  readonly labels: Tensor
}

/**
 * Objects of N images as two tensors with `most` rows an image, filled up with label −1.
 * @throws BurnishError when an image has more objects, or boxes and labels do not fit.
 */
export function detectionTargets(images: readonly Objects[], most: number): Targets {
  const boxes = new Float32Array(images.length * most * 4)
  const labels = new Int32Array(images.length * most).fill(-1)
  images.forEach((image, i) => {
    const count = image.labels.length
    if (image.boxes.length !== 4 * count)
      fail(
        `detectionTargets: image ${i} has ${image.boxes.length} numbers for ${count} labels; a box is four: x1, y1, x2, y2`,
      )
    if (count > most)
      fail(`detectionTargets: image ${i} has ${count} objects, but there is room for ${most}`)
    boxes.set(Array.from(image.boxes), 4 * i * most)
    labels.set(Array.from(image.labels), i * most)
  })
  return {
    boxes: tensor(boxes, { shape: [images.length, most, 4] }),
    labels: tensor(labels, { shape: [images.length, most] }),
  }
}

/** The middle of each cell of the grids over an image, and its stride: row by row, grid after grid. */
export interface Cells {
  /** In pixels, [A]. */
  readonly x: Float32Array
  readonly y: Float32Array
  /** Pixels between cells, [A]. */
  readonly stride: Float32Array
}

/**
 * The cells of the grids that strides lay over an image: ⌈height / stride⌉ × ⌈width / stride⌉ each, as padded
 * convolutions with those strides give.
 */
export function gridCells(height: number, width: number, strides: readonly number[]): Cells {
  const all = strides.flatMap((stride) => {
    const [rows, across] = [Math.ceil(height / stride), Math.ceil(width / stride)]
    return Array.from({ length: rows * across }, (_, i) => ({
      x: ((i % across) + 0.5) * stride,
      y: (Math.floor(i / across) + 0.5) * stride,
      stride,
    }))
  })
  return {
    x: Float32Array.from(all, ({ x }) => x),
    y: Float32Array.from(all, ({ y }) => y),
    stride: Float32Array.from(all, ({ stride }) => stride),
  }
}

/** Corners [n, 4] moved into an image of a size in pixels. torchvision.ops.clip_boxes_to_image. */
export function clipBoxes(boxes: ArrayLike<number>, height: number, width: number): Float32Array {
  return Float32Array.from(boxes, (value, i) =>
    Math.max(0, Math.min(i % 2 === 0 ? width : height, value)),
  )
}

/** How boxes are chosen from scores. */
export interface SelectOptions {
  /** Boxes with less are left out. Default 0.05. */
  readonly scoreThreshold?: number
  /** Of boxes of one class that overlap more, one stays. Default 0.5. */
  readonly iouThreshold?: number
  /** The highest scores, as many at most. Default 100. */
  readonly maxDetections?: number
}

/**
 * The detections of one image: of A boxes (corners, [A, 4]) with scores [A, C], each with its best class (the first of
 * equal ones), those above the threshold after suppression within classes.
 */
export function selectDetections(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: SelectOptions = {},
): Detections {
  const { scoreThreshold = 0.05, iouThreshold = 0.5, maxDetections = 100 } = options
  const count = boxes.length / 4
  const classes = count === 0 ? 0 : scores.length / count
  if (!Number.isInteger(count) || !Number.isInteger(classes))
    fail(
      `selectDetections: ${boxes.length} numbers are not boxes [A, 4] with ${scores.length} scores [A, C]`,
    )
  const found: {
    readonly box: readonly number[]
    readonly score: number
    readonly label: number
  }[] = []
  for (let i = 0; i < count; i++) {
    let label = 0
    let score = -Infinity
    for (let c = 0; c < classes; c++)
      if (scores[i * classes + c] > score) {
        label = c
        score = scores[i * classes + c]
      }
    if (score < scoreThreshold) continue
    const [x1, y1, x2, y2] = [0, 1, 2, 3].map((k) => boxes[4 * i + k])
    found.push({ box: [x1, y1, x2, y2], score, label })
  }
  const kept = batchedNms(
    found.flatMap(({ box }) => box),
    found.map(({ score }) => score),
    found.map(({ label }) => label),
    iouThreshold,
  ).slice(0, maxDetections)
  const chosen = Array.from(kept, (i) => found[i])
  return {
    boxes: Float32Array.from(chosen.flatMap(({ box }) => box)),
    scores: Float32Array.from(chosen, ({ score }) => score),
    labels: Int32Array.from(chosen, ({ label }) => label),
  }
}
