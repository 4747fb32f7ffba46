// TensorFlow's operators against TensorFlow.js: each case is a graph of one node. Inputs marked `known` are constants.
import { attr, type Given } from './tf.js'

export interface Argument extends Given {
  readonly known?: boolean
}

export interface OperatorCase {
  readonly op: string
  readonly inputs: readonly Argument[]
  readonly attr?: { readonly [name: string]: object }
  /** Results; default 1. */
  readonly outputs?: number
  /** What comes out, where TensorFlow.js does not have the operator, or has it wrong. */
  readonly expected?: readonly (readonly number[])[]
}

const of = (...shape: readonly number[]): Argument => ({ shape })
const ints = (...values: readonly number[]): Argument => ({
  shape: [values.length],
  values,
  dtype: 'int32',
  known: true,
})
const flags = (...values: readonly number[]): Argument => ({
  shape: [values.length],
  values,
  dtype: 'bool',
  known: true,
})
const int = (value: number): Argument => ({
  shape: [],
  values: [value],
  dtype: 'int32',
  known: true,
})
const fixed = (shape: readonly number[], ...values: readonly number[]): Argument => ({
  shape,
  ...(values.length > 0 ? { values } : {}),
  known: true,
})
const positive: Argument = { shape: [6], values: [0.2, 0.9, 1, 1.7, 2.5, 4] }
const small: Argument = { shape: [6], values: [-0.9, -0.5, -0.1, 0.2, 0.6, 0.95] }
const wide: Argument = { shape: [8], values: [-7.5, -2.5, -1.2, -0.3, 0, 0.5, 1.5, 8.3] }
const T = { T: attr.type('float32') }
const I = { T: attr.type('int32') }
const truth = (...values: readonly number[]): Argument => ({
  shape: [values.length],
  values,
  dtype: 'bool',
})
const whole = (...values: readonly number[]): Argument => ({
  shape: [values.length],
  values,
  dtype: 'int32',
})

const unary = (op: string, input: Argument = wide): OperatorCase => ({
  op,
  inputs: [input],
  attr: T,
})
const unaries: OperatorCase[] = [
  ...'Abs Neg Sign Square Exp Floor Ceil Round Rint Sin Cos Sinh Cosh Tanh Atan Asinh Erf Expm1 Relu Relu6 Elu Selu Sigmoid Softplus IsNan IsFinite IsInf ZerosLike OnesLike Identity Snapshot StopGradient PreventGradient'
    .split(' ')
    .map((op) => unary(op)),
  ...'Sqrt Rsqrt Reciprocal Inv Log Log1p'.split(' ').map((op) => unary(op, positive)),
  ...'Tan Asin Acos Atanh'.split(' ').map((op) => unary(op, small)),
  unary('Acosh', { shape: [3], values: [1, 1.5, 4] }),
  unary('Softsign'),
  unary('Softmax', of(3, 5)),
  unary('LogSoftmax', of(3, 5)),
  { op: 'LeakyRelu', inputs: [wide], attr: { ...T, alpha: attr.float(0.1) } },
  { op: 'Prelu', inputs: [of(2, 3, 4), fixed([4])], attr: {} },
  { op: 'ClipByValue', inputs: [wide, fixed([], -1), fixed([], 2)], attr: T },
  { op: 'CheckNumerics', inputs: [wide], attr: T },
  { op: 'EnsureShape', inputs: [wide], attr: T },
  { op: 'PlaceholderWithDefault', inputs: [wide], attr: T },
]

const binaries: OperatorCase[] = [
  ...'Add AddV2 Sub Mul RealDiv Maximum Minimum SquaredDifference Atan2 DivNoNan'
    .split(' ')
    .flatMap((op): OperatorCase[] => [
      { op, inputs: [of(2, 3, 4), of(3, 1)], attr: T },
      { op, inputs: [of(2, 3), fixed([3])], attr: T },
    ]),
  {
    op: 'DivNoNan',
    inputs: [
      { shape: [3], values: [1, 2, 0] },
      { shape: [3], values: [0, 4, 0] },
    ],
    attr: T,
  },
  { op: 'Div', inputs: [of(2, 3), of(2, 3)], attr: T },
  { op: 'Div', inputs: [whole(7, -7, 8), whole(2, 2, -3)], attr: I, expected: [[3, -3, -2]] },
  { op: 'Pow', inputs: [positive, { shape: [6], values: [2, -1, 0.5, 3, 0, 1.5] }], attr: T },
  ...'FloorDiv FloorMod'.split(' ').flatMap((op): OperatorCase[] => [
    { op, inputs: [whole(7, -7, 8, -8), whole(2, 2, -3, -3)], attr: I },
    {
      op,
      inputs: [
        { shape: [3], values: [5.5, -5.5, 3] },
        { shape: [3], values: [2, 2, -2] },
      ],
      attr: T,
    },
  ]),
  { op: 'Mod', inputs: [whole(7, -7, 8), whole(2, 2, -3)], attr: I, expected: [[1, -1, 2]] },
  ...'Equal NotEqual Less LessEqual Greater GreaterEqual'
    .split(' ')
    .map((op): OperatorCase => ({ op, inputs: [whole(1, 2, 3), whole(2, 2, 2)], attr: I })),
  ...'LogicalAnd LogicalOr'
    .split(' ')
    .map((op): OperatorCase => ({ op, inputs: [truth(0, 0, 1, 1), truth(0, 1, 0, 1)] })),
  { op: 'LogicalXor', inputs: [truth(0, 0, 1, 1), truth(0, 1, 0, 1)], expected: [[0, 1, 1, 0]] },
  { op: 'LogicalNot', inputs: [truth(0, 1)] },
  { op: 'BiasAdd', inputs: [of(2, 3, 4), fixed([4])], attr: T },
  {
    op: 'BiasAdd',
    inputs: [{ shape: [1, 2, 2, 1], values: [1, 2, 3, 4] }, fixed([2], 10, 20)],
    attr: { ...T, data_format: attr.text('NCHW') },
    expected: [[11, 12, 23, 24]],
  },
  { op: 'AddN', inputs: [of(2, 3), of(2, 3), of(2, 3)], attr: { ...T, N: attr.int(3) } },
  { op: 'Select', inputs: [truth(1, 0, 1), of(3), { ...of(3), values: [5, 6, 7] }], attr: T },
  {
    op: 'Select',
    inputs: [truth(1, 0), { shape: [2, 2], values: [9, 8, 7, 6] }, fixed([2, 2], 1, 2, 3, 4)],
    attr: T,
    expected: [[9, 8, 3, 4]],
  },
  { op: 'SelectV2', inputs: [truth(1, 0, 1), of(2, 3), fixed([], 9)], attr: T },
  ...(['float32', 'int32', 'bool'] as const).map(
    (to): OperatorCase => ({
      op: 'Cast',
      inputs: [wide],
      attr: { SrcT: attr.type('float32'), DstT: attr.type(to) },
    }),
  ),
]

const conv = (changes: object, stride = 1, padding = 'SAME') => ({
  ...T,
  strides: attr.ints(1, stride, stride, 1),
  padding: attr.text(padding),
  data_format: attr.text('NHWC'),
  dilations: attr.ints(1, 1, 1, 1),
  ...changes,
})
const fusedOf = (...ops: readonly string[]) => ({
  fused_ops: attr.texts(...ops),
  num_args: attr.int(1),
  epsilon: attr.float(0.001),
})
const photo = of(2, 7, 6, 3)
const products: OperatorCase[] = [
  { op: 'Conv2D', inputs: [photo, fixed([3, 3, 3, 4])], attr: conv({}) },
  { op: 'Conv2D', inputs: [photo, fixed([3, 2, 3, 4])], attr: conv({}, 2) },
  {
    op: 'Conv2D',
    inputs: [photo, fixed([3, 3, 3, 4])],
    attr: conv({ dilations: attr.ints(1, 2, 2, 1) }, 1, 'VALID'),
  },
  {
    op: 'Conv2D',
    inputs: [photo, fixed([3, 3, 3, 4])],
    attr: conv({ explicit_paddings: attr.ints(0, 0, 1, 2, 0, 1, 0, 0) }, 2, 'EXPLICIT'),
  },
  ...['_FusedConv2D', 'FusedConv2D'].flatMap((op): OperatorCase[] =>
    op === 'FusedConv2D'
      ? [
          {
            op,
            inputs: [{ shape: [1, 1, 1, 1], values: [2] }, fixed([1, 1, 1, 1], 3), fixed([1], -7)],
            attr: conv(fusedOf('BiasAdd', 'Relu')),
            expected: [[0]],
          },
        ]
      : ['Relu', 'Relu6', 'Elu'].map((activation) => ({
          op,
          inputs: [photo, fixed([3, 3, 3, 4]), fixed([4])],
          attr: conv(fusedOf('BiasAdd', activation)),
        })),
  ),
  {
    op: '_FusedConv2D',
    inputs: [photo, fixed([3, 3, 3, 4]), fixed([4])],
    attr: conv(fusedOf('BiasAdd'), 2, 'VALID'),
  },
  {
    op: '_FusedConv2D',
    inputs: [photo, fixed([3, 3, 3, 4]), fixed([4]), fixed([4])],
    attr: conv({ ...fusedOf('BiasAdd', 'Prelu'), num_args: attr.int(2) }),
  },
  {
    op: '_FusedConv2D',
    inputs: [photo, fixed([3, 3, 3, 4]), fixed([4])],
    attr: conv({ ...fusedOf('BiasAdd', 'LeakyRelu'), leakyrelu_alpha: attr.float(0.1) }),
  },
  { op: 'DepthwiseConv2dNative', inputs: [photo, fixed([3, 3, 3, 2])], attr: conv({}) },
  { op: 'DepthwiseConv2d', inputs: [photo, fixed([3, 3, 3, 1])], attr: conv({}, 2) },
  {
    op: 'FusedDepthwiseConv2dNative',
    inputs: [photo, fixed([3, 3, 3, 1]), fixed([3])],
    attr: conv(fusedOf('BiasAdd', 'Relu6'), 2),
  },
  {
    op: 'Conv2DBackpropInput',
    inputs: [ints(2, 13, 12, 4), fixed([3, 3, 4, 3]), photo],
    attr: conv({}, 2),
  },
  {
    op: 'Conv2DBackpropInput',
    inputs: [ints(2, 15, 13, 4), fixed([3, 3, 4, 3]), photo],
    attr: conv({}, 2, 'VALID'),
  },
  {
    op: 'Conv3D',
    inputs: [of(1, 4, 5, 3, 2), fixed([2, 3, 2, 2, 3])],
    attr: {
      ...T,
      strides: attr.ints(1, 1, 2, 1, 1),
      padding: attr.text('SAME'),
      data_format: attr.text('NDHWC'),
      dilations: attr.ints(1, 1, 1, 1, 1),
    },
  },
  {
    op: 'Conv3DBackpropInputV2',
    inputs: [
      ints(1, 2, 2, 2, 1),
      fixed([2, 2, 2, 1, 1], 1, 2, 3, 4, 5, 6, 7, 8),
      { shape: [1, 1, 1, 1, 1], values: [2] },
    ],
    attr: {
      ...T,
      strides: attr.ints(1, 2, 2, 2, 1),
      padding: attr.text('VALID'),
      data_format: attr.text('NDHWC'),
    },
    expected: [[2, 4, 6, 8, 10, 12, 14, 16]],
  },
  { op: 'MatMul', inputs: [of(3, 4), fixed([4, 5])], attr: T },
  {
    op: 'MatMul',
    inputs: [of(4, 3), fixed([5, 4])],
    attr: { ...T, transpose_a: attr.flag(true), transpose_b: attr.flag(true) },
  },
  {
    op: '_FusedMatMul',
    inputs: [of(3, 4), fixed([4, 5]), fixed([5])],
    attr: { ...T, ...fusedOf('BiasAdd', 'Relu') },
  },
  ...['BatchMatMul', 'BatchMatMulV2'].map(
    (op): OperatorCase => ({
      op,
      inputs: [of(2, 3, 4), of(2, 5, 4)],
      attr: { ...T, adj_x: attr.flag(false), adj_y: attr.flag(true) },
    }),
  ),
  {
    op: 'BatchMatMulV3',
    inputs: [
      { shape: [1, 1, 2], values: [1, 2] },
      { shape: [1, 2, 1], values: [3, 4] },
    ],
    attr: T,
    expected: [[11]],
  },
  {
    op: 'Einsum',
    inputs: [of(2, 3, 4), of(4, 5)],
    attr: { ...T, N: attr.int(2), equation: attr.text('abc,cd->adb') },
  },
  ...['FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3'].map(
    (op): OperatorCase => ({
      op,
      inputs: [photo, fixed([3]), fixed([3]), fixed([3]), fixed([3], 0.5, 1.5, 2)],
      attr: {
        ...T,
        epsilon: attr.float(0.01),
        data_format: attr.text('NHWC'),
        is_training: attr.flag(false),
      },
    }),
  ),
  ...['MaxPool', 'AvgPool'].flatMap((op): OperatorCase[] => [
    { op, inputs: [photo], attr: conv({ ksize: attr.ints(1, 3, 2, 1) }, 2) },
    { op, inputs: [photo], attr: conv({ ksize: attr.ints(1, 2, 2, 1) }, 2, 'VALID') },
  ]),
  ...['MaxPool3D', 'AvgPool3D'].map(
    (op): OperatorCase => ({
      op,
      inputs: [of(1, 5, 4, 3, 2)],
      attr: {
        ...T,
        ksize: attr.ints(1, 2, 2, 2, 1),
        strides: attr.ints(1, 2, 1, 2, 1),
        padding: attr.text('SAME'),
        data_format: attr.text('NDHWC'),
      },
    }),
  ),
  {
    op: 'LRN',
    inputs: [of(1, 2, 2, 6)],
    attr: {
      ...T,
      depth_radius: attr.int(2),
      bias: attr.float(1),
      alpha: attr.float(0.3),
      beta: attr.float(0.5),
    },
  },
]

const reductions: OperatorCase[] = [
  ...'Mean Sum Max Min Prod'.split(' ').flatMap((op): OperatorCase[] => [
    { op, inputs: [of(2, 3, 4), ints(1)], attr: { ...T, keep_dims: attr.flag(true) } },
    { op, inputs: [of(2, 3, 4), ints(0, -1)], attr: { ...T, keep_dims: attr.flag(false) } },
  ]),
  ...'All Any'.split(' ').map(
    (op): OperatorCase => ({
      op,
      inputs: [{ shape: [2, 3], values: [1, 1, 1, 0, 1, 0], dtype: 'bool' }, ints(1)],
      attr: { keep_dims: attr.flag(false) },
    }),
  ),
  {
    op: 'EuclideanNorm',
    inputs: [{ shape: [2], values: [3, 4] }, ints(0)],
    attr: T,
    expected: [[5]],
  },
  { op: 'ArgMax', inputs: [of(2, 3, 4), int(1)], attr: T },
  { op: 'ArgMin', inputs: [of(2, 3, 4), int(-1)], attr: T },
  ...[false, true].flatMap((reverse) =>
    [false, true].flatMap((exclusive): OperatorCase[] =>
      ['Cumsum', 'Cumprod'].map((op) => ({
        op,
        inputs: [of(2, 5), int(1)],
        attr: { ...T, reverse: attr.flag(reverse), exclusive: attr.flag(exclusive) },
      })),
    ),
  ),
]

const slicing = (masks: { readonly [name: string]: number }) =>
  Object.fromEntries(
    ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'].map((name) => [
      name,
      attr.int(masks[name] ?? 0),
    ]),
  )

const shapes: OperatorCase[] = [
  { op: 'Reshape', inputs: [of(2, 3, 4), ints(4, -1)], attr: T },
  { op: 'Squeeze', inputs: [of(1, 3, 1)], attr: { ...T, squeeze_dims: attr.ints(0) } },
  { op: 'Squeeze', inputs: [of(1, 3, 1)], attr: T },
  { op: 'ExpandDims', inputs: [of(2, 3), int(-1)], attr: T },
  { op: 'Transpose', inputs: [of(2, 3, 4), ints(2, 0, 1)], attr: T },
  { op: 'Concat', inputs: [int(1), of(2, 3), of(2, 1)], attr: { ...T, N: attr.int(2) } },
  { op: 'ConcatV2', inputs: [of(2, 3), of(2, 1), int(-1)], attr: { ...T, N: attr.int(2) } },
  { op: 'Pack', inputs: [of(2, 3), of(2, 3)], attr: { ...T, N: attr.int(2), axis: attr.int(1) } },
  {
    op: 'Unpack',
    inputs: [of(2, 3)],
    attr: { ...T, num: attr.int(3), axis: attr.int(1) },
    outputs: 3,
  },
  { op: 'Split', inputs: [int(1), of(2, 6)], attr: { ...T, num_split: attr.int(3) }, outputs: 3 },
  {
    op: 'SplitV',
    inputs: [of(2, 6), ints(1, 3, 2), int(1)],
    attr: { ...T, num_split: attr.int(3) },
    outputs: 3,
  },
  { op: 'Slice', inputs: [of(3, 4), ints(1, 0), ints(2, -1)], attr: T },
  {
    op: 'StridedSlice',
    inputs: [of(3, 4, 5), ints(0, 1), ints(0, 3), ints(1, 1)],
    attr: { ...T, ...slicing({ begin_mask: 1, end_mask: 1 }) },
  },
  {
    op: 'StridedSlice',
    inputs: [of(3, 4, 5), ints(0, -1), ints(0, 0), ints(1, 1)],
    attr: { ...T, ...slicing({ ellipsis_mask: 1, shrink_axis_mask: 2 }) },
  },
  {
    op: 'StridedSlice',
    inputs: [of(3, 4), ints(0, 1, 0), ints(0, 2, 4), ints(1, 1, 2)],
    attr: { ...T, ...slicing({ new_axis_mask: 1 }) },
  },
  {
    op: 'StridedSlice',
    inputs: [of(5, 4), ints(-1, 0), ints(-4, 4), ints(-2, 1)],
    attr: { ...T, ...slicing({}) },
  },
  {
    op: 'StridedSlice',
    inputs: [of(5, 4), ints(0, 0), ints(0, 0), ints(-1, 1)],
    attr: { ...T, ...slicing({ begin_mask: 3, end_mask: 3 }) },
  },
  { op: 'Pad', inputs: [of(2, 3), { ...ints(1, 0, 2, 1), shape: [2, 2] }], attr: T },
  {
    op: 'PadV2',
    inputs: [of(2, 3), { ...ints(1, 0, 2, 1), shape: [2, 2] }, fixed([], 7)],
    attr: T,
  },
  ...['reflect', 'symmetric'].map(
    (mode): OperatorCase => ({
      op: 'MirrorPad',
      inputs: [of(3, 4), { ...ints(1, 2, 2, 1), shape: [2, 2] }],
      attr: { ...T, mode: attr.text(mode.toUpperCase()) },
    }),
  ),
  { op: 'Tile', inputs: [of(2, 3), ints(2, 1)], attr: T },
  { op: 'Reverse', inputs: [of(2, 3), flags(0, 1)], attr: T },
  { op: 'Reverse', inputs: [of(2, 3), flags(0, 0)], attr: T },
  { op: 'ReverseV2', inputs: [of(2, 3), ints(0, 1)], attr: T },
  { op: 'ReverseV2', inputs: [of(2, 3), ints(-1)], attr: T },
  { op: 'BroadcastTo', inputs: [of(3, 1), ints(2, 3, 4)], attr: T },
  { op: 'Fill', inputs: [ints(2, 3), { ...fixed([], 2.5), known: false }], attr: T },
  { op: 'Range', inputs: [int(1), int(10), int(3)], attr: { Tidx: attr.type('int32') } },
  { op: 'Shape', inputs: [of(2, 3, 4)], attr: T },
  { op: 'Size', inputs: [of(2, 3, 4)], attr: T },
  { op: 'Rank', inputs: [of(2, 3, 4)], attr: T },
  {
    op: 'DepthToSpace',
    inputs: [of(2, 2, 3, 8)],
    attr: { ...T, block_size: attr.int(2), data_format: attr.text('NHWC') },
  },
  {
    op: 'SpaceToDepth',
    inputs: [{ shape: [1, 2, 2, 2], values: [1, 2, 3, 4, 5, 6, 7, 8] }],
    attr: { ...T, block_size: attr.int(2) },
    expected: [[1, 2, 3, 4, 5, 6, 7, 8]],
  },
  {
    op: 'SpaceToBatchND',
    inputs: [of(1, 4, 5, 2), ints(2, 3), { ...ints(0, 0, 0, 1), shape: [2, 2] }],
    attr: T,
  },
  {
    op: 'BatchToSpaceND',
    inputs: [of(6, 2, 2, 2), ints(2, 3), { ...ints(0, 1, 1, 0), shape: [2, 2] }],
    attr: T,
  },
  ...['ResizeBilinear', 'ResizeNearestNeighbor'].flatMap((op) =>
    [
      [false, false],
      [true, false],
      [false, true],
    ].flatMap(([corners, centers]): OperatorCase[] =>
      [
        [9, 7],
        [3, 12],
      ].map(([h, w]) => ({
        op,
        inputs: [of(1, 5, 6, 2), ints(h, w)],
        attr: { ...T, align_corners: attr.flag(corners), half_pixel_centers: attr.flag(centers) },
      })),
    ),
  ),
  { op: 'IdentityN', inputs: [of(2), of(3)], attr: {}, expected: undefined },
]

const indices: OperatorCase[] = [
  { op: 'Gather', inputs: [of(5, 3), whole(4, 0, 2)], attr: {} },
  {
    op: 'GatherV2',
    inputs: [fixed([5, 3]), whole(4, 0, 2), int(0)],
    attr: { batch_dims: attr.int(0) },
  },
  {
    op: 'GatherV2',
    inputs: [of(2, 4, 3), { shape: [2, 2], values: [3, 0, 1, 1], dtype: 'int32' }, int(1)],
    attr: { batch_dims: attr.int(0) },
  },
  {
    op: 'GatherV2',
    inputs: [of(2, 4, 3), { shape: [2, 2], values: [3, 0, 1, 1], dtype: 'int32' }, int(1)],
    attr: { batch_dims: attr.int(1) },
  },
  {
    op: 'GatherNd',
    inputs: [of(3, 4, 2), { shape: [2, 2], values: [0, 3, 2, 1], dtype: 'int32' }],
    attr: {},
  },
  {
    op: 'ScatterNd',
    inputs: [{ shape: [3, 1], values: [4, 0, 4], dtype: 'int32' }, of(3, 2), ints(5, 2)],
    attr: {},
  },
  {
    op: 'SparseToDense',
    inputs: [whole(1, 3), ints(5), { shape: [2], values: [7, 8] }, fixed([], -1)],
    attr: {},
  },
  {
    op: 'OneHot',
    inputs: [whole(0, 2, 4), int(4), fixed([], 5), fixed([], -1)],
    attr: { axis: attr.int(-1), dtype: attr.type('float32') },
  },
  {
    op: 'OneHot',
    inputs: [whole(0, 2, 1), int(3), fixed([], 1), fixed([], 0)],
    attr: { axis: attr.int(0), dtype: attr.type('float32') },
    expected: [[1, 0, 0, 0, 0, 1, 0, 1, 0]],
  },
  { op: 'TopKV2', inputs: [of(3, 7), int(4)], attr: { ...T, sorted: attr.flag(true) }, outputs: 2 },
  {
    op: 'Where',
    inputs: [{ shape: [2, 3], values: [0, 1, 1, 0, 0, 1], dtype: 'bool', known: true }],
    attr: {},
    expected: [[0, 1, 0, 2, 1, 2]],
  },
]

export const operatorCases: readonly OperatorCase[] = [
  ...unaries,
  ...binaries,
  ...products,
  ...reductions,
  ...shapes,
  ...indices,
]
