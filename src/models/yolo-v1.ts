// YOLO (Redmon, Divvala, Girshick and Farhadi 2015, "You Only Look Once: Unified, Real-Time Object Detection", figure
// 3) and Fast YOLO, whose nine convolutions the paper counts and Darknet's yolo-tiny.cfg lists. The image is divided
// into S×S cells; each says B boxes with a confidence, and one set of class probabilities. Left out: the
// pretraining of the first 20 convolutions on ImageNet.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { inEvaluation } from '../nn/evaluation.js'
import { Conv2d, Dropout, LeakyReLU, Linear, MaxPool2d, Module, Sequential } from '../nn/index.js'
import { arange } from '../tensor/create.js'
import { stack, type Tensor } from '../tensor/tensor.js'
import { boxConvert, boxIouLoss } from '../vision/boxes.js'
import {
  clipBoxes,
  type Detections,
  type SelectOptions,
  selectDetections,
  type Targets,
} from '../vision/detection.js'
import { heConvolutions, type ModelOptions } from './variants.js'

/** `[channels, kernel, stride]` of a convolution, or a pool of 2×2. */
type Layer = readonly [number, number, number?] | 'pool'

const twice = (times: number, ...layers: readonly Layer[]): readonly Layer[] =>
  Array.from({ length: times }, () => layers).flat()

// Figure 3, column by column.
const FULL: readonly Layer[] = [
  [64, 7, 2],
  'pool',
  [192, 3],
  'pool',
  [128, 1],
  [256, 3],
  [256, 1],
  [512, 3],
  'pool',
  ...twice(4, [256, 1], [512, 3]),
  [512, 1],
  [1024, 3],
  'pool',
  ...twice(2, [512, 1], [1024, 3]),
  [1024, 3],
  [1024, 3, 2],
  [1024, 3],
  [1024, 3],
]
const FAST: readonly Layer[] = [
  ...[16, 32, 64, 128, 256, 512].flatMap((channels): readonly Layer[] => [[channels, 3], 'pool']),
  [1024, 3],
  [1024, 3],
  [1024, 3],
]

const CELL = 64 // pixels: both networks halve an image six times
const SLOPE = 0.1 // of the leaky ReLU (equation 2)
const DROPOUT = 0.5
const COORDINATES = 5 // λ_coord
const NO_OBJECT = 0.5 // λ_noobj

export interface YoloV1Options extends ModelOptions {
  /** Height and width of the images, a multiple of 64; S is a 64th. Default 448, S = 7. */
  readonly imageSize?: number
  /** B, the boxes of a cell. Default 2. */
  readonly boxes?: number
  /** Nine convolutions with fewer channels instead of 24. Default false. */
  readonly fast?: boolean
  /** Times the paper's channels. Default 1. */
  readonly width?: number
  /** Outputs of the first connected layer. Default 4096. */
  readonly hidden?: number
}

/**
 * Images [N, 3, 448, 448] → [N, S, S, B·5 + C], row by row: for each of B boxes x and y in its cell (0 … 1), √width and
 * √height of the image, and confidence; then C class probabilities. Nothing bounds them: the last layer is linear.
 */
export class YoloV1 extends Module {
  readonly imageSize: number
  readonly grid: number
  readonly boxes: number
  readonly classes: number
  features: Sequential
  connected: Sequential

  constructor(options: YoloV1Options = {}) {
    super()
    const { numClasses = 20, inChannels = 3, imageSize = 448, boxes = 2 } = options
    const { fast = false, width = 1, hidden = 4096 } = options
    if (!Number.isInteger(imageSize / CELL) || imageSize <= 0)
      fail(`YoloV1: imageSize is ${imageSize}, but must be a multiple of ${CELL}`)
    this.imageSize = imageSize
    this.grid = imageSize / CELL
    this.boxes = boxes
    this.classes = numClasses
    let inputs = inChannels
    const layers = (fast ? FAST : FULL).flatMap((layer): Module[] => {
      if (layer === 'pool') return [new MaxPool2d(2)]
      const [channels, kernel, stride = 1] = layer
      const outputs = Math.max(1, Math.round(channels * width))
      const conv = new Conv2d(inputs, outputs, kernel, { stride, padding: (kernel - 1) / 2 })
      inputs = outputs
      return [conv, new LeakyReLU(SLOPE)]
    })
    this.features = new Sequential(...layers)
    const flat = inputs * this.grid ** 2
    const last = this.grid ** 2 * (5 * boxes + numClasses)
    // Darknet's small network has a linear layer of 256 in between.
    const between = fast ? [new Linear(flat, Math.max(1, Math.round(256 * width)))] : []
    this.connected = new Sequential(
      ...between,
      new Linear(between[0]?.outFeatures ?? flat, hidden),
      new LeakyReLU(SLOPE),
      new Dropout(DROPOUT),
      new Linear(hidden, last),
    )
    heConvolutions(this)
  }

  forward(images: Tensor): Tensor {
    const size = this.imageSize
    if (images.shape.length !== 4 || images.shape[2] !== size || images.shape[3] !== size)
      fail(
        `YoloV1: images ${showShape(images.shape)} must be [N, C, ${size}, ${size}]: resize them, or use imageSize`,
      )
    const features = this.features.forward(images) // [N, 1024, S, S]
    const out = this.connected.forward(features.flatten(1))
    return out.reshape(-1, this.grid, this.grid, 5 * this.boxes + this.classes)
  }

  /** The B boxes of each cell as corners, 0 … 1 of the image: [N, S·S, B, 4]; and the rest of what a cell says. */
  #read(output: Tensor) {
    const { boxes, classes, grid } = this
    const cells = grid * grid
    const rows = output.reshape(-1, cells, 5 * boxes + classes)
    const own = rows.slice(0, 5 * boxes, { dim: 2 }).reshape(-1, cells, boxes, 5)
    const [x, y, rootWidth, rootHeight, confidence] = own.unbind(-1) // [N, S·S, B]
    const at = arange(cells)
    const column = at.remainder(grid).float().unsqueeze(-1) // [S·S, 1]
    const row = at.floorDivide(grid).float().unsqueeze(-1)
    const centre = [x.add(column).div(grid), y.add(row).div(grid)]
    const size = [rootWidth.square(), rootHeight.square()]
    return {
      corners: boxConvert(stack([...centre, ...size], -1), 'cxcywh', 'xyxy'),
      places: [x, y, rootWidth, rootHeight],
      confidence,
      classes: rows.slice(5 * boxes, undefined, { dim: 2 }), // [N, S·S, C]
      column,
      row,
    }
  }

  /**
   * The paper's sum of squares (equation 3), the mean over the batch. A cell is responsible for the object whose centre
   * it holds (the first, where there are several), and of its boxes the one with the highest IoU: that box's
   * confidence shall be the IoU, all others' 0.
   */
  loss(output: Tensor, targets: Targets): Tensor {
    const { grid, boxes, classes, imageSize } = this
    const said = this.#read(output)
    const images = output.shape[0]
    const cells = grid * grid
    const most = targets.labels.shape[1]

    // Which object a cell holds. [N, S·S, M]
    const truth = boxConvert(targets.boxes.div(imageSize), 'xyxy', 'cxcywh') // [N, M, 4]
    const [x, y] = truth
      .mul(grid)
      .floor()
      .clamp(0, grid - 1)
      .int()
      .unbind(-1)
    const valid = targets.labels.ge(0).unsqueeze(1)
    const holds = y.mul(grid).add(x).unsqueeze(1).eq(arange(cells).unsqueeze(-1)).logicalAnd(valid)
    const first = holds.int().argmax(-1, { keepdim: true }).eq(arange(most))
    const chosen = holds.logicalAnd(first).float()
    const object = chosen.sum(-1, { keepdim: true }) // [N, S·S, 1]
    const box = chosen.matmul(truth) // [N, S·S, 4], 0 without an object
    const label = targets.labels.unsqueeze(-1).eq(arange(classes)).float() // [N, M, C]

    // Which of its boxes is responsible. [N, S·S, B]
    const wanted = boxConvert(box, 'cxcywh', 'xyxy').unsqueeze(2).expand(images, cells, boxes, 4)
    const iou = boxIouLoss(said.corners, wanted).neg().add(1).detach()
    const responsible = iou.argmax(-1, { keepdim: true }).eq(arange(boxes)).float().mul(object)

    const [cx, cy, width, height] = box.unbind(-1).map((value) => value.unsqueeze(-1)) // [N, S·S, 1]
    const places = [
      cx.mul(grid).sub(said.column),
      cy.mul(grid).sub(said.row),
      width.sqrt(),
      height.sqrt(),
    ]
    const coordinates = said.places
      .map((value, i) => value.sub(places[i]).square().mul(responsible).sum())
      .reduce((sum, part) => sum.add(part))
    const right = said.confidence.sub(iou).square().mul(responsible).sum()
    const empty = said.confidence.square().mul(responsible.neg().add(1)).sum()
    const named = said.classes.sub(chosen.matmul(label)).square().mul(object).sum()
    return coordinates.mul(COORDINATES).add(right).add(empty.mul(NO_OBJECT)).add(named).div(images)
  }

  /** What is in each image, boxes in pixels: scores are class probability times confidence (equation 1). */
  async predict(images: Tensor, options: SelectOptions = {}): Promise<Detections[]> {
    const count = images.shape[0]
    const [boxes, scores] = await inEvaluation(this, () => {
      const said = this.#read(this.forward(images))
      const scores = said.confidence.unsqueeze(-1).mul(said.classes.unsqueeze(2))
      return Promise.all([said.corners.mul(this.imageSize).data(), scores.data()])
    })
    return Array.from({ length: count }, (_, i) => {
      const own = (values: typeof boxes) => {
        const size = values.length / count
        return values.subarray(i * size, (i + 1) * size)
      }
      const clipped = clipBoxes(own(boxes), this.imageSize, this.imageSize)
      return selectDetections(clipped, own(scores), options)
    })
  }
}

export const yolosV1 = {
  yolo_v1: (options?: YoloV1Options) => new YoloV1(options),
  yolo_v1_fast: (options?: YoloV1Options) => new YoloV1({ fast: true, ...options }),
}
