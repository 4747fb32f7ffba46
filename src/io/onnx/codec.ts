// Protocol buffers by tables: a message is a table of field numbers, and reading and writing follow it. On the wire
// reader and writer of @bufbuild/protobuf; unknown fields are skipped, groups (long deprecated) refused.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { BurnishError, fail } from '../../base/errors.js'

/** `int` is any signed varint: int32, int64, an enum. int64 beyond 2⁵³ are rounded. */
export type FieldKind = 'int' | 'uint' | 'float' | 'double' | 'text' | 'bytes'

export interface Field {
  readonly key: string
  readonly kind: FieldKind | (() => MessageTable)
  readonly list?: boolean
  /** Written packed; both forms are read. */
  readonly packed?: boolean
}

export interface MessageTable {
  readonly name: string
  readonly fields: ReadonlyMap<number, Field>
}

export function message(name: string, fields: { readonly [number: number]: Field }): MessageTable {
  return { name, fields: new Map(Object.entries(fields).map(([n, field]) => [Number(n), field])) }
}

/** Graphs are nested in attributes: deeper than this is no program but an attack. */
const MOST_DEPTH = 64

const wireTypes: { readonly [K in FieldKind]: WireType } = {
  int: WireType.Varint,
  uint: WireType.Varint,
  float: WireType.Bit32,
  double: WireType.Bit64,
  text: WireType.LengthDelimited,
  bytes: WireType.LengthDelimited,
}

// ---- reading ----

type Scalar = number | string | Uint8Array
interface Decoded {
  [key: string]: unknown
}

/** @throws BurnishError naming `where` and the message when the bytes are no such message. */
export function decodeMessage(bytes: Uint8Array, table: MessageTable, where: string): unknown {
  return decode(bytes, table, where, 0)
}

function decode(bytes: Uint8Array, table: MessageTable, where: string, depth: number): Decoded {
  if (depth > MOST_DEPTH) fail(`${where}: messages are nested more than ${MOST_DEPTH} deep`)
  const reader = new BinaryReader(bytes)
  const result: Decoded = Object.create(null)
  let at = ''
  try {
    while (reader.pos < reader.len) {
      at = ''
      const [number, type] = reader.tag()
      const field = table.fields.get(number)
      if (type === WireType.StartGroup || type === WireType.EndGroup)
        fail(`${where}: ${table.name} has a group, which is not supported`)
      if (field === undefined) {
        reader.skip(type, number)
        continue
      }
      at = `.${field.key}`
      read(reader, type, field, result, (inner, part) => decode(part, inner, where, depth + 1))
    }
  } catch (error) {
    if (error instanceof BurnishError) throw error
    const why = error instanceof Error ? error.message : String(error)
    fail(`${where}: ${table.name}${at} cannot be read at byte ${reader.pos}: ${why}`)
  }
  return result
}

function read(
  reader: BinaryReader,
  type: WireType,
  field: Field,
  result: Decoded,
  inner: (table: MessageTable, bytes: Uint8Array) => Decoded,
): void {
  const { key, kind, list = false } = field
  if (typeof kind === 'function') {
    if (type !== WireType.LengthDelimited) throw new Error(`wire type ${type}, a message is type 2`)
    put(result, key, inner(kind(), reader.bytes()), list)
    return
  }
  const expected = wireTypes[kind]
  if (type === expected) {
    put(result, key, scalar(reader, kind), list)
    return
  }
  if (!list || type !== WireType.LengthDelimited)
    throw new Error(`wire type ${type}, expected ${expected}`)
  const bytes = reader.bytes()
  if (kind === 'float' && result[key] === undefined) {
    if (bytes.length % 4 !== 0) throw new Error(`${bytes.length} bytes are no packed floats`)
    result[key] = new Float32Array(bytes.slice().buffer)
    return
  }
  const packed = new BinaryReader(bytes)
  while (packed.pos < packed.len) put(result, key, scalar(packed, kind), true)
}

function put(result: Decoded, key: string, value: unknown, list: boolean): void {
  const before = result[key]
  if (!list) result[key] = value
  else if (Array.isArray(before)) before.push(value)
  else if (before === undefined) result[key] = [value]
  else result[key] = [...(before as Iterable<unknown>), value]
}

function scalar(reader: BinaryReader, kind: FieldKind): Scalar {
  switch (kind) {
    case 'int':
      return Number(reader.int64())
    case 'uint':
      return Number(reader.uint64())
    case 'float':
      return reader.float()
    case 'double':
      return reader.double()
    case 'text':
      return reader.string()
    case 'bytes':
      return reader.bytes()
  }
}

// ---- writing ----

/** The bytes of a message; fields that are undefined or empty lists are left out. */
export function encodeMessage(value: object, table: MessageTable): Uint8Array {
  const writer = new BinaryWriter()
  encode(writer, value as Decoded, table)
  return writer.finish()
}

function encode(writer: BinaryWriter, value: Decoded, table: MessageTable): void {
  for (const [number, field] of table.fields) {
    const given = value[field.key]
    if (given === undefined) continue
    const items = field.list ? [...(given as Iterable<unknown>)] : [given]
    if (items.length === 0) continue
    const { kind } = field
    if (typeof kind === 'function') {
      for (const item of items) {
        writer.tag(number, WireType.LengthDelimited).fork()
        encode(writer, item as Decoded, kind())
        writer.join()
      }
    } else if (field.packed) {
      writer.tag(number, WireType.LengthDelimited).fork()
      for (const item of items) write(writer, kind, item as Scalar | bigint)
      writer.join()
    } else
      for (const item of items) {
        writer.tag(number, wireTypes[kind])
        write(writer, kind, item as Scalar | bigint)
      }
  }
}

function write(writer: BinaryWriter, kind: FieldKind, value: Scalar | bigint): void {
  if (kind === 'int') writer.int64(typeof value === 'bigint' ? value : BigInt(Number(value)))
  else if (kind === 'uint') writer.uint64(typeof value === 'bigint' ? value : BigInt(Number(value)))
  else if (kind === 'float') writer.float(Number(value))
  else if (kind === 'double') writer.double(Number(value))
  else if (value instanceof Uint8Array) writer.bytes(value)
  else writer.string(String(value))
}
