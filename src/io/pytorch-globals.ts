// What a PyTorch checkpoint may name of Python, and what each name means here: functions of ours that make tensors and plain
// values. After torch/_weights_only_unpickler.py, and NumPy's scalars and argparse's Namespace, which scripts for training
// put beside a state dict. Every other name is refused with advice.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { PickleGlobal, PickleObject, type PickleValue, shownValue } from './pickle.js'
import {
  dtypes,
  MOST_REPEATED,
  PytorchStorage,
  PytorchTensor,
  storageTypes,
} from './pytorch-tensors.js'
import { type FileDType, fileItemSize } from './values.js'

const MOST_DIMENSIONS = 64
/** How often different views may show the same bytes, before that counts as repeating them. */
const MOST_VIEWS = 8

/** A storage class: the type of the elements, or undefined for bytes. */
export class StorageType extends PickleGlobal {
  readonly dtype: FileDType | undefined

  constructor(name: string, dtype: FileDType | undefined) {
    super(name)
    this.dtype = dtype
  }
}

/** The element type of a NumPy scalar. */
class NumpyType extends PickleObject {
  readonly code: string
  little = true

  constructor(code: string) {
    super()
    this.code = code
  }
}

/** The names a checkpoint may use; `where` is for errors. */
export function pytorchGlobals(where: string): ReadonlyMap<string, PickleGlobal | string> {
  const wrong = (what: string): never => fail(`${where}: ${what}`)
  const globals = new Map<string, PickleGlobal | string>()
  const define = (
    name: string,
    call?: (args: readonly PickleValue[]) => PickleValue,
    build?: (made: PickleValue, state: PickleValue) => void,
  ) => globals.set(name, new PickleGlobal(name, call, build))

  const wholes = (value: PickleValue, what: string): number[] => {
    if (!Array.isArray(value)) return wrong(`${what} of a tensor is no list of numbers`)
    const list: readonly PickleValue[] = value
    if (list.length > MOST_DIMENSIONS)
      wrong(`a tensor of ${list.length} dimensions; at most ${MOST_DIMENSIONS} are read`)
    return list.map((item) => whole(item, what))
  }
  const whole = (value: PickleValue, what: string): number =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : wrong(`${what} of a tensor is ${shownValue(value)}, not a whole number from 0`)

  const views = new Set<string>()
  const taken = new Map<PytorchStorage, number>()
  let repeated = 0
  /** Many views of one storage are as large as one that repeats it; equal ones are one tensor. */
  const counted = (tensor: PytorchTensor): PytorchTensor => {
    const { identity, storage, dtype, shape } = tensor
    if (views.has(identity)) return tensor
    views.add(identity)
    const before = taken.get(storage) ?? 0
    const after = before + sizeOf(shape) * fileItemSize[dtype]
    taken.set(storage, after)
    const beyond = (bytes: number) => Math.max(bytes - MOST_VIEWS * storage.byteLength, 0)
    repeated += beyond(after) - beyond(before)
    if (repeated > MOST_REPEATED)
      wrong(
        `its tensors repeat the ${storage.byteLength} bytes of storage ${storage.key} to ${after}; in Python, save tensor.clone() of those that are meant`,
      )
    return tensor
  }
  const rebuild = (args: readonly PickleValue[], dtype?: FileDType): PytorchTensor => {
    const [storage, offset, size, stride, requiresGrad = false] = args
    if (!(storage instanceof PytorchStorage)) return wrong('a tensor is made without a storage')
    const type = dtype ?? storage.dtype ?? wrong(`a tensor of bytes does not tell its dtype`)
    const place = {
      dtype: type,
      offset: whole(offset, 'the offset'),
      shape: wholes(size, 'the size'),
      strides: wholes(stride, 'the stride'),
    }
    return counted(new PytorchTensor(storage, place, requiresGrad === true, where))
  }
  define('torch._utils._rebuild_tensor', (args) => rebuild(args))
  define('torch._utils._rebuild_tensor_v2', (args) => rebuild(args))
  define('torch._utils._rebuild_tensor_v3', (args) => {
    const name = shownValue(args[6] ?? null).replace(/^torch\./, '')
    const dtype = dtypes.get(name) ?? wrong(`a tensor of ${name} is not read`)
    return rebuild(args, dtype)
  })
  const tensorIn = (args: readonly PickleValue[]): PytorchTensor =>
    args[0] instanceof PytorchTensor ? args[0] : wrong('a parameter is made without a tensor')
  define('torch._utils._rebuild_parameter', tensorIn)
  define('torch._utils._rebuild_parameter_with_state', tensorIn)
  define('torch.nn.parameter.Parameter', tensorIn)
  define('torch.nn.parameter.Buffer', tensorIn)
  // A tensor with attributes, which are left out: the function that makes it, its class, arguments, attributes.
  define('torch._tensor._rebuild_from_type_v2', ([made, , args]) =>
    made instanceof PickleGlobal &&
    made.call !== undefined &&
    made !== globals.get('torch._tensor._rebuild_from_type_v2') &&
    Array.isArray(args)
      ? made.call(args)
      : wrong('a tensor with attributes is made by no function'),
  )
  define('torch.Tensor')

  for (const [name, dtype] of storageTypes) {
    globals.set(`torch.${name}`, new StorageType(`torch.${name}`, dtype))
    globals.set(`torch.cuda.${name}`, new StorageType(`torch.cuda.${name}`, dtype))
  }
  for (const name of ['torch.storage.UntypedStorage', 'torch.UntypedStorage'])
    globals.set(name, new StorageType(name, undefined))
  for (const name of dtypes.keys()) globals.set(`torch.${name}`, `torch.${name}`)

  define('torch.Size', ([items]) => Object.freeze(wholes(items, 'the size')))
  define('torch.device', ([type = 'cpu', index]) =>
    index === undefined || index === null
      ? shownValue(type)
      : `${shownValue(type)}:${shownValue(index)}`,
  )
  const pairsOf = (args: readonly PickleValue[]): PickleValue => {
    const dict = new Map<PickleValue, PickleValue>()
    const pairs: PickleValue = args[0] ?? []
    if (!Array.isArray(pairs)) return wrong('an OrderedDict is made of no list of pairs')
    for (const pair of pairs as readonly PickleValue[]) {
      if (!Array.isArray(pair) || pair.length !== 2)
        return wrong('an OrderedDict is made of no list of pairs')
      if (dict.has(pair[0]))
        wrong(`the key ${shownValue(pair[0])} of an OrderedDict is there twice`)
      dict.set(pair[0], pair[1])
    }
    return dict
  }
  // Attributes of a state dict, `_metadata`: the versions of its modules' layouts.
  define('collections.OrderedDict', pairsOf, () => {})
  define(
    'argparse.Namespace',
    () => new Map(),
    (made, state) => {
      if (!(made instanceof Map) || !(state instanceof Map))
        return wrong('a Namespace without a dict of its names')
      for (const [key, value] of state) made.set(key, value)
    },
  )
  define('_codecs.encode', ([text, encoding]) => {
    if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1'))
      return wrong('bytes that are no text in latin1')
    return Uint8Array.from(text, (character) => character.charCodeAt(0))
  })
  define(
    'numpy.dtype',
    ([code]) => new NumpyType(shownValue(code)),
    (made, state) => {
      if (made instanceof NumpyType && Array.isArray(state)) made.little = state[1] !== '>'
    },
  )
  const scalar = ([type, bytes]: readonly PickleValue[]): PickleValue => {
    if (!(type instanceof NumpyType)) return wrong('a NumPy scalar without a dtype')
    const raw = typeof bytes === 'string' ? Uint8Array.from(bytes, (c) => c.charCodeAt(0)) : bytes
    if (!(raw instanceof Uint8Array)) return wrong('a NumPy scalar without its bytes')
    return (
      scalarOf(type, raw) ?? wrong(`a NumPy scalar ${shownValue(type.code)} of ${raw.length} bytes`)
    )
  }
  define('numpy.core.multiarray.scalar', scalar)
  define('numpy._core.multiarray.scalar', scalar)
  return globals
}

type ScalarReader = (view: DataView, little: boolean) => number | bigint | boolean
const scalars: ReadonlyMap<string, readonly [size: number, read: ScalarReader]> = new Map([
  ['f8', [8, (view: DataView, little: boolean) => view.getFloat64(0, little)]],
  ['f4', [4, (view: DataView, little: boolean) => view.getFloat32(0, little)]],
  ['i8', [8, (view: DataView, little: boolean) => short(view.getBigInt64(0, little))]],
  ['i4', [4, (view: DataView, little: boolean) => view.getInt32(0, little)]],
  ['i2', [2, (view: DataView, little: boolean) => view.getInt16(0, little)]],
  ['i1', [1, (view: DataView) => view.getInt8(0)]],
  ['u8', [8, (view: DataView, little: boolean) => short(view.getBigUint64(0, little))]],
  ['u4', [4, (view: DataView, little: boolean) => view.getUint32(0, little)]],
  ['u2', [2, (view: DataView, little: boolean) => view.getUint16(0, little)]],
  ['u1', [1, (view: DataView) => view.getUint8(0)]],
  ['b1', [1, (view: DataView) => view.getUint8(0) !== 0]],
] satisfies [string, [number, ScalarReader]][])

const short = (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

function scalarOf(type: NumpyType, raw: Uint8Array): PickleValue | undefined {
  const found = scalars.get(type.code.replace(/^[<|=]/, ''))
  if (found === undefined || found[0] !== raw.length) return undefined
  return found[1](new DataView(raw.buffer, raw.byteOffset, raw.length), type.little)
}
