// Files made to harm: pickles that call, grow or lie, archives with tricks, storages that do not fit. And the names under
// which a state dict is found.
import { describe, expect, test } from 'vitest'
import { PytorchTensor, readPytorch } from './pytorch.js'
import { writePytorch } from './pytorch-write.js'
import { stateDictOf } from './state-dict.js'
import { encode } from './values.js'
import { writeZip } from './zip-write.js'

const text = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0))
const join = (...parts: readonly (Uint8Array | string | number)[]) =>
  Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'number' ? [part] : Array.from(typeof part === 'string' ? text(part) : part),
    ),
  )
const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer)

/** A pickle of protocol 2 of these instructions. */
const pickle = (...parts: readonly (Uint8Array | string | number)[]) =>
  join('\x80\x02', ...parts, '.')
/** An archive of a pickle and storages. */
const archive = (
  content: Uint8Array,
  storages: { readonly [key: string]: Uint8Array } = {},
  more: { readonly [name: string]: Uint8Array } = {},
  compress = false,
) =>
  writeZip(
    new Map([
      ['m/data.pkl', content],
      ...Object.entries(storages).map(([key, bytes]) => [`m/data/${key}`, bytes] as const),
      ['m/version', text('3\n')],
      ...Object.entries(more),
    ]),
    { compress },
  )
const string = (s: string) => join('X', u32(s.length), s)
const int = (n: number) => join('J', u32(n >>> 0))
const tuple = (...items: readonly Uint8Array[]) => join('(', ...items, 't')
const dict = (...items: readonly Uint8Array[]) => join('}(', ...items, 'u')
const storage = (count: number | Uint8Array, key = '0', type = 'FloatStorage') =>
  join(
    tuple(
      string('storage'),
      text(`ctorch\n${type}\n`),
      string(key),
      string('cpu'),
      typeof count === 'number' ? int(count) : count,
    ),
    'Q',
  )
const tensorOf = (
  from: Uint8Array,
  offset: number,
  size: readonly number[],
  stride: readonly number[],
) =>
  join(
    'ctorch._utils\n_rebuild_tensor_v2\n',
    tuple(
      from,
      int(offset),
      tuple(...size.map(int)),
      tuple(...stride.map(int)),
      text('\x89'),
      text('N'),
    ),
    'R',
  )
const four = { 0: new Uint8Array(16) }
const w = (...place: readonly [number, readonly number[], readonly number[]]) =>
  pickle(dict(string('w'), tensorOf(storage(4), ...place)))

test('these builders build what is readable', () => {
  const value = readPytorch(archive(w(1, [2], [2]), four))
  const tensor = value instanceof Map ? value.get('w') : undefined
  expect(tensor).toMatchObject({ dtype: 'F32', shape: [2], strides: [2], offset: 1 })
  expect(tensor instanceof PytorchTensor && tensor.bytes.length).toBe(8)
})

describe('pickles', () => {
  const bomb = join(
    'K\x01\x85q\x00',
    ...Array.from({ length: 60 }, (_, i) => join('h', i, '\x86q', i + 1)),
  )
  test.each<[string, Uint8Array, RegExp]>([
    [
      'a call of os.system',
      pickle('cposix\nsystem\n', '(', string('true'), 'tR'),
      /names posix\.system of Python.*nothing was run/,
    ],
    ['a call of eval', pickle('cbuiltins\neval\n', '(', string('1'), 'tR'), /names builtins\.eval/],
    [
      'one of protocol 4',
      join('\x80\x04\x8c\x02os\x8c\x06system\x93', tuple(string('true')), 'R.'),
      /names os\.system/,
    ],
    ['a name of a prototype', pickle('c__proto__\nconstructor\n.'), /names __proto__\.constructor/],
    ['an instance', pickle('(i__main__\nEvil\n'), /0x69 is none that checkpoints need/],
    ['a text protocol', pickle("S'os'\n"), /0x53 is none/],
    ['an extension', pickle('\x82\x01'), /0x82 is none/],
    ['a call of a value', pickle('K\x01)R'), /a value is called, not a function/],
    ['a storage class called', pickle('ctorch\nFloatStorage\n)R'), /torch\.FloatStorage is called/],
    ['a state on a plain value', pickle('}}b'), /a state is set on a plain value/],
    ['twins of twins', pickle(bomb), /more than 10000000 values, .* as a bomb has/],
    [
      'a deep nesting',
      pickle(...Array.from({ length: 5000 }, () => '\x85').toSpliced(0, 0, 'N')),
      /nested more than 100 deep/,
    ],
    ['a list in itself', pickle(']q\x00h\x00a'), /contains itself/],
    ['a dict in itself', pickle('}q\x00', string('a'), 'h\x00s'), /contains itself/],
    [
      'a text of 4 GB',
      pickle('X', u32(0xffffffff), 'abc'),
      /inside a value of 4294967295 bytes: it is truncated/,
    ],
    [
      'a text of 2^60 bytes',
      pickle('\x8d\x00\x00\x00\x00\x00\x00\x00\x10'),
      /a length of 1152921504606847000 bytes/,
    ],
    ['an integer of more bytes than there are', pickle('\x8a\xff\x01'), /truncated/],
    ['a long integer', pickle('\x8b', u32(0x7fffffff)), /0x8b is none/],
    ['no end', text('\x80\x02}'), /truncated/],
    ['nothing to end with', pickle(''), /a value is missing/],
    ['an end inside a group', pickle('('), /a value is missing/],
    ['values left over', pickle('NN'), /1 values are left over/],
    ['a group that never began', pickle('t'), /the beginning of a group is missing/],
    ['a memo that is not there', pickle('h\x05'), /value 5 is used before it is there/],
    ['items for a tuple', pickle(')Na'), /added to what is no list/],
    ['items for a number', pickle('K\x01(Ne'), /added to what is no list/],
    ['an item of a list set', pickle(']NNs'), /set in what is no dict/],
    ['a key without value', pickle('}(Nu'), /a key has no value/],
    [
      'a key twice',
      pickle(dict(string('a'), text('N'), string('a'), text('N'))),
      /the key "a" is there twice/,
    ],
    ['a text that is no UTF-8', pickle('X', u32(1), '\xff'), /not UTF-8/],
    ['protocol 9', text('\x80\x09N.'), /protocol 9/],
    ['more behind the end', join(pickle('N'), 'xx'), /2 bytes follow the value/],
    [
      'a class by itself',
      pickle('ctorch\nFloatStorage\n'),
      /holds a class, storage or type by itself/,
    ],
    ['a storage by itself', pickle(storage(4)), /holds the storage 0 by itself/],
    ['a persistent id that is a text', pickle(string('x'), 'Q'), /no storage/],
    [
      'a pickled module',
      pickle(tuple(string('module'), text('N')), 'Q'),
      /pickled model.*torch\.save\(model\.state_dict/,
    ],
  ])('%s', (_, content, message) => {
    expect(() => readPytorch(archive(content, four), 'x.pt')).toThrow(message)
    expect(() => readPytorch(archive(content, four), 'x.pt')).toThrow(/^x\.pt/)
  })

  const times = (n: number, part: string) => text(part.repeat(n))
  const half = 1 << 19
  const pairs = join(
    '](',
    ...Array.from({ length: 1 << 14 }, (_, i) => join('M', i & 255, i >> 8, 'K\x02\x86')),
    'eq\x00',
  )
  // What grows while the pickle is read, before there is a value whose size could be told.
  test.each<[string, Uint8Array, RegExp]>([
    [
      'bytes of one text again and again',
      pickle(
        'c_codecs\nencode\nq\x01',
        string('a'.repeat(half)),
        'q\x00',
        string('latin1'),
        'q\x02',
        times(60_000, 'h\x01h\x00h\x02\x86R'),
      ),
      /calls take .* as a bomb/,
    ],
    [
      'dicts of one list again and again',
      pickle('ccollections\nOrderedDict\nq\x01', pairs, times(60_000, 'h\x01h\x00\x85R')),
      /calls take .* as a bomb/,
    ],
    [
      'states of one dict again and again',
      pickle(
        'cargparse\nNamespace\nq\x01',
        '}(',
        join(...Array.from({ length: 1 << 14 }, (_, i) => join('M', i & 255, i >> 8, 'N'))),
        'uq\x00',
        times(60_000, 'h\x01)Rh\x00b'),
      ),
      /calls take .* as a bomb/,
    ],
    [
      'tensors with attributes in each other',
      pickle(
        'ctorch._tensor\n_rebuild_from_type_v2\nq\x00ctorch\nTensor\nq\x01',
        'h\x00',
        times(100_000, 'h\x00h\x01'),
        'h\x00h\x01)\x87',
        times(100_000, '\x87'),
        'R',
      ),
      /a tensor with attributes is made by no function/,
    ],
    ['a key of twins of twins, twice', pickle('}', bomb, 'Nsh\x3cNs'), /a key is there twice/],
    [
      'a storage of twins of twins',
      pickle(bomb, storage(text('h\x3c'))),
      /storage 0 has no plain value elements/,
    ],
  ])('%s', (_, content, message) => {
    const begin = performance.now()
    expect(() => readPytorch(archive(content, four), 'x.pt')).toThrow(message)
    expect(performance.now() - begin).toBeLessThan(2000)
  })

  test('__proto__ is only a key', () => {
    const value = readPytorch(archive(pickle(dict(string('__proto__'), dict(string('x'), int(1))))))
    expect(value).toEqual(new Map([['__proto__', new Map([['x', 1]])]]))
    expect({}).not.toHaveProperty('x')
  })
})

describe('tensors and storages', () => {
  test('many tensors that repeat one storage are one that does', () => {
    const of = (count: number) =>
      archive(
        pickle(
          dict(
            ...Array.from({ length: count }, (_, i) => [
              string(`w${i}`),
              tensorOf(storage(4), 0, [(1 << 22) - i], [0]),
            ]).flat(),
          ),
        ),
        four,
      )
    expect(() => readPytorch(of(4), 'x.pt')).not.toThrow()
    expect(() => readPytorch(of(5), 'x.pt')).toThrow(
      /^x\.pt: its tensors repeat the 16 bytes of storage 0 to \d+/,
    )
    const twins = dict(
      ...Array.from({ length: 20 }, (_, i) => [
        string(`w${i}`),
        tensorOf(storage(4), 0, [1 << 22], [0]),
      ]).flat(),
    )
    expect(() => readPytorch(archive(pickle(twins), four))).not.toThrow()
  })

  test.each<[string, Uint8Array, RegExp]>([
    ['an offset beyond the storage', w(4, [1], [1]), /ends at byte 20, the storage at 16/],
    ['a view that leaves it', w(1, [2, 2], [2, 1]), /ends at byte 20/],
    ['a large stride', w(0, [2], [0x7fffffff]), /ends at byte/],
    ['a negative offset', w(-1, [1], [1]), /the offset of a tensor is -1/],
    ['a negative size', w(0, [-2], [1]), /the size of a tensor is -2/],
    ['a negative stride', w(3, [2], [-1]), /the stride of a tensor is -1/],
    ['fewer strides', w(0, [2, 2], [1]), /1 strides, but 2 dimensions/],
    ['sizes beyond 2^53', w(0, [2 ** 30, 2 ** 30], [0, 0]), /overflows 2\^53/],
    ['elements repeated without end', w(0, [2 ** 28], [0]), /repeats 16 bytes to 1073741824/],
    ['65 dimensions', w(0, Array(65).fill(1), Array(65).fill(1)), /65 dimensions/],
    [
      'a size that is no number',
      pickle(
        dict(
          string('w'),
          join(
            'ctorch._utils\n_rebuild_tensor_v2\n',
            tuple(storage(4), int(0), string('x'), tuple()),
            'R',
          ),
        ),
      ),
      /the size of a tensor is no list/,
    ],
    [
      'no storage',
      pickle(
        join('ctorch._utils\n_rebuild_tensor_v2\n', tuple(int(0), int(0), tuple(), tuple()), 'R'),
      ),
      /without a storage/,
    ],
    ['a storage of a negative size', pickle(tensorOf(storage(-4), 0, [], [])), /has -4 elements/],
    [
      'a storage of 2^100 elements',
      pickle(tensorOf(storage(join('\x8a\x0d', new Uint8Array(12), 16)), 0, [], [])),
      /has \d+ elements/,
    ],
    [
      'a storage of another size',
      pickle(tensorOf(storage(5), 0, [5], [1])),
      /has 20 bytes, its entry 16/,
    ],
    [
      'a storage that is not there',
      pickle(tensorOf(storage(4, '7'), 0, [4], [1])),
      /lacks its entry "m\/data\/7"/,
    ],
    [
      'a storage called as a path',
      pickle(tensorOf(storage(4, '../../x'), 0, [4], [1])),
      /which is no key/,
    ],
    [
      'one storage as two types',
      pickle(
        '(',
        tensorOf(storage(4), 0, [4], [1]),
        tensorOf(storage(2, '0', 'LongStorage'), 0, [2], [1]),
        't',
      ),
      /storage 0 is F32 of 16 bytes here and I64/,
    ],
    [
      'complex numbers',
      pickle(tensorOf(storage(2, '0', 'ComplexFloatStorage'), 0, [2], [1])),
      /complex/,
    ],
    [
      'a list of pairs that is none',
      pickle('ccollections\nOrderedDict\n', tuple(join(']', int(1), 'a')), 'R'),
      /no list of pairs/,
    ],
  ])('%s', (_, content, message) => {
    expect(() => readPytorch(archive(content, four), 'x.pt')).toThrow(message)
    expect(() => readPytorch(archive(content, four), 'x.pt')).toThrow(/^x\.pt/)
  })

  test('what newer versions write: storages of bytes, and types that have no storage class', () => {
    const bytes = join(
      tuple(
        string('storage'),
        text('ctorch.storage\nUntypedStorage\n'),
        string('0'),
        string('cpu'),
        int(16),
      ),
      'Q',
    )
    const v3 = (type: string) =>
      join(
        'ctorch._utils\n_rebuild_tensor_v3\n',
        tuple(
          bytes,
          int(1),
          tuple(int(3)),
          tuple(int(1)),
          text('\x89'),
          text('N'),
          text(`ctorch\n${type}\n`),
        ),
        'R',
      )
    const value = readPytorch(
      archive(pickle(dict(string('w'), v3('uint16'), string('x'), v3('float8_e5m2'))), four),
    )
    expect(value instanceof Map && [value.get('w'), value.get('x')]).toMatchObject([
      { dtype: 'U16', shape: [3], offset: 1, bytes: new Uint8Array(6) },
      { dtype: 'F8_E5M2', shape: [3], bytes: new Uint8Array(3) },
    ])
    expect(() => readPytorch(archive(pickle(v3('uint64')), four))).toThrow(
      /ends at byte 32, the storage at 16/,
    )
    // A parameter with attributes: function, class, arguments, attributes.
    const args = tuple(storage(4), int(0), tuple(int(4)), tuple(int(1)), text('\x89'), text('N'))
    const typed = join(
      'ctorch._tensor\n_rebuild_from_type_v2\n',
      tuple(
        text('ctorch._utils\n_rebuild_tensor_v2\n'),
        text('ctorch.nn.parameter\nParameter\n'),
        args,
        dict(string('tag'), int(1)),
      ),
      'R',
    )
    expect(readPytorch(archive(pickle(typed), four))).toMatchObject({ dtype: 'F32', shape: [4] })
  })

  test('big-endian storages are turned around', () => {
    const content = pickle(dict(string('w'), tensorOf(storage(4), 0, [4], [1])))
    const big = new Uint8Array(16)
    new DataView(big.buffer).setFloat32(4, 1.5)
    const value = readPytorch(archive(content, { 0: big }, { 'm/byteorder': text('big') }))
    const tensor = value instanceof Map ? value.get('w') : undefined
    const bytes = tensor instanceof PytorchTensor ? tensor.bytes.slice() : new Uint8Array()
    expect([...new Float32Array(bytes.buffer)]).toEqual([0, 1.5, 0, 0])
    const odd = archive(content, { 0: big }, { 'm/byteorder': text('middle') })
    expect(() => readPytorch(odd)).toThrow(/byteorder is "middle"/)
  })
})

describe('archives', () => {
  const content = pickle('N')
  test.each<[string, Uint8Array, RegExp]>([
    ['no data.pkl', writeZip(new Map([['m/x', content]])), /without the data\.pkl/],
    ['two', archive(content, {}, { 'n/data.pkl': content }), /2 pickles/],
    [
      'an entry above its folder',
      archive(content, {}, { '../../etc/passwd': content }),
      /outside of its folder/,
    ],
    [
      'one that climbs out',
      archive(content, {}, { 'm/../../x': content }),
      /outside of its folder/,
    ],
    ['an absolute one', archive(content, {}, { '/etc/passwd': content }), /outside of its folder/],
    [
      'TorchScript',
      archive(content, {}, { 'm/constants.pkl': content, 'm/code/x.py': content }),
      /TorchScript/,
    ],
    [
      'a bomb',
      writeZip(new Map([['m/data.pkl', new Uint8Array(200 * 2 ** 20)]]), { compress: true }),
      /as a zip bomb does/,
    ],
    [
      'a bomb in two',
      archive(new Uint8Array(70 * 2 ** 20), { 0: new Uint8Array(70 * 2 ** 20) }, {}, true),
      /with those before to 146800640, as a zip bomb does/,
    ],
    ['no archive and no pickle', text('hello world'), /neither a zip archive nor a pickle/],
    ['an empty file', new Uint8Array(), /neither a zip archive nor a pickle/],
    ['a pickle of something else', pickle('}'), /magic number/],
    ['a tar archive', join(new Uint8Array(257), 'ustar', new Uint8Array(100)), /before 0\.1\.10/],
  ])('%s', (_, bytes, message) => {
    expect(() => readPytorch(bytes, 'x.pt')).toThrow(message)
  })
})

describe('the older stream', () => {
  const magic = join(
    '\x80\x02\x8a\x0a',
    Uint8Array.of(0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19),
    '.',
  )
  const stored = (key: string) =>
    join(
      tuple(
        string('storage'),
        text('ctorch\nFloatStorage\n'),
        string(key),
        string('cpu'),
        int(2),
        text('N'),
      ),
      'Q',
    )
  const value = pickle(dict(string('w'), tensorOf(stored('a'), 0, [2], [1])))
  const head = (content = value) => join(magic, pickle('M\xe9\x03'), pickle('}'), content)
  const data = (count: number) => join(u32(count), u32(0), new Uint8Array(8))
  const keys = (...names: readonly string[]) =>
    pickle(']', ...names.map((name) => join(string(name), 'a')))
  test.each<[string, Uint8Array, RegExp | undefined]>([
    ['whole', join(head(), keys('a'), data(2)), undefined],
    [
      'a storage no tensor is in',
      join(head(), keys('a', 'b'), data(2), data(2)),
      /no tensor is in its storage b/,
    ],
    ['a storage twice', join(head(), keys('a', 'a'), data(2), data(2)), /storage a is there twice/],
    ['none of its storages', join(head(), keys()), /the bytes of 1 of its storages are not there/],
    ['another count', join(head(), keys('a'), data(3)), /has 2 elements, but 3 are announced/],
    ['too short', join(head(), keys('a'), data(2)).slice(0, -1), /truncated/],
    ['too long', join(head(), keys('a'), data(2), 0), /1 bytes follow its last storage/],
    ['another protocol', join(magic, pickle('K\x01')), /is of protocol 1, 1001 is read/],
    ['a call in its head', join(magic, pickle('cposix\nsystem\n')), /names posix\.system/],
  ])('%s', (_, bytes, message) => {
    if (message === undefined) expect(readPytorch(bytes)).toBeInstanceOf(Map)
    else expect(() => readPytorch(bytes, 'x.pt')).toThrow(message)
  })
})

describe('the state dict of a checkpoint', () => {
  const one = encode({ dtype: 'float32', shape: [1], data: Float32Array.of(1) })
  const names = (value: Parameters<typeof writePytorch>[0], options = {}) => [
    ...stateDictOf(readPytorch(writePytorch(value)), options).keys(),
  ]
  test('is found where people put it', () => {
    expect(names({ w: one, b: one })).toEqual(['w', 'b'])
    expect(names({ state_dict: { w: one }, epoch: 3 })).toEqual(['w'])
    expect(names({ model: { w: one }, optimizer: { state: { 0: { m: one } } } })).toEqual(['w'])
    expect(names({ model: { state_dict: { w: one }, args: 1 } })).toEqual(['w'])
    expect(names({ student: { w: one }, epoch: 3 })).toEqual(['w'])
    expect(names({ w: one, _extra_state: null, b: one })).toEqual(['w', 'b'])
    expect(names({ net: { 'module.w': one } }, { strip: 'module.' })).toEqual(['w'])
    expect(names({ a: { 'b.c': { w: one } }, d: { x: one } }, { key: 'a.b.c' })).toEqual(['w'])
  })

  test('or not', () => {
    expect(() => names({ a: { w: one }, b: { w: one } })).toThrow(/several dicts of tensors: a, b/)
    expect(() => names({ epoch: 3 })).toThrow(/no dict of tensors; its keys are epoch/)
    expect(() => names({ a: { w: one } }, { key: 'c' })).toThrow(/there is no c; there are a/)
    expect(() => names({ a: { w: 1 } }, { key: 'a' })).toThrow(/what is at a is no dict of tensors/)
    expect(() => names([one])).toThrow(/holds a list of 1, not a state dict/)
    expect(() => names({ 'module.w': one, w: one }, { strip: 'module.' })).toThrow(
      /two tensors are called w/,
    )
  })
})

test('writing refuses what could not be read', () => {
  const small = { dtype: 'F8_E4M3', shape: [1], bytes: new Uint8Array(1) } as const
  expect(() => writePytorch({ small })).toThrow(/no storage of F8_E4M3/)
  expect(() => writePytorch({ dtype: 'F32', shape: [2], bytes: new Uint8Array(4) })).toThrow(
    /has 4 bytes/,
  )
  const loop: { self?: object } = {}
  loop.self = loop
  expect(() => writePytorch(loop as Parameters<typeof writePytorch>[0])).toThrow(/contains itself/)
  expect(() => writePytorch(new Date() as unknown as string)).toThrow(/a Date is none/)
})
