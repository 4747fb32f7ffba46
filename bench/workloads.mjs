// The workloads of the benchmarks, those of the peer's script: a model, random batches, and what they count.
import { tensor } from 'burnish'
import { create, LeNet } from 'burnish/models'
import { Conv2d, Identity } from 'burnish/nn'
import { GPT, TextCNN } from './text.mjs'

const images = (batch, channels, size, classes) => ({
  shape: [batch, channels, size, size],
  labels: batch,
  classes,
})
const tokens = (batch, length, vocabulary, labels, classes) => ({
  shape: [batch, length],
  vocabulary,
  labels,
  classes,
})

function resnetForSmallImages() {
  const model = create('resnet18', { numClasses: 10 })
  model.conv1 = new Conv2d(3, 64, 3, { padding: 1, bias: false })
  model.maxpool = new Identity()
  return model
}

const classifier = (name) => () => create(name, { numClasses: 10 })

/** `parameters`: as the peer's script counts them. */
const workloads = {
  lenet64: { make: () => new LeNet(), data: images(64, 1, 28, 10), parameters: 61_706 },
  lenet512: { make: () => new LeNet(), data: images(512, 1, 28, 10), parameters: 61_706 },
  textcnn: {
    make: () => new TextCNN(),
    data: tokens(64, 64, 5000, 64, 2),
    parameters: 794_502,
  },
  resnet18_cifar32: {
    make: resnetForSmallImages,
    data: images(32, 3, 32, 10),
    parameters: 11_173_962,
  },
  resnet18_224: {
    make: classifier('resnet18'),
    data: images(8, 3, 224, 10),
    parameters: 11_181_642,
  },
  mobilenetv2_224: {
    make: classifier('mobilenet_v2'),
    data: images(8, 3, 224, 10),
    parameters: 2_236_682,
  },
  vgg11_64: { make: classifier('vgg11'), data: images(8, 3, 64, 10), parameters: 128_807_306 },
  gpt: { make: () => new GPT(), data: tokens(8, 128, 256, 8 * 128, 256), parameters: 3_323_648 },
}

export const names = Object.keys(workloads)

const below = (limit) => Math.floor(Math.random() * limit)

/** Host data of one batch: input (float32 pixels, or int32 tokens) and int32 labels. */
export function hostBatch(name) {
  const { shape, vocabulary, labels, classes } = workloads[name].data
  const length = shape.reduce((product, n) => product * n, 1)
  return {
    shape,
    input:
      vocabulary === undefined
        ? Float32Array.from({ length }, () => Math.random())
        : Int32Array.from({ length }, () => below(vocabulary)),
    labels: Int32Array.from({ length: labels }, () => below(classes)),
    classes,
  }
}

/** The model, and fresh batches: [input, labels int32]. */
export function workload(name) {
  const { shape, input, labels } = hostBatch(name)
  return {
    model: workloads[name].make(),
    parameters: workloads[name].parameters,
    batch: () => [tensor(input, { shape }), tensor(labels)],
  }
}
