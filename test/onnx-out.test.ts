// Whole networks exported to ONNX against ONNX Runtime, with batches other than the example's.
import { describe, expect, it } from 'vitest'
import * as models from '../src/models/index.js'
import { LSTM } from '../src/nn/index.js'
import { tensor } from '../src/tensor/create.js'
import { compareExport, filledModel, operators, values } from './onnx-out.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

const images = (n: number, size: number, channels = 3) =>
  values(`images ${n}`, [n, channels, size, size])

describe.skipIf(ort === undefined)('networks exported to ONNX', () => {
  const compare = async (
    ...given: Parameters<typeof compareExport> extends [unknown, ...infer R] ? R : never
  ) => {
    if (!ort) throw new Error('no onnxruntime')
    const { graph, fixed } = await compareExport(ort, ...given)
    expect(fixed).toBeUndefined()
    return operators(graph)
  }

  it('LeNet', async () => {
    const found = await compare(filledModel(new models.LeNet()), [
      [images(1, 28, 1)],
      [images(3, 28, 1)],
    ])
    expect(found).toEqual({ Conv: 2, Relu: 4, MaxPool: 2, Reshape: 1, Gemm: 3 })
  })

  it('ResNet-18', async () => {
    const found = await compare(filledModel(models.create('resnet18', { numClasses: 10 })), [
      [images(1, 32)],
      [images(2, 32)],
    ])
    console.log(found)
  })

  it('MobileNet v2', async () => {
    const found = await compare(filledModel(models.create('mobilenet_v2', { numClasses: 10 })), [
      [images(1, 32)],
      [images(2, 32)],
    ])
    console.log(found)
  })

  it('U-Net', async () => {
    const model = filledModel(new models.UNet({ channels: 4, depth: 3 }))
    const found = await compare(model, [[images(1, 32, 1)], [images(2, 32, 1)]])
    console.log(found)
  })

  it('YOLOX nano', async () => {
    const model = filledModel(models.create('yolox_nano', { numClasses: 4 }))
    const found = await compare(model, [[images(1, 64)], [images(2, 64)]])
    console.log(found)
  })

  it('YOLO v1, fast', async () => {
    const model = filledModel(
      new models.YoloV1({ numClasses: 4, imageSize: 192, fast: true, width: 1 / 16, hidden: 8 }),
    )
    const found = await compare(model, [[images(1, 192)], [images(2, 192)]])
    console.log(found)
  })

  it('TextCNN', async () => {
    const model = filledModel(new models.TextCNN({ vocabSize: 50, embeddingDim: 8, numFilters: 6 }))
    const found = await compare(model, [[values('w', [1, 12], 50)], [values('v', [3, 12], 50)]])
    console.log(found)
  })

  it('LSTM', async () => {
    const model = filledModel(
      new LSTM(5, 7, { numLayers: 2, bidirectional: true, batchFirst: true }),
    )
    const found = await compare(model, [[values('w', [2, 6, 5])], [values('v', [3, 6, 5])]])
    console.log(found)
  })

  it('BERT', async () => {
    const model = filledModel(
      new models.BertForSequenceClassification({
        vocabSize: 60,
        hiddenSize: 32,
        numHiddenLayers: 2,
        numAttentionHeads: 4,
        intermediateSize: 64,
        maxPositionEmbeddings: 24,
      }),
    )
    const batch = (n: number) => {
      const ids = values(`ids ${n}`, [n, 12], 60)
      const attentionMask = tensor(
        Int32Array.from({ length: n * 12 }, (_, i) =>
          i % 12 < 12 - Math.floor(i / 12) * 2 ? 1 : 0,
        ),
        { shape: [n, 12] },
      )
      return [ids, { tokenTypeIds: values(`types ${n}`, [n, 12], 2), attentionMask }]
    }
    const found = await compare(model, [batch(1), batch(3)])
    console.log(found)
  })

  it('GPT-2', async () => {
    const model = filledModel(
      new models.GPT2({ vocabSize: 60, nPositions: 24, nEmbd: 32, nLayer: 2, nHead: 4 }),
    )
    const found = await compare(model, [
      [values('ids', [1, 12], 60)],
      [values('more', [3, 12], 60)],
    ])
    console.log(found)
  })
})
