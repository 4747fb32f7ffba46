// ONNX models read as a whole: recorded logits, and what PyTorch's exporter writes.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mnist } from '../src/data/index.js'
import { tensor } from '../src/index.js'
import type { GraphModule } from '../src/io/graph/module.js'
import { loadOnnx, loadOnnxBytes } from '../src/io/onnx/load.js'
import { decodeState } from '../src/io/state.js'
import { LeNet } from '../src/models/lenet.js'
import { Linear } from '../src/nn/index.js'
import { setDevice } from '../src/tensor/devices.js'
import { trained } from './onnx-in.compare.js'
import { onnxruntime, ortSession, python, runPython } from './peers.js'
import { difference, goldenBytes, goldenJson, uniform } from './support.js'

beforeAll(() => setDevice('cpu'))

const folder = mkdtempSync(join(tmpdir(), 'burnish-onnx-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const names = (model: GraphModule) => model.namedParameters().map(([name]) => name)

describe('golden models', () => {
  const recorded = goldenJson<{ bnnet_logits: number[][]; lenet_logits_test0_3: number[][] }>(
    'checkpoints.json',
  )
  const bytes = goldenBytes('bnnet.onnx')
  it.skipIf(!recorded || !bytes)('bnnet gives its logits, and can be trained', async () => {
    if (!recorded || !bytes) return
    const model = loadOnnxBytes(bytes, 'bnnet.onnx')
    const x = tensor(uniform('bnnet/x', [2, 3, 16, 16]), { shape: [2, 3, 16, 16] })
    const logits = await model.forward(x).data()
    expect(difference(logits, recorded.bnnet_logits.flat())).toBeUndefined()
    expect(names(model)).toContain('onnx::Conv_20')
    expect(names(model)).toContain('head.weight')
    const losses = await trained(model, 'x', [4, 3, 16, 16], 4)
    expect(losses[9]).toBeLessThan(losses[0])
    model.setSubmodule('/head/Gemm', new Linear(8, 6))
    expect(names(model)).toContain('/head/Gemm.weight')
    expect(names(model)).not.toContain('head.weight')
    expect(model.forward(x).shape).toEqual([2, 6])
  })

  const lenet = goldenBytes('lenet_200steps.onnx')
  const state = goldenBytes('lenet_200steps.safetensors')
  it.skipIf(!recorded || !lenet || !state)(
    'lenet_200steps gives its logits on digits, has the weights of its state, and trains as LeNet',
    async () => {
      if (!recorded || !lenet || !state) return
      const model = loadOnnxBytes(lenet, 'lenet_200steps.onnx')
      const { images } = await mnist({ train: false })
      const pixels = Float32Array.from(images.data.subarray(0, 4 * 784), (byte) => byte / 255)
      const logits = await model.forward(tensor(pixels, { shape: [4, 1, 28, 28] })).data()
      expect(difference(logits, recorded.lenet_logits_test0_3.flat(), 1e-3)).toBeUndefined()
      const saved = decodeState(state, 'lenet_200steps.safetensors')
      expect(names(model).toSorted()).toEqual(Object.keys(saved).toSorted())
      const native = new LeNet()
      native.loadStateDict(saved)
      const losses = await trained(model, 'lenet', [4, 1, 28, 28], 10)
      const wanted = await trained(native, 'lenet', [4, 1, 28, 28], 10)
      expect(difference(losses, wanted, 1e-3)).toBeUndefined()
      expect(losses[9]).toBeLessThan(losses[0])
    },
  )
})

const exporter = `
import sys, torch, torchvision, warnings
warnings.filterwarnings('ignore')
torch.manual_seed(0)
folder = sys.argv[1]
class Sequence(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(5, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(12, 7, batch_first=True)
        self.head = torch.nn.Linear(7, 3)
    def forward(self, x):
        y, _ = self.lstm(x)
        y, _ = self.gru(y)
        return self.head(y[:, -1])
layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation='gelu')
models = {
  'resnet18': (torchvision.models.resnet18(num_classes=10), (2, 3, 32, 32)),
  'mobilenet_v2': (torchvision.models.mobilenet_v2(num_classes=10), (2, 3, 32, 32)),
  'small': (torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Flatten(), torch.nn.Linear(144, 5)), (2, 3, 8, 8)),
  'recurrent': (Sequence(), (2, 4, 5)),
  'encoder': (torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (2, 5, 16)),
}
for name, (model, shape) in models.items():
    x = torch.rand(shape) * 2 - 1
    model.eval()
    if name == 'small':
        torch.onnx.export(model, x, f'{folder}/trainable.onnx', input_names=['x'], output_names=['y'], opset_version=14,
            dynamic_axes={'x': {0: 'n'}}, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
        model.eval()
    torch.onnx.export(model, x, f'{folder}/{name}.onnx', input_names=['x'], output_names=['y'], opset_version=16 if name == 'encoder' else 13,
        dynamic_axes={'x': {0: 'n'}})
`

describe('what PyTorch exports', () => {
  const path = python('torch', 'torchvision')
  const runtime = onnxruntime()
  const shapes = {
    resnet18: [3, 3, 32, 32],
    mobilenet_v2: [3, 3, 32, 32],
    small: [3, 3, 8, 8],
    recurrent: [3, 4, 5],
    encoder: [3, 5, 16],
  }
  it.skipIf(path === undefined || runtime === undefined)(
    'gives what onnxruntime gives, at another batch size',
    async () => {
      if (path === undefined || runtime === undefined) return
      runPython(path, exporter, folder)
      for (const [name, shape] of Object.entries(shapes)) {
        const file = join(folder, `${name}.onnx`)
        const model = await loadOnnx(file)
        const data = uniform(name, shape)
        const session = await ortSession(runtime, new Uint8Array(readFileSync(file)))
        const { y } = await session.run({ x: new runtime.Tensor('float32', data, shape) })
        const actual = await model.forward(tensor(data, { shape })).data()
        expect(difference(actual, Array.from(y.data, Number), 1e-4), name).toBeUndefined()
        if (name === 'recurrent') {
          const losses = await trained(model, name, shape, 3)
          expect(losses[9]).toBeLessThan(losses[0])
        }
        if (name !== 'small') continue
        const whole = await loadOnnx(join(folder, 'trainable.onnx'))
        expect(whole.buffers().length).toBe(2)
        const same = await whole.forward(tensor(data, { shape })).data()
        expect(difference(same, actual, 1e-3), 'with statistics').toBeUndefined()
      }
    },
  )
})
