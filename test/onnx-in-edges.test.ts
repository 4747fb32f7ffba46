// ONNX models read: attributes, types and numbers at their limits, against onnxruntime where it has them; and models
// made to take forever.
import { describe, expect, it } from 'vitest'
import { BurnishError } from '../src/base/errors.js'
import { tensor } from '../src/index.js'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import {
  AttributeType,
  encodeModel,
  type Function as ModelFunction,
  type Node,
  type Tensor,
  TensorType,
} from '../src/io/onnx/wire.js'
import { setDevice } from '../src/tensor/devices.js'
import { compare, expectedOf } from './onnx-in.compare.js'
import {
  attributeOf,
  floats,
  type Input,
  infoOf,
  known,
  type OperatorCase,
  tensorOf,
  values,
} from './onnx-in.inputs.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

const one = (
  op: string,
  inputs: readonly (Input | undefined)[],
  attributes: OperatorCase['attributes'] = {},
  opset = 17,
): OperatorCase => ({ op, opset, inputs, attributes, outputs: 1 })

const floatsOf = (data: readonly number[], shape: readonly number[] = [data.length]): Input => ({
  dtype: 'float',
  shape,
  data,
})

const cases: { readonly [name: string]: OperatorCase } = {
  'sizes of scales in float32': one(
    'Resize',
    [floats([1, 1, 10, 10]), undefined, values([1, 1, Math.fround(0.7), Math.fround(0.7)])],
    { coordinate_transformation_mode: 'asymmetric' },
  ),
  'averages beside one that is not finite': one(
    'AveragePool',
    [floatsOf([Number.POSITIVE_INFINITY, 1, 2, 3, 4, 5, 6, 7], [2, 1, 4])],
    { kernel_shape: [2], pads: [1, 1] },
  ),
  'the norm of zeros': one('LpNormalization', [floatsOf([0, 0, 3, 4], [2, 2])]),
  'the resized type of integers': one(
    'Resize',
    [{ dtype: 'int32', shape: [1, 1, 2, 2], data: [1, 2, 3, 4] }, undefined, values([1, 1, 2, 2])],
    { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  ),
  'EyeLike of integers': one('EyeLike', [{ dtype: 'int32', shape: [2, 2], data: [1, 2, 3, 4] }]),
  'EyeLike of another type': one('EyeLike', [floats([2, 3])], { dtype: TensorType.INT32 }),
  'squares that nothing sums': one(
    'ReduceSumSquare',
    [floats([3])],
    { noop_with_empty_axes: 1 },
    18,
  ),
  'logarithms that nothing sums': one(
    'ReduceLogSum',
    [floats([3], 1, 2)],
    { noop_with_empty_axes: 1 },
    18,
  ),
  'exclusive sums of infinity': one(
    'CumSum',
    [floatsOf([Number.POSITIVE_INFINITY, 1, 2]), known([0], [])],
    { exclusive: 1 },
  ),
  'exclusive sums backwards': one('CumSum', [floats([2, 3, 2]), known([1], [])], {
    exclusive: 1,
    reverse: 1,
  }),
  'exclusive sums of nothing': one('CumSum', [floats([2, 0]), known([1], [])], { exclusive: 1 }),
  'a negative step from before the beginning': one('Slice', [
    floats([4]),
    known([-9]),
    known([-10]),
    known([0]),
    known([-1]),
  ]),
}

describe.skipIf(ort === undefined)('at the limits, as onnxruntime computes it', async () => {
  if (ort === undefined) return
  await setDevice('reference')
  it.each(Object.entries(cases))('%s', async (_, given) => {
    await compare(given, await expectedOf(ort, given))
  })
})

/** A graph of the input x, float32 of a shape, with one output y. */
const graphOf = (
  node: readonly Node[],
  initializer: readonly Tensor[] = [],
  shape: readonly number[] = [5],
  functions: readonly ModelFunction[] = [],
) =>
  encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 17 }, { domain: 'own', version: 1 }],
    graph: {
      name: 'g',
      node,
      initializer,
      input: [infoOf('x', { dtype: 'float', shape })],
      output: [{ name: 'y' }],
    },
    functions,
  })
const ran = async (bytes: Uint8Array, data: readonly number[], shape = [data.length]) => [
  ...(await loadOnnxBytes(bytes, 'm')
    .forward(tensor([...data], { shape }))
    .data()),
]

describe('without a runtime to compare with', () => {
  const END = 2n ** 63n - 1n
  const whole = (name: string, data: readonly (number | bigint)[]) => ({
    name,
    dims: [data.length],
    dataType: TensorType.INT64,
    int64Data: data as readonly number[],
  })
  const slice: Node = { opType: 'Slice', input: ['x', 'from', 'to'], output: ['y'] }

  it('slices to the largest int64, in a typed field and in value_ints', async () => {
    const field = graphOf([slice], [whole('from', [1]), whole('to', [END])])
    expect(await ran(field, [1, 2, 3, 4, 5])).toEqual([2, 3, 4, 5])
    const value = { name: 'value_ints', type: AttributeType.INTS, ints: [END] }
    const node: Node = { opType: 'Constant', output: ['to'], attribute: [value] }
    const attribute = graphOf([node, slice], [whole('from', [1])])
    expect(await ran(attribute, [1, 2, 3, 4, 5])).toEqual([2, 3, 4, 5])
  })

  it('cuts a size computed in float32 as float32 does', async () => {
    // 10 · fround(0.7) is 6.99999988… in float64, and 7 in float32.
    const scale = tensorOf('scale', values([Math.fround(0.7)]))
    const cast = (from: string, to: string, type: number): Node => ({
      opType: 'Cast',
      input: [from],
      output: [to],
      attribute: [attributeOf('to', type)],
    })
    const nodes: Node[] = [
      { opType: 'Shape', input: ['x'], output: ['size'] },
      cast('size', 'float', TensorType.FLOAT),
      { opType: 'Mul', input: ['float', 'scale'], output: ['scaled'] },
      cast('scaled', 'to', TensorType.INT64),
      slice,
    ]
    const bytes = graphOf(nodes, [scale, whole('from', [0])], [10])
    expect(await ran(bytes, [...new Array(10).keys()])).toHaveLength(7)
  })

  it('LRN over an even number of channels takes the odd one from behind', async () => {
    const attribute = [
      attributeOf('size', 2),
      attributeOf('alpha', { f: 2 }),
      attributeOf('beta', { f: 1 }),
    ]
    const bytes = graphOf(
      [{ opType: 'LRN', input: ['x'], output: ['y'], attribute }],
      [],
      [1, 3, 1, 1],
    )
    // y = x / (1 + alpha / 2 · (x_c² + x_{c+1}²))
    const got = await ran(bytes, [1, 2, 3], [1, 3, 1, 1])
    const wanted = [1 / 6, 2 / 14, 3 / 10]
    // The last bit is the tier's.
    for (const [i, value] of wanted.entries()) expect(got[i]).toBeCloseTo(value, 6)
    expect(got.length).toBe(wanted.length)
  })

  it('takes any size where the file says −1', async () => {
    const node: Node[] = [{ opType: 'Relu', input: ['x'], output: ['y'] }]
    expect(await ran(graphOf(node, [], [-1]), [-1, 2, 3])).toEqual([0, 2, 3])
    expect(await ran(graphOf(node, [], [-1]), [4])).toEqual([4])
  })

  it('quantises to the type that is asked for, or refuses it', async () => {
    const scale = tensorOf('scale', values([0.5], []))
    const of = (type: number) => {
      const attribute = [attributeOf('output_dtype', type)]
      return graphOf(
        [{ opType: 'QuantizeLinear', input: ['x', 'scale'], output: ['y'], attribute }],
        [scale],
        [3],
      )
    }
    expect(await ran(of(TensorType.INT8), [-1, 0.5, 500])).toEqual([-2, 1, 127])
    expect(await ran(of(TensorType.UINT8), [-1, 0.5, 500])).toEqual([0, 1, 255])
    expect(await ran(of(TensorType.INT16), [-1, 0.5, 1e6])).toEqual([-2, 1, 32767])
    expect(() => loadOnnxBytes(of(TensorType.FLOAT8E5M2), 'm')).toThrow(
      /to FLOAT8E5M2 is not supported/,
    )
  })

  it.each([
    ['UINT16', 3, [0, 3, 65535]],
    ['INT16', -3, [-32768, -3, 32767]],
    ['INT4', 1, [-8, 1, 7]],
    ['UINT4', 1, [0, 1, 15]],
    ['INT8', -3, [-128, -3, 127]],
    ['UINT8', 3, [0, 3, 255]],
  ] as const)('quantises to the type of its zero point, %s, and back', async (name, zero, all) => {
    const point: Tensor = {
      name: 'zero',
      dims: [],
      dataType: TensorType[name],
      int32Data: [name === 'INT4' ? zero & 15 : zero],
    }
    const node: Node[] = [
      { opType: 'QuantizeLinear', input: ['x', 'scale', 'zero'], output: ['q'] },
      { opType: 'DequantizeLinear', input: ['q', 'scale', 'zero'], output: ['y'] },
    ]
    const bytes = graphOf(node, [tensorOf('scale', values([1], [])), point], [3])
    expect(await ran(bytes, [-1e6, 0, 1e6])).toEqual(all.map((n) => n - zero))
  })

  it('integers of fewer bits wrap, as in onnxruntime', async () => {
    const through = (to: number, known = false) => {
      const node: Node[] = [
        {
          opType: 'Cast',
          input: [known ? 'c' : 'x'],
          output: ['n'],
          attribute: [attributeOf('to', to)],
        },
        { opType: 'Cast', input: ['n'], output: ['f'], attribute: [attributeOf('to', 1)] },
        { opType: known ? 'Add' : 'Identity', input: known ? ['f', 'x'] : ['f'], output: ['y'] },
      ]
      const c: Tensor = { name: 'c', dims: [4], dataType: 7, int64Data: [127, 128, 300, -70000] }
      return graphOf(node, known ? [c] : [], [4])
    }
    const x = [127, 128, 300, -70000]
    for (const [to, expected] of [
      [TensorType.INT8, [127, -128, 44, -112]],
      [TensorType.INT16, [127, 128, 300, -4464]],
      [TensorType.UINT16, [127, 128, 300, 61072]],
    ] as const) {
      expect(await ran(through(to), x)).toEqual(expected)
      expect(await ran(through(to, true), [0, 0, 0, 0])).toEqual(expected)
    }
    expect(() => loadOnnxBytes(through(TensorType.INT4), 'm')).toThrow(/to INT4 is not supported/)
  })

  it('dequantises floats of 8 bits as floats', async () => {
    const eight: Tensor = {
      name: 'q',
      dims: [2],
      dataType: TensorType.FLOAT8E4M3FN,
      int32Data: [0x30, 0x3c],
    }
    const node: Node[] = [
      { opType: 'DequantizeLinear', input: ['q', 'scale'], output: ['w'] },
      { opType: 'Add', input: ['x', 'w'], output: ['y'] },
    ]
    const bytes = graphOf(node, [eight, tensorOf('scale', values([2], []))], [2])
    expect(await ran(bytes, [0, 0])).toEqual([1, 3])
  })

  it('calls the overload of a function that is meant', async () => {
    const own = (overload: string, opType: string): ModelFunction => ({
      name: 'f',
      domain: 'own',
      overload,
      input: ['u'],
      output: ['v'],
      opsetImport: [{ version: 17 }],
      node: [{ opType, input: ['u'], output: ['v'] }],
    })
    const call: Node = { opType: 'f', domain: 'own', overload: 'a', input: ['x'], output: ['y'] }
    const bytes = graphOf([call], [], [2], [own('a', 'Neg'), own('b', 'Abs')])
    expect(await ran(bytes, [1, -2])).toEqual([-1, 2])
  })

  it('reads many nodes without names in time', () => {
    const nodes = Array.from({ length: 20_000 }, (_, i) => ({
      opType: 'Relu',
      input: [i === 0 ? 'x' : `v${i}`],
      output: [i === 19_999 ? 'y' : `v${i + 1}`],
    }))
    const bytes = graphOf(nodes)
    const begin = performance.now()
    loadOnnxBytes(bytes, 'm')
    expect(performance.now() - begin).toBeLessThan(2000)
  })

  it('reads many branches in time', () => {
    const body = (opType: string) => ({
      name: 'b',
      node: [{ opType, input: ['x'], output: ['r'] }],
      output: [{ name: 'r' }],
    })
    const branch = (name: string, opType: string) => ({
      name,
      type: AttributeType.GRAPH,
      g: body(opType),
    })
    const count = 8000
    const nodes: Node[] = Array.from({ length: count }, (_, i) => ({
      opType: 'If',
      input: ['yes'],
      output: [`v${i}`],
      attribute: [branch('then_branch', 'Relu'), branch('else_branch', 'Neg')],
    }))
    nodes.push({ opType: 'Sum', input: nodes.map((_, i) => `v${i}`), output: ['y'] })
    const yes: Tensor = { name: 'yes', dims: [], dataType: TensorType.BOOL, int32Data: [1] }
    const bytes = graphOf(nodes, [yes])
    // A second or two; a copy of all names for each branch takes more than ten.
    const begin = performance.now()
    loadOnnxBytes(bytes, 'm')
    expect(performance.now() - begin).toBeLessThan(5000)
  })

  it('refuses to compute with integers beyond int32', () => {
    const nodes: Node[] = [
      { opType: 'Mod', input: ['large', 'seven'], output: ['rest'] },
      {
        opType: 'Cast',
        input: ['rest'],
        output: ['float'],
        attribute: [attributeOf('to', TensorType.FLOAT)],
      },
      { opType: 'Mul', input: ['x', 'float'], output: ['y'] },
    ]
    const bytes = graphOf(nodes, [whole('large', [5e9]), whole('seven', [7])])
    expect(() => loadOnnxBytes(bytes, 'm')).toThrow(/5000000000 does not fit int32/)
  })

  it('reads a list in many packed pieces in time', () => {
    // Field 7 (int64Data) of a Tensor, one number a piece.
    const piece = [(7 << 3) | 2, 1, 1]
    const tensorBytes = Uint8Array.from({ length: 3 * 200_000 }, (_, i) => piece[i % 3])
    const length = (n: number) => {
      const bytes: number[] = []
      for (; n > 127; n = Math.floor(n / 128)) bytes.push((n & 127) | 128)
      return [...bytes, n]
    }
    const graph = [(5 << 3) | 2, ...length(tensorBytes.length)]
    const head = [(7 << 3) | 2, ...length(graph.length + tensorBytes.length), ...graph]
    const bytes = new Uint8Array(head.length + tensorBytes.length)
    bytes.set(head)
    bytes.set(tensorBytes, head.length)
    const begin = performance.now()
    expect(() => loadOnnxBytes(bytes, 'm')).toThrow(BurnishError)
    expect(performance.now() - begin).toBeLessThan(2000)
  })
})
