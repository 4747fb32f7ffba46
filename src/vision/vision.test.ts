// Boxes, suppression and focal loss against torchvision's values (0.14, float64, printed by torchvision.ops for these
// inputs); mean average precision against an example worked by hand.
import { describe, expect, it } from 'vitest'
import { sigmoidFocalLoss } from '../nn/index.js'
import { grad } from '../tensor/backward.js'
import { tensor } from '../tensor/create.js'
import { setDevice } from '../tensor/devices.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  batchedNms,
  boxArea,
  boxConvert,
  boxIou,
  boxIouLoss,
  clipBoxes,
  completeBoxIou,
  completeBoxIouLoss,
  type Detections,
  detectionTargets,
  distanceBoxIou,
  distanceBoxIouLoss,
  generalizedBoxIou,
  generalizedBoxIouLoss,
  gridCells,
  meanAveragePrecision,
  nms,
  selectDetections,
} from './index.js'

await setDevice('reference')
const boxes = (...rows: readonly (readonly number[])[]) =>
  tensor(rows.flat(), { shape: [rows.length, 4] })
const close = (given: ArrayLike<number>, expected: readonly number[]) => {
  expect(given.length).toBe(expected.length)
  expected.forEach((value, i) => {
    expect(given[i], `value ${i}`).toBeCloseTo(value, 6)
  })
}

const A = boxes([0, 0, 4, 4], [1, 2, 6, 5], [-3, 1, 2.5, 3])
const B = boxes([1, 1, 5, 4], [7, 7, 9, 12])
const C = boxes([1, 1, 5, 4], [7, 7, 9, 12], [-2, 2, 3, 4])

describe('boxes', () => {
  it('change their format, and back', async () => {
    const corners = boxes([1, 2, 5, 10])
    close(await boxConvert(corners, 'xyxy', 'xywh').data(), [1, 2, 4, 8])
    close(await boxConvert(corners, 'xyxy', 'cxcywh').data(), [3, 6, 4, 8])
    for (const format of ['xyxy', 'xywh', 'cxcywh'] as const) {
      const there = boxConvert(corners, 'xyxy', format)
      close(await boxConvert(there, format, 'xyxy').data(), [1, 2, 5, 10])
    }
    for (const word of ['cxcy', 'toString'] as unknown as 'xywh'[]) {
      const said = new RegExp(`boxConvert: '${word}' must be 'xyxy', 'xywh' or 'cxcywh'`)
      expect(() => boxConvert(corners, 'xyxy', word)).toThrow(said)
      expect(() => boxConvert(corners, word, 'xyxy')).toThrow(said)
      expect(() => boxConvert(corners, word, word)).toThrow(said)
    }
    close(await boxArea(A).data(), [16, 15, 11])
    expect(() => boxArea(tensor([1, 2, 3]))).toThrow(/boxArea: boxes are \[\.\., 4\], but .* \[3\]/)
  })

  /** Values and the gradient of Σ w·value for A. */
  const pairwise: readonly (readonly [
    string,
    (a: Tensor, b: Tensor) => Tensor,
    number[],
    number[],
  ])[] = [
    [
      'boxIou',
      boxIou,
      [0.47368421, 0, 0.42105263, 0, 0.15, 0],
      [
        0.09972299, 0.09972299, 0.13296399, 0.0166205, -0.00415512, -0.09418283, -0.033241,
        -0.05540166, 0.03, -0.00375, 0.2, 0.09,
      ],
    ],
    [
      'generalizedBoxIou',
      generalizedBoxIou,
      [0.42368421, -0.75925926, 0.37105263, -0.6875, -0.01666667, -0.84090909],
      [
        0.11029912, 0.17117361, 0.10888991, -0.05120358, -0.00196762, -0.21293283, 0.059259,
        0.13834834, 0.06977273, -0.14900941, 0.21515152, 0.465,
      ],
    ],
    [
      'distanceBoxIou',
      distanceBoxIou,
      [0.44319641, -0.41, 0.39056483, -0.3429878, 0.00188356, -0.46910377],
      [
        0.12894385, 0.12676927, 0.1040209, -0.03487663, -0.0301813, -0.12210519, 0.04669654,
        0.04513373, 0.04276055, -0.0128679, 0.32017317, 0.13200052,
      ],
    ],
    [
      'completeBoxIou',
      completeBoxIou,
      [0.44307182, -0.41413942, 0.39053303, -0.36800333, 0.00048341, -0.53310615],
      [
        0.12361258, 0.13210054, 0.10935217, -0.04020789, -0.00977538, -0.15611506, 0.02629062,
        0.0791436, 0.05275261, -0.04034607, 0.31018111, 0.15947868,
      ],
    ],
  ]
  it.each(pairwise)('%s of all pairs, with its gradient', async (_, measure, values, gradient) => {
    const given = measure(A, B)
    expect(given.shape).toEqual([3, 2])
    const weights = tensor([1, -2, 0.5, 3, 2, 1], { shape: [3, 2] })
    const [slope] = grad(given.mul(weights).sum(), [A])
    close(await given.data(), values)
    close(await slope.data(), gradient)
    // The same with leading dimensions.
    close(await measure(A.unsqueeze(0), B.unsqueeze(0)).data(), values)
  })

  const losses: readonly (readonly [string, typeof generalizedBoxIouLoss, number[], number[]])[] = [
    [
      'generalizedBoxIouLoss',
      generalizedBoxIouLoss,
      [0.57631579, 1.6875, 0.81060606],
      [
        -0.08972299, -0.13722299, -0.18296399, -0.0228705, 0.003125, -0.0625, 0.075, 0.125,
        -0.22417355, -0.27272727, -0.29889807, -0.9352617,
      ],
    ],
    [
      'distanceBoxIouLoss',
      distanceBoxIouLoss,
      [0.5568036, 1.3429878, 0.76199495],
      [
        -0.11667718, -0.10596927, -0.15735423, -0.03179004, -0.0120464, -0.01048483, 0.05487805,
        0.07317073, -0.12139577, -0.32550505, -0.1822314, -0.8352617,
      ],
    ],
    [
      'completeBoxIouLoss',
      completeBoxIouLoss,
      [0.55692819, 1.36800333, 0.76199518],
      [
        -0.11645768, -0.10618878, -0.15757374, -0.03157053, 0.0015394, -0.03312783, 0.04129225,
        0.09581373, -0.1213983, -0.3254981, -0.18222888, -0.83526865,
      ],
    ],
  ]
  it.each(losses)('%s, with its gradient', async (_, loss, values, gradient) => {
    const given = loss(A, C)
    const [slope] = grad(given.mul(tensor([1, -2, 3])).sum(), [A])
    close(await given.data(), values)
    close(await slope.data(), gradient)
    const total = values.reduce((sum, value) => sum + value, 0)
    close(await loss(A, C, { reduction: 'mean' }).data(), [total / 3])
    close(await loss(A, C, { reduction: 'sum' }).data(), [total])
    expect(() => loss(A, B)).toThrow(/must have one shape/)
    expect(() => loss(A, C, { reduction: 'avg' as 'mean' })).toThrow(
      /BoxIouLoss: reduction 'avg' must be 'none', 'sum' or 'mean'/i,
    )
  })

  it('boxIouLoss is 1 − IoU', async () => {
    close(await boxIouLoss(A, boxes([1, 1, 5, 4], [1, 1, 5, 4], [1, 1, 5, 4])).data(), [
      1 - 0.47368421,
      1 - 0.42105263,
      1 - 0.15,
    ])
  })
})

describe('sigmoidFocalLoss', () => {
  const x = tensor([-3, -0.4, 0.7, 5])
  const t = tensor([0, 1, 0.25, 1])
  it.each([
    [{}, [8.196e-5, 0.08181231, 0.19791576, 8e-8], [0.00023615, -0.23862204, -0.16429529, -6.7e-7]],
    [
      { alpha: -1, gamma: 1.5 },
      [0.00050182, 0.42293974, 0.41434207, 3.68e-6],
      [0.00120685, -1.06385781, -0.30463725, -2.743e-5],
    ],
    [
      { alpha: 0.6, gamma: 0 },
      [0.01943494, 0.54780915, 0.41768372, 0.00402921],
      [0.01897035, -0.71842519, -0.1881845, -0.01204713],
    ],
  ])('is torchvision’s: %o', async (options, values, gradient) => {
    const loss = sigmoidFocalLoss(x, t, options)
    const [slope] = grad(loss.mul(tensor([1, 2, -1, 3])).sum(), [x])
    close(await loss.data(), values)
    close(await slope.data(), gradient)
  })

  it('stays finite and exact for large logits', async () => {
    const far = sigmoidFocalLoss(tensor([80, -80]), tensor([0, 1]), { alpha: -1 })
    close(await far.data(), [80, 80])
  })
})

// 24 boxes on whole numbers with scores in eighths: equal scores and overlaps at the threshold on purpose.
const CROWD = [
  1, 4, 4, 9, 3, 6, 9, 12, 3, 6, 7, 9, 0, 6, 6, 12, 6, 6, 9, 14, 2, 5, 6, 12, 2, 0, 5, 3, 4, 0, 10,
  8, 3, 5, 6, 12, 6, 3, 12, 10, 2, 1, 10, 5, 2, 0, 8, 7, 0, 1, 8, 9, 0, 5, 5, 13, 4, 3, 11, 11, 2,
  2, 9, 8, 3, 4, 6, 10, 5, 6, 11, 12, 1, 2, 8, 10, 5, 2, 8, 8, 4, 0, 8, 7, 2, 3, 10, 6, 0, 2, 8, 9,
  4, 3, 12, 7,
]
const SCORES = [
  0.125, 0.75, 0.5, 0.625, 0.5, 0.125, 0.75, 0.25, 0.25, 0.25, 0.5, 0.75, 0.375, 0.75, 0.25, 0.625,
  0.25, 0.75, 0.75, 0.75, 0.5, 0.5, 0.625, 0.25,
]

describe('nms', () => {
  it('keeps what torchvision keeps, ties included', () => {
    expect([...nms(CROWD, SCORES, 0.3)]).toEqual([1, 6, 11, 13, 9, 16, 0])
    expect([...nms(CROWD, SCORES, 0.5)]).toEqual([
      1, 6, 11, 13, 17, 18, 19, 2, 4, 10, 21, 7, 8, 9, 23, 0,
    ])
  })

  it('keeps within classes what torchvision keeps', () => {
    const classes = SCORES.map((_, i) => i % 3)
    expect([...batchedNms(CROWD, SCORES, classes, 0.3)]).toEqual([
      1, 6, 11, 13, 17, 18, 19, 3, 2, 10, 21, 9, 16, 23, 0, 5,
    ])
  })

  it('compares float32 overlaps with the threshold itself', () => {
    const half = [0, 0, 10, 10, 0, 0, 10, 5]
    expect([...nms(half, [0.9, 0.8], 0.5)]).toEqual([0, 1]) // equal: stays
    const tenth = [0, 0, 10, 10, 0, 0, 10, 1]
    expect([...nms(tenth, [0.9, 0.8], 0.1)]).toEqual([0]) // float32(0.1) > 0.1
  })

  it('takes nothing, and refuses what does not fit', () => {
    expect([...nms([], [], 0.5)]).toEqual([])
    expect(() => nms([0, 0, 1], [1], 0.5)).toThrow(/3 numbers for 1 scores; a box is four/)
    expect(() => batchedNms([0, 0, 1, 1], [1], [], 0.5)).toThrow(/0 classes for 1 scores/)
  })
})

describe('detections', () => {
  it('are chosen by score, class and overlap', () => {
    const found = selectDetections(
      [0, 0, 4, 4, 0, 0, 4, 5, 0, 0, 4, 4, 8, 8, 9, 9],
      [0.1, 0.6, 0.2, 0.7, 0.9, 0.3, 0.04, 0.01],
      { scoreThreshold: 0.05, iouThreshold: 0.5 },
    )
    expect([...found.labels]).toEqual([0, 1])
    close(found.scores, [0.9, 0.7])
    expect([...found.boxes]).toEqual([0, 0, 4, 4, 0, 0, 4, 5])
    expect(selectDetections([], []).scores.length).toBe(0)
    // What is no number is no score.
    const diverged = selectDetections([0, 0, 4, 4, 8, 8, 9, 9], [NaN, 0.75, NaN, NaN])
    expect([[...diverged.labels], [...diverged.scores]]).toEqual([[1], [0.75]])
  })

  it('have targets of one shape', async () => {
    const { boxes, labels } = detectionTargets(
      [
        { boxes: [1, 2, 3, 4], labels: [7] },
        { boxes: [], labels: [] },
      ],
      2,
    )
    expect([...(await boxes.data())]).toEqual([1, 2, 3, 4, ...Array(12).fill(0)])
    expect([...(await labels.data())]).toEqual([7, -1, -1, -1])
    expect(() => detectionTargets([{ boxes: [1, 2, 3, 4], labels: [7] }], 0)).toThrow(
      /image 0 has 1 objects, but there is room for 0/,
    )
  })

  it('cells lie in the middle of their squares', () => {
    const { x, y, stride } = gridCells(16, 24, [8, 16])
    expect([...x]).toEqual([4, 12, 20, 4, 12, 20, 8, 24])
    expect([...y]).toEqual([4, 4, 4, 12, 12, 12, 8, 8])
    expect([...stride]).toEqual([8, 8, 8, 8, 8, 8, 16, 16])
    expect([...clipBoxes([-1, 2, 30, 40], 20, 25)]).toEqual([0, 2, 25, 20])
  })
})

describe('mean average precision', () => {
  const found = (...rows: readonly (readonly [number, number, ...number[]])[]): Detections => ({
    labels: Int32Array.from(rows, ([label]) => label),
    scores: Float32Array.from(rows, ([, score]) => score),
    boxes: Float32Array.from(rows.flatMap(([, , ...box]) => box)),
  })
  const here = [0, 0, 10, 10]
  const there = [20, 20, 30, 30]
  const away = [50, 50, 60, 60]
  const truth = [
    { boxes: [...here, ...there], labels: [0, 0] },
    { boxes: [...here], labels: [0] },
  ]
  // By score: right, wrong, right (recall 1/3, 1/3, 2/3; precision 1, 1/2, 2/3): the third object is never found.
  const said = [
    found([0, 0.9, ...here], [0, 0.8, ...away]),
    found([0, 0.7, 0, 0, 10, 8]), // IoU 0.8
  ]

  it('is what counting by hand gives', () => {
    const at = (threshold: number, interpolation: 'coco' | 'voc') =>
      meanAveragePrecision(said, truth, { thresholds: [threshold], interpolation }).mean
    // 34 recalls 0 … 0.33 with precision 1, 33 recalls 0.34 … 0.66 with 2/3, the other 34 with 0.
    expect(at(0.5, 'coco')).toBeCloseTo((34 + 33 * (2 / 3)) / 101, 12)
    expect(at(0.5, 'voc')).toBeCloseTo(1 / 3 + (1 / 3) * (2 / 3), 12)
    // The third detection no longer overlaps enough.
    expect(at(0.85, 'coco')).toBeCloseTo(34 / 101, 12)
    expect(at(0.85, 'voc')).toBeCloseTo(1 / 3, 12)
    // 0.5 … 0.8 as the first, 0.85 … 0.95 as the second.
    const all = meanAveragePrecision(said, truth)
    expect(all.mean).toBeCloseTo((7 * (34 + 22) + 3 * 34) / 1010, 12)
    expect(all.byThreshold.length).toBe(10)
  })

  it('is the mean over the classes there are', () => {
    const two = [{ boxes: [...here, ...there], labels: [0, 3] }]
    const half = meanAveragePrecision([found([0, 0.5, ...here], [5, 0.9, ...there])], two)
    expect(half.mean).toBe(0.5)
    expect([...half.byClass]).toEqual([
      [0, 1],
      [3, 0],
    ])
  })

  it('counts an object once', () => {
    const twice = [found([0, 0.9, ...here], [0, 0.8, ...here])]
    const one = [{ boxes: here, labels: [0] }]
    expect(meanAveragePrecision(twice, one).mean).toBe(1) // the second comes after all recall
    const three = [{ boxes: [...here, ...there], labels: [0, 0] }]
    const again = [found([0, 0.9, ...here], [0, 0.8, ...here], [0, 0.7, ...there])]
    const voc = meanAveragePrecision(again, three, { thresholds: [0.5], interpolation: 'voc' })
    expect(voc.mean).toBeCloseTo(0.5 + 0.5 * (2 / 3), 12)
  })

  it('differs between COCO and VOC where the nearest object is taken', () => {
    const near = [{ boxes: [...here, 0, 0, 10, 12], labels: [0, 0] }]
    const both = [found([0, 0.9, ...here], [0, 0.8, ...here])]
    const at = (interpolation: 'coco' | 'voc') =>
      meanAveragePrecision(both, near, { thresholds: [0.5], interpolation }).mean
    expect(at('coco')).toBe(1) // the second takes the other object, IoU 0.83
    expect(at('voc')).toBe(0.5)
  })

  it('counts a hundred detections of each class in an image', () => {
    const crowd = (n: number) => Array.from({ length: n }, () => [0, 0.9, ...away] as const)
    const one = [{ boxes: here, labels: [1] }]
    expect(meanAveragePrecision([found(...crowd(100), [1, 0.5, ...here])], one).mean).toBe(1)
    const own = [{ boxes: here, labels: [0] }]
    const last = found(...crowd(100), [0, 0.5, ...here])
    expect(meanAveragePrecision([last], own).mean).toBe(0)
    expect(meanAveragePrecision([last], own, { interpolation: 'voc' }).mean).toBeCloseTo(1 / 101)
  })

  it('refuses lists that differ', () => {
    expect(() => meanAveragePrecision(said, truth.slice(1))).toThrow(/2 images, objects of 1/)
    expect(meanAveragePrecision([], []).mean).toBeNaN()
  })
})
