// `burnish inspect`: the tensors of a file, by its content and not its name: safetensors, .npy, .npz. A run's folder is
// its model. Nothing in a file is ever run; names are shown with their control characters escaped.
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { readNpy, readNpz } from '../io/npy.js'
import { readSafetensors } from '../io/safetensors.js'
import { decode, type StoredTensor } from '../io/values.js'
import { readZip } from '../io/zip.js'
import { count, size } from './values.js'

export interface InspectOptions {
  /** Least, mean and greatest value of each tensor too. */
  readonly values: boolean
  readonly json: boolean
}

export interface Content {
  readonly format: 'safetensors' | 'npy' | 'npz'
  readonly tensors: ReadonlyMap<string, StoredTensor>
  readonly metadata: ReadonlyMap<string, string>
}

const NONE: ReadonlyMap<string, string> = new Map()

/** The tensors of a file's bytes. Throws when they are of another format or damaged. */
export function contentOf(bytes: Uint8Array, where: string): Content {
  const begins = (...start: readonly number[]) => start.every((byte, i) => bytes[i] === byte)
  if (begins(0x93, 0x4e, 0x55))
    return { format: 'npy', tensors: new Map([['', readNpy(bytes, where)]]), metadata: NONE }
  if (begins(0x50, 0x4b)) {
    const names = [...readZip(bytes, where).keys()]
    if (names.some((name) => name.endsWith('data.pkl')))
      fail(
        `${where}: is a PyTorch checkpoint, which holds a pickle, a program; save the model with safetensors.torch.save_file(model.state_dict(), …)`,
      )
    return { format: 'npz', tensors: readNpz(bytes, where), metadata: NONE }
  }
  if (begins(0x80))
    fail(`${where}: is a pickle, a program that would have to be run; save tensors as safetensors`)
  return { format: 'safetensors', ...readSafetensors(bytes, where) }
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

export async function inspect(path: string, options: InspectOptions): Promise<void> {
  const folder = (await stat(path)).isDirectory()
  const file = folder ? join(path, 'model.safetensors') : path
  const content = contentOf(await readFile(file), file)
  const tensors = [...content.tensors].map(([name, tensor]) => ({
    name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    bytes: tensor.bytes.length,
    ...(options.values ? { values: rangeOf(tensor, `${file}: ${printable(name)}`) } : {}),
  }))
  const elements = tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
  if (options.json) {
    const metadata = Object.fromEntries(content.metadata)
    process.stdout.write(
      `${JSON.stringify({ file, format: content.format, elements, bytes, metadata, tensors })}\n`,
    )
    return
  }
  const rows = tensors.map(({ name, dtype, shape, bytes, values }) => [
    printable(name),
    dtype,
    `[${shape.join(', ')}]`,
    count(sizeOf(shape)),
    size(bytes),
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
    `${file}: ${content.format}, ${tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`}\n${table([heading, ...rows, last], 3)}\n`,
  )
  for (const [key, value] of content.metadata)
    process.stdout.write(`${printable(key)}: ${printable(value).slice(0, 200)}\n`)
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
