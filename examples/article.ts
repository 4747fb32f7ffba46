// The convolution network of many a PyTorch article, in its shape: a Dataset class, a DataLoader, a model of two
// convolutions and three linear layers, cross entropy, SGD (0.001, momentum 0.9), ten epochs.
// `npm run example -- article [--epochs 10] [--limit IMAGES] [--batch-size 64]`
//
// Where the article is wrong this program does it right, and a comment says so.
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed, type Tensor } from 'burnish'
import { DataLoader, type Dataset, type HostArray, hostArray, mnist, Subset } from 'burnish/data'
import * as nn from 'burnish/nn'
import { SGD } from 'burnish/optim'

class DigitDataset implements Dataset<readonly [HostArray, number]> {
  readonly images: HostArray // bytes [N, 1, 28, 28]
  readonly labels: Int32Array // [N]

  constructor(images: HostArray, labels: Int32Array) {
    this.images = images
    this.labels = labels
  }

  get length(): number {
    return this.labels.length
  }

  get(index: number): readonly [HostArray, number] {
    const bytes = this.images.data.subarray(index * 784, (index + 1) * 784)
    // The article feeds bytes 0 … 255 as they are; the network wants numbers of about 1.
    const pixels = Float32Array.from(bytes, (byte) => byte / 255)
    // The article forgets the channel: a convolution reads [channels, height, width].
    return [hostArray(pixels, [1, 28, 28]), this.labels[index]]
  }
}

class CNNModel extends nn.Module {
  conv1 = new nn.Conv2d(1, 6, 5)
  pool = new nn.MaxPool2d(2, { stride: 2 })
  conv2 = new nn.Conv2d(6, 16, 5)
  // The article has 16·5·5 here: right for 32×32 images, but 28×28 ones arrive as 16·4·4 (see article-as-printed).
  fc1 = new nn.Linear(16 * 4 * 4, 120)
  fc2 = new nn.Linear(120, 84)
  fc3 = new nn.Linear(84, 10)

  forward(images: Tensor): Tensor {
    let x = this.pool.forward(nn.relu(this.conv1.forward(images))) // [B, 6, 12, 12]
    x = this.pool.forward(nn.relu(this.conv2.forward(x))) // [B, 16, 4, 4]
    x = x.reshape(-1, 16 * 4 * 4)
    x = nn.relu(this.fc1.forward(x))
    x = nn.relu(this.fc2.forward(x))
    return this.fc3.forward(x) // [B, 10]
  }
}

export interface Options {
  readonly epochs: number
  readonly limit: number
  readonly batchSize: number
}

async function digits(train: boolean, limit: number) {
  const { images, labels } = await mnist({ train })
  const all = new DigitDataset(images, labels)
  return new Subset(
    all,
    Array.from({ length: Math.min(limit, all.length) }, (_, i) => i),
  )
}

async function train(
  model: nn.Module,
  loader: DataLoader<readonly [HostArray, number]>,
  optimizer: SGD,
  epoch: number,
): Promise<void> {
  model.train()
  let batch = 0
  for await (const [images, labels] of loader) {
    optimizer.zeroGrad()
    const loss = nn.crossEntropy(model.forward(images), labels)
    loss.backward()
    await optimizer.step()
    if (batch % 100 === 0) {
      const position = batch * loader.batchSize
      const share = Math.round((100 * batch) / loader.length)
      console.log(
        `Train Epoch: ${epoch} [${position}/${loader.samples} (${share}%)]\tLoss: ${(await loss.item()).toFixed(6)}`,
      )
    }
    batch++
  }
}

async function test(
  model: nn.Module,
  loader: DataLoader<readonly [HostArray, number]>,
): Promise<void> {
  model.eval()
  let loss = 0
  let correct = 0
  for await (const [images, labels] of loader) {
    const logits = model.forward(images)
    const [batchLoss, batchCorrect] = await Promise.all([
      nn.crossEntropy(logits, labels).item(),
      logits.argmax(1).eq(labels).sum().item(),
    ])
    // The article adds up the batches' mean losses and divides by the number of images: a mean is of its batch's
    // images, so it counts as many times as there are.
    loss += batchLoss * labels.shape[0]
    correct += batchCorrect
  }
  const images = loader.samples
  console.log(
    `\nTest set: Average loss: ${(loss / images).toFixed(4)}, Accuracy: ${correct}/${images} (${((100 * correct) / images).toFixed(2)}%)\n`,
  )
}

export async function run(model: nn.Module, { epochs, limit, batchSize }: Options): Promise<void> {
  const training = new DataLoader(await digits(true, limit), { batchSize, shuffle: true })
  const testing = new DataLoader(await digits(false, limit), { batchSize: 1000 })
  const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 })
  for (let epoch = 1; epoch <= epochs; epoch++) {
    await train(model, training, optimizer, epoch)
    await test(model, testing)
  }
}

export function options(): Options {
  const { values } = parseArgs({
    options: {
      epochs: { type: 'string', default: '10' },
      limit: { type: 'string', default: '60000' },
      'batch-size': { type: 'string', default: '64' },
    },
  })
  return {
    epochs: Number(values.epochs),
    limit: Number(values.limit),
    batchSize: Number(values['batch-size']),
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  manualSeed(1)
  await run(new CNNModel(), options())
}
