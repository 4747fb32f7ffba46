// `burnish convert`: the tensors of a file in another format. What goes in is told by its content, what comes out by
// the extension. The new file is written beside its place and renamed.
import { stat } from 'node:fs/promises'
import { fail } from '../base/errors.js'
import { bfloat16Bits, float16Bits } from '../base/half.js'
import { stripped } from '../io/load.js'
import { saveTensors } from '../io/save.js'
import { decode, type FileDType, hostDType, type StoredTensor } from '../io/values.js'
import { printable } from './inspect.js'
import { openAny } from './inspect-files.js'
import { size } from './values.js'

export interface ConvertOptions {
  /** What floats become. */
  readonly dtype?: 'float32' | 'float16' | 'bfloat16'
  /** Where the state dict is in a PyTorch checkpoint. */
  readonly key?: string
  /** A prefix taken off the names. */
  readonly strip?: string
  /** Megabytes a safetensors file, for several with an index. */
  readonly shard?: number
  readonly force: boolean
  readonly json: boolean
}

export async function convert(from: string, to: string, options: ConvertOptions): Promise<void> {
  if (!options.force && (await stat(to).catch(() => undefined)) !== undefined)
    fail(`${to} is there already; name another file, or give --force to replace it`)
  if (options.shard !== undefined && !to.endsWith('.safetensors'))
    fail(`convert: --shard is for .safetensors; ${to} is one file`)
  const { key, strip = '' } = options
  const opened = await openAny(from, key === undefined ? {} : { key })
  const tensors = new Map<string, StoredTensor>()
  try {
    const file = stripped(opened, strip, from)
    for (const [name, { same }] of file.tensors) {
      const twin = same === undefined ? undefined : tensors.get(same)
      tensors.set(name, twin ?? converted(await file.read(name), options.dtype, `${from}: ${name}`))
    }
  } finally {
    await opened.close()
  }
  if (tensors.size === 0) fail(`${from}: has no tensors`)
  const metadata = new Map(opened.metadata)
  if (to.endsWith('.safetensors') && !metadata.has('format')) metadata.set('format', 'pt')
  const shard = options.shard === undefined ? {} : { shardBytes: options.shard * 1e6 }
  const paths = await saveTensors(to, tensors, metadata, shard)
  const bytes = [...new Set(tensors.values())].reduce((sum, tensor) => sum + tensor.bytes.length, 0)
  const result = { from, format: opened.format, to: paths, tensors: tensors.size, bytes }
  process.stdout.write(
    options.json
      ? `${JSON.stringify(result)}\n`
      : `${printable(from)} (${opened.format}) → ${paths.map(printable).join(', ')}: ${tensors.size} tensors, ${size(bytes)}\n`,
  )
}

const FILE_TYPES = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const

/** Floats as another float; integers and booleans as they are. */
export function converted(
  tensor: StoredTensor,
  dtype: ConvertOptions['dtype'],
  where: string,
): StoredTensor {
  if (dtype === undefined || hostDType(tensor.dtype) !== 'float32') return tensor
  const to: FileDType = FILE_TYPES[dtype]
  if (to === tensor.dtype) return tensor
  const { data, shape } = decode(tensor, where, { copy: false })
  const values =
    dtype === 'float32'
      ? data
      : Uint16Array.from(data, dtype === 'float16' ? float16Bits : bfloat16Bits)
  return {
    dtype: to,
    shape,
    bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }
}
