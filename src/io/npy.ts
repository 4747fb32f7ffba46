// NumPy's .npy files, and .npz archives of them. Hand-written after numpy/lib/format.py: versions 1, 2 and 3.
//
// Layout: "\x93NUMPY", major, minor, the header's length (u16 in version 1, else u32), a Python dict as text, then the
// data. The dict is read by a small parser of its own; nothing is ever evaluated. Big-endian and Fortran-ordered data
// are put in order. Leaves out objects (they are pickles, programs), records, text, dates and complex numbers.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf, stridesOf } from '../base/shape.js'
import { gathered, swapBytes } from './bytes.js'
import { type FileDType, fileItemSize, type StoredTensor } from './values.js'
import { readZip } from './zip.js'
import { writeZip } from './zip-write.js'

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const ALIGNMENT = 64
/** A header of three short entries; NumPy's own limit is 10,000. */
const LONGEST_HEADER = 65_536
/** NumPy's own. */
const MOST_DIMENSIONS = 64

/** NumPy's type codes, without the byte order. */
const codes: { readonly [code: string]: FileDType } = {
  b1: 'BOOL',
  u1: 'U8',
  i1: 'I8',
  i2: 'I16',
  u2: 'U16',
  f2: 'F16',
  i4: 'I32',
  u4: 'U32',
  f4: 'F32',
  f8: 'F64',
  i8: 'I64',
  u8: 'U64',
}

/**
 * The array of a .npy file, row-major and little-endian: a view of `bytes` where it already is so.
 * @throws BurnishError naming `where` and the rule when the file is not whole, not an array, or of another type.
 */
export function readNpy(bytes: Uint8Array, where = 'npy'): StoredTensor {
  const { text, dataAt } = headerOf(bytes, where)
  const { descr, fortran, shape } = parseHeader(text, `${where}: header`)
  const { dtype, swapped } = dtypeOf(descr, where)
  const item = fileItemSize[dtype]
  let size: number = item
  for (const extent of shape) {
    size *= extent
    if (!Number.isSafeInteger(size))
      fail(`${where}: shape ${showShape(shape)} overflows 2^53 bytes`)
  }
  const present = bytes.length - dataAt
  if (present !== size)
    fail(
      `${where}: ${dtype} ${showShape(shape)} is ${size} bytes, but ${present} follow the header: the file is ${present < size ? 'truncated' : 'too long'}`,
    )
  let data = bytes.subarray(dataAt)
  if (swapped && item > 1) data = swapBytes(data, item)
  if (fortran && shape.length > 1) {
    const strides = stridesOf([...shape].reverse()).reverse()
    data = gathered(data, 0, shape, strides, item)
  }
  return { dtype, shape, bytes: data }
}

function headerOf(bytes: Uint8Array, where: string): { text: string; dataAt: number } {
  if (bytes.length < MAGIC.length + 2 || MAGIC.some((byte, i) => bytes[i] !== byte))
    fail(`${where}: does not begin with \\x93NUMPY: it is not a .npy file`)
  const major = bytes[6]
  if (major < 1 || major > 3 || bytes[7] !== 0)
    fail(`${where}: is of version ${major}.${bytes[7]}; 1.0, 2.0 and 3.0 are read`)
  const lengthBytes = major === 1 ? 2 : 4
  const start = MAGIC.length + 2 + lengthBytes
  if (bytes.length < start) fail(`${where}: ends inside its header: it is truncated`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, start)
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  if (length > LONGEST_HEADER)
    fail(`${where}: a header of ${length} bytes, at most ${LONGEST_HEADER} are allowed`)
  const dataAt = start + length
  if (dataAt > bytes.length)
    fail(`${where}: its header ends at byte ${dataAt}, the file at ${bytes.length}: truncated`)
  const raw = bytes.subarray(start, dataAt)
  try {
    const text = new TextDecoder(major === 3 ? 'utf-8' : 'latin1', { fatal: true }).decode(raw)
    return { text, dataAt }
  } catch {
    return fail(`${where}: its header is not UTF-8`)
  }
}

interface Header {
  readonly descr: string
  readonly fortran: boolean
  readonly shape: Shape
}

/** The dict {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}: these three keys, each once, in any order. */
function parseHeader(text: string, where: string): Header {
  let at = 0
  const wrong = (what: string): never => fail(`${where}: ${what} at character ${at}`)
  const skip = () => {
    while (at < text.length && ' \t\r\n'.includes(text[at])) at++
  }
  /** The match of a sticky pattern here, after white space. */
  const match = (pattern: RegExp): string | undefined => {
    skip()
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const take = (pattern: RegExp, what: string): string =>
    match(pattern) ?? wrong(`expected ${what}`)
  const string = () => take(/'[^'\\\n]*'|"[^"\\\n]*"/y, 'a string').slice(1, -1)
  const descr = () => {
    skip()
    if (text[at] === '[')
      fail(
        `${where}: the array holds records (${text.slice(at, at + 60)} …); save each field alone`,
      )
    return string()
  }
  const shape = (): Shape => {
    const extents: number[] = []
    take(/\(/y, '(')
    while (match(/\)/y) === undefined) {
      const digits = take(/(0|[1-9][0-9]*)L?/y, 'an extent, a whole number from 0')
      const extent = Number(digits.replace('L', ''))
      if (!Number.isSafeInteger(extent)) wrong(`the extent ${digits} is beyond 2^53`)
      extents.push(extent)
      if (extents.length > MOST_DIMENSIONS) wrong(`more than ${MOST_DIMENSIONS} dimensions`)
      if (match(/,/y) !== undefined) continue
      if (extents.length === 1) wrong('expected , (a tuple of one has a comma)')
      take(/\)/y, ')')
      break
    }
    return extents
  }

  const found: { descr?: string; fortran_order?: boolean; shape?: Shape } = {}
  take(/\{/y, '{')
  while (match(/\}/y) === undefined) {
    const key = string()
    if (Object.hasOwn(found, key)) wrong(`the key ${JSON.stringify(key)} is there twice`)
    take(/:/y, ':')
    if (key === 'descr') found.descr = descr()
    else if (key === 'fortran_order')
      found.fortran_order = take(/True|False/y, 'True or False') === 'True'
    else if (key === 'shape') found.shape = shape()
    else wrong(`the key ${JSON.stringify(key)} is none of descr, fortran_order, shape`)
    if (match(/,/y) !== undefined) continue
    take(/\}/y, '}')
    break
  }
  skip()
  if (at < text.length) wrong('something follows the dict')
  const { descr: code, fortran_order, shape: extents } = found
  if (code === undefined || fortran_order === undefined || extents === undefined)
    throw fail(
      `${where}: must have descr, fortran_order and shape, has ${Object.keys(found).join(', ') || 'none'}`,
    )
  return { descr: code, fortran: fortran_order, shape: extents }
}

function dtypeOf(descr: string, where: string): { dtype: FileDType; swapped: boolean } {
  const order = descr[0]
  const code = descr.slice(1)
  if ('<>|='.includes(order) && Object.hasOwn(codes, code)) {
    const dtype = codes[code]
    if ((order === '|' || order === '=') && fileItemSize[dtype] > 1)
      fail(`${where}: descr ${JSON.stringify(descr)} does not say its byte order`)
    return { dtype, swapped: order === '>' }
  }
  if (/^[<>|=]?O/.test(descr))
    fail(
      `${where}: holds Python objects, that is pickles, which run code when read; save numbers, with allow_pickle=False`,
    )
  return fail(
    `${where}: elements of type ${JSON.stringify(descr)} are not read; readable are ${Object.keys(codes).join(', ')}`,
  )
}

const written: ReadonlyMap<FileDType, string> = new Map(
  Object.entries(codes).map(([code, dtype]) => [
    dtype,
    `${fileItemSize[dtype] === 1 ? '|' : '<'}${code}`,
  ]),
)

/**
 * A .npy file, version 1.0, as NumPy writes it.
 * @throws BurnishError for types NumPy does not have (BF16, F8_E4M3, F8_E5M2), and when bytes and shape do not fit.
 */
export function writeNpy({ dtype, shape, bytes }: StoredTensor, where = 'writeNpy'): Uint8Array {
  const descr = written.get(dtype)
  if (descr === undefined)
    throw fail(`${where}: NumPy has no type for ${dtype}; convert the tensor to float32 first`)
  const size = sizeOf(shape) * fileItemSize[dtype]
  if (bytes.length !== size)
    fail(`${where}: ${dtype} ${showShape(shape)} is ${size} bytes, but there are ${bytes.length}`)
  const tuple = `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`
  const before = MAGIC.length + 4
  const length = Math.ceil((before + dict.length + 1) / ALIGNMENT) * ALIGNMENT - before
  const file = new Uint8Array(before + length + size)
  file.set([...MAGIC, 1, 0, length & 0xff, length >>> 8])
  file.set(new TextEncoder().encode(`${dict.padEnd(length - 1)}\n`), before)
  file.set(bytes, before + length)
  return file
}

const SUFFIX = '.npy'

/**
 * The arrays of a .npz archive by name, as `numpy.savez` and `savez_compressed` write them.
 * @throws BurnishError when the archive or an array in it is damaged, or an entry is no array.
 */
export function readNpz(bytes: Uint8Array, where = 'npz'): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, entry] of readZip(bytes, where)) {
    if (!name.endsWith(SUFFIX))
      fail(`${where}: the entry ${JSON.stringify(name)} is no array; their names end in ${SUFFIX}`)
    const array = name.slice(0, -SUFFIX.length)
    tensors.set(array, readNpy(entry.read(), `${where}: ${array}`))
  }
  return tensors
}

/** A .npz archive; deflated when `compress` is true, as by `numpy.savez_compressed`. */
export function writeNpz(
  tensors: ReadonlyMap<string, StoredTensor>,
  options: { readonly compress?: boolean } = {},
): Uint8Array {
  const entries = new Map<string, Uint8Array>()
  for (const [name, tensor] of tensors)
    entries.set(`${name}${SUFFIX}`, writeNpy(tensor, `writeNpz: ${name}`))
  return writeZip(entries, options)
}
