// Whole networks exported to ONNX against ONNX Runtime, with a batch other than the example's, and read again; and the
// operators each becomes.
import { describe, expect, it } from 'vitest'
import type { ExampleInput, Exportable } from '../src/io/onnx/export.js'
import * as models from '../src/models/index.js'
import { LSTM, Module } from '../src/nn/index.js'
import { tensor } from '../src/tensor/create.js'
import { compareExport, filledModel, operators, values } from './onnx-out.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

interface Network {
  readonly make: () => Exportable
  /** The example's batch and the other's. */
  readonly batches: readonly [number, number]
  readonly given: (batch: number) => readonly ExampleInput[]
  readonly operators: { readonly [op: string]: number }
}

const images =
  (size: number, channels = 3) =>
  (n: number) => [values(`images ${n}`, [n, channels, size, size])]

/** Ids below `below`. */
const ids = (n: number, length: number, below: number) => values(`ids ${n}`, [n, length], below)

const networks: { readonly [name: string]: Network } = {
  LeNet: {
    make: () => new models.LeNet(),
    batches: [1, 3],
    given: images(28, 1),
    operators: { Conv: 2, Relu: 4, MaxPool: 2, Reshape: 1, Gemm: 3 },
  },
  'ResNet-18': {
    make: () => models.create('resnet18', { numClasses: 10 }),
    batches: [1, 2],
    given: images(32),
    operators: {
      Add: 8,
      BatchNormalization: 20,
      Conv: 20,
      Gemm: 1,
      MaxPool: 1,
      Relu: 17,
      Reshape: 1,
    },
  },
  'MobileNet v2': {
    make: () => models.create('mobilenet_v2', { numClasses: 10 }),
    batches: [1, 2],
    given: images(32),
    operators: { Add: 10, BatchNormalization: 52, Clip: 35, Conv: 52, Gemm: 1, Reshape: 1 },
  },
  'U-Net': {
    make: () => new models.UNet({ channels: 4, depth: 3 }),
    batches: [1, 2],
    given: images(32, 1),
    operators: { Concat: 3, Conv: 15, ConvTranspose: 3, MaxPool: 3, Relu: 14 },
  },
  'YOLOX nano': {
    make: () => models.create('yolox_nano', { numClasses: 4 }),
    batches: [1, 2],
    given: images(64),
    operators: {
      Add: 10,
      BatchNormalization: 104,
      Concat: 17,
      Conv: 113,
      Exp: 1,
      Identity: 1,
      MaxPool: 3,
      Mul: 108,
      Reshape: 20,
      Resize: 2,
      Sigmoid: 104,
      Slice: 6,
      Sub: 2,
      Transpose: 7,
    },
  },
  'YOLO v1, fast': {
    make: () =>
      new models.YoloV1({ numClasses: 4, imageSize: 192, fast: true, width: 1 / 16, hidden: 8 }),
    batches: [1, 2],
    given: images(192),
    operators: { Conv: 9, Gemm: 3, LeakyRelu: 10, MaxPool: 6, Reshape: 2 },
  },
  TextCNN: {
    make: () => new models.TextCNN({ vocabSize: 50, embeddingDim: 8, numFilters: 6 }),
    batches: [1, 3],
    given: (n) => [ids(n, 12, 50)],
    operators: { Concat: 1, Conv: 3, Gather: 1, Gemm: 1, ReduceMax: 3, Relu: 3, Transpose: 1 },
  },
  LSTM: {
    make: () => new LSTM(5, 7, { numLayers: 2, bidirectional: true, batchFirst: true }),
    batches: [2, 3],
    given: (n) => [values(`rows ${n}`, [n, 6, 5])],
    operators: { Concat: 4, LSTM: 4, Reshape: 4, Slice: 4, Transpose: 2 },
  },
  BERT: {
    make: () =>
      new models.BertForSequenceClassification({
        vocabSize: 60,
        hiddenSize: 32,
        numHiddenLayers: 2,
        numAttentionHeads: 4,
        intermediateSize: 64,
        maxPositionEmbeddings: 24,
      }),
    batches: [1, 3],
    given: (n) => {
      const attentionMask = tensor(
        Int32Array.from({ length: n * 12 }, (_, i) =>
          i % 12 < 12 - Math.floor(i / 12) * 2 ? 1 : 0,
        ),
        { shape: [n, 12] },
      )
      return [ids(n, 12, 60), { tokenTypeIds: values(`types ${n}`, [n, 12], 2), attentionMask }]
    },
    operators: {
      Add: 8,
      Equal: 1,
      Erf: 2,
      Gather: 3,
      Gemm: 14,
      LayerNormalization: 5,
      MatMul: 4,
      Mul: 8,
      Not: 1,
      Reshape: 22,
      Slice: 1,
      Softmax: 2,
      Tanh: 1,
      Transpose: 8,
      Where: 2,
    },
  },
  'GPT-2': {
    make: () => new models.GPT2({ vocabSize: 60, nPositions: 24, nEmbd: 32, nLayer: 2, nHead: 4 }),
    batches: [1, 3],
    given: (n) => [ids(n, 12, 60)],
    operators: {
      Add: 9,
      Gather: 2,
      Gemm: 9,
      LayerNormalization: 5,
      MatMul: 4,
      Mul: 14,
      Reshape: 24,
      Slice: 6,
      Softmax: 2,
      Tanh: 2,
      Transpose: 8,
      Where: 2,
    },
  },
}

describe.skipIf(ort === undefined)('networks exported to ONNX', () => {
  it.each(Object.entries(networks))('%s', async (_, network) => {
    if (!ort) throw new Error('no onnxruntime')
    const model = network.make()
    if (model instanceof Module) filledModel(model)
    const given = network.batches.map(network.given)
    const { graph } = await compareExport(ort, model, given, { back: true })
    expect(operators(graph)).toEqual(network.operators)
  })
})
