// `burnish train`: what is learned from, by which recipe, with live progress, checkpoints, the final test, the
// mistakes. Settings come from the flags, before them from a recipe file, before it from the model's own recipe and the
// data set.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { type Dataset, randomSplit, Subset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import type { Module } from '../nn/module.js'
import { OneCycleLR } from '../optim/index.js'
import { compile } from '../tensor/compile.js'
import { manualSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { eachBatch } from '../train/evaluate.js'
import { fit } from '../train/index.js'
import { saveRun } from '../train/save.js'
import { greys, mostLikely } from './classify.js'
import { datasetNamed, datasets, type KnownDataset } from './datasets.js'
import type { Picture } from './draw.js'
import { type Field, machineFields, type Settings, trainFields } from './fields.js'
import type { KnownModel, Recipe } from './models.js'
import { optimizers } from './optimizers.js'
import { loadRecipe } from './recipe.js'
import { figuresOf, type recording, trainingStep } from './recorder.js'
import { jsonReport, type RunStart, textReport } from './report.js'
import { beginRun, isFinished, settingsOf, shellWord } from './run.js'
import { hasColour, modelNamed, onDevice } from './setup.js'
import { percent } from './values.js'

/** The flags; those of the fields are settings. */
export interface TrainOptions extends Settings {
  readonly recipe?: string
  readonly resume?: string
  readonly json: boolean
}

type Images = Dataset<readonly [Tensor, number]>

const TEST_BATCH = 500
const MOST_MISTAKES = 10
const KEPT_CHECKPOINTS = 2
const CAPTION = 28 // the width of a picture

function first(images: Images, limit: number | undefined): Images {
  if (limit === undefined || limit >= images.length) return images
  return new Subset(
    images,
    Array.from({ length: limit }, (_, i) => i),
  )
}

/** The settings among `options` that were given. */
function given(options: Settings, fields: readonly Field[]): Settings {
  return Object.fromEntries(
    fields.map(({ key }) => [key, options[key]]).filter(([, value]) => value !== undefined),
  )
}

/** Everything a run was told: by flags, recipe file, or, when it is resumed, by the run itself. */
async function settingsFrom(model: string | undefined, options: TrainOptions): Promise<Settings> {
  const flags = { ...given(options, trainFields), ...(model === undefined ? {} : { model }) }
  const { resume, recipe } = options
  if (resume === undefined)
    return { ...(recipe === undefined ? {} : await loadRecipe(recipe)), ...flags }
  const machine: readonly string[] = machineFields.map(({ key }) => key)
  const changed = [
    ...Object.keys(flags).filter((key) => !machine.includes(key)),
    ...(recipe === undefined ? [] : ['recipe']),
  ]
  if (changed.length > 0)
    fail(
      `--resume ${resume}: a run goes on as it began; ${changed.join(', ')} cannot be given (${machine.join(', ')} can)`,
    )
  if (isFinished(resume))
    fail(`${resume}: this run has ended; try burnish evaluate ${shellWord(resume)}`)
  return { ...(await settingsOf(resume)), ...flags, out: resume }
}

export async function train(
  model: string | undefined,
  options: TrainOptions,
  signal: AbortSignal,
): Promise<void> {
  const told = await settingsFrom(model, options)
  const known = modelNamed(
    told.model ?? fail('which model? burnish train lenet, or model: lenet in a recipe'),
  )
  const dataset = datasetNamed(
    told.data ??
      fail(
        `no data: give --data ${Object.keys(datasets).join(', --data ')} or a folder, or data: in a recipe`,
      ),
  )
  const settings = {
    ...{ ...known.recipe, ...dataset.scaling, seed: 0, device: 'cpu' },
    ...told,
    ...{ model: known.key, data: dataset.name },
  }
  const all: Images = await dataset.load(true, settings)
  const { holdOut } = settings
  if (holdOut !== undefined && holdOut >= all.length)
    fail(
      `--hold-out ${holdOut}: there are ${all.length} training images, some must be left to learn from`,
    )
  const [learning, testing]: readonly Images[] =
    holdOut === undefined
      ? [all, await dataset.load(false, settings)]
      : randomSplit(all, [all.length - holdOut, holdOut], 0)
  const data = { learn: first(learning, settings.limit), test: first(testing, settings.limit) }
  if (settings.out !== undefined && options.resume === undefined)
    await beginRun(settings.out, settings)
  const resume = options.resume !== undefined
  await onDevice(settings, false, (recorded) =>
    run({ known, dataset, settings, resume, json: options.json, data, signal }, recorded),
  )
}

interface Run {
  readonly known: KnownModel
  readonly dataset: KnownDataset
  readonly settings: Settings & Recipe & { readonly seed: number }
  readonly resume: boolean
  readonly json: boolean
  readonly data: { readonly learn: Images; readonly test: Images }
  readonly signal: AbortSignal
}
async function run(
  { known, dataset, settings, resume, json, data, signal }: Run,
  { device, programs }: ReturnType<typeof recording>,
): Promise<void> {
  const { stdout } = process
  const report = json ? jsonReport(stdout) : textReport(stdout, hasColour(stdout))
  const { epochs, batchSize, optimizer: rule, lr, seed, out } = settings
  const began = performance.now()
  manualSeed(seed)
  const model = known.make()
  const optimizer = optimizers[rule](model.parameters(), settings)
  const learn = new DataLoader(data.learn, {
    batchSize,
    shuffle: true,
    seed,
    dropLast: data.learn.length >= batchSize, // one shape, one program
    signal,
  })
  const test = new DataLoader(data.test, { batchSize: TEST_BATCH, signal })
  const start: RunStart = {
    model: known.name,
    parameters: model.parameters().reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    data: dataset.name,
    samples: learn.samples,
    testSamples: test.samples,
    device: device.name,
    threads: device.threads,
    epochs,
    batchSize,
    optimizer: rule,
    lr,
    seed,
  }
  report.start(start)

  let done = 0
  try {
    const history = await fit(model, learn, {
      epochs,
      optimizer,
      scheduler: new OneCycleLR(optimizer, lr, {
        totalSteps: epochs * learn.length,
        pctStart: settings.warmup,
        cycleMomentum: false,
      }),
      validate: test,
      signal,
      callbacks: [
        {
          onStart: ({ history }) => {
            done = history.length
          },
          onStep: (event) => report.step(event),
          onEpochEnd: (event) => {
            done = event.epoch
            report.epoch(event, epochs)
          },
        },
      ],
      ...(out === undefined
        ? {}
        : {
            checkpoint: {
              folder: out,
              everySteps: settings.saveEvery,
              keep: settings.keep ?? KEPT_CHECKPOINTS,
            },
            resume,
          }),
    })
    const final = history.epochs[history.epochs.length - 1].validation
    const seconds = (performance.now() - began) / 1000
    const step = trainingStep(programs)
    const mistakes = await mistakesOf(model, test, dataset.classes, signal)
    if (out !== undefined)
      await saveRun(out, model, { ...start, history: history.epochs, final, seconds })
    report.end({
      testLoss: final.loss,
      testAccuracy: final.accuracy,
      seconds,
      step: step && figuresOf(step),
      mistakes: mistakes.slice(0, MOST_MISTAKES).map((mistake) => mistake.picture()),
      mistakeCount: mistakes.length,
      out,
    })
  } catch (error) {
    if (signal.aborted)
      report.stopped(
        done,
        out === undefined ? undefined : `npx burnish train --resume ${shellWord(out)}`,
      )
    throw error
  }
}

interface Mistake {
  readonly confidence: number
  picture(): Picture
}

/** The digits the model gets wrong, the most confident first. */
async function mistakesOf(
  model: Module,
  test: DataLoader<readonly [Tensor, number]>,
  classes: readonly string[],
  signal: AbortSignal,
): Promise<readonly Mistake[]> {
  model.eval()
  const logitsOf = compile((images: Tensor) => model.forward(images))
  const mistakes: Mistake[] = []
  await eachBatch(test, signal, async ([images, labels]) => {
    const logits = await logitsOf(images).data() // [B, classes]
    const [pixels, truth] = await Promise.all([images.data(), labels.data()])
    const [height, width] = images.shape.slice(2)
    for (let i = 0; i < truth.length; i++) {
      const row = logits.subarray(i * classes.length, (i + 1) * classes.length)
      const { said, confidence } = mostLikely(row)
      if (said === truth[i]) continue
      const image = pixels.slice(i * height * width, (i + 1) * height * width)
      const read = `${classes[truth[i]]}, read as ${classes[said]}`
      const long = `${read} (${percent(confidence, 1)})`
      const caption = long.length <= CAPTION ? long : read
      mistakes.push({
        confidence,
        picture: () => ({ pixels: greys(image), width, height, caption }),
      })
    }
  })
  return mistakes.sort((a, b) => b.confidence - a.confidence)
}
