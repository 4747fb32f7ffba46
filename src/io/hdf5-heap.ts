// Where newer HDF5 files keep the names of large groups and many attributes: a fractal heap holds the messages, and a B-tree
// of version 2 lists them. Objects in the heap's blocks, and huge ones, which lie elsewhere; leaves out tiny ones and filters.
import { fail } from '../base/errors.js'
import type { Cursor } from './hdf5-cursor.js'

/** A message in the heap. */
export interface HeapObject {
  readonly at: number
  readonly size: number
}

/** The record types of the trees that list links and attributes by name, and where in a record the heap's number is. */
const ID_AT: { readonly [type: number]: number } = { 5: 4, 8: 0 }
/** The record type of the tree that lists huge objects: address, length, number. */
const HUGE = 1
const MOST = 1 << 20

/** Bytes that a number up to `limit` takes. */
const width = (limit: number) => Math.floor(Math.log2(Math.max(limit, 1)) / 8) + 1

/** Whole number of any size, little-endian. */
function integer(cursor: Cursor, at: number, size: number): number {
  cursor.check(at, size)
  let value = 0
  for (let i = size - 1; i >= 0; i--) value = value * 256 + cursor.bytes[at + i]
  return value
}

/** All objects that the tree at `tree` lists, in the heap at `heap`. */
export function heapObjects(cursor: Cursor, heap: number, tree: number): HeapObject[] {
  const find = openHeap(cursor, heap)
  const { type, places } = records(cursor, tree)
  const idAt = ID_AT[type]
  if (idAt === undefined)
    throw fail(`${cursor.where}: the tree at ${tree} lists no names: the file is damaged`)
  return places.map((at) => find(at + idAt))
}

function openHeap(cursor: Cursor, heap: number): (id: number) => HeapObject {
  cursor.expect(heap, 'FRHP')
  const { offset, length } = cursor.sizes
  const damaged = (what: string): never => fail(`${cursor.where}: ${what}: the file is damaged`)
  if (cursor.number(heap + 7, 2) !== 0)
    fail(`${cursor.where}: keeps names packed, which is not read`)
  const mostManaged = cursor.number(heap + 10, 4)
  const at = heap + 14 + 10 * length + 2 * offset
  const columns = cursor.number(at, 2)
  const first = cursor.length(at + 2)
  const mostDirect = cursor.length(at + 2 + length)
  const bits = cursor.number(at + 2 + 2 * length, 2)
  const root = cursor.address(at + 6 + 2 * length)
  const rows = cursor.number(at + 6 + 2 * length + offset, 2)
  if (!(columns > 0 && first > 0 && bits > 0 && bits <= 64))
    damaged(`the heap at ${heap} has no sizes`)
  const offsetSize = Math.ceil(bits / 8)
  const lengthSize = Math.min(width(mostDirect), width(mostManaged))
  const blockHead = 5 + offset + offsetSize
  const rowSize = (row: number) => first * 2 ** Math.max(row - 1, 0)
  /** The place in the file of a place in the heap. */
  const locate = (
    block: number,
    count: number,
    begin: number,
    wanted: number,
    depth: number,
  ): number => {
    if (count === 0) {
      cursor.expect(block, 'FHDB')
      return block + wanted - begin
    }
    cursor.expect(block, 'FHIB')
    if (depth > 64 || count > 4096) damaged(`the heap at ${heap} is too deep`)
    let [from, slot] = [begin, 0]
    for (let row = 0; row < count; row++) {
      const size = rowSize(row)
      for (let column = 0; column < columns; column++, slot++, from += size) {
        if (wanted >= from + size) continue
        const child = cursor.address(block + blockHead + slot * offset)
        if (size <= mostDirect) return locate(child, 0, from, wanted, depth + 1)
        // A block of blocks has as many rows as give its size.
        const inner = Math.round(Math.log2(size / (first * columns))) + 1
        return locate(child, inner, from, wanted, depth + 1)
      }
    }
    return damaged(`${wanted} lies outside of the heap at ${heap}`)
  }
  let hugePlaces: ReadonlyMap<number, number> | undefined
  const huge = (id: number): HeapObject => {
    const wanted = integer(cursor, id + 1, Math.min(cursor.number(heap + 5, 2) - 1, length))
    if (hugePlaces === undefined) {
      const { type, places } = records(cursor, cursor.address(heap + 14 + length))
      const listed = type === HUGE ? places : []
      hugePlaces = new Map(listed.map((place) => [cursor.length(place + offset + length), place]))
    }
    const place = hugePlaces.get(wanted)
    if (place === undefined) return damaged(`the heap at ${heap} has no object ${wanted}`)
    const found = { at: cursor.address(place), size: cursor.length(place + offset) }
    cursor.check(found.at, found.size)
    return found
  }
  return (id) => {
    const kind = (cursor.byte(id) >> 4) & 3
    if (kind === 1) return huge(id)
    if (kind !== 0) fail(`${cursor.where}: keeps tiny objects, which are not read`)
    const place = integer(cursor, id + 1, offsetSize)
    const size = integer(cursor, id + 1 + offsetSize, lengthSize)
    const found = locate(root, rows, 0, place, 0)
    cursor.check(found, size)
    return { at: found, size }
  }
}

/** Where the records of a tree lie, and of which type they are. */
function records(cursor: Cursor, tree: number): { type: number; places: readonly number[] } {
  cursor.expect(tree, 'BTHD')
  const { offset } = cursor.sizes
  const nodeSize = cursor.number(tree + 6, 4)
  const recordSize = cursor.number(tree + 10, 2)
  const depth = cursor.number(tree + 12, 2)
  if (recordSize === 0 || nodeSize < 16 || depth > 16)
    throw fail(`${cursor.where}: the tree at ${tree} has no sizes: the file is damaged`)
  // How many records fit in the nodes of each level, and below them: that decides how their counts are written.
  const room = nodeSize - 10
  const leafMost = Math.floor(room / recordSize)
  const countSize = width(leafMost)
  const below = [0]
  let all = leafMost
  const pointer = (level: number) => offset + countSize + below[level - 1]
  for (let level = 1; level <= depth; level++) {
    const most = Math.floor((room - pointer(level)) / (recordSize + pointer(level)))
    all = (most + 1) * all + most
    below.push(width(all))
  }
  const found: number[] = []
  const seen = new Set<number>()
  const visit = (node: number, count: number, level: number) => {
    if (seen.has(node) || found.length + count > MOST)
      fail(`${cursor.where}: the tree at ${tree} returns to itself: the file is damaged`)
    seen.add(node)
    cursor.expect(node, level === 0 ? 'BTLF' : 'BTIN')
    cursor.check(node, 6 + count * recordSize)
    for (let i = 0; i < count; i++) found.push(node + 6 + i * recordSize)
    if (level === 0) return
    const pointers = node + 6 + count * recordSize
    for (let i = 0; i <= count; i++) {
      const at = pointers + i * pointer(level)
      visit(cursor.address(at), integer(cursor, at + offset, countSize), level - 1)
    }
  }
  if (!cursor.isUndefined(tree + 16))
    visit(cursor.address(tree + 16), cursor.number(tree + 16 + offset, 2), depth)
  return { type: cursor.byte(tree + 5), places: found }
}
