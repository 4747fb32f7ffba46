// The weights of a TensorFlow.js model: a manifest of tensors, and shards that hold their bytes one after the other.
//
// Quantised tensors are uint8 or uint16 numbers q that stand for q·scale + min, or float16. All become the types Burnish
// computes with. After tfjs-core's io_utils.ts; leaves out strings and complex numbers, which no network computes with.
import { fail } from '../../base/errors.js'
import { float16Value } from '../../base/half.js'
import { type Shape, sizeOf } from '../../base/shape.js'
import type { HostTensor } from '../values.js'
import { type Fields, fieldsOf, type Plain } from './plain.js'

type Stored = 'float32' | 'int32' | 'bool' | 'uint8' | 'uint16' | 'float16'

const itemSize: { readonly [S in Stored]: number } = {
  float32: 4,
  int32: 4,
  bool: 1,
  uint8: 1,
  uint16: 2,
  float16: 2,
}

/** A tensor of the manifest, and how its numbers are stored. */
export interface WeightSpec {
  readonly name: string
  readonly shape: Shape
  readonly dtype: 'float32' | 'int32' | 'bool' | 'uint8'
  readonly stored: Stored
  /** q·scale + min; of whole quantised numbers only. */
  readonly scale: number
  readonly min: number
}

/** Tensors whose bytes stand behind each other in the shards at `paths`, joined. */
export interface WeightGroup {
  readonly paths: readonly string[]
  readonly weights: readonly WeightSpec[]
}

/** `weightsManifest` of a model.json. */
export function readManifest(value: Plain, where: string): WeightGroup[] {
  if (!Array.isArray(value)) throw fail(`${where}: weightsManifest must be a list of groups`)
  const names = new Set<string>()
  return value.map((group: Plain, i) => {
    const fields = fieldsOf(group, `${where}: weightsManifest[${i}]`)
    const weights = fields.list('weights').map((weight, k) => {
      const spec = readSpec(fieldsOf(weight, `${fields.where}.weights[${k}]`))
      if (names.has(spec.name)) fail(`${where}: the weight ${spec.name} is there twice`)
      names.add(spec.name)
      return spec
    })
    return { paths: fields.strings('paths').map((path) => checkedPath(path, where)), weights }
  })
}

function readSpec(fields: Fields): WeightSpec {
  const name = fields.string('name')
  const dtype = fields.string('dtype')
  const shape = fields.counts('shape')
  const here = `${fields.where} ${name}`
  if (!Number.isSafeInteger(sizeOf(shape) * 4)) fail(`${here}: the shape [${shape}] is too large`)
  if (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'bool' && dtype !== 'uint8')
    throw fail(`${here}: is ${dtype}; weights of float32, int32, bool and uint8 are read`)
  if (!fields.has('quantization')) return { name, shape, dtype, stored: dtype, scale: 1, min: 0 }
  const quantization = fields.object('quantization')
  const stored = quantization.string('dtype')
  if (stored !== 'uint8' && stored !== 'uint16' && stored !== 'float16')
    throw fail(`${here}: is quantised as ${stored}; uint8, uint16 and float16 are read`)
  if (dtype !== 'float32' && (dtype !== 'int32' || stored === 'float16'))
    throw fail(`${here}: ${dtype} cannot be stored as ${stored}`)
  if (stored === 'float16') return { name, shape, dtype, stored, scale: 1, min: 0 }
  return {
    name,
    shape,
    dtype,
    stored,
    scale: quantization.number('scale'),
    min: quantization.number('min'),
  }
}

/**
 * A shard's path, which must stay in the model's folder: no drive, no scheme, no `..`, no root.
 * @throws BurnishError for any other.
 */
export function checkedPath(path: string, where: string): string {
  const parts = path.split('/')
  const odd = parts.some((part) => part === '' || part === '.' || part === '..')
  const control = Array.from(path).some((c) => c < ' ')
  if (odd || control || path.includes('\\') || path.includes(':') || /%2e|%2f|%5c/i.test(path))
    fail(
      `${where}: the shard path ${JSON.stringify(path.slice(0, 80))} leaves the model's folder; shards lie beside model.json or below`,
    )
  return path
}

/** Bytes of all tensors of a group. */
function groupSize(weights: readonly WeightSpec[]): number {
  return weights.reduce((sum, { shape, stored }) => sum + sizeOf(shape) * itemSize[stored], 0)
}

/**
 * The tensors of a group from its joined shards, by name.
 * @throws BurnishError when there are fewer or more bytes than the manifest's shapes take.
 */
export function decodeGroup(
  weights: readonly WeightSpec[],
  bytes: Uint8Array,
  where: string,
): [name: string, tensor: HostTensor][] {
  const needed = groupSize(weights)
  if (bytes.length !== needed)
    fail(
      `${where}: the shards have ${bytes.length} bytes, the manifest's ${weights.length} tensors take ${needed}: ${bytes.length < needed ? 'a shard is missing or cut short' : 'they belong to another model'}`,
    )
  let at = 0
  return weights.map((spec) => {
    const size = sizeOf(spec.shape) * itemSize[spec.stored]
    const part = bytes.subarray(at, at + size)
    at += size
    return [spec.name, decodeWeight(spec, part)]
  })
}

function decodeWeight(spec: WeightSpec, bytes: Uint8Array): HostTensor {
  const { dtype, shape, stored, scale, min } = spec
  const count = sizeOf(shape)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (stored === 'float32') {
    const data = new Float32Array(count)
    new Uint8Array(data.buffer).set(bytes)
    return { dtype, shape, data }
  }
  if (stored === 'bool' || (stored === 'uint8' && dtype === 'uint8')) {
    const data = bytes.slice()
    return { dtype, shape, data: dtype === 'bool' ? data.map((byte) => (byte ? 1 : 0)) : data }
  }
  const data = dtype === 'float32' ? new Float32Array(count) : new Int32Array(count)
  if (stored === 'float16')
    for (let i = 0; i < count; i++) data[i] = float16Value(view.getUint16(2 * i, true))
  else if (stored === 'int32') for (let i = 0; i < count; i++) data[i] = view.getInt32(4 * i, true)
  else
    for (let i = 0; i < count; i++) {
      const q = stored === 'uint8' ? bytes[i] : view.getUint16(2 * i, true)
      const value = q * scale + min
      data[i] = dtype === 'int32' ? Math.round(value) : value
    }
  return { dtype, shape, data }
}
