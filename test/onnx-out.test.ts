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
    const { graph, fixed } = await compareExport(ort, given[0], given[1], {
      ...given[2],
      back: true,
    })
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
    expect(found).toMatchInlineSnapshot(`
      {
        "Add": 8,
        "BatchNormalization": 20,
        "Conv": 20,
        "Gemm": 1,
        "MaxPool": 1,
        "Relu": 17,
        "Reshape": 1,
      }
    `)
  })

  it('MobileNet v2', async () => {
    const found = await compare(filledModel(models.create('mobilenet_v2', { numClasses: 10 })), [
      [images(1, 32)],
      [images(2, 32)],
    ])
    expect(found).toMatchInlineSnapshot(`
      {
        "Add": 10,
        "BatchNormalization": 52,
        "Clip": 35,
        "Conv": 52,
        "Gemm": 1,
        "Reshape": 1,
      }
    `)
  })

  it('U-Net', async () => {
    const model = filledModel(new models.UNet({ channels: 4, depth: 3 }))
    const found = await compare(model, [[images(1, 32, 1)], [images(2, 32, 1)]])
    expect(found).toMatchInlineSnapshot(`
      {
        "Concat": 3,
        "Conv": 15,
        "ConvTranspose": 3,
        "MaxPool": 3,
        "Relu": 14,
      }
    `)
  })

  it('YOLOX nano', async () => {
    const model = filledModel(models.create('yolox_nano', { numClasses: 4 }))
    const found = await compare(model, [[images(1, 64)], [images(2, 64)]])
    expect(found).toMatchInlineSnapshot(`
      {
        "Add": 10,
        "BatchNormalization": 104,
        "Concat": 17,
        "Conv": 113,
        "Exp": 1,
        "Identity": 1,
        "MaxPool": 3,
        "Mul": 108,
        "Reshape": 20,
        "Resize": 2,
        "Sigmoid": 104,
        "Slice": 6,
        "Sub": 2,
        "Transpose": 7,
      }
    `)
  })

  it('YOLO v1, fast', async () => {
    const model = filledModel(
      new models.YoloV1({ numClasses: 4, imageSize: 192, fast: true, width: 1 / 16, hidden: 8 }),
    )
    const found = await compare(model, [[images(1, 192)], [images(2, 192)]])
    expect(found).toMatchInlineSnapshot(`
      {
        "Conv": 9,
        "Gemm": 3,
        "LeakyRelu": 10,
        "MaxPool": 6,
        "Reshape": 2,
      }
    `)
  })

  it('TextCNN', async () => {
    const model = filledModel(new models.TextCNN({ vocabSize: 50, embeddingDim: 8, numFilters: 6 }))
    const found = await compare(model, [[values('w', [1, 12], 50)], [values('v', [3, 12], 50)]])
    expect(found).toMatchInlineSnapshot(`
      {
        "Concat": 1,
        "Conv": 3,
        "Gather": 1,
        "Gemm": 1,
        "ReduceMax": 3,
        "Relu": 3,
        "Transpose": 1,
      }
    `)
  })

  it('LSTM', async () => {
    const model = filledModel(
      new LSTM(5, 7, { numLayers: 2, bidirectional: true, batchFirst: true }),
    )
    const found = await compare(model, [[values('w', [2, 6, 5])], [values('v', [3, 6, 5])]])
    expect(found).toMatchInlineSnapshot(`
      {
        "Concat": 4,
        "LSTM": 4,
        "Reshape": 4,
        "Slice": 4,
        "Transpose": 2,
      }
    `)
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
    expect(found).toMatchInlineSnapshot(`
      {
        "Add": 8,
        "Equal": 1,
        "Erf": 2,
        "Gather": 3,
        "Gemm": 14,
        "LayerNormalization": 5,
        "MatMul": 4,
        "Mul": 8,
        "Not": 1,
        "Reshape": 22,
        "Slice": 1,
        "Softmax": 2,
        "Tanh": 1,
        "Transpose": 8,
        "Where": 2,
      }
    `)
  })

  it('GPT-2', async () => {
    const model = filledModel(
      new models.GPT2({ vocabSize: 60, nPositions: 24, nEmbd: 32, nLayer: 2, nHead: 4 }),
    )
    const found = await compare(model, [
      [values('ids', [1, 12], 60)],
      [values('more', [3, 12], 60)],
    ])
    expect(found).toMatchInlineSnapshot(`
      {
        "Add": 9,
        "Gather": 2,
        "Gemm": 9,
        "LayerNormalization": 5,
        "MatMul": 4,
        "Mul": 14,
        "Reshape": 24,
        "Slice": 6,
        "Softmax": 2,
        "Tanh": 2,
        "Transpose": 8,
        "Where": 2,
      }
    `)
  })
})
