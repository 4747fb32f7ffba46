// Tables from CSV (RFC 4180): a header, quoted fields with commas, quotes and line breaks in them, CRLF or LF. Columns
// become numbers where all their fields are. Leaves out dates, comments and guessing of the delimiter.
import { fail } from '../base/errors.js'
import { type HostArray, hostArray } from './array.js'

/** `float`: an empty field is NaN. `int`: whole numbers that fit 32 bits. */
export type CsvType = 'float' | 'int' | 'text'

export interface CsvOptions {
  /** The first line names the columns (default); false: they are called '0', '1', …; or the names. */
  readonly header?: boolean | readonly string[]
  /** By default `,`. */
  readonly delimiter?: string
  /** The columns to keep, in this order; by default all. */
  readonly columns?: readonly string[]
  /** Types of columns by name; others are int or float where all their fields are, else text. */
  readonly types?: { readonly [column: string]: CsvType }
}

type Column =
  | { readonly type: 'float'; readonly values: Float32Array }
  | { readonly type: 'int'; readonly values: Int32Array }
  | { readonly type: 'text'; readonly values: readonly string[] }

/** A column of names as classes: `names[labels[i]]` is the field of row i. */
export interface Classes {
  readonly labels: HostArray
  readonly names: readonly string[]
}

/** The columns of a CSV file by name. */
export class CsvTable {
  readonly length: number
  readonly columns: readonly string[]
  readonly #columns: ReadonlyMap<string, Column>
  readonly #where: string

  constructor(columns: ReadonlyMap<string, Column>, length: number, where: string) {
    this.#columns = columns
    this.columns = [...columns.keys()]
    this.length = length
    this.#where = where
  }

  /** @throws BurnishError when there is no such column. */
  type(name: string): CsvType {
    return this.#column(name).type
  }

  /** The fields as they are, or as text. */
  text(name: string): readonly string[] {
    return Array.from(this.#column(name).values, String)
  }

  /**
   * Columns of numbers side by side, float32 [rows, names.length]: the first argument of a TensorDataset.
   * @throws BurnishError when a column is text.
   */
  features(names: readonly string[]): HostArray {
    const columns = names.map((name) => this.#column(name))
    const text = names.find((_, j) => columns[j].type === 'text')
    if (text !== undefined)
      fail(`${this.#where}: column ${text} is text, not numbers: use classes('${text}')`)
    const data = new Float32Array(this.length * names.length)
    columns.forEach(({ values }, j) => {
      for (let i = 0; i < this.length; i++) data[i * names.length + j] = Number(values[i])
    })
    return hostArray(data, [this.length, names.length])
  }

  /** A column of whole numbers as they are: int32 [rows]. */
  integers(name: string): HostArray {
    const column = this.#column(name)
    if (column.type !== 'int')
      throw fail(`${this.#where}: column ${name} is ${column.type}, not whole numbers`)
    return hostArray(column.values)
  }

  /** A column as classes numbered in the order of their names: int32 [rows]. */
  classes(name: string): Classes {
    const fields = this.text(name)
    const names = [...new Set(fields)].sort()
    const index = new Map(names.map((field, i) => [field, i]))
    return { labels: hostArray(Int32Array.from(fields, (field) => index.get(field) ?? 0)), names }
  }

  #column(name: string): Column {
    const column = this.#columns.get(name)
    if (column === undefined)
      throw fail(`${this.#where}: there is no column ${name}; there are ${this.columns.join(', ')}`)
    return column
  }
}

/** A record and the line it begins on, from 1. */
interface Row {
  readonly line: number
  readonly fields: readonly string[]
}

/**
 * The table in a CSV file's text.
 * @throws BurnishError, with the line, for a row with more or fewer fields than the first, a quote that never ends or
 * ends inside of a field, and a field that is not of its column's type.
 */
export function parseCsv(text: string, options: CsvOptions = {}, where = 'csv'): CsvTable {
  const { header = true, delimiter = ',' } = options
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter))
    fail(`${where}: the delimiter ${JSON.stringify(delimiter)} is not one character`)
  const rows = readRows(text.startsWith('\ufeff') ? text.slice(1) : text, delimiter, where)
  if (rows.length === 0) fail(`${where}: the file is empty`)
  const names =
    typeof header === 'object'
      ? header
      : rows[0].fields.map((field, j) => (header ? field : String(j)))
  const twice = names.find((name, j) => names.indexOf(name) !== j)
  if (twice !== undefined) fail(`${where}: two columns are called ${twice}; give header: [names]`)
  const records = header === true ? rows.slice(1) : rows
  for (const { line, fields } of records)
    if (fields.length !== names.length)
      fail(
        `${where}, line ${line}: ${fields.length} fields, but there are ${names.length} columns (${names.join(', ')})`,
      )
  const unknown = [...(options.columns ?? []), ...Object.keys(options.types ?? {})].find(
    (name) => !names.includes(name),
  )
  if (unknown !== undefined)
    fail(`${where}: there is no column ${unknown}; there are ${names.join(', ')}`)
  const kept = options.columns ?? names
  const columns = kept.map((name): [string, Column] => {
    const j = names.indexOf(name)
    return [name, columnOf(records, j, options.types?.[name], `column ${name}`, where)]
  })
  return new CsvTable(new Map(columns), records.length, where)
}

/** The table in a CSV file. Node only. Throws as `parseCsv` does, and when there is no such file. */
export async function readCsv(path: string, options: CsvOptions = {}): Promise<CsvTable> {
  const { readFile } = await import('node:fs/promises')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') throw fail(`${path}: there is no such file`)
    if (code === 'EISDIR') throw fail(`${path}: is a folder, not a CSV file`)
    throw error
  }
  return parseCsv(text, options, path)
}

function readRows(text: string, delimiter: string, where: string): Row[] {
  const rows: Row[] = []
  let at = 0
  let line = 1
  const atBreak = () => text[at] === '\n' || text[at] === '\r'

  function quoted(): string {
    const began = line
    let field = ''
    at++
    for (;;) {
      const end = text.indexOf('"', at)
      if (end < 0) fail(`${where}, line ${began}: a quoted field never ends`)
      const part = text.slice(at, end)
      line += part.split('\n').length - 1
      field += part
      at = end + 1
      if (text[at] !== '"') break
      field += '"'
      at++
    }
    if (at < text.length && text[at] !== delimiter && !atBreak())
      fail(
        `${where}, line ${line}: ${JSON.stringify(text[at])} after the end of a quoted field; a quote inside of one is written twice`,
      )
    return field
  }

  function plain(): string {
    const began = at
    while (at < text.length && text[at] !== delimiter && !atBreak()) at++
    const field = text.slice(began, at)
    if (field.includes('"'))
      fail(`${where}, line ${line}: a quote inside of a field that does not begin with one`)
    return field
  }

  while (at < text.length) {
    const began = line
    const start = at
    const fields: string[] = []
    for (;;) {
      fields.push(text[at] === '"' ? quoted() : plain())
      if (text[at] !== delimiter) break
      at++
    }
    const blank = at === start
    if (text[at] === '\r') at++
    if (text[at] === '\n') at++
    line++
    if (!blank) rows.push({ line: began, fields })
  }
  return rows
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|infinity)$|^nan$/i

function numberOf(field: string): number | undefined {
  const text = field.trim()
  if (text === '') return Number.NaN
  if (!NUMBER.test(text)) return undefined
  if (/nan/i.test(text)) return Number.NaN
  return /inf/i.test(text) ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text)
}

const isInt = (value: number | undefined): value is number =>
  value !== undefined && Number.isInteger(value) && value === (value | 0)

function columnOf(
  records: readonly Row[],
  j: number,
  wanted: CsvType | undefined,
  name: string,
  where: string,
): Column {
  const fields = records.map((record) => record.fields[j])
  if (wanted === 'text') return { type: 'text', values: fields }
  const numbers = fields.map(numberOf)
  const refuse = (i: number, what: string): never =>
    fail(`${where}, line ${records[i].line}, ${name}: ${JSON.stringify(fields[i])} is no ${what}`)
  if (wanted === 'int' || (wanted === undefined && numbers.every(isInt))) {
    const wrong = numbers.findIndex((value) => !isInt(value))
    if (wrong >= 0) refuse(wrong, 'whole number of 32 bits')
    return { type: 'int', values: Int32Array.from(numbers, Number) }
  }
  const wrong = numbers.indexOf(undefined)
  if (wrong < 0) return { type: 'float', values: Float32Array.from(numbers, Number) }
  if (wanted === 'float') refuse(wrong, 'number')
  return { type: 'text', values: fields }
}
