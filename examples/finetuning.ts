// Fine-tuning: what a network learned from 60,000 digits helps it with a task it has 200 labels for.
// `npm run example -- finetuning [--from RUN] [--labels 200] [--epochs 30] [--limit IMAGES] [--test 10000]`
//
// LeNet's convolutions have learned to see strokes, edges and corners. Those are of use for other small grey pictures too;
// only the last layer, which turns features into digits, is of none. So:
//
// 1. load the trained network (from a run of `burnish train lenet --out RUN`; without --from one is trained here first),
// 2. replace fc3, the last layer, by a new one,
// 3. freeze the convolutions: no gradient, not in the optimizer, bits that do not change,
// 4. train what is left with a small learning rate, smaller still where something was learned before.
//
// The new task is Fashion-MNIST where it is installed (Debian's package dataset-fashion-mnist), else digits that lie on
// their side. A network that starts from nothing gets the same labels, for comparison.
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BurnishError, manualSeed } from 'burnish'
import {
  DataLoader,
  type Dataset,
  fashionMnist,
  hostArray,
  ImageDataset,
  mnist,
  Subset,
} from 'burnish/data'
import { decodeState, encodeState } from 'burnish/io'
import { LeNet } from 'burnish/models'
import * as nn from 'burnish/nn'
import { AdamW, OneCycleLR, SGD } from 'burnish/optim'
import { evaluate, fit } from 'burnish/train'

const { values: options } = parseArgs({
  options: {
    from: { type: 'string' },
    labels: { type: 'string', default: '200' },
    epochs: { type: 'string', default: '30' },
    limit: { type: 'string', default: '20000' },
    test: { type: 'string', default: '10000' },
  },
})
const LABELS = Number(options.labels)
const EPOCHS = Number(options.epochs)
const SCALING = { mean: 0.1307, std: 0.3081 }
const BATCH = 20

const first = <Item>(data: Dataset<Item>, count: number) =>
  new Subset(
    data,
    Array.from({ length: Math.min(count, data.length) }, (_, i) => i),
  )

// ---- the trained network, as a file ----

/** Trains LeNet on digits for two epochs and leaves it as a safetensors file. */
async function trained(file: string): Promise<void> {
  const digits = first(await mnist({ train: true, ...SCALING }), Number(options.limit))
  console.log(`no --from: training LeNet on ${digits.length} digits first`)
  const model = new LeNet()
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
  const loader = new DataLoader(digits, { batchSize: 64, shuffle: true, dropLast: true })
  await fit(model, loader, {
    epochs: 2,
    optimizer,
    scheduler: new OneCycleLR(optimizer, 0.05, { totalSteps: 2 * loader.length }),
  })
  await writeFile(file, await encodeState(model.stateDict()))
}

// ---- the new task ----

/** The pictures turned by 90°: a task like digits, and not the same. */
function turned({ images, labels }: ImageDataset): ImageDataset {
  const [count, , height, width] = images.shape
  const bytes = new Uint8Array(images.data.length)
  for (let n = 0; n < count; n++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        bytes[(n * width + x) * height + (height - 1 - y)] =
          images.data[(n * height + y) * width + x]
  return new ImageDataset(hostArray(bytes, images.shape), labels, SCALING)
}

async function newTask(train: boolean): Promise<{ name: string; data: ImageDataset }> {
  try {
    const data = await fashionMnist({ train, mean: 0.286, std: 0.353 })
    return { name: 'Fashion-MNIST', data }
  } catch (error) {
    if (!(error instanceof BurnishError)) throw error // not installed
    return { name: 'digits on their side', data: turned(await mnist({ train })) }
  }
}

manualSeed(1)
const folder = await mkdtemp(join(tmpdir(), 'burnish-finetuning-'))
const file =
  options.from === undefined
    ? join(folder, 'model.safetensors')
    : join(options.from, 'model.safetensors')
try {
  if (options.from === undefined) await trained(file)
  else if (!existsSync(file)) throw new BurnishError(`--from ${options.from}: there is no ${file}`)

  const { name, data } = await newTask(true)
  const few = first(data, LABELS)
  const test = new DataLoader(first((await newTask(false)).data, Number(options.test)), {
    batchSize: 500,
  })
  console.log(`the new task: ${name}, ${few.length} labels; tested on ${test.samples} others\n`)
  const batches = () => new DataLoader(few, { batchSize: BATCH, shuffle: true, seed: 1 })
  const accuracyOf = async (model: LeNet) => (await evaluate(model, test)).accuracy
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`

  // 1. load
  const model = new LeNet()
  model.loadStateDict(decodeState(await readFile(file), file))
  // 2. a new last layer, in place of the old one: assigning the field is all there is to it
  model.fc3 = new nn.Linear(84, 10)
  // 3. freeze
  const convolutions = model.namedParameters().filter(([path]) => path.startsWith('conv'))
  const frozen = convolutions.map(([, parameter]) => parameter)
  for (const parameter of frozen) parameter.trainable = false
  const before = await Promise.all(frozen.map(async (p) => Float32Array.from(await p.data())))
  const untrained = await accuracyOf(model)

  // 4. train: the new layer with a small rate, what had learned something with a smaller one
  const optimizer = new AdamW(
    [
      { parameters: model.fc3.parameters() },
      { parameters: [...model.fc1.parameters(), ...model.fc2.parameters()], lr: 1e-3 },
    ],
    { lr: 3e-3 },
  )
  const { epochs } = await fit(model, batches(), { epochs: EPOCHS, optimizer })
  const tuned = await accuracyOf(model)
  console.log(
    `loss on the ${few.length} labels: ${epochs[0].train.loss.toFixed(3)} in the first epoch, ${epochs[epochs.length - 1].train.loss.toFixed(3)} in the last of ${EPOCHS}`,
  )

  // Frozen means frozen.
  const after = await Promise.all(frozen.map((p) => p.data()))
  const same = before.every((values, i) =>
    values.every((value, j) => Object.is(value, after[i][j])),
  )
  const gradients = frozen.filter((p) => p.grad !== undefined).length
  if (!same || gradients > 0)
    throw new Error(`frozen weights changed (${!same}), or have gradients (${gradients})`)
  console.log(
    `frozen: ${convolutions.map(([path]) => path).join(', ')}: no gradient, and every bit as it was loaded\n`,
  )

  // From nothing, with the same labels and as many steps.
  const fresh = new LeNet()
  const freshSteps = new AdamW(fresh.parameters(), { lr: 3e-3 })
  await fit(fresh, batches(), { epochs: EPOCHS, optimizer: freshSteps })
  const rows = [
    ['loaded, with a new last layer, untrained', untrained],
    [`fine-tuned on ${few.length} labels`, tuned],
    [`from nothing, on the same ${few.length} labels`, await accuracyOf(fresh)],
  ] as const
  console.log(`accuracy on ${name}`)
  for (const [what, accuracy] of rows)
    console.log(`  ${what.padEnd(42)} ${percent(accuracy).padStart(7)}`)
} finally {
  await rm(folder, { recursive: true })
}
