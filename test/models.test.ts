// The zoo against torchvision: every network's number of parameters; names and shapes of the 17 networks of
// models.json, and their logits for the made-up image. Initial values, auxiliary heads and drop path by themselves.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  BasicBlock,
  create,
  list,
  type ModelName,
  type ModelOf,
  ResNet,
  UNet,
} from '../src/models/index.js'
import type { AnyModule } from '../src/nn/index.js'
import { DropPath } from '../src/nn/layers/block.js'
import { compile } from '../src/tensor/compile.js'
import { adopt, ones, tensor, zeros } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import { Tensor } from '../src/tensor/tensor.js'
import { crc32, difference, fmix32, goldenJson } from './support.js'

/** Initial values that are overwritten or only counted are not drawn: VGG has 140 million. */
const drawing = vi.hoisted(() => ({ real: false }))
vi.mock('../src/nn/init.js', async (original) => {
  const real = await original<typeof import('../src/nn/init.js')>()
  const undrawn = Object.entries(real).map(([name, draw]) => {
    const set = draw as (...args: unknown[]) => unknown
    const without = name.endsWith('Values')
      ? (shape: readonly number[]) => zerosOf(shape)
      : name === 'fans' || name === 'calculateGain'
        ? set
        : () => {}
    return [name, (...args: unknown[]) => (drawing.real ? set(...args) : without(args[0] as never))]
  })
  return Object.fromEntries(undrawn)
})

function zerosOf(shape: readonly number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1)
  return adopt(new Float32Array(size), shape, 'float32')
}

interface Golden {
  readonly name: ModelName
  readonly input: readonly number[]
  readonly parameters: number
  readonly state_dict: { readonly [name: string]: readonly number[] }
  readonly logits_first32: readonly number[]
  readonly logits_mean: number
  readonly logits_std: number
  readonly argmax: number
}
const golden = goldenJson<{ models: readonly Golden[] }>('models.json')?.models ?? []

/** Networks whose logits are computed only with BURNISH_REQUIRE=heavy, and why. */
const HEAVY: { readonly [name: string]: string } = {
  vgg11: '133 million made-up parameters',
  vgg16: '138 million made-up parameters and 15 billion products',
  vgg16_bn: '138 million made-up parameters and 15 billion products',
}
const heavy = process.env.BURNISH_REQUIRE === 'heavy'

const total = (model: AnyModule) =>
  model.parameters().reduce((sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1), 0)

/** `fill` of golden/README.md in one pass over each entry. */
function filled(name: string, shape: readonly number[]): Float32Array {
  const values = new Float32Array(shape.reduce((product, n) => product * n, 1))
  if (name.endsWith('num_batches_tracked')) return values
  const start = crc32(name)
  let [scale, base] = [0.1, 1]
  if (name.endsWith('running_var')) scale = 0.5
  else if (name.endsWith('running_mean') || name.endsWith('bias')) base = 0
  else if (shape.length >= 2) {
    base = 0
    scale = Math.sqrt(6 / shape.slice(1).reduce((product, n) => product * n, 1))
  }
  for (let i = 0; i < values.length; i++) {
    const u = (fmix32((i + start) >>> 0) >>> 8) / 2 ** 23 - 1
    values[i] = base + scale * u
  }
  return values
}

function fillModel(model: AnyModule): void {
  for (const [name, parameter] of Object.entries(model.stateDict()))
    if (!name.endsWith('num_batches_tracked')) parameter.set(filled(name, parameter.shape))
}

function image(shape: readonly number[]): Tensor {
  const values = new Float32Array(shape.reduce((product, n) => product * n, 1))
  const start = crc32('image')
  for (let i = 0; i < values.length; i++)
    values[i] = (fmix32((i + start) >>> 0) >>> 8) / 2 ** 23 - 1
  return tensor(values, { shape })
}

afterAll(closeDevices)

describe('the zoo', () => {
  const countable = list().filter(({ kind }) => kind !== 'text')
  it.each(countable.map((facts) => [facts.name, facts] as const))(
    '%s has as many parameters as its list says',
    (name, { parameters }) => {
      expect(total(create(name))).toBe(parameters)
    },
  )

  it('says which networks there are', () => {
    expect(() => create('resnet19' as ModelName)).toThrow(
      /no network resnet19; list\(\) gives lenet, alexnet/,
    )
  })

  it('makes networks for other classes and images', () => {
    for (const { name, kind, input } of list()) {
      if (kind === 'text') continue
      if (input[1] > 300 || /vgg|vit_[lh]|large|101|152/.test(name)) continue
      const state = create(name, { numClasses: 7, inChannels: 2 }).stateDict()
      const shapes = Object.values(state).map(({ shape }) => shape)
      const weights = shapes.filter((shape) => shape.length >= 2)
      expect(
        weights.some((shape) => shape[0] === 7),
        name,
      ).toBe(true)
      expect(
        weights.some((shape) => shape.length === 4 && shape[1] === 2),
        name,
      ).toBe(true)
    }
  })
})

describe('text models', () => {
  // Those that would fill the memory: depth is read from narrow ones, width from shallow ones.
  const depth = (model: AnyModule, layers: RegExp) =>
    model.namedModules().filter(([name]) => layers.test(name)).length
  it.each(['gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl'] as const)('%s has its size', (name) => {
    const vocabSize = 10
    const layers = depth(
      create(name, { vocabSize, nPositions: 4, nEmbd: 8, nHead: 1 }),
      /\.h\.\d+$/,
    )
    const [one, two] = [1, 2].map((nLayer) => create(name, { vocabSize, nPositions: 4, nLayer }))
    const { nEmbd } = one.sizes
    const rest = (50_257 - 10 + 1024 - 4) * nEmbd
    const count = total(one) + (total(two) - total(one)) * (layers - 1) + rest
    expect(count).toBe(list().find((facts) => facts.name === name)?.parameters)
  })
  it.each([
    ['bert-base-uncased', 30_522],
    ['bert-base-cased', 28_996],
    ['bert-large-uncased', 30_522],
    ['bert-large-cased', 28_996],
  ] as const)('%s has its size', (name, words) => {
    const narrow = { vocabSize: 10, hiddenSize: 48, intermediateSize: 1 }
    const layers = depth(create(name, narrow), /\.layer\.\d+$/)
    const [one, two] = [1, 2].map((n) => create(name, { vocabSize: 10, numHiddenLayers: n }))
    const rest = (words - 10) * (one.bert.sizes.hiddenSize + 1)
    const count = total(one) + (total(two) - total(one)) * (layers - 1) + rest
    expect(count).toBe(list().find((facts) => facts.name === name)?.parameters)
  })
  it.each(['transformer_base', 'transformer_big'] as const)('%s has its size', (name) => {
    const small = { srcVocabSize: 10, maxLen: 4 }
    const narrow = create(name, { ...small, dModel: 16, dimFeedforward: 1 })
    const layers = depth(narrow, /coder\.layers\.\d+$/) / 2
    const [one, two] = [1, 2].map((n) =>
      create(name, { ...small, numEncoderLayers: n, numDecoderLayers: n }),
    )
    const rest = (37_000 - 10) * one.srcEmbedding.embeddingDim
    const count = total(one) + (total(two) - total(one)) * (layers - 1) + rest
    expect(count).toBe(list().find((facts) => facts.name === name)?.parameters)
  })

  it('TextCNN has its size', () => {
    expect(total(create('textcnn'))).toBe(5_990_402)
  })
})

describe.skipIf(golden.length === 0)('torchvision', () => {
  it('is covered: 17 networks', () => {
    expect(golden.length).toBe(17)
  })

  it.each(golden.map((one) => [one.name, one] as const))('%s: names and shapes', (name, one) => {
    const state = create(name).stateDict()
    const shapes = Object.fromEntries(Object.entries(state).map(([key, { shape }]) => [key, shape]))
    expect(shapes).toEqual(one.state_dict)
    expect(total(create(name))).toBe(one.parameters)
  })

  describe('logits on cpu', () => {
    beforeAll(() => setDevice('cpu', { threads: 2 }))

    for (const one of golden) {
      const why = HEAVY[one.name]
      it.skipIf(why !== undefined && !heavy)(
        why === undefined ? one.name : `${one.name} (heavy: ${why})`,
        async () => {
          const model = create(one.name).eval() as ModelOf<
            'resnet18' | 'googlenet' | 'inception_v3'
          >
          fillModel(model)
          const forward = compile((x: Tensor) => model.forward(x))
          const logits = forward(image(one.input))
          if (!(logits instanceof Tensor)) throw new Error('auxiliary logits in evaluation')
          const values = [...(await logits.data())]
          expect(values.length).toBe(1000)
          const mean = values.reduce((sum, x) => sum + x, 0) / 1000
          const std = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 999)
          expect(difference(values.slice(0, 32), one.logits_first32, 1e-3)).toBeUndefined()
          expect(Math.abs(mean - one.logits_mean)).toBeLessThan(1e-3 * one.logits_std)
          expect(Math.abs(std / one.logits_std - 1)).toBeLessThan(1e-3)
          expect(values.indexOf(Math.max(...values))).toBe(one.argmax)
        },
        60_000,
      )
    }
  })
})

describe('training', () => {
  it('GoogLeNet and Inception v3 give their auxiliary logits, and none in evaluation', () => {
    const images = zeros([2, 3, 299, 299])
    const shapes = (output: object) =>
      Object.entries(output).map(([name, value]) => [name, (value as Tensor).shape])
    const google = create('googlenet', { numClasses: 5 })
    expect(shapes(google.forward(images))).toEqual([
      ['logits', [2, 5]],
      ['aux1', [2, 5]],
      ['aux2', [2, 5]],
    ])
    expect(google.eval().forward(images)).toBeInstanceOf(Tensor)
    const inception = create('inception_v3', { numClasses: 5 })
    expect(shapes(inception.forward(images))).toEqual([
      ['logits', [2, 5]],
      ['aux', [2, 5]],
    ])
    expect(inception.eval().forward(images)).toBeInstanceOf(Tensor)
  })

  it('DropPath leaves out whole examples and scales the others', async () => {
    manualSeed(1)
    const path = new DropPath(0.75)
    const values = [...(await path.forward(ones([400, 3])).data())]
    const examples = Array.from({ length: 400 }, (_, i) => values.slice(3 * i, 3 * i + 3))
    expect(examples.every(([a, b, c]) => (a === 0 || a === 4) && a === b && b === c)).toBe(true)
    const kept = examples.filter(([a]) => a === 4).length
    expect(kept).toBeGreaterThan(65) // 100 ± 4 deviations
    expect(kept).toBeLessThan(135)
    const x = ones([2, 3])
    expect(path.eval().forward(x)).toBe(x)
    expect(() => new DropPath(1)).toThrow(/p is 1, but must be from 0 to below 1/)
  })

  it('residual networks begin with He convolutions', async () => {
    drawing.real = true
    try {
      manualSeed(0)
      const model = new ResNet(BasicBlock, [1, 1, 1, 1], { planes: 16, numClasses: 3 })
      const weights = [...(await model.stateDict()['layer4.0.conv2.weight'].data())] // [128, 128, 3, 3]
      const variance = weights.reduce((sum, w) => sum + w * w, 0) / weights.length
      expect(variance / (2 / (128 * 9))).toBeCloseTo(1, 1)
    } finally {
      drawing.real = false
    }
  })
})

describe('U-Net', () => {
  it("has the paper's sizes without padding, and the image's with it", () => {
    const paper = new UNet({ channels: 2, padding: 0 })
    expect(paper.forward(zeros([1, 1, 572, 572])).shape).toEqual([1, 2, 388, 388])
    expect(new UNet({ channels: 2 }).forward(zeros([1, 1, 64, 96])).shape).toEqual([1, 2, 64, 96])
    expect(() => new UNet({ channels: 2 }).forward(zeros([1, 1, 60, 64]))).toThrow(
      /multiples of 16; pad the images/,
    )
  })
})

it('a vision transformer refuses images of another size', () => {
  expect(() => create('vit_b_32').forward(zeros([1, 3, 200, 200]))).toThrow(/must be 224×224/)
})
