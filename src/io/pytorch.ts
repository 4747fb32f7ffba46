// PyTorch's checkpoints, `.pt` and `.pth`: the zip archives `torch.save` writes, and the stream it wrote before 1.6. After
// torch/serialization.py. Nothing in a file is ever run: see pickle.ts and pytorch-globals.ts for what one may name.
//
// A zip archive holds `<root>/data.pkl`, one entry `<root>/data/<key>` for each storage, `version`, `byteorder`. The older
// stream is four pickles (a magic number, the protocol, the machine, the value), a pickled list of storage keys, and for
// each its count of elements and their bytes. Leaves out sparse, quantised and complex tensors, and TorchScript.
import { fail } from '../base/errors.js'
import { swapBytes } from './bytes.js'
import { PickleEnd, type PickleGlobal, type PickleValue, shownValue, unpickle } from './pickle.js'
import { pytorchGlobals, StorageType } from './pytorch-globals.js'
import { PytorchStorage, PytorchTensor } from './pytorch-tensors.js'
import { plainBytes, type Reading, readFrom, readNow, type Source } from './source.js'
import { type FileDType, fileItemSize, type StoredTensor } from './values.js'
import { openZip, readZip } from './zip.js'

export { PytorchStorage, PytorchTensor } from './pytorch-tensors.js'

/**
 * What a checkpoint holds: dicts as Maps, lists and tuples as arrays, integers beyond 2^53 as bigint, and tensors. A dtype
 * or device stands as text.
 */
export type PytorchValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PytorchTensor
  | readonly PytorchValue[]
  | ReadonlyMap<PytorchValue, PytorchValue>
  | ReadonlySet<PytorchValue>

/** A checkpoint whose tensors are read when they are asked for. */
export interface PytorchFile {
  readonly format: 'pytorch' | 'pytorch (legacy)'
  readonly value: PytorchValue
  /** A tensor of `value`; its storage is kept while other tensors may need it. */
  read(tensor: PytorchTensor): Promise<StoredTensor>
  close(): Promise<void>
}

const MAGIC = 0x1950a86a20f9469cfc6cn
const PROTOCOL = 1001
const SAVE = 'in Python, torch.save(model.state_dict(), path), and load that'

/**
 * The value of a checkpoint; its tensors are views of its bytes where they are
 * contiguous.
 * @throws BurnishError naming `where` when the file is damaged, names something of Python that tensors do not need, holds
 * a whole model rather than its state dict, or TorchScript.
 */
export function readPytorch(file: Uint8Array, where = 'pytorch'): PytorchValue {
  const bytes = plainBytes(file)
  if (isZip(bytes)) {
    const entries = readZip(bytes, where)
    const archive = archiveOf(entries, where)
    const big = bigEndian(entries.get(`${archive.root}byteorder`)?.read(), where)
    const { value, storages } = contentOf(archive.pickle.read(), archive, where)
    for (const [storage, entry] of storages) storage.bytes = ordered(storage, entry.read(), big)
    return value
  }
  const { value, places } = readNow(bytes, legacyOf(bytes.length, where))
  for (const [storage, begin] of places)
    storage.bytes = bytes.subarray(begin, begin + storage.byteLength)
  return value
}

/** The same of a source, of which only the pickle is read at once. Closing it closes the source. */
export async function openPytorch(source: Source): Promise<PytorchFile> {
  const where = source.name
  const fetch = new Map<PytorchStorage, () => Promise<Uint8Array>>()
  let format: PytorchFile['format'] = 'pytorch'
  let value: PytorchValue
  if (isZip(await source.read(0, Math.min(4, source.size)))) {
    const entries = await openZip(source)
    const archive = archiveOf(entries, where)
    const big = bigEndian(await entries.get(`${archive.root}byteorder`)?.read(), where)
    const content = contentOf(await archive.pickle.read(), archive, where)
    value = content.value
    for (const [storage, entry] of content.storages)
      fetch.set(storage, async () => ordered(storage, await entry.read(), big))
  } else {
    const legacy = await readFrom(source, legacyOf(source.size, where))
    value = legacy.value
    format = 'pytorch (legacy)'
    for (const [storage, begin] of legacy.places)
      fetch.set(storage, () => source.read(begin, begin + storage.byteLength))
  }
  const uses = new Map<PytorchStorage, number>()
  for (const { storage } of tensorsOf(value)) uses.set(storage, (uses.get(storage) ?? 0) + 1)
  return {
    format,
    value,
    async read(tensor) {
      const { storage, dtype, shape } = tensor
      const bytes = storage.bytes ?? (await fetch.get(storage)?.())
      if (bytes === undefined) return fail(`${where}: the tensor is not of this file`)
      if ((uses.get(storage) ?? 0) > 1) storage.bytes = bytes
      return { dtype, shape, bytes: tensor.from(bytes) }
    },
    close: () => source.close(),
  }
}

/** Every tensor of a value, each object once, in order. */
export function tensorsOf(value: PytorchValue): PytorchTensor[] {
  const found = new Set<PytorchTensor>()
  const seen = new Set<PytorchValue>()
  const visit = (part: PytorchValue): void => {
    if (part instanceof PytorchTensor) found.add(part)
    if (typeof part !== 'object' || part === null || part instanceof Uint8Array || seen.has(part))
      return
    seen.add(part)
    if (part instanceof Map) for (const item of part.values()) visit(item)
    else if (part instanceof Set || Array.isArray(part)) for (const item of part) visit(item)
  }
  visit(value)
  return [...found]
}

function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b
}

interface Archive<Entry> {
  /** `<name>/`. */
  readonly root: string
  readonly pickle: Entry
  readonly storage: (key: string) => Entry
}

function archiveOf<Entry extends { readonly name: string }>(
  entries: ReadonlyMap<string, Entry>,
  where: string,
): Archive<Entry> {
  const names = [...entries.keys()]
  const pickles = names.filter((name) => /^[^/]*\/data\.pkl$/.test(name))
  if (pickles.length !== 1)
    fail(
      pickles.length > 1
        ? `${where}: holds ${pickles.length} pickles data.pkl, a checkpoint one`
        : `${where}: is a zip archive without the data.pkl of a PyTorch checkpoint`,
    )
  const root = pickles[0].slice(0, -'data.pkl'.length)
  for (const name of names)
    if (!name.startsWith(root) || name.split(/[/\\]/).includes('..'))
      fail(`${where}: the entry ${JSON.stringify(name)} is outside of its folder ${root}`)
  if (names.some((name) => name === `${root}constants.pkl` || name.startsWith(`${root}code/`)))
    fail(
      `${where}: is a TorchScript program (torch.jit.save), not a checkpoint; in Python, torch.save(torch.jit.load(path).state_dict(), other) and load that`,
    )
  const get = (name: string): Entry =>
    entries.get(root + name) ?? fail(`${where}: lacks its entry ${JSON.stringify(root + name)}`)
  return { root, pickle: get('data.pkl'), storage: (key) => get(`data/${key}`) }
}

function bigEndian(bytes: Uint8Array | undefined, where: string): boolean {
  if (bytes === undefined) return false
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, 16))
  if (text !== 'little' && text !== 'big')
    fail(`${where}: its byteorder is ${JSON.stringify(text)}, neither little nor big`)
  return text === 'big'
}

/** A storage's bytes, the first byte of each element the least. */
function ordered(storage: PytorchStorage, bytes: Uint8Array, big: boolean): Uint8Array {
  const item = storage.dtype === undefined ? 1 : fileItemSize[storage.dtype]
  return big && item > 1 ? swapBytes(bytes, item) : bytes
}

/** The value of an archive's pickle, and the entry of each storage it names. */
function contentOf<Entry extends { readonly size: number }>(
  pickle: Uint8Array,
  archive: Archive<Entry>,
  where: string,
): { readonly value: PytorchValue; readonly storages: ReadonlyMap<PytorchStorage, Entry> } {
  const storages = new Storages(where)
  const { value, end } = unpickle(pickle, worldOf(pickle, storages, where), where)
  if (end !== pickle.length)
    fail(`${where}: ${pickle.length - end} bytes follow the value in its data.pkl`)
  const found = new Map<PytorchStorage, Entry>()
  for (const storage of storages.all) {
    const entry = archive.storage(storage.key)
    if (entry.size !== storage.byteLength)
      fail(
        `${where}: storage ${storage.key} has ${storage.byteLength} bytes, its entry ${entry.size}`,
      )
    found.set(storage, entry)
  }
  return { value: plain(value, where), storages: found }
}

function worldOf(pickle: Uint8Array, storages: Storages, where: string) {
  return {
    globals: pytorchGlobals(where),
    persistent: (id: PickleValue) => storages.get(id),
    refuse: (name: string): never => refuse(name, pickle, where),
  }
}

/** The storages a pickle names, each once. */
class Storages {
  readonly #where: string
  readonly #byKey = new Map<string, PytorchStorage>()

  constructor(where: string) {
    this.#where = where
  }

  get all(): readonly PytorchStorage[] {
    return [...this.#byKey.values()]
  }

  /** Of ('storage', type, key, location, count), and in streams the place in another storage, or None. */
  get(id: PickleValue): PytorchStorage {
    const wrong = (what: string): never => fail(`${this.#where}: ${what}`)
    if (!Array.isArray(id)) return wrong('refers to something that is no storage')
    const parts: readonly PickleValue[] = id
    if (parts[0] === 'module') wrong(`holds a pickled model, which is a program of Python; ${SAVE}`)
    const [tag, type, key, , count, view = null] = parts
    if (tag !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string')
      return wrong('refers to something that is no storage')
    if (!/^[\w.-]{1,64}$/.test(key) || key === '..')
      wrong(`a storage is called ${JSON.stringify(key)}, which is no key`)
    if (view !== null)
      wrong(`storage ${key} is a part of another, as PyTorch before 0.4 wrote; save it again there`)
    if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0)
      return wrong(`storage ${key} has ${shownValue(count)} elements`)
    const byteLength = count * (type.dtype === undefined ? 1 : fileItemSize[type.dtype])
    const known = this.#byKey.get(key)
    if (known === undefined) {
      const storage = new PytorchStorage(key, type.dtype, byteLength)
      this.#byKey.set(key, storage)
      return storage
    }
    if (known.byteLength !== byteLength || known.dtype !== type.dtype)
      wrong(
        `storage ${key} is ${kind(known.dtype)} of ${known.byteLength} bytes here and ${kind(type.dtype)} of ${byteLength} there`,
      )
    return known
  }
}

const kind = (dtype: FileDType | undefined) => dtype ?? 'bytes'

/** Refuses a name that is not on the list, with the advice that fits. */
function refuse(name: string, pickle: Uint8Array, where: string): never {
  if (/Complex/.test(name) || /^torch\.complex/.test(name))
    fail(
      `${where}: holds complex numbers, which Burnish does not have; save their real and imaginary parts`,
    )
  if (/^torch\.Q|_rebuild_qtensor|^torch\.q/.test(name))
    fail(`${where}: holds quantised tensors; in Python, save tensor.dequantize()`)
  if (/sparse/.test(name)) fail(`${where}: holds sparse tensors; in Python, save tensor.to_dense()`)
  const isModel = includesText(pickle, '_modules') && includesText(pickle, '_parameters')
  if (isModel)
    fail(
      `${where}: is a whole pickled model (its class is ${name}), which is a program of Python; ${SAVE}`,
    )
  return fail(
    `${where}: names ${name} of Python, which is none of what tensors and plain values need; nothing was run. If you trust the file: ${SAVE}`,
  )
}

function includesText(bytes: Uint8Array, text: string): boolean {
  const wanted = new TextEncoder().encode(text)
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1))
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return true
  return false
}

/** The value, without functions and storages left in it. */
function plain(value: PickleValue, where: string): PytorchValue {
  const seen = new Set<PickleValue>()
  const check = (part: PickleValue): part is PytorchValue => {
    if (typeof part !== 'object' || part === null || seen.has(part)) return true
    seen.add(part)
    if (part instanceof Uint8Array || part instanceof PytorchTensor) return true
    if (part instanceof Map) return [...part].flat().every(check)
    if (part instanceof Set || Array.isArray(part)) return [...part].every(check)
    return false
  }
  return check(value)
    ? value
    : fail(`${where}: holds ${leftover(value)} by itself; save tensors and plain values`)
}

function leftover(value: PickleValue): string {
  return value instanceof PytorchStorage ? `the storage ${value.key}` : 'a class, storage or type'
}

/** As much of a stream as its pickles are hoped to be in; more is read where they are longer. */
const FIRST_READ = 2 ** 20

interface Legacy {
  readonly value: PytorchValue
  readonly places: ReadonlyMap<PytorchStorage, number>
}

function* legacyOf(size: number, where: string): Reading<Legacy> {
  let length = Math.min(size, FIRST_READ)
  for (;;) {
    const bytes = yield [0, length]
    try {
      const { value, storages, keys, end } = legacyHead(bytes, where)
      return { value, places: yield* legacyPlaces(storages, keys, end, size, where) }
    } catch (error) {
      if (!(error instanceof PickleEnd) || length === size) throw error
      length = Math.min(size, length * 16)
    }
  }
}

function legacyHead(bytes: Uint8Array, where: string) {
  const storages = new Storages(where)
  const globals: ReadonlyMap<string, PickleGlobal | string> = new Map()
  const none = { globals, refuse: (name: string) => refuse(name, bytes, where) }
  if (bytes[0] !== 0x80) notPytorch(bytes, where)
  const magic = unpickle(bytes, none, where)
  if (magic.value !== MAGIC)
    fail(
      `${where}: is a pickle, but not of torch.save: it does not begin with PyTorch's magic number; save its tensors with torch.save or as safetensors`,
    )
  const protocol = unpickle(bytes, none, where, magic.end)
  if (protocol.value !== PROTOCOL)
    fail(`${where}: is of protocol ${shownValue(protocol.value)}, ${PROTOCOL} is read`)
  const machine = unpickle(bytes, none, where, protocol.end)
  const content = unpickle(bytes, worldOf(bytes, storages, where), where, machine.end)
  const keys = unpickle(bytes, none, where, content.end)
  return { value: plain(content.value, where), storages, keys: keys.value, end: keys.end }
}

function notPytorch(bytes: Uint8Array, where: string): never {
  const tar = new TextDecoder('latin1').decode(bytes.subarray(257, 262)) === 'ustar'
  if (tar) fail(`${where}: is a tar archive, as PyTorch before 0.1.10 wrote; save it again there`)
  return fail(`${where}: is no PyTorch checkpoint: neither a zip archive nor a pickle`)
}

/** Where the bytes of each storage begin: they follow each other to the end. */
function* legacyPlaces(
  storages: Storages,
  keys: PickleValue,
  start: number,
  size: number,
  where: string,
): Reading<ReadonlyMap<PytorchStorage, number>> {
  const byKey = new Map(storages.all.map((storage) => [storage.key, storage]))
  if (!Array.isArray(keys)) return fail(`${where}: its storages' keys are no list`)
  const places = new Map<PytorchStorage, number>()
  let at = start
  for (const key of keys as readonly PickleValue[]) {
    const storage = typeof key === 'string' ? byKey.get(key) : undefined
    if (storage === undefined)
      return fail(`${where}: no tensor is in its storage ${shownValue(key)}`)
    if (places.has(storage)) fail(`${where}: the storage ${storage.key} is there twice`)
    const end = at + 8 + storage.byteLength
    if (end > size)
      fail(`${where}: storage ${storage.key} ends at byte ${end}, the file at ${size}: truncated`)
    const head = yield [at, at + 8]
    const count = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true)
    const item = storage.dtype === undefined ? 1 : fileItemSize[storage.dtype]
    if (count !== BigInt(storage.byteLength / item))
      fail(
        `${where}: storage ${storage.key} has ${storage.byteLength / item} elements, but ${count} are announced in front of its bytes`,
      )
    places.set(storage, at + 8)
    at = end
  }
  if (places.size !== byKey.size)
    fail(`${where}: the bytes of ${byKey.size - places.size} of its storages are not there`)
  if (at !== size) fail(`${where}: ${size - at} bytes follow its last storage`)
  return places
}
