// YOLOX (Ge, Liu, Wang, Li and Sun 2021, "YOLOX: Exceeding YOLO Series in 2021"): no anchors, a decoupled head, SimOTA.
// Backbone in yolo-blocks.ts, assignment in yolo-assign.ts. Names of parameters are those of the YOLOX repository.
// One thing differs by default: boxes are trained by complete IoU, the paper's 1 − IoU² is an option. Left out: the L1
// loss of the last epochs, mosaic and mixup.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { inEvaluation } from '../nn/evaluation.js'
import {
  binaryCrossEntropyWithLogits,
  Conv2d,
  init,
  interpolate,
  Module,
  ModuleList,
  Sequential,
  sigmoid,
} from '../nn/index.js'
import { arange, tensor } from '../tensor/create.js'
import { concat, type Tensor, where } from '../tensor/tensor.js'
import {
  boxConvert,
  boxIouLoss,
  completeBoxIouLoss,
  generalizedBoxIouLoss,
} from '../vision/boxes.js'
import {
  clipBoxes,
  type Detections,
  gridCells,
  type SelectOptions,
  selectDetections,
  type Targets,
} from '../vision/detection.js'
import type { ModelOptions } from './variants.js'
import { assign, type Said } from './yolo-assign.js'
import { ConvBlock, CspDarknet, CspLayer, conv3x3 } from './yolo-blocks.js'

const STRIDES = [8, 16, 32]
const BASE = 64 // channels of the stem at width 1
const BOX_WEIGHT = 5
const PRIOR = 0.01 // what objectness and classes say in the beginning (Lin et al. 2017)

/** The loss of a box beside the one it shall be. */
const boxLosses = {
  /** 1 − IoU², as in the paper. */
  iou: (a: Tensor, b: Tensor) => boxIouLoss(a, b).neg().add(1).square().neg().add(1),
  giou: (a: Tensor, b: Tensor) => generalizedBoxIouLoss(a, b),
  ciou: (a: Tensor, b: Tensor) => completeBoxIouLoss(a, b),
} as const

export interface YoloOptions extends ModelOptions {
  /** Times 64 channels in the stem, 256, 512 and 1024 in the maps. Default 0.5: YOLOX-s. */
  readonly width?: number
  /** Times three bottlenecks. Default 0.33. */
  readonly depth?: number
  /** Separable convolutions. Default false. */
  readonly depthwise?: boolean
  /** Default 'ciou'. */
  readonly boxLoss?: keyof typeof boxLosses
}

type Maps = readonly [Tensor, Tensor, Tensor]

/** Path aggregation (Liu et al. 2018): from coarse to fine and back, three maps. */
class Neck extends Module<Maps> {
  backbone: CspDarknet
  lateralConv0: ConvBlock
  C3_p4: CspLayer
  reduceConv1: ConvBlock
  C3_p3: CspLayer
  buConv2: Module
  C3_n3: CspLayer
  buConv1: Module
  C3_n4: CspLayer

  constructor(inputs: number, stem: number, depth: number, depthwise: boolean) {
    super()
    const [c3, c4, c5] = [4, 8, 16].map((times) => times * stem)
    const blocks = Math.max(Math.round(3 * depth), 1)
    const layer = (from: number, to: number) =>
      new CspLayer(from, to, { blocks, shortcut: false, depthwise })
    this.backbone = new CspDarknet(inputs, stem, blocks, depthwise)
    this.lateralConv0 = new ConvBlock(c5, c4, 1)
    this.C3_p4 = layer(2 * c4, c4)
    this.reduceConv1 = new ConvBlock(c4, c3, 1)
    this.C3_p3 = layer(2 * c3, c3)
    this.buConv2 = conv3x3(depthwise, c3, c3, 2)
    this.C3_n3 = layer(2 * c3, c4)
    this.buConv1 = conv3x3(depthwise, c4, c4, 2)
    this.C3_n4 = layer(2 * c4, c5)
  }

  forward(images: Tensor): Maps {
    const up = (x: Tensor) => interpolate(x, { scaleFactor: 2, mode: 'nearest' })
    const [third, fourth, fifth] = this.backbone.forward(images)
    const coarse = this.lateralConv0.forward(fifth) // 32
    const middle = this.reduceConv1.forward(
      this.C3_p4.forward(concat([up(coarse), fourth], 1)), // 16
    )
    const first = this.C3_p3.forward(concat([up(middle), third], 1)) // 8
    const second = this.C3_n3.forward(concat([this.buConv2.forward(first), middle], 1)) // 16
    const last = this.C3_n4.forward(concat([this.buConv1.forward(second), coarse], 1)) // 32
    return [first, second, last]
  }
}

interface Logits {
  /** [N, A, 4], [N, A, 1] and [N, A, C] */
  readonly boxes: Tensor
  readonly objectness: Tensor
  readonly classes: Tensor
}

/** Classes and boxes by convolutions of their own (figure 2). */
class Head extends Module<Logits> {
  clsConvs: ModuleList<Sequential>
  regConvs: ModuleList<Sequential>
  clsPreds: ModuleList<Conv2d>
  regPreds: ModuleList<Conv2d>
  objPreds: ModuleList<Conv2d>
  stems: ModuleList<ConvBlock>

  constructor(inputs: readonly number[], channels: number, classes: number, depthwise: boolean) {
    super()
    const twoConvs = () =>
      new Sequential(conv3x3(depthwise, channels, channels), conv3x3(depthwise, channels, channels))
    const each = <Item extends Module>(make: (from: number) => Item) =>
      new ModuleList(inputs.map(make))
    this.clsConvs = each(twoConvs)
    this.regConvs = each(twoConvs)
    this.clsPreds = each(() => new Conv2d(channels, classes, 1))
    this.regPreds = each(() => new Conv2d(channels, 4, 1))
    this.objPreds = each(() => new Conv2d(channels, 1, 1))
    this.stems = each((from) => new ConvBlock(from, channels, 1))
    for (const conv of [...this.clsPreds, ...this.objPreds])
      if (conv.bias) init.constant(conv.bias, -Math.log((1 - PRIOR) / PRIOR))
  }

  forward(maps: Maps): Logits {
    const levels = maps.map((map, i) => {
      const x = this.stems.at(i).forward(map)
      const place = this.regConvs.at(i).forward(x)
      return {
        boxes: this.regPreds.at(i).forward(place),
        objectness: this.objPreds.at(i).forward(place),
        classes: this.clsPreds.at(i).forward(this.clsConvs.at(i).forward(x)),
      }
    })
    const joined = (name: keyof Logits) =>
      concat(
        levels.map((level) => level[name].flatten(2).transpose(1, 2)),
        1,
      )
    return {
      boxes: joined('boxes'),
      objectness: joined('objectness'),
      classes: joined('classes'),
    }
  }
}

/** Images [N, 3, H, W], H and W multiples of 32 → what each of A = H·W·(1/64 + 1/256 + 1/1024) cells says. */
export class Yolo extends Module<Said> {
  readonly boxLoss: keyof typeof boxLosses
  backbone: Neck
  head: Head

  constructor(options: YoloOptions = {}) {
    super()
    const { numClasses = 80, inChannels = 3, width = 0.5, depth = 0.33 } = options
    const { depthwise = false, boxLoss = 'ciou' } = options
    if (!Object.hasOwn(boxLosses, boxLoss))
      fail(`Yolo: boxLoss '${boxLoss}' must be one of ${Object.keys(boxLosses).join(', ')}`)
    this.boxLoss = boxLoss
    const stem = Math.floor(BASE * width)
    this.backbone = new Neck(inChannels, stem, depth, depthwise)
    const maps = [4, 8, 16].map((times) => times * stem)
    this.head = new Head(maps, 4 * stem, numClasses, depthwise)
  }

  forward(images: Tensor): Said {
    const [height, width] = images.shape.slice(2)
    const multiple = STRIDES[STRIDES.length - 1]
    if (images.shape.length !== 4 || height % multiple !== 0 || width % multiple !== 0)
      fail(
        `Yolo: images ${showShape(images.shape)} must be [N, C, H, W] with H and W multiples of ${multiple}; pad them`,
      )
    const { boxes, objectness, classes } = this.head.forward(this.backbone.forward(images))
    const { x, y, stride } = gridCells(height, width, STRIDES)
    const column = (values: (i: number) => number) =>
      tensor(
        Float32Array.from(x, (_, i) => values(i)),
        { shape: [x.length, 1] },
      )
    const scale = column((i) => stride[i])
    // From the cell's upper left corner, in strides; sizes are exponentials.
    const corner = concat(
      [column((i) => x[i] - stride[i] / 2), column((i) => y[i] - stride[i] / 2)],
      1,
    )
    const centre = boxes.slice(0, 2, { dim: 2 }).mul(scale).add(corner)
    const size = boxes.slice(2, 4, { dim: 2 }).exp().mul(scale)
    return {
      boxes: boxConvert(concat([centre, size], 2), 'cxcywh', 'xyxy'),
      objectness: objectness.squeeze(2),
      classes,
      cells: concat([column((i) => x[i]), column((i) => y[i]), scale], 1),
    }
  }

  /**
   * 5·(loss of boxes) + (objectness) + (classes), each summed over the cells and divided by the number of cells that
   * have an object. A class shall be as probable as the box overlaps.
   */
  loss(said: Said, targets: Targets): Tensor {
    const { object, chosen, iou } = assign(said, targets)
    const count = object.sum().clamp(1)
    // A cell without an object has its own box as aim: no loss, and no division by 0.
    const aim = where(object.gt(0), chosen.matmul(targets.boxes), said.boxes.detach())
    const boxes = boxLosses[this.boxLoss](said.boxes, aim).mul(object.squeeze(2)).sum()
    const objectness = binaryCrossEntropyWithLogits(said.objectness, object.squeeze(2), {
      reduction: 'sum',
    })
    const labels = targets.labels.unsqueeze(-1).eq(arange(said.classes.shape[2])).float() // [N, M, C]
    const classes = binaryCrossEntropyWithLogits(said.classes, chosen.matmul(labels).mul(iou), {
      reduction: 'none',
    })
      .mul(object)
      .sum()
    return boxes.mul(BOX_WEIGHT).add(objectness).add(classes).div(count)
  }

  /** What is in each image, boxes in pixels: scores are objectness times class. */
  async predict(images: Tensor, options: SelectOptions = {}): Promise<Detections[]> {
    const [height, width] = images.shape.slice(2)
    const [boxes, scores] = await inEvaluation(this, () => {
      const said = this.forward(images)
      const scores = sigmoid(said.objectness).unsqueeze(-1).mul(sigmoid(said.classes))
      return Promise.all([said.boxes.data(), scores.data()])
    })
    return Array.from({ length: images.shape[0] }, (_, i) => {
      const own = (values: typeof boxes) => {
        const size = values.length / images.shape[0]
        return values.subarray(i * size, (i + 1) * size)
      }
      return selectDetections(clipBoxes(own(boxes), height, width), own(scores), options)
    })
  }
}

// Table 1 of the repository: depth and width.
const sized =
  (depth: number, width: number, depthwise = false) =>
  (options?: YoloOptions) =>
    new Yolo({ depth, width, depthwise, ...options })

export const yolos = {
  yolox_nano: sized(0.33, 0.25, true),
  yolox_tiny: sized(0.33, 0.375),
  yolox_s: sized(0.33, 0.5),
  yolox_m: sized(0.67, 0.75),
  yolox_l: sized(1, 1),
  yolox_x: sized(1.33, 1.25),
}
