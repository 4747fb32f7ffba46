// The format's own golden vectors, a round trip, and files made to harm.
import { describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from './safetensors.js'
import { decode, encode, type StoredTensor } from './values.js'

/** A file with this header text (padded as given) and data. */
function file(header: string, data: number | Uint8Array = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header)
  const body = typeof data === 'number' ? new Uint8Array(data) : data
  const bytes = new Uint8Array(8 + json.length + body.length)
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true)
  bytes.set(json, 8)
  bytes.set(body, 8 + json.length)
  return bytes
}
const entry = (dtype: string, shape: string, begin: number | string, end: number | string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`

describe('safetensors', () => {
  it('writes the empty file of the format’s tests', () => {
    const bytes = writeSafetensors(new Map())
    expect([...bytes]).toEqual([8, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d, ...Array(6).fill(0x20)])
    expect(readSafetensors(bytes).tensors.size).toBe(0)
  })

  it('reads a Buffer of Node, which lies in a pool', () => {
    const data = Float32Array.of(1.5, -2)
    const whole = writeSafetensors(new Map([['x', encode({ dtype: 'float32', shape: [2], data })]]))
    const buffer = Buffer.from(whole)
    const stored = readSafetensors(buffer).tensors.get('x')
    expect(stored && decode(stored, 'x').data).toEqual(data)
  })

  it('carries tensors of every kind there and back, aligned', () => {
    const tensors = new Map<string, StoredTensor>([
      ['flag', encode({ dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) })],
      ['__proto__', encode({ dtype: 'float32', shape: [2, 1], data: Float32Array.of(-0, 2.5) })],
      ['count', encode({ dtype: 'int32', shape: [], data: Int32Array.of(-7) }, 'I64')],
      ['none', encode({ dtype: 'int32', shape: [0, 4], data: new Int32Array(0) })],
    ])
    const bytes = writeSafetensors(tensors, new Map([['format', 'pt "1"']]))
    const back = readSafetensors(bytes)
    expect(back.metadata).toEqual(new Map([['format', 'pt "1"']]))
    expect([...back.tensors.keys()]).toEqual(['count', '__proto__', 'none', 'flag'])
    for (const [name, tensor] of tensors) {
      expect(back.tensors.get(name)).toEqual(tensor)
      const offset = back.tensors.get(name)?.bytes.byteOffset ?? 1
      if (name === 'count') expect(offset % 8).toBe(0)
    }
    expect(decode(tensors.get('count') as StoredTensor, 'count').data).toEqual(Int32Array.of(-7))
  })

  it('reads the small floats', () => {
    const read = (dtype: StoredTensor['dtype'], ...bytes: number[]) => {
      const size = dtype === 'F16' || dtype === 'BF16' ? 2 : 1
      const stored = { dtype, shape: [bytes.length / size], bytes: Uint8Array.from(bytes) }
      return [...decode(stored, 'x').data]
    }
    expect(read('F16', 0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc)).toEqual([1, 2 ** -24, -Infinity])
    expect(read('BF16', 0x80, 0x3f, 0x20, 0xc1)).toEqual([1, -10])
    expect(read('F8_E5M2', 0x3c, 0xc0, 0x7c, 0x01)).toEqual([1, -2, Infinity, 2 ** -16])
    expect(read('F8_E4M3', 0x38, 0x7e, 0x01, 0x7f)).toEqual([1, 448, 2 ** -9, Number.NaN])
  })

  const hostile: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(0), /0 bytes/],
    ['seven bytes', new Uint8Array(7), /at least 8/],
    ['a header longer than the file', file('{}', 0, 100n), /truncated/],
    ['a header of 2^63 bytes', file('{}', 0, 1n << 63n), /at most 100000000/],
    ['an empty header', file('', 0), /begin with/],
    ['a header that is a list', file('[1]'), /begin with/],
    ['white space before it', file(' {}'), /begin with/],
    ['no JSON', file('{"a"'), /expected :/],
    ['something after the object', file('{} x'), /follows/],
    ['a trailing comma', file('{"__metadata__":{"a":"b",}}'), /expected a string/],
    ['bytes that are not UTF-8', file('{}', 0).map((b, i) => (i === 9 ? 0xff : b)), /UTF-8/],
    ['a string that never ends', file('{"a'), /never ends/],
    ['a bad escape', file('{"\\x":1}'), /malformed string/],
    ['deep nesting', file(`{"a":${'['.repeat(100000)}`), /deep/],
    ['metadata of numbers', file('{"__metadata__":{"a":1}}'), /not a string/],
    ['metadata that is a list', file('{"__metadata__":[]}'), /not an object/],
    [
      'a key twice',
      file(`{"a":${entry('U8', '[1]', 0, 1)},"\\u0061":${entry('U8', '[1]', 0, 1)}}`, 1),
      /"a" is there twice/,
    ],
    ['an entry that is a list', file('{"a":[]}'), /not an object/],
    ['no dtype', file('{"a":{"shape":[],"data_offsets":[0,0]}}'), /dtype undefined/],
    ['a dtype we lack', file(`{"a":${entry('F4', '[2]', 0, 1)}}`, 1), /"F4" is not supported/],
    ['a dtype called toString', file(`{"a":${entry('toString', '[]', 0, 1)}}`, 1), /not supported/],
    ['a negative extent', file(`{"a":${entry('U8', '[-1]', 0, 1)}}`, 1), /≥ 0/],
    ['a fractional extent', file(`{"a":${entry('U8', '[1.5]', 0, 1)}}`, 1), /not whole/],
    ['an extent with exponent', file(`{"a":${entry('U8', '[1e3]', 0, 1)}}`, 1), /not whole/],
    ['an extent beyond 2^53', file(`{"a":${entry('U8', '[9007199254740993]', 0, 1)}}`, 1), /2\^53/],
    [
      'a product beyond 2^53',
      file(`{"a":${entry('F32', '[4294967296,4294967296]', 0, 0)}}`),
      /overflows/,
    ],
    ['one offset', file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}'), /1 numbers/],
    ['offsets backwards', file(`{"a":${entry('U8', '[1]', 1, 0)}}`, 1), /span -1/],
    ['a size that differs', file(`{"a":${entry('F32', '[2]', 0, 4)}}`, 4), /takes 8 bytes/],
    ['data beyond the file', file(`{"a":${entry('U8', '[4]', 0, 4)}}`, 3), /truncated/],
    ['data left over', file(`{"a":${entry('U8', '[4]', 0, 4)}}`, 5), /too long/],
    ['data but no tensors', file('{}', 5), /too long/],
    [
      'a gap',
      file(`{"a":${entry('U8', '[1]', 0, 1)},"b":${entry('U8', '[1]', 2, 3)}}`, 3),
      /without gap/,
    ],
    [
      'an overlap',
      file(`{"a":${entry('U8', '[2]', 0, 2)},"b":${entry('U8', '[2]', 1, 3)}}`, 3),
      /without gap or overlap/,
    ],
  ]
  it.each(hostile)('refuses %s', (_, bytes, message) => {
    expect(() => readSafetensors(bytes, 'x.safetensors')).toThrow(message)
    expect(() => readSafetensors(bytes, 'x.safetensors')).toThrow(/^x\.safetensors: /)
  })

  it('refuses integers that do not fit int32, and bytes that are no bool', () => {
    const big = { dtype: 'I64', shape: [1], bytes: new Uint8Array(8).fill(0x7f) } as const
    expect(() => decode(big, 'x')).toThrow(/does not fit int32/)
    const unsigned = { dtype: 'U32', shape: [1], bytes: new Uint8Array(4).fill(0xff) } as const
    expect(() => decode(unsigned, 'x')).toThrow(/4294967295 does not fit/)
    const flag = { dtype: 'BOOL', shape: [1], bytes: Uint8Array.of(2) } as const
    expect(() => decode(flag, 'x')).toThrow(/no bool/)
  })

  it('refuses to write what it could not read', () => {
    const short = { dtype: 'F32', shape: [2], bytes: new Uint8Array(4) } as const
    expect(() => writeSafetensors(new Map([['a', short]]))).toThrow(/8 bytes, but has 4/)
    const empty = { dtype: 'F32', shape: [0], bytes: new Uint8Array(0) } as const
    expect(() => writeSafetensors(new Map([['__metadata__', empty]]))).toThrow(/__metadata__/)
  })
})
