// Modules: names, state, modes, hooks, and the errors that look back through a model.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { context } from '../tensor/context.js'
import { tensor, zeros } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { Parameter } from '../tensor/parameter.js'
import { manualSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import * as nn from './index.js'

beforeAll(async () => {
  await setDevice('reference')
})
afterAll(closeDevices)

class Block extends nn.Module {
  conv1 = new nn.Conv2d(4, 4, 3, { padding: 1, bias: false })
  bn1 = new nn.BatchNorm2d(4)
  forward(x: Tensor): Tensor {
    return nn.relu(this.bn1.forward(this.conv1.forward(x)))
  }
}

class Net extends nn.Module {
  stem = new nn.Conv2d(1, 4, 3)
  layer1 = new nn.Sequential(new Block(), new Block())
  blocks = new nn.ModuleList([new Block()])
  plain = [new nn.Linear(4, 4)]
  scale = new Parameter([1])
  outProj = new nn.Linear(4, 2)

  forward(x: Tensor): Tensor {
    let y = this.layer1.forward(this.stem.forward(x))
    for (const block of this.blocks) y = block.forward(y)
    y = nn.adaptiveAvgPool2d(y, 1).flatten(1).mul(this.scale)
    return this.outProj.forward(this.plain[0].forward(y))
  }
}

/** The article's network, with its mistake: 28×28 images arrive at the reshape as 16·4·4. */
class CNNModel extends nn.Module {
  conv1 = new nn.Conv2d(1, 6, 5)
  pool = new nn.MaxPool2d(2, { stride: 2 })
  conv2 = new nn.Conv2d(6, 16, 5)
  fc1 = new nn.Linear(16 * 5 * 5, 120)
  fc2 = new nn.Linear(120, 84)
  fc3 = new nn.Linear(84, 10)

  forward(images: Tensor): Tensor {
    let x = this.pool.forward(nn.relu(this.conv1.forward(images)))
    x = this.pool.forward(nn.relu(this.conv2.forward(x)))
    x = x.reshape(-1, 16 * 5 * 5)
    x = nn.relu(this.fc1.forward(x))
    x = nn.relu(this.fc2.forward(x))
    return this.fc3.forward(x)
  }
}

const labels = (n: number) => zeros([n], { dtype: 'int32' })

describe('names and state', () => {
  it('are PyTorch’s, by field', () => {
    const net = new Net()
    expect(Object.keys(net.stateDict())).toEqual([
      'scale',
      'stem.weight',
      'stem.bias',
      ...['layer1.0', 'layer1.1', 'blocks.0'].flatMap((block) => [
        `${block}.conv1.weight`,
        `${block}.bn1.weight`,
        `${block}.bn1.bias`,
        `${block}.bn1.running_mean`,
        `${block}.bn1.running_var`,
        `${block}.bn1.num_batches_tracked`,
      ]),
      'plain.0.weight',
      'plain.0.bias',
      'out_proj.weight',
      'out_proj.bias',
    ])
    expect(net.parameters().length).toBe(1 + 2 + 3 * 3 + 4)
    expect(net.buffers().length).toBe(9)
    expect(net.parameters()[1].name).toBe('stem.weight')
    expect(net.namedModules().map(([path]) => path)).toContain('layer1.1.conv1')
  })

  it('labels nodes with the path of the layer that built them', () => {
    const seen = new Set<string>()
    const visit = (node: Tensor['node']) => {
      seen.add(node.label)
      node.args.forEach(visit)
    }
    visit(new Net().forward(zeros([2, 1, 8, 8])).node)
    for (const label of [
      'stem',
      'layer1.0.conv1',
      'layer1.1',
      'blocks.0.bn1',
      'plain.0',
      'outProj',
    ])
      expect([...seen]).toContain(label)
    expect(context.depth).toBe(0)
  })

  it('count a shared parameter once, and store it under both names', () => {
    class Tied extends nn.Module {
      a = new nn.Linear(3, 3, { bias: false })
      b = new nn.Linear(3, 3, { bias: false })
      constructor() {
        super()
        this.b.weight = this.a.weight
      }
      forward(x: Tensor): Tensor {
        return this.b.forward(this.a.forward(x))
      }
    }
    const tied = new Tied()
    expect(Object.keys(tied.stateDict())).toEqual(['a.weight', 'b.weight'])
    expect(tied.parameters().length).toBe(1)
    expect(tied.loadStateDict({ 'b.weight': zeros([3, 3]) }).missing).toEqual([])
  })

  it('loads strictly, naming everything that does not fit', async () => {
    const layer = new nn.Linear(2, 1)
    const data = Float32Array.of(1, 2)
    layer.loadStateDict({
      weight: { shape: [1, 2], dtype: 'float32', data },
      bias: zeros([1]),
    })
    expect(layer.weight.value ?? layer.weight.cell.value.host).toEqual(data)
    expect(() => layer.loadStateDict({ weight: zeros([2, 1]), extra: zeros([1]) })).toThrow(
      'Linear.loadStateDict: weight is [2, 1], the model has [1, 2]; missing are bias; unexpected are extra',
    )
    expect(layer.loadStateDict({ extra: zeros([1]) }, { strict: false })).toEqual({
      matched: [],
      missing: ['weight', 'bias'],
      unexpected: ['extra'],
      mismatched: [],
    })
  })

  it('takes whole floats for an int32 state, as averages of checkpoints have them', async () => {
    const norm = new nn.BatchNorm1d(2)
    const counted = (n: number) => ({
      ...norm.stateDict(),
      num_batches_tracked: { shape: [], dtype: 'float32' as const, data: Float32Array.of(n) },
    })
    norm.loadStateDict(counted(12))
    const state = norm.stateDict().num_batches_tracked
    expect(state.dtype).toBe('int32')
    expect([...(await state.data())]).toEqual([12])
    for (const n of [12.5, 2 ** 31, Number.NaN])
      expect(() => norm.loadStateDict(counted(n))).toThrow(
        'num_batches_tracked is float32 [], the model has int32 []',
      )
    expect([...(await norm.stateDict().num_batches_tracked.data())]).toEqual([12])
  })

  it('says which prefix a wrapper left in a file, and lists no more names than one reads', () => {
    const model = new nn.Sequential(...Array.from({ length: 8 }, () => new nn.Linear(1, 1)))
    const values = model.stateDict()
    const wrapped = Object.fromEntries(
      Object.entries(values).map(([name, value]) => [`module.${name}`, value]),
    )
    expect(() => model.loadStateDict(wrapped)).toThrow(
      "4.bias and 6 more; unexpected are module.0.weight, module.0.bias, module.1.weight, module.1.bias, module.2.weight, module.2.bias, module.3.weight, module.3.bias, module.4.weight, module.4.bias and 6 more; the file's names begin with module., which loadState(file, { strip: 'module.' }) takes off, and burnish convert --strip module. on the command line",
    )
    expect(() => model.loadStateDict({ other: zeros([1]) })).toThrow(
      'unexpected are other; no name is as in the model',
    )
    expect(() => model.loadStateDict({ '0.weight': zeros([1, 1]) })).toThrow(
      'use { strict: false } to load what fits',
    )
  })

  it('begin with PyTorch’s distributions, the same for the same seed', () => {
    manualSeed(3)
    const a = new nn.Conv2d(4, 8, 3).weight.cell.value.host ?? []
    manualSeed(3)
    const b = new nn.Conv2d(4, 8, 3).weight.cell.value.host ?? []
    expect(a).toEqual(b)
    const bound = 1 / Math.sqrt(4 * 9)
    expect(Math.max(...a)).toBeLessThan(bound)
    expect(Math.max(...a)).toBeGreaterThan(0.9 * bound)
    expect(Math.min(...a)).toBeLessThan(-0.9 * bound)
  })
})

describe('modes and hooks', () => {
  it('train and eval reach every module', () => {
    const net = new Net().eval()
    expect(net.modules().every((module) => !module.training)).toBe(true)
    net.train()
    expect(net.blocks.items[0].bn1.training).toBe(true)
  })

  it('hooks see inputs and output until removed', () => {
    const layer = new nn.Linear(2, 1)
    const calls: string[] = []
    const remove = layer.registerForwardHook((_, inputs) => calls.push(`after ${inputs.length}`))
    layer.registerForwardPreHook(() => calls.push('before'))
    layer.forward(zeros([1, 2]))
    remove()
    layer.forward(zeros([1, 2]))
    expect(calls).toEqual(['before', 'after 1', 'before'])
  })

  it('only the outermost result is kept for the next step', () => {
    context.forwards = []
    const out = new Net().forward(zeros([2, 1, 8, 8]))
    expect(context.forwards).toEqual([out])
    context.forwards = []
    context.states.clear()
  })
})

describe('trees', () => {
  class Bag extends nn.Module {
    heads = new nn.ModuleDict({ a: new nn.Linear(2, 3), b: new nn.Linear(2, 1) })
    scales = new nn.ParameterList([new Parameter([1]), new Parameter([2, 3])])
    blocks = [new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU())]
    mask = new Parameter([1, 0], { role: 'state', persistent: false })
    steps = new Parameter([0], { role: 'state' })
    forward(x: Tensor): Tensor {
      return this.heads.get('a').forward(this.blocks[0].forward(x)).mul(this.scales.at(0))
    }
  }

  it('dictionaries and lists are named, iterate, and grow', () => {
    const bag = new Bag()
    expect(Object.keys(bag.stateDict())).toEqual([
      'steps',
      'heads.a.weight',
      'heads.a.bias',
      'heads.b.weight',
      'heads.b.bias',
      'scales.0',
      'scales.1',
      'blocks.0.0.weight',
      'blocks.0.0.bias',
    ])
    expect(bag.parameters().length).toBe(8)
    expect([...bag.heads].map(([name]) => name)).toEqual(['a', 'b'])
    expect([...bag.scales].map((p) => p.shape)).toEqual([[1], [2]])
    bag.heads.set('c', new nn.Linear(1, 1))
    bag.scales.append(new Parameter([4]))
    expect(bag.parameters().length).toBe(11)
    expect(bag.heads.has('c')).toBe(true)
    expect(bag.heads.keys().length).toBe(bag.heads.length)
    expect(() => bag.heads.get('x')).toThrow(/no module x; there are a, b, c/)
    expect(() => bag.heads.set('p.q', new nn.Linear(1, 1))).toThrow(
      /must not be empty or contain a dot/,
    )
    expect(() => bag.scales.at(7)).toThrow(/no parameter 7 among 3/)
    expect(() => bag.heads.forward()).toThrow(/no forward of its own/)
  })

  it('errors name the path through lists and dictionaries', () => {
    expect(() => new Bag().forward(zeros([1, 5]))).toThrow(
      /^Bag\.blocks\.0\.0: linear: .*rows of 5/,
    )
  })

  it('buffers may stay out of the state', () => {
    const bag = new Bag()
    expect(bag.namedBuffers().map(([name]) => name)).toEqual(['mask', 'steps'])
    expect(bag.buffers().length).toBe(2)
    expect(bag.loadStateDict(bag.stateDict())).toEqual({
      matched: Object.keys(bag.stateDict()),
      missing: [],
      unexpected: [],
      mismatched: [],
    })
  })

  it('paths lead to modules', () => {
    const bag = new Bag()
    for (const [path, module] of bag.namedModules()) expect(bag.getSubmodule(path)).toBe(module)
    expect(() => bag.getSubmodule('heads.z')).toThrow(
      'Bag: there is no module heads.z; heads has a, b',
    )
  })

  it('a sequence may have names', async () => {
    const model = new nn.Sequential({ fc: new nn.Linear(2, 3), act: new nn.ReLU() })
    expect(Object.keys(model.stateDict())).toEqual(['fc.weight', 'fc.bias'])
    expect(model.forward(zeros([1, 2])).shape).toEqual([1, 3])
    expect(model.at(-1)).toBeInstanceOf(nn.ReLU)
    expect(() => new nn.Sequential({ 'a.b': new nn.ReLU() })).toThrow(/contain a dot/)
    expect(new nn.Sequential().length).toBe(0)
  })

  it('print as a tree', () => {
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.Sequential(new nn.ReLU()))
    expect(`${model}`).toBe(
      'Sequential(\n  (0): Linear(weight [3, 2], bias [3])\n  (1): Sequential(\n    (0): ReLU()\n  )\n)',
    )
    expect(`${new Bag()}`).toContain('\n  steps [1]\n')
  })

  it('apply visits children first; freezing reaches all', () => {
    const bag = new Bag()
    const seen: string[] = []
    expect(bag.apply((module) => seen.push(module.constructor.name))).toBe(bag)
    expect(seen).toEqual([
      'Linear',
      'Linear',
      'ModuleDict',
      'ParameterList',
      'Linear',
      'ReLU',
      'Sequential',
      'Bag',
    ])
    bag.requiresGrad_(false)
    expect(bag.parameters().some((p) => p.trainable)).toBe(false)
    bag.heads.requiresGrad_()
    expect(bag.parameters().filter((p) => p.trainable).length).toBe(4)
  })

  it('what does not fit is reported when not strict, and not set', async () => {
    const layer = new nn.Linear(2, 1)
    const before = await layer.weight.data()
    const values = { weight: zeros([3, 2]), bias: zeros([1]), extra: zeros([1]) }
    expect(layer.loadStateDict(values, { strict: false })).toEqual({
      matched: ['bias'],
      missing: [],
      unexpected: ['extra'],
      mismatched: [{ name: 'weight', given: '[3, 2]', expected: '[1, 2]' }],
    })
    expect(await layer.weight.data()).toEqual(before)
    expect(await layer.bias?.item()).toBe(0)
    const ints = { weight: zeros([1, 2], { dtype: 'int32' }), bias: zeros([1]) }
    expect(() => layer.loadStateDict(ints)).toThrow(
      /weight is int32 \[1, 2\], the model has float32 \[1, 2\]/,
    )
  })

  it('hooks can replace inputs and outputs', async () => {
    const layer = new nn.ReLU()
    const remove = layer.registerForwardPreHook((_, [x]) => [(x as Tensor).neg()])
    layer.registerForwardHook((_, __, y) => (y as Tensor).add(10))
    expect([...(await layer.forward(tensor([-3, 2])).data())]).toEqual([13, 10])
    remove()
    expect([...(await layer.forward(tensor([-3, 2])).data())]).toEqual([10, 12])
  })
})

describe('errors', () => {
  it('the article’s reshape says what arrives, what is expected, and two ways out', () => {
    expect(() => new CNNModel().forward(zeros([64, 1, 28, 28]))).toThrow(
      'CNNModel: reshape [64, 16, 4, 4] (from conv2, pool) to [-1, 400]: 16,384 values are not rows of 400; each image has 16·4·4 = 256. fc1 expects 400: use inFeatures 256, or padding 2 in conv1',
    )
    expect(context.depth).toBe(0)
  })

  it('with batches of 25 the reshape mixes images, and cross entropy says so', () => {
    const logits = new CNNModel().forward(zeros([25, 1, 28, 28]))
    expect(() => nn.crossEntropy(logits, labels(25))).toThrow(
      'crossEntropy: 16 rows of logits for 25 labels; CNNModel’s reshape'.replace('’', "'"),
    )
    expect(() => nn.crossEntropy(logits, labels(25))).toThrow(
      "CNNModel's reshape made 16 rows of 400 out of 25 images of 256",
    )
  })

  it('name the layer inside the model, once', () => {
    expect(() => new Net().forward(zeros([2, 3, 8, 8]))).toThrow(
      /^Net\.stem: conv2d: the input \[2, 3, 8, 8\] has 3 channels, but the weight \[4, 1, 3, 3\] takes 1/,
    )
  })

  const cases: [string, () => unknown, RegExp][] = [
    [
      'images without a channel',
      () => new nn.Conv2d(1, 6, 5).forward(zeros([64, 28, 28])),
      /64 inputs without a channel dimension, use unsqueeze\(1\)/,
    ],
    [
      'bytes',
      () => new nn.Conv2d(1, 6, 5).forward(zeros([1, 1, 28, 28], { dtype: 'uint8' })),
      /input is uint8, but must be float32; use input\.float\(\)/,
    ],
    [
      'a kernel larger than the input',
      () => new nn.Conv2d(1, 1, 5).forward(zeros([1, 1, 3, 3])),
      /kernel of 5×5 is larger than the input \[1, 1, 3, 3\] of 3×3 with padding 0×0: use a smaller kernel, or padding 1/,
    ],
    [
      'a pool larger than the input',
      () => nn.maxPool2d(zeros([1, 1, 3, 3]), 4),
      /maxPool2d: a kernel of 4×4 is larger/,
    ],
    [
      'a wrong last dimension',
      () => nn.linear(zeros([2, 3]), zeros([5, 4])),
      /rows of 3, but the weight \[5, 4\] takes 4: use inFeatures 3/,
    ],
    [
      'float labels',
      () => nn.crossEntropy(zeros([4, 3]), zeros([4])),
      /labels are float32 of shape \[4\], but class labels are int32: use labels\.int\(\)/,
    ],
    [
      'another number of labels',
      () => nn.crossEntropy(zeros([4, 3]), labels(5)),
      /4 rows of logits for 5 labels/,
    ],
    [
      'training batch norm on one value a channel',
      () => new nn.BatchNorm1d(3).forward(zeros([1, 3])),
      /1 value a channel, and training needs more/,
    ],
    [
      'shapes that would broadcast in a loss',
      () => nn.mseLoss(zeros([4, 1]), zeros([4])),
      /\[4, 1\], the target \[4\]; they must be equal/,
    ],
    [
      'groups that do not divide',
      () => new nn.Conv2d(4, 6, 3, { groups: 4 }),
      /4 groups must divide/,
    ],
    ['a size that is none', () => new nn.Linear(0, 3), /inFeatures is 0/],
    ['running a list', () => new nn.ModuleList().forward(), /no forward of its own/],
  ]
  it.each(cases)('%s', (_, run, message) => {
    expect(run).toThrow(message)
  })
})
