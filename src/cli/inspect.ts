// `burnish inspect`: what a file holds, by its content and not its name: tensors with shapes, types and sizes, the
// plain values of a checkpoint, the nodes of a graph. A run's folder is its model. Nothing in a file is ever run; names
// are shown with their control characters escaped.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { sizeOf } from '../base/shape.js'
import { PytorchTensor, type PytorchValue } from '../io/pytorch.js'
import { decode, fileItemSize, type StoredTensor } from '../io/values.js'
import { openAny } from './inspect-files.js'
import { count, size } from './values.js'

export interface InspectOptions {
  /** Least, mean and greatest value of each tensor too. */
  readonly values: boolean
  readonly json: boolean
}

/** A name that cannot move the cursor or colour the terminal. */
export function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u{${code.toString(16)}}`
  })
}

interface Range {
  readonly least: number
  readonly mean: number
  readonly most: number
  readonly notFinite: number
}

function rangeOf(tensor: StoredTensor, where: string): Range {
  const { data } = decode(tensor, where)
  let [least, most, sum, finite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0]
  for (const value of data) {
    if (!Number.isFinite(value)) continue
    if (value < least) least = value
    if (value > most) most = value
    sum += value
    finite++
  }
  return { least, mean: sum / finite, most, notFinite: data.length - finite }
}

const figure = (value: number) =>
  Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : '-'

/** A run's folder is its model. */
async function fileIn(path: string): Promise<string> {
  const folder = (await stat(path).catch(() => undefined))?.isDirectory() === true
  if (!folder) return path
  const model = join(path, 'model.safetensors')
  return (await stat(model).catch(() => undefined)) === undefined ? path : model
}

export async function inspect(path: string, options: InspectOptions): Promise<void> {
  const file = await fileIn(path)
  const content = await openAny(file, { all: true })
  try {
    const tensors = []
    for (const [name, { dtype, shape, same }] of content.tensors) {
      const bytes = sizeOf(shape) * fileItemSize[dtype]
      const values = options.values
        ? { values: rangeOf(await content.read(name), `${file}: ${printable(name)}`) }
        : {}
      tensors.push({
        name,
        dtype,
        shape,
        bytes,
        ...(same === undefined ? {} : { same }),
        ...values,
      })
    }
    const own = tensors.filter(({ same }) => same === undefined)
    const elements = own.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
    const bytes = own.reduce((sum, tensor) => sum + tensor.bytes, 0)
    const { format, graph } = content
    const plain = content.value === undefined ? [] : plainLines(content.value)
    if (options.json) {
      const metadata = Object.fromEntries(content.metadata)
      const more = { ...(plain.length > 0 ? { values: Object.fromEntries(plain) } : {}), graph }
      process.stdout.write(
        `${JSON.stringify({ file, format, elements, bytes, metadata, ...more, tensors })}\n`,
      )
      return
    }
    const rows = tensors.map(({ name, dtype, shape, bytes: own, same, values }) => [
      printable(name),
      dtype,
      `[${shape.join(', ')}]`,
      same === undefined ? count(sizeOf(shape)) : `= ${printable(same)}`,
      same === undefined ? size(own) : '',
      ...(values === undefined
        ? []
        : [
            figure(values.least),
            figure(values.mean),
            figure(values.most),
            ...(values.notFinite > 0 ? [`${count(values.notFinite)} not finite`] : []),
          ]),
    ])
    const heading = [
      ...['name', 'dtype', 'shape', 'elements', 'bytes'],
      ...(options.values ? ['least', 'mean', 'greatest'] : []),
    ]
    const last = ['all', '', '', count(elements), size(bytes)]
    process.stdout.write(
      `${file}: ${format}, ${tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`}\n${table([heading, ...rows, last], 3)}\n`,
    )
    for (const [key, value] of plain)
      process.stdout.write(`${printable(key)}: ${printable(value)}\n`)
    for (const [key, value] of content.metadata)
      process.stdout.write(`${printable(key)}: ${printable(value).slice(0, 200)}\n`)
    if (graph !== undefined) {
      const operators = Object.entries(graph.operators).map(([name, n]) => `${name} ×${n}`)
      process.stdout.write(
        `inputs: ${graph.inputs.map(printable).join(', ')}\noutputs: ${graph.outputs.map(printable).join(', ')}\nnodes: ${graph.nodes}: ${printable(operators.join(', '))}\n`,
      )
    }
  } finally {
    await content.close()
  }
}

const MOST_LINES = 100
const LONGEST_LINE = 200

/** The plain values of a checkpoint, by the keys on the way to each. */
export function plainLines(value: PytorchValue): [path: string, text: string][] {
  const lines: [string, string][] = []
  const visit = (part: PytorchValue, path: string): void => {
    if (part instanceof PytorchTensor || lines.length > MOST_LINES) return
    if (lines.length === MOST_LINES) lines.push(['…', 'and more'])
    else if (part instanceof Map)
      for (const [key, item] of part) visit(item, path === '' ? String(key) : `${path}.${key}`)
    else if (Array.isArray(part) && part.some((item) => typeof item === 'object' && item !== null))
      part.forEach((item: PytorchValue, i) => {
        visit(item, path === '' ? String(i) : `${path}.${i}`)
      })
    else lines.push([path, shown(part).slice(0, LONGEST_LINE)])
  }
  visit(value, '')
  return lines
}

function shown(value: PytorchValue): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (value instanceof Set) return `{${[...value].slice(0, MOST_LINES).map(String).join(', ')}}`
  if (Array.isArray(value)) return `[${value.slice(0, MOST_LINES).map(String).join(', ')}]`
  return value === null ? 'None' : String(value)
}

/** Columns as wide as their widest cell; from column `numbers` on to the right. */
export function table(rows: readonly (readonly string[])[], numbers: number): string {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i < numbers ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
