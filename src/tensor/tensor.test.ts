// Every method of Tensor with values worked out by hand, on both devices; and the dtype of each result.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DType } from '../base/dtype.js'
import { arange, eye, full, ones, tensor, zeros } from './create.js'
import { closeDevices, setDevice } from './devices.js'
import { manualSeed, randint } from './random.js'
import { concat, stack, type Tensor, where } from './tensor.js'

const x = () =>
  tensor([
    [1, -2, 3],
    [4, 5, -6],
  ])
const v = () => tensor([0.25, 1, 4])
const ints = () => tensor(Int32Array.of(7, -7, 3))
const index = (...at: number[]) => tensor(Int32Array.from(at))
const E = Math.E

const cases: [string, () => Tensor, number[], (readonly number[])?, DType?][] = [
  ['add', () => x().add(v()), [1.25, -1, 7, 4.25, 6, -2], [2, 3]],
  ['add of a number', () => ints().add(2), [9, -5, 5], [3], 'int32'],
  ['sub', () => tensor([[1], [2]]).sub(tensor([1, 2])), [0, -1, 1, 0], [2, 2]],
  ['mul', () => x().mul(-2), [-2, 4, -6, -8, -10, 12]],
  ['mul of dtypes', () => ints().mul(tensor([0.5, 1, 2])), [3.5, -7, 6]],
  ['div', () => ints().div(2), [3.5, -3.5, 1.5]],
  ['remainder', () => ints().remainder(-4), [-1, -3, -1], [3], 'int32'],
  ['remainder of floats', () => tensor([5.5, -5.5]).remainder(2), [1.5, 0.5]],
  ['pow', () => v().pow(3), [1 / 64, 1, 64]],
  ['pow of tensors', () => tensor([2, 3, 4]).pow(v()), [2 ** 0.25, 3, 256]],
  ['pow -1', () => v().pow(-1), [4, 1, 0.25]],
  ['maximum', () => x().maximum(0), [1, 0, 3, 4, 5, 0]],
  ['minimum', () => x().minimum(tensor([0, 0, 1])), [0, -2, 1, 0, 0, -6]],
  ['neg', () => ints().neg(), [-7, 7, -3], [3], 'int32'],
  ['abs', () => x().abs(), [1, 2, 3, 4, 5, 6]],
  ['sign', () => tensor([-3, 0, 2]).sign(), [-1, 0, 1]],
  ['square', () => x().square(), [1, 4, 9, 16, 25, 36]],
  ['clamp', () => x().clamp(-1, 3), [1, -1, 3, 3, 3, -1]],
  ['clamp from below', () => ints().clamp(0), [7, 0, 3], [3], 'int32'],
  ['exp', () => tensor([0, 1]).exp(), [1, E]],
  ['log', () => tensor([1, E]).log(), [0, 1]],
  ['sqrt', () => v().sqrt(), [0.5, 1, 2]],
  ['sqrt of integers', () => index(4, 9).sqrt(), [2, 3]],
  ['rsqrt', () => v().rsqrt(), [2, 1, 0.5]],
  ['reciprocal', () => v().reciprocal(), [4, 1, 0.25]],
  ['sin', () => tensor([0, Math.PI / 2]).sin(), [0, 1]],
  ['cos', () => tensor([0, Math.PI]).cos(), [1, -1]],
  ['tanh', () => tensor([0, 1]).tanh(), [0, Math.tanh(1)]],
  ['erf', () => tensor([0, 0.5]).erf(), [0, 0.5204998778]],
  ['floor', () => tensor([1.5, -1.5]).floor(), [1, -2]],
  ['ceil', () => tensor([1.5, -1.5]).ceil(), [2, -1]],
  ['round', () => tensor([0.5, 1.5, 2.5, -0.5]).round(), [0, 2, 2, 0]],
  ['isFinite', () => tensor([1, Number.NaN, Infinity]).isFinite(), [1, 0, 0], [3], 'bool'],
  ['eq', () => x().eq(3), [0, 0, 1, 0, 0, 0], [2, 3], 'bool'],
  ['ne', () => ints().ne(index(7, 0, 3)), [0, 1, 0], [3], 'bool'],
  ['lt', () => v().lt(1), [1, 0, 0], [3], 'bool'],
  ['le', () => v().le(1), [1, 1, 0], [3], 'bool'],
  ['gt', () => v().gt(1), [0, 0, 1], [3], 'bool'],
  ['ge', () => v().ge(1), [0, 1, 1], [3], 'bool'],
  ['logicalAnd', () => v().ge(1).logicalAnd(v().le(1)), [0, 1, 0], [3], 'bool'],
  ['logicalOr', () => v().gt(1).logicalOr(v().lt(1)), [1, 0, 1], [3], 'bool'],
  ['logicalNot', () => tensor([0, 2]).logicalNot(), [1, 0], [2], 'bool'],
  ['sum', () => x().sum(), [5], []],
  ['sum of rows', () => x().sum(1), [2, 3], [2]],
  ['sum, keepdim', () => x().sum(-1, { keepdim: true }), [2, 3], [2, 1]],
  ['sum over two', () => ones([2, 3, 4]).sum([0, 2]), [8, 8, 8], [3]],
  ['sum of uint8', () => tensor(Uint8Array.of(200, 100)).sum(), [300], [], 'int32'],
  ['mean', () => x().mean(0), [2.5, 1.5, -1.5], [3]],
  ['prod', () => x().prod(1), [-6, -120], [2]],
  ['amax', () => x().amax([0, 1]), [5], []],
  ['amin', () => x().amin(1, { keepdim: true }), [-2, -6], [2, 1]],
  ['max values', () => x().max(1).values, [3, 5], [2]],
  ['max indices', () => x().max(1, { keepdim: true }).indices, [2, 1], [2, 1], 'int32'],
  ['min values', () => x().min(0).values, [1, -2, -6], [3]],
  ['min indices', () => x().min(0).indices, [0, 0, 1], [3], 'int32'],
  ['argmax', () => x().argmax(), [4], [], 'int32'],
  ['argmax of ties', () => tensor([[1, 2, 2]]).argmax(1), [1], [1], 'int32'],
  ['argmin', () => x().argmin(1), [1, 2], [2], 'int32'],
  ['var', () => tensor([1, 2, 3, 4]).var(), [5 / 3], []],
  [
    'var, population',
    () =>
      tensor([
        [1, 3],
        [2, 6],
      ]).var(1, { correction: 0 }),
    [1, 4],
    [2],
  ],
  ['std', () => tensor([1, 3]).std(0, { keepdim: true }), [Math.SQRT2], [1]],
  ['reshape', () => x().reshape(3, -1), [1, -2, 3, 4, 5, -6], [3, 2]],
  ['permute', () => x().permute(1, 0), [1, 4, -2, 5, 3, -6], [3, 2]],
  [
    'transpose',
    () => arange(8).reshape(2, 2, 2).transpose(0, -1),
    [0, 4, 2, 6, 1, 5, 3, 7],
    [2, 2, 2],
    'int32',
  ],
  ['flatten', () => zeros([2, 3, 4]).flatten(1), new Array(24).fill(0), [2, 12]],
  ['squeeze', () => ones([1, 2, 1]).squeeze(), [1, 1], [2]],
  ['squeeze one', () => ones([1, 2, 1]).squeeze(-1), [1, 1], [1, 2]],
  ['unsqueeze', () => v().unsqueeze(-1), [0.25, 1, 4], [3, 1]],
  ['expand', () => v().expand(2, -1), [0.25, 1, 4, 0.25, 1, 4], [2, 3]],
  ['slice', () => x().slice(1), [4, 5, -6], [1, 3]],
  ['slice with step', () => arange(7).slice(1, -1, { step: 2 }), [1, 3, 5], [3], 'int32'],
  ['slice along 1', () => x().slice(-2, undefined, { dim: 1 }), [-2, 3, 5, -6], [2, 2]],
  ['flip', () => x().flip(0, 1), [-6, 5, 4, 3, -2, 1], [2, 3]],
  ['pad', () => tensor([[1, 2]]).pad([1, 0, 0, 1], 9), [9, 1, 2, 9, 9, 9], [2, 3]],
  ['matmul', () => x().matmul(x().transpose(0, 1)), [14, -24, -24, 77], [2, 2]],
  ['matmul of vectors', () => v().matmul(v()), [17.0625], []],
  ['matmul with a vector', () => x().matmul(tensor([1, 1, 1])), [2, 3], [2]],
  [
    'matmul of batches',
    () => ones([2, 1, 2]).matmul(arange(8).float().reshape(2, 2, 2)),
    [2, 4, 10, 12],
    [2, 1, 2],
  ],
  [
    'matmul, broadcast',
    () => arange(4).float().reshape(2, 1, 2).matmul(eye(2)),
    [0, 1, 2, 3],
    [2, 1, 2],
  ],
  ['gather', () => x().gather(1, tensor([[2], [0]], { dtype: 'int32' })), [3, 4], [2, 1]],
  ['indexSelect', () => x().indexSelect(1, index(2, 2, 0)), [3, 3, 1, -6, -6, 4], [2, 3]],
  ['to int', () => tensor([1.9, -1.9]).int(), [1, -1], [2], 'int32'],
  ['to bool', () => tensor([0, 0.5]).bool(), [0, 1], [2], 'bool'],
  ['to float', () => tensor([true, false]).float(), [1, 0]],
  ['to uint8', () => index(3, 255).to('uint8'), [3, 255], [2], 'uint8'],
  ['detach', () => v().detach(), [0.25, 1, 4]],
  ['where', () => where(x().gt(0), x(), -1), [1, -1, 3, 4, 5, -1], [2, 3]],
  ['concat', () => concat([x(), ones([1, 3])]), [1, -2, 3, 4, 5, -6, 1, 1, 1], [3, 3]],
  ['concat along 1', () => concat([ones([2, 1]), zeros([2, 2])], 1), [1, 0, 0, 1, 0, 0], [2, 3]],
  ['stack', () => stack([v(), v().neg()], 1), [0.25, -0.25, 1, -1, 4, -4], [3, 2]],
  ['arange', () => arange(1, 2, 0.25), [1, 1.25, 1.5, 1.75], [4]],
  ['full', () => full([2], 7, { dtype: 'int32' }), [7, 7], [2], 'int32'],
  ['full of bool', () => full([2], 1, { dtype: 'bool' }), [1, 1], [2], 'bool'],
  ['eye', () => eye(2), [1, 0, 0, 1], [2, 2]],
  ['a parameterless copy', () => tensor(Uint8Array.of(1, 2)), [1, 2], [2], 'uint8'],
]

describe.each(['reference', 'cpu'])('on %s', (device) => {
  beforeAll(async () => {
    await setDevice(device)
  })
  afterAll(closeDevices)

  it.each(cases)('%s', async (_, run, expected, shape, dtype = 'float32') => {
    const result = run()
    expect(result.dtype).toBe(dtype)
    const data = Array.from(await result.data())
    if (shape) expect(result.shape).toEqual(shape)
    expect(data.length).toBe(expected.length)
    data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 5)
    })
  })

  it('randint stays in its range', async () => {
    manualSeed(0)
    const data = Array.from(await randint(-2, 3, [1000]).data())
    expect([...new Set(data)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2])
  })
})
