// The workloads of the benchmarks, those of the peer's script: a model, random batches, and what they count.
import { tensor } from 'burnish'
import { create, LeNet } from 'burnish/models'
import { Conv2d, Identity } from 'burnish/nn'
import { hostBatch } from './data.mjs'
import { GPT } from './text.mjs'

function resnetForSmallImages() {
  const model = create('resnet18', { numClasses: 10 })
  model.conv1 = new Conv2d(3, 64, 3, { padding: 1, bias: false })
  model.maxpool = new Identity()
  return model
}

const classifier = (name) => () => create(name, { numClasses: 10 })

/** `parameters`: as the peer's script counts them. */
const workloads = {
  lenet64: { make: () => new LeNet(), parameters: 61_706 },
  lenet512: { make: () => new LeNet(), parameters: 61_706 },
  textcnn: {
    make: () => create('textcnn', { vocabSize: 5000, embeddingDim: 128, dropout: 0 }),
    parameters: 794_502,
  },
  resnet18_cifar32: {
    make: resnetForSmallImages,
    parameters: 11_173_962,
  },
  resnet18_224: {
    make: classifier('resnet18'),
    parameters: 11_181_642,
  },
  mobilenetv2_224: {
    make: classifier('mobilenet_v2'),
    parameters: 2_236_682,
  },
  vgg11_64: { make: classifier('vgg11'), parameters: 128_807_306 },
  gpt: { make: () => new GPT(), parameters: 3_323_648 },
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
