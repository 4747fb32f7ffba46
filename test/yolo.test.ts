// YOLO v1 and YOLOX: losses and assignment against plain loops over numbers, decoding, the gradient of every parameter
// at the smallest size against the float64 reference, and learning.
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { create, list, Yolo, YoloV1 } from '../src/models/index.js'
import { assign } from '../src/models/yolo-assign.js'
import type { AnyModule } from '../src/nn/index.js'
import { AdamW } from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor, zeros } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import { keep } from '../src/tensor/submit.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { detectionTargets, gridCells, type Objects, type Targets } from '../src/vision/index.js'
import { difference, fill, uniform } from './support.js'

afterEach(() => setDevice('reference'))
afterAll(closeDevices)
await setDevice('reference')

function overlap(a: readonly number[], b: readonly number[]): number {
  const side = (k: number) => Math.max(0, Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]))
  const area = (box: readonly number[]) => (box[2] - box[0]) * (box[3] - box[1])
  const inner = side(0) * side(1)
  return inner / (area(a) + area(b) - inner)
}

const four = (values: ArrayLike<number>, i: number) => [0, 1, 2, 3].map((k) => values[4 * i + k])
const objectsOf = (image: Objects) =>
  Array.from(image.labels, (label, i) => ({ label, box: four(image.boxes, i) }))

describe('YOLO v1', () => {
  const IMAGE = 192 // S = 3
  const model = new YoloV1({
    numClasses: 4,
    imageSize: IMAGE,
    fast: true,
    width: 1 / 16,
    hidden: 8,
  })
  const [S, B, C] = [3, 2, 4]
  // Two centres in one cell (the second is nobody's), one image with nothing.
  const images: readonly Objects[] = [
    { boxes: [10, 20, 70, 50, 30, 30, 60, 60, 130, 90, 190, 180], labels: [2, 0, 3] },
    { boxes: [], labels: [] },
    { boxes: [60, 100, 140, 192], labels: [1] },
  ]
  const targets = detectionTargets(images, 4)

  /** Equation 3, image by image and cell by cell. */
  function lossOf(values: ArrayLike<number>): number {
    let total = 0
    images.forEach((image, n) => {
      for (let row = 0; row < S; row++)
        for (let column = 0; column < S; column++) {
          const at = ((n * S + row) * S + column) * (5 * B + C)
          const object = objectsOf(image).find(({ box: [x1, y1, x2, y2] }) => {
            const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2]
            return Math.floor(x / 64) === column && Math.floor(y / 64) === row
          })
          const said = Array.from({ length: B }, (_, b) =>
            Array.from({ length: 5 }, (_, k) => values[at + 5 * b + k]),
          )
          if (object === undefined) {
            for (const [, , , , confidence] of said) total += 0.5 * confidence ** 2
            continue
          }
          const unit = object.box.map((value) => value / IMAGE)
          const ious = said.map(([x, y, rw, rh]) => {
            const [cx, cy] = [(x + column) / S, (y + row) / S]
            return overlap(
              [cx - rw ** 2 / 2, cy - rh ** 2 / 2, cx + rw ** 2 / 2, cy + rh ** 2 / 2],
              unit,
            )
          })
          const responsible = ious.indexOf(Math.max(...ious))
          said.forEach(([x, y, rw, rh, confidence], b) => {
            if (b !== responsible) {
              total += 0.5 * confidence ** 2
              return
            }
            const [x1, y1, x2, y2] = unit
            total += 5 * (x - (((x1 + x2) / 2) * S - column)) ** 2
            total += 5 * (y - (((y1 + y2) / 2) * S - row)) ** 2
            total += 5 * (rw - Math.sqrt(x2 - x1)) ** 2
            total += 5 * (rh - Math.sqrt(y2 - y1)) ** 2
            total += (confidence - ious[b]) ** 2
          })
          for (let c = 0; c < C; c++)
            total += (values[at + 5 * B + c] - (c === object.label ? 1 : 0)) ** 2
        }
    })
    return total / images.length
  }

  it('has the loss of the paper', async () => {
    for (const name of ['first', 'second', 'third']) {
      const values = uniform(name, [3, S, S, 5 * B + C])
      const loss = model.loss(tensor(values, { shape: [3, S, S, 5 * B + C] }), targets)
      expect(await loss.item()).toBeCloseTo(lossOf(values), 4)
    }
  })

  it('decodes what it was meant to say', async () => {
    const values = new Float32Array(3 * S * S * (5 * B + C))
    images.forEach((image, n) => {
      for (const { box, label } of objectsOf(image).filter((_, i) => i !== 1)) {
        const [x1, y1, x2, y2] = box.map((value) => value / IMAGE)
        const [x, y] = [((x1 + x2) / 2) * S, ((y1 + y2) / 2) * S]
        const at = ((n * S + Math.floor(y)) * S + Math.floor(x)) * (5 * B + C)
        const said = [x % 1, y % 1, Math.sqrt(x2 - x1), Math.sqrt(y2 - y1), 0.8]
        said.forEach((value, k) => {
          values[at + 5 + k] = value // the second of the boxes
        })
        values[at + 5 * B + label] = 0.5
      }
    })
    const output = tensor(values, { shape: [3, S, S, 5 * B + C] })
    const remove = model.registerForwardHook(() => output)
    const found = await model.predict(zeros([3, 3, IMAGE, IMAGE]), { scoreThreshold: 0.1 })
    remove()
    expect(model.training).toBe(true)
    expect(found.map(({ labels }) => [...labels])).toEqual([[2, 3], [], [1]])
    expect(difference(found[0].boxes, [10, 20, 70, 50, 130, 90, 190, 180], 1e-5)).toBeUndefined()
    expect(difference(found[0].scores, [0.4, 0.4], 1e-6)).toBeUndefined()
  })

  it('has 24 convolutions and a head of 7×7×30', () => {
    const convs = (network: AnyModule) =>
      network.modules().filter((module) => module.constructor.name === 'Conv2d').length
    const full = new YoloV1({ width: 1 / 32, hidden: 4 })
    expect(convs(full)).toBe(24)
    expect(convs(model)).toBe(9)
    expect(full.eval().forward(zeros([1, 3, 448, 448])).shape).toEqual([1, 7, 7, 30])
    expect(() => full.forward(zeros([1, 3, 224, 224]))).toThrow(/must be \[N, C, 448, 448\]/)
    expect(() => new YoloV1({ imageSize: 100 })).toThrow(/multiple of 64/)
  })
})

describe('SimOTA', () => {
  const [N, M, C] = [3, 3, 4]
  const [HEIGHT, WIDTH] = [64, 96]
  const { x, y, stride } = gridCells(HEIGHT, WIDTH, [8, 16, 32])
  const A = x.length
  const images: readonly Objects[] = [
    { boxes: [4, 6, 40, 50, 20, 10, 60, 60, 70, 2, 80, 12], labels: [1, 3, 0] },
    { boxes: [], labels: [] },
    { boxes: [8, 8, 88, 60], labels: [2] },
  ]
  const logistic = (value: number) => 1 / (1 + Math.exp(-value))

  it('assigns as plain loops over costs do', async () => {
    // Boxes around their cells, so that they overlap objects; logits at random.
    const noise = uniform('boxes', [N, A, 4])
    const boxes = Float32Array.from({ length: N * A * 4 }, (_, i) => {
      const [a, k] = [Math.floor(i / 4) % A, i % 4]
      const middle = k % 2 === 0 ? x[a] : y[a]
      return middle + (k < 2 ? -1 : 1) * stride[a] * (1.2 + 0.8 * noise[i])
    })
    const objectness = uniform('objectness', [N, A]).map((u) => 3 * u)
    const classes = uniform('classes', [N, A, C]).map((u) => 3 * u)
    const said = {
      boxes: tensor(boxes, { shape: [N, A, 4] }),
      objectness: tensor(objectness, { shape: [N, A] }),
      classes: tensor(classes, { shape: [N, A, C] }),
      cells: tensor(Array.from(x, (_, i) => [x[i], y[i], stride[i]]).flat(), { shape: [A, 3] }),
    }
    const given = assign(said, detectionTargets(images, M))
    const [chosen, object, iou] = await Promise.all([
      given.chosen.data(),
      given.object.data(),
      given.iou.data(),
    ])

    images.forEach((image, n) => {
      const objects = objectsOf(image)
      const near = (a: number, { box: [x1, y1, x2, y2] }: (typeof objects)[number]) => {
        const inside = x[a] > x1 && x[a] < x2 && y[a] > y1 && y[a] < y2
        const reach = 2.5 * stride[a]
        const close =
          Math.abs(x[a] - (x1 + x2) / 2) < reach && Math.abs(y[a] - (y1 + y2) / 2) < reach
        return { any: inside || close, both: inside && close }
      }
      const cells = Array.from({ length: A }, (_, a) => a)
      const candidates = cells.filter((a) => objects.some((one) => near(a, one).any))
      const shared = (a: number, { box }: (typeof objects)[number]) =>
        overlap(four(boxes, n * A + a), box)
      const cost = objects.map((one) =>
        candidates.map((a) => {
          let entropy = 0
          for (let c = 0; c < C; c++) {
            const at = n * A + a
            const p = Math.sqrt(logistic(classes[at * C + c]) * logistic(objectness[at]))
            entropy -= Math.log(c === one.label ? p : 1 - p)
          }
          return entropy - 3 * Math.log(shared(a, one) + 1e-8) + (near(a, one).both ? 0 : 1e5)
        }),
      )
      const takes = objects.map((one, m) => {
        const best = candidates.map((a) => shared(a, one)).sort((p, q) => q - p)
        const sum = best.slice(0, 10).reduce((total, value) => total + value, 0)
        const order = candidates.map((_, i) => i).sort((i, j) => cost[m][i] - cost[m][j])
        return new Set(order.slice(0, Math.max(1, Math.floor(sum))))
      })
      const expected = new Array<number>(A).fill(-1)
      candidates.forEach((a, i) => {
        const by = objects.map((_, m) => m).filter((m) => takes[m].has(i))
        if (by.length === 1) expected[a] = by[0]
        if (by.length > 1) {
          const costs = cost.map((row) => row[i])
          expected[a] = costs.indexOf(Math.min(...costs))
        }
      })
      cells.forEach((a) => {
        const row = Array.from({ length: M }, (_, m) => chosen[(n * A + a) * M + m])
        const owner = expected[a]
        expect(row, `image ${n}, cell ${a}`).toEqual(
          Array.from({ length: M }, (_, m) => (m === owner ? 1 : 0)),
        )
        expect(object[n * A + a]).toBe(owner < 0 ? 0 : 1)
        expect(iou[n * A + a]).toBeCloseTo(owner < 0 ? 0 : shared(a, objects[owner]), 5)
      })
      if (n === 0) expect(new Set(expected).size).toBe(4) // all three objects, and background
    })
  })
})

const SMALL = { numClasses: 3, inChannels: 2 }
const networks = {
  'YOLO v1': {
    make: () => new YoloV1({ ...SMALL, imageSize: 64, width: 1 / 32, hidden: 8 }),
    size: 64,
  },
  'Fast YOLO': {
    make: () => new YoloV1({ ...SMALL, imageSize: 128, fast: true, width: 1 / 16, hidden: 16 }),
    size: 128,
  },
  // 32×32 has one cell on the last map: batch norm over four numbers, which float32 tells apart too badly.
  YOLOX: { make: () => new Yolo({ ...SMALL, width: 1 / 8 }), size: 64 },
  'YOLOX, separable, 1 − IoU²': {
    make: () => new Yolo({ ...SMALL, width: 1 / 8, depthwise: true, boxLoss: 'iou' }),
    size: 64,
  },
} as const
const cases = Object.entries(networks)
const BATCH = 4

/** Values by the formula; with another `attempt` others. */
function filled<M extends YoloV1 | Yolo>(model: M, attempt = 0): M {
  const prefix = attempt === 0 ? '' : `${attempt}.`
  for (const [name, parameter] of Object.entries(model.stateDict()))
    if (!name.endsWith('num_batches_tracked'))
      parameter.set(fill(`${prefix}${name}`, parameter.shape))
  return model
}

/**
 * Where a maximum, or an overlap, has its kink within float32's rounding, others must not: a wrong gradient is wrong
 * with all.
 */
const ATTEMPTS = 3

/** Noise with a lighter or darker square for each object, by its class. */
function scene(size: number): { readonly images: Tensor; readonly targets: Targets } {
  const shape = [BATCH, SMALL.inChannels, size, size]
  const box = (...parts: readonly number[]) => parts.map((part) => part * size)
  const objects = [
    { boxes: [...box(0.125, 0.125, 0.5, 0.5), ...box(0.5, 0.5, 0.875, 0.75)], labels: [0, 2] },
    { boxes: box(0.25, 0.25, 1, 0.875), labels: [1] },
    { boxes: [], labels: [] },
    { boxes: box(0, 0.625, 0.375, 0.875), labels: [2] },
  ]
  const pixels = uniform('images', shape).map((u) => u / 4)
  objects.forEach((image, n) => {
    for (const { label, box } of objectsOf(image))
      for (let y = box[1]; y < box[3]; y++)
        for (let x = box[0]; x < box[2]; x++)
          pixels[((n * SMALL.inChannels + (label === 2 ? 1 : 0)) * size + y) * size + x] +=
            label === 1 ? -1.5 : 1.5
  })
  return { images: tensor(pixels, { shape }), targets: detectionTargets(objects, 2) }
}

const lossOf = (model: YoloV1 | Yolo, images: Tensor, targets: Targets): Tensor =>
  model instanceof YoloV1
    ? model.loss(model.forward(images), targets)
    : model.loss(model.forward(images), targets)

describe('every gradient', () => {
  it.each(cases)(
    'of %s is the float64 reference’s',
    async (_, { make, size }) => {
      const gradients = async (device: string, attempt: number) => {
        await setDevice(device, device === 'cpu' ? { threads: 2 } : {})
        manualSeed(3)
        const model = filled(make(), attempt)
        const { images, targets } = scene(size)
        const loss = lossOf(model, images, targets)
        loss.backward()
        const named = model.namedParameters()
        const values = await Promise.all(
          named.map(([, parameter]) => parameter.grad?.data() ?? Promise.resolve(undefined)),
        )
        return { loss: await loss.item(), values, names: named.map(([name]) => name) }
      }
      let wrong: string[] = []
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const exact = await gradients('reference', attempt)
        const given = await gradients('cpu', attempt)
        expect(given.loss / exact.loss).toBeCloseTo(1, 4)
        wrong = exact.names.flatMap((name, i) => {
          const [wanted, got] = [exact.values[i], given.values[i]]
          if (wanted === undefined || got === undefined) throw new Error(`${name} has no gradient`)
          const differs = difference(got, wanted, 1e-3, 1e-6)
          return differs === undefined ? [] : [`${name}: ${differs}`]
        })
        // The last map may have no object; what is for objects alone gets no gradient there.
        const idle = exact.names.filter((_, i) => exact.values[i]?.every((value) => value === 0))
        expect(idle.filter((name) => !/^head\.\w+\.2\./.test(name))).toEqual([])
        if (wrong.length === 0) break
      }
      expect(wrong).toEqual([])
    },
    60_000,
  )
})

describe('learning', () => {
  it.each(cases)(
    '%s: three steps on one batch bring the loss down',
    async (_, { make, size }) => {
      await setDevice('cpu', { threads: 2 })
      manualSeed(5)
      const model = make()
      const optimizer = new AdamW(model.parameters(), { lr: 1e-3 })
      const { images, targets } = scene(size)
      // Dropout would make losses of different networks.
      for (const module of model.modules())
        if (module.constructor.name === 'Dropout') module.training = false
      const losses: number[] = []
      for (let i = 0; i < 4; i++) {
        optimizer.zeroGrad()
        const loss = lossOf(model, images, targets)
        keep(loss)
        loss.backward()
        await optimizer.step()
        losses.push(await loss.item())
      }
      expect(losses[3], losses.join(', ')).toBeLessThan(losses[0])
    },
    60_000,
  )
})

describe('YOLOX says', () => {
  it('boxes around the middle of their cells, in strides, and objectness times class', async () => {
    const model = new Yolo({ ...SMALL, width: 1 / 16 }).eval()
    const said = { reg_preds: [0.5, 0.25, Math.log(2), 0], obj_preds: [1], cls_preds: [-9, 2, 0] }
    for (const [name, parameter] of model.namedParameters())
      for (const [layer, bias] of Object.entries(said))
        if (name.includes(layer))
          parameter.set(name.endsWith('bias') ? Float32Array.from(bias) : zeros(parameter.shape))
    const images = zeros([2, 2, 32, 64])
    const output = model.forward(images)
    const { x, y, stride } = gridCells(32, 64, [8, 16, 32])
    const boxes = Array.from(x, (_, i) => {
      const [cx, cy] = [x[i], y[i] - stride[i] / 4]
      return [cx - stride[i], cy - stride[i] / 2, cx + stride[i], cy + stride[i] / 2]
    }).flat()
    expect(output.boxes.shape).toEqual([2, 42, 4])
    expect(difference(await output.boxes.data(), [...boxes, ...boxes], 1e-6)).toBeUndefined()

    // All scores are equal: the first map's first boxes stay, and those they do not cover.
    const [found, second] = await model.predict(images, { iouThreshold: 0.3, maxDetections: 3 })
    const logistic = (value: number) => 1 / (1 + Math.exp(-value))
    const score = logistic(1) * logistic(2)
    expect(difference(found.scores, [score, score, score], 1e-5)).toBeUndefined()
    expect([...found.labels]).toEqual([1, 1, 1])
    expect([...found.boxes]).toEqual([0, 0, 12, 6, 12, 0, 28, 6, 28, 0, 44, 6])
    expect(second).toEqual(found)
    const none = await model.predict(images, { scoreThreshold: score + 0.01 })
    expect(none.map(({ labels }) => labels.length)).toEqual([0, 0])
  })
})

it('a step is traced once, whatever the pictures show', async () => {
  const model = filled(new Yolo({ ...SMALL, width: 1 / 16 }))
  let traces = 0
  const loss = compile((images: Tensor, boxes: Tensor, labels: Tensor) => {
    traces++
    return model.loss(model.forward(images), { boxes, labels })
  })
  const shape = [2, 2, 32, 32]
  const images = tensor(uniform('images', shape), { shape })
  const losses: number[] = []
  for (const count of [0, 1, 3]) {
    const corners = [4, 6, 20, 30, 16, 2, 30, 14, 0, 0, 12, 12].slice(0, 4 * count)
    const objects = { boxes: corners, labels: [1, 0, 2].slice(0, count) }
    const { boxes, labels } = detectionTargets([objects, { boxes: [], labels: [] }], 3)
    losses.push(await loss(images, boxes, labels).item())
  }
  expect(traces).toBe(1)
  expect(losses.every(Number.isFinite), losses.join(', ')).toBe(true)
  expect(new Set(losses).size).toBe(3)
})

describe('the zoo', () => {
  it('has them as detectors', () => {
    const detectors = list().filter(({ kind }) => kind === 'detection')
    expect(detectors.map(({ name }) => name)).toEqual([
      'yolo_v1',
      'yolo_v1_fast',
      'yolox_nano',
      'yolox_tiny',
      'yolox_s',
      'yolox_m',
      'yolox_l',
      'yolox_x',
    ])
  })

  it('names what YOLOX’s checkpoints name', () => {
    const names = Object.keys(create('yolox_nano').stateDict())
    for (const name of [
      'backbone.backbone.stem.conv.conv.weight',
      'backbone.backbone.dark2.0.dconv.bn.running_mean',
      'backbone.backbone.dark5.1.conv2.conv.weight',
      'backbone.backbone.dark3.1.m.2.conv2.pconv.conv.weight',
      'backbone.lateral_conv0.conv.weight',
      'backbone.C3_p4.conv3.bn.weight',
      'backbone.bu_conv1.dconv.conv.weight',
      'head.cls_convs.0.1.pconv.conv.weight',
      'head.reg_preds.2.bias',
      'head.obj_preds.1.weight',
      'head.stems.0.conv.weight',
    ])
      expect(names).toContain(name)
    const s = create('yolox_s').stateDict()
    expect(s['head.cls_preds.0.weight'].shape).toEqual([80, 128, 1, 1])
    expect(s['backbone.backbone.stem.conv.conv.weight'].shape).toEqual([32, 12, 3, 3])
  })

  it('refuses images that strides do not divide', () => {
    expect(() => new Yolo({ boxLoss: 'diou' as 'iou' })).toThrow(/'diou' must be one of/)
    expect(() => create('yolox_nano').forward(zeros([1, 3, 100, 96]))).toThrow(
      /\[1, 3, 100, 96\] must be .* multiples of 32; pad them/,
    )
  })
})
