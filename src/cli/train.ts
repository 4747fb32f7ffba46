// `burnish train`: data, model and optimizer by name, fit with live progress, the final test, the mistakes.
import { existsSync, statSync } from 'node:fs'
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { type Dataset, randomSplit, Subset } from '../data/dataset.js'
import { type ImageDataset, mnist } from '../data/index.js'
import { DataLoader } from '../data/loader.js'
import type { Module } from '../nn/module.js'
import { OneCycleLR } from '../optim/index.js'
import { compile } from '../tensor/compile.js'
import { manualSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { eachBatch } from '../train/evaluate.js'
import { fit } from '../train/index.js'
import { prepareRun, saveRun } from '../train/save.js'
import type { Picture } from './draw.js'
import type { KnownModel, Recipe } from './models.js'
import { type OptimizerName, optimizers } from './optimizers.js'
import { figuresOf, type recording, trainingStep } from './recorder.js'
import { jsonReport, type Report, type RunStart, textReport } from './report.js'
import { type MachineOptions, modelNamed, onDevice } from './setup.js'
import { percent } from './values.js'

export interface TrainOptions extends MachineOptions {
  readonly data: string
  readonly epochs?: number
  readonly batchSize?: number
  readonly lr?: number
  readonly optimizer?: OptimizerName
  readonly momentum?: number
  readonly weightDecay?: number
  readonly seed: number
  readonly limit?: number
  readonly holdOut?: number
  readonly out?: string
  readonly json: boolean
}

type Images = Dataset<readonly [Tensor, number]>

const TEST_BATCH = 500
const MOST_MISTAKES = 10

async function digits(
  name: string,
  train: boolean,
  scaling: { readonly mean: number; readonly std: number },
): Promise<ImageDataset> {
  if (name === 'mnist') return mnist({ train, ...scaling })
  if (!existsSync(name) || !statSync(name).isDirectory())
    fail(`--data ${name}: is neither mnist nor a folder with IDX files`)
  return mnist({ train, root: name, ...scaling })
}

function first(images: Images, limit: number | undefined): Images {
  if (limit === undefined || limit >= images.length) return images
  return new Subset(
    images,
    Array.from({ length: limit }, (_, i) => i),
  )
}

export async function train(
  name: string,
  options: TrainOptions,
  signal: AbortSignal,
): Promise<void> {
  const known = modelNamed(name)
  const recipe = { ...known.recipe, ...definedOf(options) }
  if (options.out !== undefined) await prepareRun(options.out)
  const all = await digits(options.data, true, recipe)
  const [learning, testing]: readonly Images[] =
    options.holdOut === undefined
      ? [all, await digits(options.data, false, recipe)]
      : randomSplit(all, [all.length - options.holdOut, options.holdOut], 0)
  const data = { learn: first(learning, options.limit), test: first(testing, options.limit) }
  await onDevice(options, false, (recorded) =>
    run({ known, recipe, options, data, signal }, recorded),
  )
}

interface Run {
  readonly known: KnownModel
  readonly recipe: Recipe
  readonly options: TrainOptions
  readonly data: { readonly learn: Images; readonly test: Images }
  readonly signal: AbortSignal
}

function reportTo(output: typeof process.stdout, json: boolean): Report {
  const colour = output.isTTY === true && !process.env.NO_COLOR && output.getColorDepth() > 8
  return json ? jsonReport(output) : textReport(output, colour)
}

async function run(
  { known, recipe, options, data, signal }: Run,
  { device, programs }: ReturnType<typeof recording>,
): Promise<void> {
  const report = reportTo(process.stdout, options.json)
  const began = performance.now()
  manualSeed(options.seed)
  const model = known.make()
  const optimizer = optimizers[recipe.optimizer](model.parameters(), recipe)
  const learn = new DataLoader(data.learn, {
    batchSize: recipe.batchSize,
    shuffle: true,
    seed: options.seed,
    dropLast: data.learn.length >= recipe.batchSize, // one shape, one program
    signal,
  })
  const test = new DataLoader(data.test, { batchSize: TEST_BATCH, signal })
  const start: RunStart = {
    model: known.name,
    parameters: model.parameters().reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    data: options.data,
    samples: learn.samples,
    testSamples: test.samples,
    device: device.name,
    threads: device.threads,
    epochs: recipe.epochs,
    batchSize: recipe.batchSize,
    optimizer: recipe.optimizer,
    lr: recipe.lr,
    seed: options.seed,
  }
  report.start(start)

  let epochs = 0
  try {
    const history = await fit(model, learn, {
      epochs: recipe.epochs,
      optimizer,
      scheduler: new OneCycleLR(optimizer, recipe.lr, {
        totalSteps: recipe.epochs * learn.length,
        pctStart: recipe.warmup,
        cycleMomentum: false,
      }),
      validate: test,
      signal,
      callbacks: [
        {
          onStep: (event) => report.step(event),
          onEpochEnd: (event) => {
            epochs = event.epoch
            report.epoch(event, recipe.epochs)
          },
        },
      ],
    })
    const final = history.epochs[history.epochs.length - 1].validation
    const seconds = (performance.now() - began) / 1000
    const step = trainingStep(programs)
    const mistakes = await mistakesOf(model, test, signal)
    if (options.out !== undefined)
      await saveRun(options.out, model, { ...start, history: history.epochs, final, seconds })
    report.end({
      testLoss: final.loss,
      testAccuracy: final.accuracy,
      seconds,
      step: step && figuresOf(step),
      mistakes: mistakes.slice(0, MOST_MISTAKES).map((mistake) => mistake.picture()),
      mistakeCount: mistakes.length,
      out: options.out,
    })
  } catch (error) {
    if (signal.aborted) report.stopped(epochs)
    throw error
  }
}

/** The options that were given: the others leave the recipe as it is. */
function definedOf(options: TrainOptions) {
  const { epochs, batchSize, lr, optimizer, momentum, weightDecay } = options
  const given = { epochs, batchSize, lr, optimizer, momentum, weightDecay }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

interface Mistake {
  readonly confidence: number
  picture(): Picture
}

/** The digits the model gets wrong, the most confident first. */
async function mistakesOf(
  model: Module,
  test: DataLoader<readonly [Tensor, number]>,
  signal: AbortSignal,
): Promise<readonly Mistake[]> {
  model.eval()
  const logitsOf = compile((images: Tensor) => model.forward(images))
  const mistakes: Mistake[] = []
  await eachBatch(test, signal, async ([images, labels]) => {
    const logits = await logitsOf(images).data() // [B, classes]
    const [pixels, truth] = await Promise.all([images.data(), labels.data()])
    const classes = logits.length / truth.length
    const [height, width] = images.shape.slice(2)
    for (let i = 0; i < truth.length; i++) {
      const row = logits.subarray(i * classes, (i + 1) * classes)
      const { said, confidence } = mostLikely(row)
      if (said === truth[i]) continue
      const image = pixels.slice(i * height * width, (i + 1) * height * width)
      const caption = `${truth[i]}, read as ${said} (${percent(confidence, 1)})`
      mistakes.push({
        confidence,
        picture: () => ({ pixels: greys(image), width, height, caption }),
      })
    }
  })
  return mistakes.sort((a, b) => b.confidence - a.confidence)
}

/** The greatest logit and its softmax. */
function mostLikely(logits: ArrayLike<number>): { said: number; confidence: number } {
  let said = 0
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[said]) said = i
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - logits[said])
  return { said, confidence: 1 / sum }
}

/** Scaled so that the darkest pixel is 0 and the brightest 255. */
function greys(pixels: ArrayLike<number>): Uint8Array {
  const values = Array.from(pixels)
  const least = Math.min(...values)
  const range = Math.max(...values) - least || 1
  return Uint8Array.from(values, (value) => Math.round(((value - least) / range) * 255))
}
