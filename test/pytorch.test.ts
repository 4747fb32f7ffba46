// PyTorch's checkpoints both ways: the golden files give their values, what Debian's PyTorch writes is read here, and what
// is written here is read there with equal logits.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mnist } from '../src/data/index.js'
import {
  valueAt as at,
  decode,
  encode,
  loadState,
  openTensors,
  PytorchTensor,
  type PytorchValue,
  readPytorch,
  readSafetensors,
  saveState,
  stateDictOf,
  writePytorch,
} from '../src/io/index.js'
import { LeNet } from '../src/models/lenet.js'
import { crossEntropy, relu } from '../src/nn/functional.js'
import * as nn from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { hasTorch, torch } from './python.js'
import { difference, goldenBytes, goldenJson, goldenPath, uniform } from './support.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'burnish-pytorch-'))
  await setDevice('reference')
})
afterAll(async () => {
  await closeDevices()
  await rm(folder, { recursive: true })
})

const found = await hasTorch()
const checkpoints = goldenJson<{
  bnnet_logits: readonly (readonly number[])[]
  lenet_logits_test0_3: readonly (readonly number[])[]
}>('checkpoints.json')

class BnNet extends nn.Module {
  stem = new nn.Sequential(
    new nn.Conv2d(3, 8, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
  )
  dw = new nn.Conv2d(8, 8, 3, { stride: 2, padding: 1, groups: 8 })
  head = new nn.Linear(8, 4)
  forward(x: Tensor): Tensor {
    return this.head.forward(relu(this.dw.forward(this.stem.forward(x))).mean([2, 3]))
  }
}

function numbers(value: PytorchValue | undefined): number[] {
  if (!(value instanceof PytorchTensor)) throw new Error(`${String(value)} is no tensor`)
  return Array.from(decode(value, 'test').data)
}

describe.skipIf(!checkpoints)('the golden files', () => {
  test.each(['bnnet.pt', 'bnnet_legacy.pt', 'bnnet_nested.pt'])(
    '%s gives its logits',
    async (file) => {
      const model = new BnNet().eval()
      model.loadStateDict(await loadState(goldenPath(file) ?? ''))
      const x = tensor(uniform('bnnet/x', [2, 3, 16, 16]), { shape: [2, 3, 16, 16] })
      const logits = await model.forward(x).data()
      expect(difference(logits, checkpoints?.bnnet_logits.flat() ?? [])).toBeUndefined()
    },
  )

  test('lenet_200steps.pt gives its logits, and is the .safetensors of that name', async () => {
    const state = await loadState(goldenPath('lenet_200steps.pt') ?? '')
    const model = new LeNet().eval()
    model.loadStateDict(state)
    const { images } = await mnist({ train: false })
    const pixels = Float32Array.from(images.data.subarray(0, 4 * 784), (byte) => byte / 255)
    const logits = await model.forward(tensor(pixels, { shape: [4, 1, 28, 28] })).data()
    const expected = checkpoints?.lenet_logits_test0_3.flat() ?? []
    expect(difference(logits, expected, 1e-3)).toBeUndefined()
    expect(state).toEqual(await loadState(goldenPath('lenet_200steps.safetensors') ?? ''))
  })

  test('bnnet_nested.pt has its numbers and texts besides', async () => {
    const value = readPytorch(goldenBytes('bnnet_nested.pt') ?? new Uint8Array())
    expect([at(value, 'epoch'), at(value, 'note'), at(value, 'lr')]).toEqual([3, 'nested', 0.001])
  })

  test('views.pt: views, transposes, a shared storage, other types', () => {
    const value = readPytorch(goldenBytes('views.pt') ?? new Uint8Array())
    const count = Array.from({ length: 24 }, (_, i) => i)
    expect(numbers(at(value, 'base'))).toEqual(count)
    expect(numbers(at(value, 'half'))).toEqual(count)
    expect(numbers(at(value, 'bf16'))).toEqual(count)
    expect(numbers(at(value, 'view'))).toEqual([6, 8, 10, 12, 14, 16])
    expect(numbers(at(value, 'transposed'))).toEqual(
      count.map((i) => (i % 4) * 6 + Math.floor(i / 4)),
    )
    expect(numbers(at(value, 'i64'))).toEqual([0, 1, 2, 3, 4])
    expect(numbers(at(value, 'boolean'))).toEqual([1, 0, 1])
    expect(numbers(at(value, 'scalar'))).toEqual([3.5])
    expect(at(value, 'empty')).toMatchObject({ shape: [0, 3], dtype: 'F32' })
    const [base, view] = [at(value, 'base'), at(value, 'view')]
    expect(
      base instanceof PytorchTensor &&
        view instanceof PytorchTensor &&
        base.storage === view.storage,
    ).toBe(true)
  })
})

describe.skipIf(!found)('what PyTorch writes is read', () => {
  // One script for all: starting PyTorch takes longer than the rest.
  const SCRIPT = `
import sys, os, torch, argparse, collections, numpy
folder = sys.argv[1]
base = torch.arange(24.).reshape(4, 6)
shared = torch.nn.Parameter(torch.arange(3.))
value = {
  'strided': base[1:3, ::2].t(), 'expanded': torch.ones(1, 3).expand(4, 3), 'offset': base[2],
  'tied': collections.OrderedDict(a=shared, b=shared), 'plain': shared.data,
  'types': {str(t)[6:]: torch.tensor([0, 1, 2]).to(t) for t in
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]},
  'dtype': torch.float16, 'device': torch.device('cpu'), 'size': torch.Size([2, 3]),
  'big': [2 ** 40, 2 ** 100, -2 ** 100, -1, -129, 70000, -2 ** 31], 'floats': (1.5, float('inf'), -0.0), 'none': None,
  'nested': {'a': [1, {'b': (True, 'x')}], 7: 'seven', '__proto__': 'key'}, 'text': 'größe' * 60,
  'accuracy': numpy.float64(0.25), 'steps': numpy.int64(12), 'args': argparse.Namespace(lr=0.5),
  'optimizer': torch.optim.SGD([shared], lr=0.1, momentum=0.9).state_dict(),
}
for form, more in {'zip': {}, 'legacy': {'_use_new_zipfile_serialization': False}, 'four': {'pickle_protocol': 4}}.items():
  torch.save(value, folder + '/odd-' + form + '.pt', **more)
nn = torch.nn
class Evil:
  def __reduce__(self): return (os.system, ('touch ' + path + '.ran',))
path = folder + '/model.pt'
torch.save(nn.Sequential(nn.Linear(2, 3)), path)
path = folder + '/legacy model.pt'
torch.save(nn.Linear(2, 3), path, _use_new_zipfile_serialization=False)
path = folder + '/script.pt'
torch.jit.save(torch.jit.script(nn.Linear(2, 3)), path)
path = folder + '/evil.pt'
torch.save({'w': torch.ones(2), 'x': Evil()}, path)
path = folder + '/complex.pt'
torch.save({'w': torch.ones(2, dtype=torch.complex64)}, path)
path = folder + '/sparse.pt'
torch.save({'w': torch.eye(3).to_sparse()}, path)
path = folder + '/quantised.pt'
torch.save({'w': torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, path)
path = folder + '/number.pt'
torch.save(3, path)
path = folder + '/two.pt'
torch.save({'g': {'w': torch.ones(1)}, 'd': {'w': torch.ones(1)}}, path)
`
  beforeAll(async () => {
    await torch(SCRIPT, folder)
  })

  test.each(['zip', 'legacy', 'four'])('odd things, %s', async (form) => {
    const path = join(folder, `odd-${form}.pt`)
    const { readFile } = await import('node:fs/promises')
    const value = readPytorch(await readFile(path), form)
    expect(numbers(at(value, 'strided'))).toEqual([6, 12, 8, 14, 10, 16])
    expect(at(value, 'strided')).toMatchObject({ shape: [3, 2], strides: [2, 6], offset: 6 })
    expect(numbers(at(value, 'expanded'))).toEqual(Array(12).fill(1))
    expect(numbers(at(value, 'offset'))).toEqual([12, 13, 14, 15, 16, 17])
    const types = at(value, 'types')
    for (const [name, item] of types instanceof Map ? types : [])
      expect([name, numbers(item)]).toEqual([name, name === 'bool' ? [0, 1, 1] : [0, 1, 2]])
    expect(types instanceof Map && types.size).toBe(10)
    expect(at(value, 'big')).toEqual([
      2 ** 40,
      2n ** 100n,
      -(2n ** 100n),
      -1,
      -129,
      70000,
      -(2 ** 31),
    ])
    expect(at(value, 'floats')).toEqual([1.5, Number.POSITIVE_INFINITY, -0])
    expect(at(value, 'none')).toBeNull()
    expect(at(value, 'nested', 'a')).toEqual([1, new Map([['b', [true, 'x']]])])
    expect([at(value, 'nested', 7), at(value, 'nested', '__proto__')]).toEqual(['seven', 'key'])
    expect(at(value, 'text')).toBe('größe'.repeat(60))
    expect([at(value, 'dtype'), at(value, 'device')]).toEqual(['torch.float16', 'cpu'])
    expect(at(value, 'size')).toEqual([2, 3])
    expect([at(value, 'accuracy'), at(value, 'steps')]).toEqual([0.25, 12])
    expect(at(value, 'args', 'lr')).toBe(0.5)
    expect(at(value, 'optimizer', 'param_groups', 0, 'momentum')).toBe(0.9)
    // Tied: two names of one tensor are one object for loadStateDict.
    const [a, b] = [at(value, 'tied', 'a'), at(value, 'tied', 'b')]
    expect(
      a instanceof PytorchTensor && b instanceof PytorchTensor && a.identity === b.identity,
    ).toBe(true)
    const state = await loadState(path, { key: 'tied' })
    expect(state.a).toBe(state.b)
    expect([...(state.a?.data ?? [])]).toEqual([0, 1, 2])
  })

  test.each([
    [
      'model',
      /is a whole pickled model \(its class is torch\.nn\.modules\.container\.Sequential\).*torch\.save\(model\.state_dict\(\), path\)/,
    ],
    ['legacy model', /pickled model.*torch\.save\(model\.state_dict\(\), path\)/],
    ['script', /TorchScript.*torch\.jit\.load\(path\)\.state_dict\(\)/],
    ['evil', /names (posix|os)\.system of Python.*nothing was run/],
    ['complex', /complex numbers/],
    ['sparse', /sparse.*to_dense/],
    ['quantised', /quantised.*dequantize/],
    ['number', /holds a number, not a state dict/],
    ['two', /several dicts of tensors: g, d; choose one with \{ key: 'g' \}/],
  ] as const)('refused: %s', async (what, message) => {
    const path = join(folder, `${what}.pt`)
    await expect(loadState(path)).rejects.toThrow(message)
    expect((await readdir(folder)).filter((name) => name.endsWith('.ran'))).toEqual([])
  })
})

describe('what is written', () => {
  const state = {
    'conv.weight': encode({
      dtype: 'float32',
      shape: [2, 1, 3],
      data: Float32Array.of(1, -2, 3, 4, 5, 6),
    }),
    half: encode({ dtype: 'bfloat16', shape: [2], data: Uint16Array.of(0x3f80, 0xc000) }),
    flag: encode({ dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) }),
    count: encode({ dtype: 'int32', shape: [], data: Int32Array.of(7) }, 'I64'),
    none: encode({ dtype: 'int32', shape: [0, 2], data: new Int32Array() }),
  }
  const value = {
    model: { ...state, again: state['conv.weight'] },
    epoch: 3,
    lr: 0.125,
    big: [2 ** 40, 2n ** 100n, -(2n ** 100n), -1, -128, -129, 255, 256, 65536, -0, 2n ** 63n],
    note: 'größe',
    nothing: null,
    flags: [true, false],
    sizes: new Map([[1, 'one']]),
  }

  test('is read back the same, and the same bytes each time; shared tensors are stored once', () => {
    const bytes = writePytorch(value)
    expect(writePytorch(value)).toEqual(bytes)
    const back = readPytorch(bytes)
    for (const [name, stored] of Object.entries(state)) {
      const tensor = at(back, 'model', name)
      expect(tensor).toMatchObject({ dtype: stored.dtype, shape: stored.shape })
      expect(tensor instanceof PytorchTensor && tensor.bytes).toEqual(stored.bytes)
    }
    const [first, again] = [at(back, 'model', 'conv.weight'), at(back, 'model', 'again')]
    expect(
      first instanceof PytorchTensor &&
        again instanceof PytorchTensor &&
        first.storage === again.storage,
    ).toBe(true)
    expect(at(back, 'big')).toEqual([...value.big.slice(0, -1), 2n ** 63n])
    expect([at(back, 'epoch'), at(back, 'lr'), at(back, 'note'), at(back, 'nothing')]).toEqual([
      3,
      0.125,
      'größe',
      null,
    ])
    expect(at(back, 'sizes', 1)).toBe('one')
    expect(stateDictOf(back).size).toBe(6)
  })

  test.skipIf(!found)('torch.load reads it, weights_only too', async () => {
    const path = join(folder, 'written.pt')
    const { writeFile } = await import('node:fs/promises')
    await writeFile(path, writePytorch(value))
    // The unpickler for weights_only of PyTorch 1.13 does not know floats.
    const weights = join(folder, 'weights.pt')
    await writeFile(weights, writePytorch(value.model))
    const out = await torch(
      `
import sys, json, torch, zipfile
v = torch.load(sys.argv[1])
for m in (v['model'], torch.load(sys.argv[2], weights_only=True)):
  assert type(m).__name__ == 'OrderedDict' and m['again'].data_ptr() == m['conv.weight'].data_ptr()
  assert v['big'] == [2**40, 2**100, -2**100, -1, -128, -129, 255, 256, 65536, -0.0, 2**63], v['big']
  assert v['flags'] == [True, False] and v['nothing'] is None and v['sizes'] == {1: 'one'} and v['epoch'] == 3
z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None
for i in z.infolist():
  head = open(sys.argv[1], 'rb').read()[i.header_offset:i.header_offset + 30]
  assert (i.header_offset + 30 + int.from_bytes(head[26:28], 'little') + int.from_bytes(head[28:30], 'little')) % 64 == 0
print(json.dumps({k: [str(t.dtype), list(t.shape), t.float().flatten().tolist()] for k, t in m.items()}), v['note'], v['lr'])
`,
      path,
      weights,
    )
    const [json, note, lr] = (out ?? '').trim().split(/ (?=größe| ?0\.125)/)
    expect(JSON.parse(json)).toEqual({
      'conv.weight': ['torch.float32', [2, 1, 3], [1, -2, 3, 4, 5, 6]],
      again: ['torch.float32', [2, 1, 3], [1, -2, 3, 4, 5, 6]],
      half: ['torch.bfloat16', [2], [1, -2]],
      flag: ['torch.bool', [3], [1, 0, 1]],
      count: ['torch.int64', [], [7]],
      none: ['torch.int32', [0, 2], []],
    })
    expect([note, lr]).toEqual(['größe', '0.125'])
  })

  test('a LeNet trained here gives equal logits in PyTorch, and back through every format', async () => {
    manualSeed(3)
    const model = new LeNet()
    const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
    const x = tensor(uniform('x', [8, 1, 28, 28]), { shape: [8, 1, 28, 28] })
    const labels = tensor(Int32Array.from({ length: 8 }, (_, i) => i))
    for (let step = 0; step < 3; step++) {
      crossEntropy(model.forward(x), labels).backward()
      optimizer.step()
      optimizer.zeroGrad()
    }
    const logits = await model.eval().forward(x).data()
    for (const extension of ['pt', 'pth', 'safetensors', 'npz']) {
      const path = join(folder, `lenet.${extension}`)
      await saveState(path, model.stateDict())
      const other = new LeNet().eval()
      other.loadStateDict(await loadState(path))
      expect(await other.forward(x).data()).toEqual(logits)
    }
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([])
    const out = await torch(
      `
import sys, json, torch, torch.nn as nn
state = torch.load(sys.argv[1], weights_only=True)
class LeNet(nn.Module):
  def __init__(self):
    super().__init__()
    for name, weight in state.items():
      if name.endswith('weight'):
        layer, shape = name[:-7], weight.shape
        setattr(self, layer, nn.Conv2d(shape[1], shape[0], shape[2], padding=2 if layer == 'conv1' else 0) if len(shape) == 4 else nn.Linear(shape[1], shape[0]))
  def forward(self, x):
    x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
    x = torch.max_pool2d(torch.relu(self.conv2(x)), 2).flatten(1)
    return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))
model = LeNet(); model.load_state_dict(state); model.eval()
x = torch.tensor(json.loads(sys.argv[2])).reshape(8, 1, 28, 28)
print(json.dumps(model(x).flatten().tolist()))
`,
      join(folder, 'lenet.pt'),
      JSON.stringify(Array.from(uniform('x', [8, 1, 28, 28]))),
    )
    if (out !== undefined) expect(difference(logits, JSON.parse(out), 1e-4)).toBeUndefined()
  })

  test('tied parameters stay one in PyTorch’s files and in safetensors', async () => {
    class Tied extends nn.Module {
      embed = new nn.Embedding(3, 2)
      head = new nn.Linear(2, 3, { bias: false })
      constructor() {
        super()
        this.head.weight = this.embed.weight
      }
      forward(x: Tensor): Tensor {
        return this.head.forward(this.embed.forward(x))
      }
    }
    const model = new Tied()
    for (const extension of ['pt', 'safetensors']) {
      const path = join(folder, `tied.${extension}`)
      await saveState(path, model.stateDict())
      const file = await openTensors(path)
      expect([...file.tensors].filter(([, { same }]) => same !== undefined)).toHaveLength(1)
      await file.close()
      const state = await loadState(path)
      expect(state['head.weight']).toBe(state['embed.weight'])
      expect(new Tied().loadStateDict(state)).toMatchObject({ missing: [], unexpected: [] })
    }
  })

  test('shards and their index', async () => {
    const model = new LeNet()
    await saveState(join(folder, 'big.safetensors'), model.stateDict(), { shardBytes: 100_000 })
    const names = (await readdir(folder)).filter((name) => name.startsWith('big'))
    expect(names).toContain('big.safetensors.index.json')
    expect(names.length).toBeGreaterThan(2)
    const state = await loadState(join(folder, 'big.safetensors.index.json'))
    expect(new LeNet().loadStateDict(state).missing).toEqual([])
    await saveState(join(folder, 'whole.safetensors'), model.stateDict())
    expect(state).toEqual(await loadState(join(folder, 'whole.safetensors')))
    const { readFile } = await import('node:fs/promises')
    const one = names.find((name) => /-00001-of-/.test(name)) ?? ''
    expect(readSafetensors(await readFile(join(folder, one))).tensors.size).toBeGreaterThan(0)
  })
})
