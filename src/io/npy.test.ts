// .npy and .npz: files that NumPy 1.24 wrote, our own read back, and hostile ones.
import { describe, expect, test } from 'vitest'
import { crc32 } from './crc32.js'
import { readNpy, readNpz, writeNpy, writeNpz } from './npy.js'
import { blobSource } from './source.js'
import { decode, type StoredTensor } from './values.js'
import { openZip, readZip } from './zip.js'
import { writeZip } from './zip-write.js'

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))
const text = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0))
const join = (...parts: readonly Uint8Array[]) =>
  Uint8Array.from(parts.flatMap((part) => Array.from(part)))
const valuesOf = (tensor: StoredTensor) => Array.from(decode(tensor, 'test').data)

/** A version 1 file of a header text, padded as NumPy does, and data. */
function file(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const padded = `${header.padEnd(117)}\n`
  return join(
    text('\x93NUMPY\x01\x00'),
    Uint8Array.of(padded.length & 255, padded.length >> 8),
    text(padded),
    data,
  )
}
const dict = (descr: string, shape: string, fortran = 'False') =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }`

// numpy.save(f, numpy.asfortranarray(numpy.arange(24, dtype='<i2').reshape(2, 3, 4)))
const FORTRAN =
  'k05VTVBZAQB2AHsnZGVzY3InOiAnPGkyJywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMywgNCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAwABAAQAAgAFAABAA0ABQARAAkAFQACAA4ABgASAAoAFgADAA8ABwATAAsAFwA='
// numpy.savez(f, a=numpy.arange(6, dtype='<f4').reshape(2, 3) / 2, b=numpy.array(7, dtype=numpy.int64))
const SAVEZ =
  'UEsDBBQAAAAAAAAAIQALwLB2mAAAAJgAAAAFABQAYS5ucHkBABAAmAAAAAAAAACYAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxmNCcsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgyLCAzKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAAAAAAAAAD8AAIA/AADAPwAAAEAAACBAUEsDBBQAAAAAAAAAIQAjuPBsiAAAAIgAAAAFABQAYi5ucHkBABAAiAAAAAAAAACIAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxpOCcsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKBwAAAAAAAABQSwECFAMUAAAAAAAAACEAC8CwdpgAAACYAAAABQAAAAAAAAAAAAAAgAEAAAAAYS5ucHlQSwECFAMUAAAAAAAAACEAI7jwbIgAAACIAAAABQAAAAAAAAAAAAAAgAHPAAAAYi5ucHlQSwUGAAAAAAIAAgBmAAAAjgEAAAAA'
// numpy.savez_compressed(f, zeros=numpy.zeros((30, 30), dtype=numpy.uint8), mask=numpy.array([True, False]))
const SAVEZ_COMPRESSED =
  'UEsDBBQAAAAIAAAAIQAFPGZZUAAAAAQEAAAJABQAemVyb3MubnB5AQAQAAQEAAAAAAAAUAAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBeU2qorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RrGBjoKxgaaOgq1CmQCLoZRMApGwYACAFBLAwQUAAAACAAAACEA7hm7XUYAAACCAAAACAAUAG1hc2subnB5AQAQAIIAAAAAAAAARgAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBek2SorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpGOpo6CrUKFAAuRgYAUEsBAhQDFAAAAAgAAAAhAAU8ZllQAAAABAQAAAkAAAAAAAAAAAAAAIABAAAAAHplcm9zLm5weVBLAQIUAxQAAAAIAAAAIQDuGbtdRgAAAIIAAAAIAAAAAAAAAAAAAACAAYsAAABtYXNrLm5weVBLBQYAAAAAAgACAG0AAAALAQAAAAA='

describe('npy', () => {
  test('Fortran order is put in row-major order', () => {
    const tensor = readNpy(bytesOf(FORTRAN))
    expect(tensor).toMatchObject({ dtype: 'I16', shape: [2, 3, 4] })
    expect(valuesOf(tensor)).toEqual(Array.from({ length: 24 }, (_, i) => i))
  })

  test('big-endian data is turned around', () => {
    const data = Uint8Array.of(0, 0, 0, 1, 255, 255, 255, 254, 0, 1, 17, 112)
    expect(valuesOf(readNpy(file(dict("'>i4'", '(3,)'), data)))).toEqual([1, -2, 70000])
  })

  test('versions 2 and 3 have a longer length; Python 2 wrote 3L', () => {
    for (const version of [2, 3]) {
      const header = dict('"|u1"', '(3L,)')
      const bytes = join(
        text(`\x93NUMPY${String.fromCharCode(version)}\x00`),
        Uint8Array.of(header.length, 0, 0, 0),
        text(header),
        Uint8Array.of(1, 2, 3),
      )
      expect(valuesOf(readNpy(bytes))).toEqual([1, 2, 3])
    }
  })

  test.each([
    ['F32', [2, 3], Float32Array.of(1, -2, 3.5, Number.NaN, Infinity, 0)],
    ['F64', [], Float64Array.of(Math.PI)],
    ['I64', [2], BigInt64Array.of(-5n, 7n)],
    ['U8', [0, 4], new Uint8Array()],
    ['BOOL', [2], Uint8Array.of(0, 1)],
    ['F16', [1, 1], Uint16Array.of(0x3c00)],
  ] as const)('%s %j is written and read back', (dtype, shape, data) => {
    const bytes = new Uint8Array(data.buffer)
    const written = writeNpy({ dtype, shape, bytes })
    expect(written.length % 64).toBe(bytes.length % 64)
    expect(readNpy(written)).toEqual({ dtype, shape, bytes })
  })

  test('the bytes are NumPy’s own', () => {
    const bytes = new Uint8Array(Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5).buffer)
    const expected = readZip(bytesOf(SAVEZ)).get('a.npy')?.read()
    expect(writeNpy({ dtype: 'F32', shape: [2, 3], bytes })).toEqual(expected)
  })

  test('types NumPy does not have are refused', () => {
    expect(() => writeNpy({ dtype: 'BF16', shape: [1], bytes: new Uint8Array(2) })).toThrow(
      /no type for BF16; convert the tensor to float32/,
    )
    expect(() => writeNpy({ dtype: 'F32', shape: [2], bytes: new Uint8Array(7) })).toThrow(
      /F32 \[2\] is 8 bytes, but there are 7/,
    )
  })

  const one = Uint8Array.of(1)
  test.each([
    ['an empty file', new Uint8Array(), /not a \.npy file/],
    ['another file', text('PK\x03\x04 something else'), /not a \.npy file/],
    ['version 4', join(text('\x93NUMPY\x04\x00'), new Uint8Array(20)), /version 4\.0/],
    ['a cut length', text('\x93NUMPY\x01\x00\x10'), /ends inside its header/],
    [
      'a header beyond the end',
      text('\x93NUMPY\x01\x00\xff\x00{}'),
      /header ends at byte 265, the file at 12/,
    ],
    ['a header of 4 GB', text('\x93NUMPY\x02\x00\xff\xff\xff\xff{}'), /header of 4294967295 bytes/],
    [
      'too few bytes',
      file(dict("'<f4'", '(2,)'), one),
      /8 bytes, but 1 follow the header: the file is truncated/,
    ],
    ['too many bytes', file(dict("'|u1'", '()'), Uint8Array.of(1, 2)), /too long/],
    ['a shape that overflows', file(dict("'<f8'", '(4294967296, 4294967296)')), /overflows 2\^53/],
    ['a huge extent', file(dict("'<f8'", '(99999999999999999999,)')), /beyond 2\^53/],
    ['a negative extent', file(dict("'<f8'", '(-1,)')), /expected an extent/],
    ['a tuple of one without comma', file(dict("'|u1'", '(1)'), one), /a tuple of one has a comma/],
    ['65 dimensions', file(dict("'|u1'", `(${'1,'.repeat(65)})`), one), /more than 64 dimensions/],
    [
      'objects',
      file(dict("'|O'", '(1,)'), text('cos\nsystem\n.')),
      /Python objects, that is pickles/,
    ],
    ['records', file(dict("[('x', '<f4')]", '(0,)')), /holds records/],
    ['text', file(dict("'<U5'", '(0,)')), /type "<U5" are not read/],
    ['complex numbers', file(dict("'<c8'", '(0,)')), /type "<c8"/],
    ['a prototype’s key as type', file(dict("'<constructor'", '(0,)')), /are not read/],
    ['no byte order', file(dict("'|f4'", '(0,)')), /does not say its byte order/],
    ['code for a dict', file("__import__('os').system('true')"), /expected \{/],
    ['code for a shape', file(dict("'<f4'", "(len('x'),)")), /expected an extent/],
    ['a key twice', file("{'descr': '<f4', 'descr': '<f4'}"), /"descr" is there twice/],
    ['an unknown key', file("{'__proto__': '<f4'}"), /"__proto__" is none of/],
    [
      'a missing key',
      file("{'descr': '<f4'}"),
      /must have descr, fortran_order and shape, has descr/,
    ],
    ['text after the dict', file(`${dict("'|u1'", '()')} + 1`, one), /something follows the dict/],
    ['a string without end', file("{'descr: 1}"), /expected a string/],
  ] as const)('%s: a clear error', (_, bytes, message) => {
    expect(() => readNpy(bytes, 'x.npy')).toThrow(message)
    expect(() => readNpy(bytes, 'x.npy')).toThrow(/^x\.npy/)
  })
})

describe('npz', () => {
  test('what numpy.savez and savez_compressed wrote', () => {
    const plain = readNpz(bytesOf(SAVEZ))
    expect([...plain].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ['a', 'F32', [2, 3]],
      ['b', 'I64', []],
    ])
    expect([...plain.values()].map(valuesOf)).toEqual([[0, 0.5, 1, 1.5, 2, 2.5], [7]])
    const { zeros, mask } = Object.fromEntries(readNpz(bytesOf(SAVEZ_COMPRESSED)))
    expect(zeros).toEqual({ dtype: 'U8', shape: [30, 30], bytes: new Uint8Array(900) })
    expect(valuesOf(mask)).toEqual([1, 0])
  })

  test.each([false, true])('written and read back, compress %s', (compress) => {
    const tensors = new Map<string, StoredTensor>([
      ['weights/0', { dtype: 'F32', shape: [50], bytes: new Uint8Array(200) }],
      ['größe', { dtype: 'U8', shape: [], bytes: Uint8Array.of(3) }],
      ['__proto__', { dtype: 'I32', shape: [1], bytes: Uint8Array.of(1, 0, 0, 0) }],
    ])
    const bytes = writeNpz(tensors, { compress })
    expect([...readNpz(bytes)]).toEqual([...tensors])
    expect(writeNpz(tensors, { compress })).toEqual(bytes)
  })

  test('an entry that is no array is refused', () => {
    const bytes = writeZip(new Map([['evil.pkl', text('x')]]))
    expect(() => readNpz(bytes, 'x.npz')).toThrow(/x\.npz: the entry "evil\.pkl" is no array/)
  })

  test('an error names the array', () => {
    const bytes = writeZip(new Map([['w.npy', text('x')]]))
    expect(() => readNpz(bytes, 'x.npz')).toThrow(/^x\.npz: w: does not begin with/)
  })
})

describe('zip', () => {
  const content = text('abcabcabc'.repeat(20))
  const archive = (compress: boolean) =>
    writeZip(
      new Map([
        ['a', content],
        ['b', Uint8Array.of(1, 2, 3)],
      ]),
      { compress },
    )
  const central = (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer)
    return view.getUint32(bytes.length - 6, true)
  }
  const change = (
    compress: boolean,
    act: (view: DataView, start: number, bytes: Uint8Array) => void,
  ) => {
    const bytes = archive(compress)
    act(new DataView(bytes.buffer), central(bytes), bytes)
    return bytes
  }
  const readAll = (bytes: Uint8Array) => [...readZip(bytes, 'x.zip').values()].map((e) => e.read())

  test('the check value of CRC-32', () => {
    expect(crc32(text('123456789'))).toBe(0xcbf43926)
    expect(crc32(text('6789'), crc32(text('12345')))).toBe(0xcbf43926)
  })

  test('a comment may follow, and an archive may be empty', () => {
    const bytes = archive(true)
    const commented = join(bytes, text('hello'))
    commented[bytes.length - 2] = 5
    expect(readAll(commented)[0]).toEqual(content)
    expect(readZip(writeZip(new Map())).size).toBe(0)
  })

  test('every truncation is an error, as is every changed byte of the packed data', () => {
    const bytes = archive(true)
    for (let length = 0; length < bytes.length; length++)
      expect(() => readAll(bytes.subarray(0, length))).toThrow(/^x\.zip/)
    for (let at = 31; at < 31 + 7; at++) {
      const damaged = bytes.slice()
      damaged[at] ^= 0x55
      expect(() => readAll(damaged)).toThrow(/^x\.zip: entry 0, "a": /)
    }
  })

  test('any changed byte gives an error of ours or the same content', () => {
    for (const compress of [false, true]) {
      const bytes = archive(compress)
      const whole = readAll(bytes)
      for (let at = 0; at < bytes.length; at++)
        for (const flip of [1, 0x80, 0xff]) {
          const damaged = bytes.slice()
          damaged[at] ^= flip
          try {
            expect(readAll(damaged)).toEqual(whole)
          } catch (error) {
            expect(String(error)).toMatch(/^BurnishError: x\.zip/)
          }
        }
    }
  })

  test.each([
    ['an encrypted entry', change(true, (v, c) => v.setUint16(c + 8, 1, true)), /is encrypted/],
    [
      'another method',
      change(true, (v, c) => v.setUint16(c + 10, 12, true)),
      /packed by method 12/,
    ],
    [
      'a bomb',
      change(true, (v, c) => v.setUint32(c + 24, 0xfffffff0, true)),
      /more than deflate can hold/,
    ],
    [
      'a size too small',
      change(true, (v, c) => v.setUint32(c + 24, 100, true)),
      /"a": (unpacks to|cannot be unpacked to 100)/,
    ],
    [
      'a size too large',
      change(true, (v, c) => v.setUint32(c + 24, 200, true)),
      /unpacks to 180 bytes, the directory says 200/,
    ],
    [
      'a stored size that differs',
      change(false, (v, c) => v.setUint32(c + 24, 100, true)),
      /is stored, but has 180/,
    ],
    [
      'a wrong sum',
      change(false, (v, c) => v.setUint32(c + 16, 1, true)),
      /the directory says 00000001: it is damaged/,
    ],
    ['zip64', change(false, (v, c) => v.setUint32(c + 20, 0xffffffff, true)), /zip64 entry/],
    [
      'an offset into nothing',
      change(false, (v, c) => v.setUint32(c + 42, 7, true)),
      /entries "a" and "b" overlap/,
    ],
    ['one name twice', writeTwice(), /the entry "a" is there twice|bears another name/],
    [
      'two disks',
      change(false, (v, _, b) => v.setUint16(b.length - 18, 1, true)),
      /one part of an archive of several/,
    ],
    [
      'another count',
      change(false, (v, _, b) => v.setUint16(b.length - 12, 1, true)),
      /two counts/,
    ],
  ] as const)('%s: a clear error', (_, bytes, message) => {
    expect(() => readAll(bytes)).toThrow(message)
    expect(() => readAll(bytes)).toThrow(/^x\.zip/)
  })

  /** Entries `a` and `b` of which the second is renamed `a`, in front of its data too. */
  function writeTwice(): Uint8Array {
    return change(false, (view, start) => {
      view.setUint8(start + 46 + 1 + 46, 'a'.charCodeAt(0))
      view.setUint8(view.getUint32(start + 46 + 1 + 42, true) + 30, 'a'.charCodeAt(0))
    })
  }

  test('zip64, aligned, and read in pieces', async () => {
    const entries = new Map([
      ['a', content],
      ['größe/b', Uint8Array.of(1, 2, 3)],
      ['none', new Uint8Array()],
    ])
    for (const zip64 of [false, true])
      for (const compress of [false, true]) {
        const bytes = writeZip(entries, { zip64, compress, align: 64 })
        const found = readZip(bytes)
        expect([...found].map(([name, entry]) => [name, entry.read()])).toEqual([...entries])
        if (!compress)
          for (const entry of found.values()) expect(entry.read().byteOffset % 64).toBe(0)
        const pieces = await openZip(blobSource(new Blob([bytes.slice()])))
        expect([...pieces.keys()]).toEqual([...entries.keys()])
        expect(await pieces.get('a')?.read()).toEqual(content)
      }
  })

  test('two zip64 records that differ, or lie elsewhere', () => {
    const wide = (act: (view: DataView, end: number) => void) => {
      const bytes = writeZip(new Map([['a', content]]), { zip64: true })
      act(new DataView(bytes.buffer), bytes.length - 22)
      return () => readZip(bytes, 'x.zip')
    }
    expect(wide((v, end) => v.setUint32(end - 20 - 56 + 40, 9, true))).toThrow(
      /size differ, 48 and 9|size differ, \d+ and 9/,
    )
    expect(wide((v, end) => v.setUint32(end - 12, 9999, true))).toThrow(
      /there is no zip64 record|behind what points/,
    )
    expect(wide((v, end) => v.setUint32(end - 8, 0xffffffff, true))).toThrow(/beyond 2\^53/)
  })

  test('two entries of one place are refused', () => {
    const bytes = change(false, (view, start) => {
      view.setUint32(start + 46 + 1 + 42, 0, true) // b where a is,
      view.setUint8(start + 46 + 1 + 46, 'a'.charCodeAt(0)) // with its name,
      for (const field of [16, 20, 24]) // sum and sizes
        view.setUint32(start + 46 + 1 + field, view.getUint32(start + field, true), true)
    })
    expect(() => readZip(bytes, 'x.zip')).toThrow(/entries "a" and "a" overlap/)
  })
})
