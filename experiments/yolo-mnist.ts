// A small YOLOX learns to find handwritten digits: MNIST digits of random size scattered over a canvas of 96×96 pixels,
// one to five each, new canvases in every batch. Measured on canvases of test digits, which no training canvas has.
//
// `npm run experiment -- yolo-mnist [--steps 1500]`
import { compile, keep, tensor } from 'burnish'
import { mnist } from 'burnish/data'
import { Yolo } from 'burnish/models'
import { AdamW, clipGradNorm, OneCycleLR } from 'burnish/optim'
import {
  type Detections,
  detectionTargets,
  meanAveragePrecision,
  type Objects,
} from 'burnish/vision'
import { experiment, round, seconds, stream } from './support.js'

const CANVAS = 96
const DIGIT = 28
const MOST = 5
const [SMALLEST, LARGEST] = [0.7, 1.6] // times 28 pixels
const CROWDED = 0.1 // digits overlap less, by IoU

interface Digits {
  readonly length: number
  readonly pixels: ArrayLike<number>
  readonly labels: Int32Array
}

interface Canvas extends Objects {
  readonly pixels: Float32Array
  readonly boxes: number[]
  readonly labels: number[]
}

function overlap(a: readonly number[], b: readonly number[]): number {
  const side = (k: 0 | 1) => Math.max(0, Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]))
  const area = (box: readonly number[]) => (box[2] - box[0]) * (box[3] - box[1])
  const inner = side(0) * side(1)
  return inner / (area(a) + area(b) - inner)
}

/** One to five digits; the box of each is the smallest around its ink. */
function draw(digits: Digits, random: () => number): Canvas {
  const pixels = new Float32Array(CANVAS * CANVAS)
  const boxes: number[][] = []
  const labels: number[] = []
  const wanted = 1 + Math.floor(random() * MOST)
  for (let attempt = 0; attempt < 40 && boxes.length < wanted; attempt++) {
    const at = Math.floor(random() * digits.length)
    const size = Math.round(DIGIT * (SMALLEST + random() * (LARGEST - SMALLEST)))
    const left = Math.floor(random() * (CANVAS - size + 1))
    const top = Math.floor(random() * (CANVAS - size + 1))
    const ink = resized(digits, at, size)
    const [x1, y1, x2, y2] = inkBox(ink, size)
    const box = [left + x1, top + y1, left + x2, top + y2]
    if (boxes.some((other) => overlap(other, box) > CROWDED)) continue
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const place = (top + y) * CANVAS + left + x
        pixels[place] = Math.max(pixels[place], ink[y * size + x])
      }
    boxes.push(box)
    labels.push(digits.labels[at])
  }
  return { pixels, boxes: boxes.flat(), labels }
}

/** A digit as size×size pixels of 0 … 1, by bilinear interpolation. */
function resized(digits: Digits, at: number, size: number): Float32Array {
  const result = new Float32Array(size * size)
  const source = (i: number) => Math.min(DIGIT - 1, Math.max(0, ((i + 0.5) * DIGIT) / size - 0.5))
  const pixel = (y: number, x: number) => digits.pixels[(at * DIGIT + y) * DIGIT + x] / 255
  for (let i = 0; i < size; i++) {
    const y = source(i)
    const [top, down] = [Math.floor(y), Math.min(DIGIT - 1, Math.floor(y) + 1)]
    for (let j = 0; j < size; j++) {
      const x = source(j)
      const [left, right] = [Math.floor(x), Math.min(DIGIT - 1, Math.floor(x) + 1)]
      const upper = pixel(top, left) + (x - left) * (pixel(top, right) - pixel(top, left))
      const lower = pixel(down, left) + (x - left) * (pixel(down, right) - pixel(down, left))
      result[i * size + j] = upper + (y - top) * (lower - upper)
    }
  }
  return result
}

const INK = 0.25

function inkBox(ink: Float32Array, size: number): readonly [number, number, number, number] {
  let [x1, y1, x2, y2] = [size, size, 0, 0]
  ink.forEach((value, i) => {
    if (value < INK) return
    const [x, y] = [i % size, Math.floor(i / size)]
    x1 = Math.min(x1, x)
    y1 = Math.min(y1, y)
    x2 = Math.max(x2, x + 1)
    y2 = Math.max(y2, y + 1)
  })
  return [x1, y1, x2, y2]
}

function batch(digits: Digits, count: number, random: () => number) {
  const canvases = Array.from({ length: count }, () => draw(digits, random))
  const pixels = new Float32Array(count * CANVAS * CANVAS)
  canvases.forEach((canvas, i) => {
    pixels.set(canvas.pixels, i * CANVAS * CANVAS)
  })
  const images = tensor(pixels, { shape: [count, 1, CANVAS, CANVAS] })
  return { images, targets: detectionTargets(canvases, MOST), canvases }
}

async function digitsOf(train: boolean): Promise<Digits> {
  const { images, labels } = await mnist({ train })
  return { length: labels.length, pixels: images.data, labels }
}

await experiment(
  'yolo-mnist',
  'A small YOLOX finds MNIST digits scattered over a canvas',
  { seed: 1, steps: 1500, batchSize: 32, lr: 0.002, width: 0.25, canvases: 500 },
  async ({ seed, steps, batchSize, lr, width, canvases }) => {
    const [train, test] = await Promise.all([digitsOf(true), digitsOf(false)])
    const model = new Yolo({ numClasses: 10, inChannels: 1, width, depth: 0.33 })
    const optimizer = new AdamW(model.parameters(), { lr, weightDecay: 0.01 })
    const schedule = new OneCycleLR(optimizer, lr, { totalSteps: steps, pctStart: 0.1 })
    const step = compile(
      (images: ReturnType<typeof tensor>, boxes: typeof images, labels: typeof images) => {
        optimizer.zeroGrad()
        const loss = model.loss(model.forward(images), { boxes, labels })
        keep(loss)
        loss.backward()
        clipGradNorm(model.parameters(), 10)
        optimizer.step({ guard: loss })
        return { loss }
      },
    )
    const random = stream(seed)
    const curve: number[] = []
    let sum = 0
    for (let i = 1; i <= steps; i++) {
      const { images, targets } = batch(train, batchSize, random)
      const { loss } = step(images, targets.boxes, targets.labels)
      sum += await loss.item()
      schedule.step()
      if (i % 50 !== 0) continue
      curve.push(round(sum / 50))
      console.log(`step ${i} of ${steps}: loss ${curve.at(-1)}, ${seconds()}`)
      sum = 0
    }
    model.eval()
    const found: Detections[] = []
    const truth: Objects[] = []
    const fresh = stream(seed + 1_000_000)
    while (truth.length < canvases) {
      const { images, canvases: drawn } = batch(test, Math.min(50, canvases - truth.length), fresh)
      found.push(...(await model.predict(images, { scoreThreshold: 0.01 })))
      truth.push(...drawn)
    }
    const all = meanAveragePrecision(found, truth)
    return {
      mapAt50: round(all.byThreshold[0].mean),
      mapAt50to95: round(all.mean),
      canvases,
      digits: truth.reduce((count, { labels }) => count + labels.length, 0),
      trainingCanvases: steps * batchSize,
      parameters: model
        .parameters()
        .reduce((count, p) => count + p.shape.reduce((n, d) => n * d, 1), 0),
      lossEvery50Steps: curve,
    }
  },
)
