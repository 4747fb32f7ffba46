// Training as on any machine: nothing here knows of a page.
import { compile, manualSeed, type Tensor } from 'burnish'
import { DataLoader, hostArray, ImageDataset, readIdx } from 'burnish/data'
import { LeNet } from 'burnish/models'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'

const EPOCHS = 5

/** A data set of the two IDX files. */
export function digitsOf(images: Uint8Array, labels: Uint8Array): ImageDataset {
  const { data, shape } = readIdx(images, 'images.idx') // [count, 28, 28]
  const classes = readIdx(labels, 'labels.idx')
  return new ImageDataset(hostArray(data, [shape[0], 1, 28, 28]), Int32Array.from(classes.data))
}

/** Trains LeNet for five epochs on the current device. The losses of all steps; each is told when it is known. */
export async function train(
  digits: ImageDataset,
  onStep: (step: number, steps: number, loss: number) => void = () => {},
): Promise<number[]> {
  manualSeed(1)
  const model = new LeNet()
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
  const loader = new DataLoader(digits, { batchSize: 32, shuffle: true, seed: 1 })
  const step = compile((images: Tensor, labels: Tensor) => {
    optimizer.zeroGrad()
    const loss = crossEntropy(model.forward(images), labels)
    loss.backward()
    optimizer.step()
    return { loss }
  })
  const losses: number[] = []
  for (let epoch = 0; epoch < EPOCHS; epoch++)
    for await (const [images, labels] of loader) {
      losses.push(await step(images, labels).loss.item())
      onStep(losses.length, EPOCHS * loader.length, losses[losses.length - 1])
    }
  return losses
}
