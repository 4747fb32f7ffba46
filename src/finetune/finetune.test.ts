// Fine-tuning's pieces, by the pitfalls they exist for.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { BasicBlock, create, type ModelName, ResNet } from '../models/index.js'
import * as nn from '../nn/index.js'
import { AdamW, SGD } from '../optim/index.js'
import { tensor } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { manualSeed, randn } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  adaptInput,
  addLora,
  freeze,
  headOf,
  layerGroups,
  loadPartial,
  parameterGroups,
  replaceHead,
  select,
  trained,
  unfreeze,
} from './index.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)
beforeEach(() => manualSeed(1))

/** A small ResNet of four stages, with dropout before its head. */
class Net extends nn.Module {
  body = new ResNet(BasicBlock, [1, 1, 1, 1], { planes: 4, numClasses: 6 })
  drop = new nn.Dropout(0.5)
  head = new nn.Linear(6, 3)
  forward(x: Tensor): Tensor {
    return this.head.forward(this.drop.forward(this.body.forward(x)))
  }
}

const images = () => randn([4, 3, 32, 32])
const labels = () => tensor(Int32Array.of(0, 1, 2, 1))

async function step(model: nn.Module, optimizer: SGD | AdamW, x: Tensor, y: Tensor) {
  optimizer.zeroGrad()
  const loss = nn.crossEntropy(model.forward(x), y)
  loss.backward()
  await optimizer.step()
}

async function bytesOf(model: nn.Module, keep: (name: string) => boolean = () => true) {
  const found: { [name: string]: number[] } = {}
  for (const [name, p] of Object.entries(model.stateDict()))
    if (keep(name)) found[name] = [...(await p.data())]
  return found
}

describe('select', () => {
  it('knows globs, modules, predicates and exceptions', () => {
    const net = new Net()
    const names = (selector: Parameters<typeof select>[1]) => [
      ...select(net, selector).parameters.keys(),
    ]
    expect(names('head')).toEqual(['head.weight', 'head.bias'])
    expect(names('body.layer{1,2}.*.conv?.weight')).toEqual([
      'body.layer1.0.conv1.weight',
      'body.layer1.0.conv2.weight',
      'body.layer2.0.conv1.weight',
      'body.layer2.0.conv2.weight',
    ])
    expect(names(['body.layer1', '!**.bn?'])).toEqual([
      'body.layer1.0.conv1.weight',
      'body.layer1.0.conv2.weight',
    ])
    expect(names(net.head)).toEqual(names('head'))
    expect(names((name) => name.endsWith('fc.bias'))).toEqual(['body.fc.bias'])
    expect(names('**').length).toBe(net.parameters().length)
  })

  it('says what there is where a glob means nothing', () => {
    expect(() => freeze(new Net(), 'body.layr1')).toThrow(
      'freeze: body.layr1 means no parameter and no module of Net; it has body, drop, head',
    )
    expect(() => select(new Net(), new nn.Linear(1, 1))).toThrow('is no module of this Net')
  })
})

describe('freezing', () => {
  it('pitfalls 1 and 2: what is frozen keeps its bytes, running statistics too, through decay and momentum', async () => {
    const net = new Net()
    const x = images()
    // The optimizer has seen the weights move before they are frozen: momentum and decay would go on.
    const optimizer = new SGD(net.parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 0.1 })
    await step(net, optimizer, x, labels())
    freeze(net)
    unfreeze(net, 'head')
    const frozen = (name: string) => !name.startsWith('head')
    const before = await bytesOf(net, frozen)
    net.eval()
    const features = await net.body.forward(x).data()
    net.train()
    for (let i = 0; i < 3; i++) await step(net, optimizer, x, labels())
    expect(await bytesOf(net, frozen)).toEqual(before)
    expect(net.body.bn1.training).toBe(false)
    net.eval()
    expect(await net.body.forward(x).data()).toEqual(features)
    expect(net.body.conv1.weight.grad).toBeUndefined()
  })

  it('pitfall 2: an optimizer holds no state for what was always frozen', async () => {
    const net = new Net()
    freeze(net)
    unfreeze(net, 'head')
    const optimizer = new AdamW(net.parameters(), { lr: 0.1 })
    await step(net, optimizer, images(), labels())
    const own = net.parameters().indexOf(net.head.weight)
    const held = Object.keys(optimizer.stateDict().tensors).filter(
      (name) => !name.startsWith('count'),
    )
    expect(new Set(held.map((name) => Number(name.split('.')[0])))).toEqual(new Set([own, own + 1]))
  })

  it('pitfall 3: unfreezing keeps the moments of the others and trains the new', async () => {
    const net = new Net()
    freeze(net)
    unfreeze(net, 'head')
    const optimizer = new AdamW(parameterGroups(net, { lr: 0.01, layerDecay: 0.5 }))
    const x = images()
    await step(net, optimizer, x, labels())
    const momentsOf = async () => {
      const { tensors } = optimizer.stateDict()
      return Object.fromEntries(
        await Promise.all(
          Object.entries(tensors).map(async ([name, p]) => [name, [...(await p.data())]] as const),
        ),
      )
    }
    const before = await momentsOf()
    unfreeze(net, 'body.layer4')
    expect(await momentsOf()).toEqual(before)
    const weight = [...(await net.body.layer4.parameters()[0].data())]
    net.train()
    await step(net, optimizer, x, labels())
    expect([...(await net.body.layer4.parameters()[0].data())]).not.toEqual(weight)
    expect(Object.keys(await momentsOf()).length).toBeGreaterThan(Object.keys(before).length)
  })

  it('turns dropout off inside of what is frozen, and on again', () => {
    const net = new Net()
    expect(freeze(net).trainable).toBe(0)
    net.train()
    expect([net.training, net.drop.training, net.head.training]).toEqual([false, false, false])
    unfreeze(net, 'head')
    // The model has something to train, and its dropout stands outside of the frozen body.
    expect([net.training, net.drop.training, net.head.training]).toEqual([true, true, true])
    expect(net.body.layer1.training).toBe(false)
    unfreeze(net)
    expect(net.modules().every((module) => module.training)).toBe(true)
    freeze(net, 'drop')
    expect([net.drop.training, net.training]).toEqual([false, true])
  })

  it('trainNorm leaves norms out', async () => {
    const net = new Net()
    freeze(net, 'body', { trainNorm: true })
    const before = await bytesOf(net, (name) => /conv1|bn1/.test(name))
    const optimizer = new SGD(net.parameters(), { lr: 0.1 })
    await step(net, optimizer, images(), labels())
    const after = await bytesOf(net, (name) => /conv1|bn1/.test(name))
    expect(after['body.conv1.weight']).toEqual(before['body.conv1.weight'])
    expect(after['body.bn1.weight']).not.toEqual(before['body.bn1.weight'])
    expect(after['body.bn1.running_mean']).not.toEqual(before['body.bn1.running_mean'])
  })
})

describe('groups', () => {
  it('finds the layers of the zoo in order', () => {
    const layers = (name: ModelName) =>
      layerGroups(create(name, { numClasses: 2 }) as nn.Module).map((group) => group.name)
    expect(layers('resnet18')).toEqual([
      'conv1',
      ...[1, 2, 3, 4].flatMap((i) => [`layer${i}.0`, `layer${i}.1`]),
      'fc',
    ])
    expect(layers('mobilenet_v2').length).toBe(20)
    expect(layers('googlenet').slice(2, 5)).toEqual(['conv3', 'inception3a', 'inception3b'])
  })

  it('pitfall 5: no decay on what has one dimension; each parameter once; rates fall with depth', () => {
    const net = new Net()
    const groups = parameterGroups(net, { lr: 1, layerDecay: 0.5, weightDecay: 0.1 })
    const all = groups.flatMap((group) => group.parameters)
    expect(new Set(all).size).toBe(net.parameters().length)
    expect(all.length).toBe(net.parameters().length)
    for (const group of groups)
      for (const parameter of group.parameters)
        expect(group.weightDecay).toBe(parameter.shape.length > 1 ? 0.1 : 0)
    const rate = (name: string) =>
      groups.find((group) => group.parameters.some((parameter) => parameter.name === name))?.lr
    expect(rate('head.weight')).toBe(1)
    expect(rate('body.fc.weight')).toBe(0.5)
    expect(rate('body.layer4.0.conv1.weight')).toBe(0.25)
    expect(rate('body.bn1.weight')).toBe(0.5 ** 6)
  })

  it('takes groups that are given, and refuses a parameter in two', () => {
    const net = new Net()
    expect(layerGroups(net, ['body', 'head']).map(({ parameters }) => parameters.size)).toEqual([
      net.body.parameters().length,
      2,
    ])
    expect(() => layerGroups(net, ['body', 'body.fc'])).toThrow(
      'body.fc.weight is in group 0 and in group 1',
    )
  })
})

describe('surgery', () => {
  it('replaces heads of every form', () => {
    for (const [name, path] of [
      ['resnet18', 'fc'],
      ['squeezenet1_1', 'classifier.1'],
      ['mobilenet_v3_small', 'classifier.3'],
    ] as const) {
      const model = create(name) as nn.Module
      expect(replaceHead(model, 5)).toEqual([path])
      expect(headOf(model).outputs).toBe(5)
    }
    const google = create('googlenet') as unknown as nn.Module
    expect(replaceHead(google, 5)).toEqual(['aux1.fc2', 'aux2.fc2', 'fc'])
  })

  it('begins with the classes’ shares', async () => {
    const net = new Net()
    replaceHead(net, 2, { prior: [30, 10] })
    const bias = await (net.head.bias as Tensor).data()
    expect(bias[0]).toBeCloseTo(Math.log(0.75), 6)
    expect(() => replaceHead(net, 2, { prior: [1, 0] })).toThrow('share above 0')
  })

  it('adapts the first convolution: grey is the sum, as if the picture came three times', async () => {
    const net = new Net()
    net.eval()
    const grey = randn([2, 1, 32, 32])
    const colour = await net.forward(grey.expand(2, 3, 32, 32)).data()
    expect(adaptInput(net, 1)).toBe('body.conv1')
    const same = await net.forward(grey).data()
    for (const [i, value] of same.entries()) expect(value).toBeCloseTo(colour[i], 4)
    adaptInput(net, 4)
    const rest = await net.body.conv1.weight.slice(1, 4, { dim: 1 }).data()
    expect([...rest].every((value) => value === 0)).toBe(true)
  })

  it('loads what fits outside of the exceptions, or nothing', async () => {
    const net = new Net()
    const other = new Net()
    replaceHead(other, 7)
    const saved = other.stateDict()
    expect(() => loadPartial(net, saved)).toThrow('head.weight is [7, 6], the model has [3, 6]')
    const report = loadPartial(net, saved, ['head'])
    expect(report.mismatched.map(({ name }) => name)).toEqual(['head.weight', 'head.bias'])
    expect(report.matched.length).toBe(Object.keys(saved).length - 2)
    expect(await net.body.conv1.weight.data()).toEqual(await other.body.conv1.weight.data())
  })
})

describe('LoRA', () => {
  const forms = [
    { name: 'linear', options: { targets: ['body.fc'] } },
    { name: 'convolutions', options: { targets: ['body.**.conv?'], r: 4, alpha: 16 } },
    { name: 'rsLoRA', options: { targets: ['body'], rslora: true } },
    { name: 'DoRA', options: { targets: ['body'], dora: true } },
  ] as const
  for (const { name, options } of forms)
    it(`${name}: begins as the base, learns, merges, and comes back from its file`, async () => {
      const net = new Net()
      const base = new Net()
      base.loadStateDict(net.stateDict())
      net.eval()
      const x = images()
      const before = await net.forward(x).data()
      const adapter = addLora(net, options)
      const begin = await net.forward(x).data()
      if (name === 'DoRA')
        for (const [i, value] of begin.entries()) expect(value).toBeCloseTo(before[i], 4)
      else expect(begin).toEqual(before)

      const kept = await bytesOf(base, (key) => !key.startsWith('head'))
      const optimizer = new AdamW(adapter.parameters(), { lr: 0.02, weightDecay: 0 })
      net.train()
      for (let i = 0; i < 4; i++) await step(net, optimizer, x, labels())
      const now = await bytesOf(net, (key) => key in kept)
      expect(now).toEqual(kept)
      net.eval()
      const learned = await net.forward(x).data()
      expect([...learned]).not.toEqual([...before])

      // pitfall 4: the file restores the head.
      const saved = adapter.stateDict()
      expect(Object.keys(saved)).toContain('base_model.model.head.weight')
      expect(adapter.config.modules_to_save).toEqual(['head'])
      const second = addLora(base, options)
      const { 'base_model.model.head.bias': _, ...partial } = saved
      expect(() => second.loadStateDict(partial)).toThrow('missing are base_model.model.head.bias')
      second.loadStateDict(saved)
      base.eval()
      expect(await base.forward(x).data()).toEqual(learned)

      adapter.merge()
      const merged = await net.forward(x).data()
      for (const [i, value] of merged.entries()) expect(value).toBeCloseTo(learned[i], 3)
      adapter.unmerge()
      expect(await net.forward(x).data()).toEqual(learned)
      adapter.merge()
      adapter.remove()
      expect(await net.forward(x).data()).toEqual(merged)
      expect(Object.keys(net.stateDict())).toEqual(Object.keys(new Net().stateDict()))
    })

  it('trains a part only, and refuses what it has no form for', () => {
    const net = new Net()
    const adapter = addLora(net, { r: 2, targets: ['body.fc'] })
    const size = 2 * 32 + 6 * 2 + 3 * 6 + 3
    expect(trained(net).trainable).toBe(size)
    expect(adapter.targets).toEqual(['body.fc'])
    expect(() => addLora(net, { targets: ['body.fc'] })).toThrow('body.fc has an adapter already')
    expect(trained(net).trainable).toBe(size)
    const mobile = create('mobilenet_v2') as nn.Module
    expect(() => addLora(mobile, { targets: ['features.1.conv.0.0'] })).toThrow('with 32 groups')
  })
})
