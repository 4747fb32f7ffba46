// A narrow ResNet-18 learns the ten classes of CIFAR-10 from scratch, from 1,000 pictures each, shifted and mirrored at
// random. The 2,000 test pictures are looked at once, after the last step. For pictures of 32×32 the stem is a 3×3
// convolution without pooling, as in the paper's section 4.2.
//
// The pictures are those of ../shared/data/cifar10-jpeg-12k.tar.gz, or of a folder with `train/CLASS` and `test/CLASS`:
// `npm run experiment -- resnet18-cifar [--data FOLDER] [--epochs 20]`
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compile, keep, type Tensor, tensor } from 'burnish'
import { imageFolder, readImage } from 'burnish/data'
import { BasicBlock, ResNet } from 'burnish/models'
import { Conv2d, crossEntropy, MaxPool2d } from 'burnish/nn'
import { OneCycleLR, SGD } from 'burnish/optim'
import { experiment, root, round, seconds, stream } from './support.js'

const ARCHIVE = join(root, '../shared/data/cifar10-jpeg-12k.tar.gz')
const SIZE = 32
const CHANNELS = 3
const PIXELS = CHANNELS * SIZE * SIZE
const SHIFT = 4 // pixels, as in the paper

interface Pictures {
  readonly pixels: Uint8Array
  readonly labels: Int32Array
  readonly classes: readonly string[]
}

async function read(folder: string): Promise<Pictures> {
  const { files, classes } = await imageFolder(folder)
  const pixels = new Uint8Array(files.length * PIXELS)
  const labels = new Int32Array(files.length)
  for (const [i, { path, label }] of files.entries()) {
    const { data, shape } = await readImage(path)
    if (data.length !== PIXELS) throw new Error(`${path}: ${shape.join('×')}, not 3×32×32`)
    pixels.set(data, i * PIXELS)
    labels[i] = label
  }
  return { pixels, labels, classes }
}

/** Calls `use` with the folder that holds `train` and `test`: the given one, or the unpacked archive. */
async function withPictures<T>(given: string, use: (folder: string) => Promise<T>): Promise<T> {
  if (given !== '') return use(given)
  const unpacked = mkdtempSync(join(tmpdir(), 'burnish-cifar-'))
  try {
    execFileSync('tar', ['xzf', ARCHIVE, '-C', unpacked])
    return await use(join(unpacked, 'cifar10'))
  } finally {
    rmSync(unpacked, { recursive: true, force: true })
  }
}

function shuffled(count: number, random: () => number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const held = order[i]
    order[i] = order[j]
    order[j] = held
  }
  return order
}

interface Scale {
  readonly mean: readonly number[]
  readonly std: readonly number[]
}

/** Mean and deviation of each channel over all pictures. */
function scaleOf({ pixels, labels }: Pictures): Scale {
  const area = SIZE * SIZE
  const statistics = [0, 1, 2].map((c) => {
    let [sum, squares] = [0, 0]
    for (let i = 0; i < labels.length; i++)
      for (let k = 0; k < area; k++) {
        const value = pixels[i * PIXELS + c * area + k] / 255
        sum += value
        squares += value * value
      }
    const count = labels.length * area
    return { mean: sum / count, std: Math.sqrt(squares / count - (sum / count) ** 2) }
  })
  return { mean: statistics.map(({ mean }) => mean), std: statistics.map(({ std }) => std) }
}

/** Pictures as a batch; with random numbers shifted by up to 4 pixels (black comes in) and mirrored every other time. */
function gather(from: Pictures, indices: Int32Array, scale: Scale, random?: () => number) {
  const data = new Float32Array(indices.length * PIXELS)
  indices.forEach((index, i) => {
    const by = () => (random ? Math.floor(random() * (2 * SHIFT + 1)) - SHIFT : 0)
    const [down, right] = [by(), by()]
    const mirrored = random !== undefined && random() < 0.5
    for (let c = 0; c < CHANNELS; c++)
      for (let y = 0; y < SIZE; y++)
        for (let x = 0; x < SIZE; x++) {
          const [fromY, across] = [y + down, x + right]
          const fromX = mirrored ? SIZE - 1 - across : across
          const within = fromY >= 0 && fromY < SIZE && fromX >= 0 && fromX < SIZE
          const byte = within ? from.pixels[index * PIXELS + (c * SIZE + fromY) * SIZE + fromX] : 0
          data[i * PIXELS + (c * SIZE + y) * SIZE + x] = (byte / 255 - scale.mean[c]) / scale.std[c]
        }
  })
  return {
    images: tensor(data, { shape: [indices.length, CHANNELS, SIZE, SIZE] }),
    labels: tensor(indices.map((index) => from.labels[index])),
  }
}

function narrow(planes: number, numClasses: number): ResNet {
  const model = new ResNet(BasicBlock, [2, 2, 2, 2], { planes, numClasses })
  model.conv1 = new Conv2d(CHANNELS, planes, 3, { padding: 1, bias: false })
  model.maxpool = new MaxPool2d(1)
  return model
}

/** The share of the class that the training pictures have most often. */
function majority(train: Pictures, test: Pictures): number {
  const counts = train.classes.map((_, c) => train.labels.filter((label) => label === c).length)
  const most = counts.indexOf(Math.max(...counts))
  return test.labels.filter((label) => label === most).length / test.labels.length
}

const given = process.argv.includes('--data')
if (!given && !existsSync(ARCHIVE)) {
  console.log(
    `skipped: ${ARCHIVE} is absent; give a folder with train/CLASS/*.png and test/CLASS/*.png by --data`,
  )
} else {
  await experiment(
    'resnet18-cifar',
    'A narrow ResNet-18 learns CIFAR-10 from 10,000 pictures',
    { seed: 1, data: '', epochs: 20, batchSize: 64, lr: 0.1, weightDecay: 0.0005, planes: 16 },
    ({ seed, data, epochs, batchSize, lr, weightDecay, planes }) =>
      withPictures(data, async (folder) => {
        const train = await read(join(folder, 'train'))
        console.log(`${train.labels.length} training pictures, ${seconds()}`)
        const scale = scaleOf(train)
        const model = narrow(planes, train.classes.length)
        const optimizer = new SGD(model.parameters(), {
          lr,
          momentum: 0.9,
          nesterov: true,
          weightDecay,
        })
        const perEpoch = Math.floor(train.labels.length / batchSize)
        const schedule = new OneCycleLR(optimizer, lr, {
          totalSteps: epochs * perEpoch,
          pctStart: 0.2,
          cycleMomentum: false,
        })
        const step = compile((images: Tensor, labels: Tensor) => {
          optimizer.zeroGrad()
          const logits = model.forward(images)
          const loss = crossEntropy(logits, labels)
          const right = logits.argmax(1).eq(labels).float().sum()
          keep(loss)
          keep(right)
          loss.backward()
          optimizer.step({ guard: loss })
          return { loss, right }
        })
        const random = stream(seed)
        const lossOfEpochs: number[] = []
        let trainingAccuracy = 0
        for (let epoch = 1; epoch <= epochs; epoch++) {
          const order = shuffled(train.labels.length, random)
          let [lossSum, rightSum] = [0, 0]
          for (let i = 0; i < perEpoch; i++) {
            const batch = order.subarray(i * batchSize, (i + 1) * batchSize)
            const { images, labels } = gather(train, batch, scale, random)
            const { loss, right } = step(images, labels)
            const [lossNow, rightNow] = await Promise.all([loss.item(), right.item()])
            lossSum += lossNow
            rightSum += rightNow
            schedule.step()
          }
          lossOfEpochs.push(round(lossSum / perEpoch))
          trainingAccuracy = rightSum / (perEpoch * batchSize)
          console.log(
            `epoch ${epoch} of ${epochs}: loss ${lossOfEpochs.at(-1)}, accuracy ${round(trainingAccuracy)}, ${seconds()}`,
          )
        }
        const test = await read(join(folder, 'test'))
        model.eval()
        const say = compile((images: Tensor) => model.forward(images).argmax(1))
        let right = 0
        const all = Int32Array.from(test.labels, (_, i) => i)
        for (let i = 0; i < all.length; i += 100) {
          const batch = all.subarray(i, i + 100)
          const said = await say(gather(test, batch, scale).images).data()
          right += batch.filter((index, k) => said[k] === test.labels[index]).length
        }
        return {
          testAccuracy: round(right / test.labels.length),
          majorityClass: round(majority(train, test)),
          trainingAccuracy: round(trainingAccuracy),
          testPictures: test.labels.length,
          trainingPictures: train.labels.length,
          parameters: model
            .parameters()
            .reduce((count, p) => count + p.shape.reduce((n, d) => n * d, 1), 0),
          lossOfEpochs,
        }
      }),
  )
}
