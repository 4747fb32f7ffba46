// HDF5 files, as far as Keras and h5py write them: groups, attributes, and datasets of numbers. After the HDF5 File Format
// Specification 3.0: superblocks 0 to 3, object headers 1 and 2, symbol tables, links and attributes in headers and in heaps;
// contiguous, compact and chunked data (B-tree 1; deflate, shuffle, checksums); strings of fixed and of variable length.
//
// Leaves out the chunk indices that `libver='latest'` alone writes, links to other files, compounds.
// Every address is checked before it is read and every tree is walked once, so a damaged file is an error, never a loop.
import { fail } from '../base/errors.js'
import { Cursor, type Sizes } from './hdf5-cursor.js'
import {
  type Dataspace,
  type DataType,
  readData,
  readDataspace,
  readDataType,
  readText,
} from './hdf5-data.js'
import { type HeapObject, heapObjects } from './hdf5-heap.js'
import type { HostTensor } from './values.js'

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]
/** Where a superblock may lie: behind a block of the user's. */
const STARTS = [0, 512, 1024, 2048]
/** More messages, links or nodes than any model has. */
const MOST = 1 << 20
const DEEPEST = 64

const DATASPACE = 0x01
const LINK_INFO = 0x02
const DATATYPE = 0x03
const LINK = 0x06
const LAYOUT = 0x08
const FILTERS = 0x0b
const ATTRIBUTE = 0x0c
const CONTINUATION = 0x10
const SYMBOL_TABLE = 0x11
const ATTRIBUTE_INFO = 0x15
const SHARED = 2

interface Message {
  readonly type: number
  readonly flags: number
  readonly at: number
  readonly size: number
}

interface AttributeValue {
  readonly type: DataType
  readonly space: Dataspace
  readonly data: number
}

/** A group or dataset. */
interface Entity {
  readonly messages: readonly Message[]
  readonly attributes: ReadonlyMap<string, AttributeValue>
  /** undefined: a dataset. */
  readonly links: ReadonlyMap<string, number> | undefined
}

const startOf = (bytes: Uint8Array) =>
  STARTS.find((start) => SIGNATURE.every((byte, i) => bytes[start + i] === byte))

export function isHdf5(bytes: Uint8Array): boolean {
  return startOf(bytes) !== undefined
}

/** An HDF5 file in memory, by paths such as `model_weights/dense`; '' is the root. */
export class Hdf5File {
  readonly where: string
  readonly #cursor: Cursor
  readonly #root: number
  readonly #entities = new Map<number, Entity>()

  /** @throws BurnishError naming `where` when it is no HDF5 file, or of a kind that is not read. */
  constructor(bytes: Uint8Array, where: string) {
    this.where = where
    const start = startOf(bytes)
    if (start === undefined) throw fail(`${where}: is no HDF5 file`)
    const version = bytes[start + 8]
    if (version === undefined || version > 3)
      throw fail(`${where}: has HDF5 superblock version ${version}; 0 to 3 are read`)
    const early = version < 2
    const sizes: Sizes = {
      offset: bytes[start + (early ? 13 : 9)],
      length: bytes[start + (early ? 14 : 10)],
    }
    this.#cursor = new Cursor(bytes.subarray(start), sizes, where)
    const cursor = this.#cursor
    const { offset } = sizes
    if (early) {
      // The base address, three more, and the root's entry, whose name comes first.
      const addresses = 24 + (version === 1 ? 4 : 0)
      this.#root = cursor.address(addresses + 5 * offset)
    } else this.#root = cursor.address(12 + 3 * offset)
  }

  /** Whether there is a group at a path. */
  hasGroup(path: string): boolean {
    return this.#find(path)?.links !== undefined
  }

  /** The names in a group, sorted; none where there is no group. */
  keys(path: string): readonly string[] {
    return [...(this.#find(path)?.links?.keys() ?? [])].sort()
  }

  /** An attribute that is text; undefined: there is none. */
  text(path: string, name: string): string | undefined {
    const strings = this.#strings(path, name)
    return strings?.length === 1 ? strings[0] : undefined
  }

  /** An attribute that is a list of names, which Keras cuts in pieces `name0`, `name1` where it is long. */
  names(path: string, name: string): readonly string[] | undefined {
    const whole = this.#strings(path, name)
    if (whole !== undefined) return whole
    const found: string[] = []
    for (let i = 0; ; i++) {
      const piece = this.#strings(path, `${name}${i}`)
      if (piece === undefined) return i === 0 ? undefined : found
      found.push(...piece)
    }
  }

  #strings(path: string, name: string): readonly string[] | undefined {
    const attribute = this.#find(path)?.attributes.get(name)
    if (attribute === undefined) return undefined
    const { type, space, data } = attribute
    return readText(this.#cursor, type, space, data)
  }

  /** The numbers of a dataset: floats become float32, integers int32. */
  tensor(path: string): HostTensor {
    const here = `${this.where}: ${path}`
    const entity = this.#find(path)
    if (entity === undefined || entity.links !== undefined)
      throw fail(`${here}: there is no dataset`)
    const message = (type: number) => {
      const found = entity.messages.find((candidate) => candidate.type === type)
      if (found !== undefined && (found.flags & SHARED) !== 0)
        fail(`${here}: shares a description with others, which is not read`)
      return found
    }
    const needed = (type: number, what: string) => message(type) ?? fail(`${here}: has no ${what}`)
    const cursor = this.#cursor
    const filters = message(FILTERS)
    return readData(cursor, here, {
      type: readDataType(cursor, needed(DATATYPE, 'type').at),
      space: readDataspace(cursor, needed(DATASPACE, 'shape').at),
      layout: needed(LAYOUT, 'layout').at,
      filters: filters?.at,
      half:
        entity.attributes.has('dtype') && this.text(path, 'dtype') === 'bfloat16'
          ? 'bfloat16'
          : 'float16',
    })
  }

  /** The paths of all datasets, each once, those of a group in order of their names. */
  datasets(): readonly string[] {
    const found: string[] = []
    const seen = new Set<number>()
    const visit = (at: number, path: string, depth: number) => {
      if (seen.has(at)) return
      seen.add(at)
      if (depth > DEEPEST) fail(`${this.where}: groups are nested more than ${DEEPEST} deep`)
      const { links } = this.#entity(at)
      if (links === undefined) found.push(path)
      for (const name of [...(links?.keys() ?? [])].sort())
        visit(links?.get(name) ?? at, path === '' ? name : `${path}/${name}`, depth + 1)
    }
    visit(this.#root, '', 0)
    return found
  }

  /** What lies at a path. */
  #find(path: string): Entity | undefined {
    let at = this.#root
    for (const part of path === '' ? [] : path.split('/')) {
      const next = this.#entity(at).links?.get(part)
      if (next === undefined) return undefined
      at = next
    }
    return this.#entity(at)
  }

  #entity(at: number): Entity {
    const known = this.#entities.get(at)
    if (known !== undefined) return known
    const messages = this.#messages(at)
    const attributes = new Map<string, AttributeValue>()
    let links: Map<string, number> | undefined
    const group = () => {
      links ??= new Map()
      return links
    }
    for (const { type, flags, at: data, size } of messages) {
      if (type === ATTRIBUTE && (flags & SHARED) === 0) this.#attribute(data, size, attributes)
      else if (type === ATTRIBUTE_INFO)
        for (const object of this.#inHeap(data, 2))
          this.#attribute(object.at, object.size, attributes)
      else if (type === SYMBOL_TABLE) this.#symbols(data, group())
      else if (type === LINK) this.#link(data, group())
      else if (type === LINK_INFO) {
        const into = group()
        for (const object of this.#inHeap(data, 8)) this.#link(object.at, into)
      }
    }
    const entity = { messages, attributes, links }
    this.#entities.set(at, entity)
    return entity
  }

  /** What a message of heap and tree lists; `indexSize` is that of a number which may stand in front. */
  #inHeap(at: number, indexSize: number): readonly HeapObject[] {
    const cursor = this.#cursor
    const heap = at + 2 + (cursor.byte(at + 1) & 1 ? indexSize : 0)
    if (cursor.isUndefined(heap)) return []
    return heapObjects(cursor, cursor.address(heap), cursor.address(heap + cursor.sizes.offset))
  }

  /** The messages of an object's header, with those of its continuations. */
  #messages(at: number): readonly Message[] {
    const cursor = this.#cursor
    const found: Message[] = []
    const blocks: (readonly [begin: number, end: number])[] = []
    const second = cursor.is(at, 'OHDR')
    let ordered = false
    if (second) {
      const flags = cursor.byte(at + 5)
      ordered = (flags & 4) !== 0
      let begin = at + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0)
      const width = 1 << (flags & 3)
      const size = cursor.number(begin, width)
      begin += width
      blocks.push([begin, begin + size])
    } else {
      if (cursor.byte(at) !== 1)
        fail(`${this.where}: the object at ${at} has no header: the file is damaged`)
      blocks.push([at + 16, at + 16 + cursor.number(at + 8, 4)])
    }
    const head = second ? (ordered ? 6 : 4) : 8
    const seen = new Set<number>()
    for (let block = blocks.shift(); block !== undefined; block = blocks.shift()) {
      const [begin, end] = block
      if (seen.has(begin))
        fail(`${this.where}: the header at ${at} goes on in itself: the file is damaged`)
      seen.add(begin)
      cursor.check(begin, end - begin)
      for (let p = begin; p + head <= end; ) {
        const type = second ? cursor.byte(p) : cursor.number(p, 2)
        const size = cursor.number(p + (second ? 1 : 2), 2)
        const flags = cursor.byte(p + (second ? 3 : 4))
        const data = p + head
        if (data + size > end) break
        if (type === CONTINUATION) {
          const next = cursor.address(data)
          const length = cursor.length(data + cursor.sizes.offset)
          // In version 2 a signature stands in front, and a checksum behind.
          blocks.push(second ? [next + 4, next + length - 4] : [next, next + length])
        } else found.push({ type, flags, at: data, size })
        if (found.length + blocks.length > MOST)
          fail(`${this.where}: an object has too many messages: the file is damaged`)
        p = data + size
      }
    }
    return found
  }

  #attribute(at: number, size: number, into: Map<string, AttributeValue>): void {
    const cursor = this.#cursor
    const version = cursor.byte(at)
    if (version < 1 || version > 3)
      fail(`${this.where}: an attribute has version ${version}; 1 to 3 are read`)
    const [nameSize, typeSize, spaceSize] = [2, 4, 6].map((offset) => cursor.number(at + offset, 2))
    const padded = (n: number) => (version === 1 ? Math.ceil(n / 8) * 8 : n)
    const nameAt = at + (version === 3 ? 9 : 8)
    const typeAt = nameAt + padded(nameSize)
    const spaceAt = typeAt + padded(typeSize)
    const data = spaceAt + padded(spaceSize)
    if (data > at + size)
      fail(`${this.where}: an attribute is longer than its message: the file is damaged`)
    if (version > 1 && (cursor.byte(at + 1) & 3) !== 0) return
    const name = cursor.text(nameAt, nameSize)
    into.set(name, {
      type: readDataType(cursor, typeAt),
      space: readDataspace(cursor, spaceAt),
      data,
    })
  }

  /** A compact link of a group of the newer kind; links to paths and to other files are left out. */
  #link(at: number, into: Map<string, number>): void {
    const cursor = this.#cursor
    const flags = cursor.byte(at + 1)
    let p = at + 2
    const kind = flags & 8 ? cursor.byte(p++) : 0
    if (flags & 4) p += 8
    if (flags & 0x10) p++
    const width = 1 << (flags & 3)
    const length = cursor.number(p, width)
    const name = cursor.text(p + width, length)
    if (kind === 0) into.set(name, cursor.address(p + width + length))
  }

  /** A group's names: a B-tree of nodes of symbols, whose names lie in a heap. */
  #symbols(at: number, into: Map<string, number>): void {
    const cursor = this.#cursor
    const { offset, length } = cursor.sizes
    const heap = cursor.address(at + offset)
    cursor.expect(heap, 'HEAP')
    const names = cursor.address(heap + 8 + 2 * length)
    const seen = new Set<number>()
    const open = [cursor.address(at)]
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (seen.has(node) || seen.size > MOST)
        fail(`${this.where}: a group's tree returns to itself: the file is damaged`)
      seen.add(node)
      if (cursor.is(node, 'SNOD')) {
        const count = cursor.number(node + 6, 2)
        for (let i = 0; i < count; i++) {
          const entry = node + 8 + i * (2 * offset + 24)
          const name = cursor.untilZero(names + cursor.length(entry, offset))
          // Kind 2 is a link to a path.
          if (cursor.number(entry + 2 * offset, 4) !== 2)
            into.set(name, cursor.address(entry + offset))
        }
        continue
      }
      cursor.expect(node, 'TREE')
      if (cursor.byte(node + 4) !== 0)
        fail(`${this.where}: a group's tree is one of chunks: the file is damaged`)
      const count = cursor.number(node + 6, 2)
      const first = node + 8 + 2 * offset
      for (let i = 0; i < count; i++)
        open.push(cursor.address(first + length + i * (length + offset)))
    }
  }
}
