// What suites share: the golden values PyTorch computed (../shared/golden), the formula for made-up values,
// and the comparison with a tolerance. Tests of golden values skip, with a printed reason, where the folder is
// absent; with BURNISH_REQUIRE=all they fail instead.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Shape } from '../src/base/shape.js'
import { sizeOf } from '../src/base/shape.js'
import { readSafetensors } from '../src/io/safetensors.js'
import { decode, type HostTensor } from '../src/io/values.js'

const folder = fileURLToPath(new URL('../../shared/golden/', import.meta.url))

/** Whether everything must be there: a missing file fails instead of skipping. */
export const requireAll = process.env.BURNISH_REQUIRE === 'all'

/** The path of a golden file, or undefined, with the reason printed, where it is absent. */
export function goldenPath(file: string): string | undefined {
  const path = folder + file
  if (existsSync(path)) return path
  const reason = `golden values skipped: ${path} is absent`
  if (requireAll) throw new Error(reason)
  console.warn(reason)
  return undefined
}

export function goldenJson<T>(file: string): T | undefined {
  const path = goldenPath(file)
  return path === undefined ? undefined : (JSON.parse(readFileSync(path, 'utf8')) as T)
}

export function goldenBytes(file: string): Uint8Array | undefined {
  const path = goldenPath(file)
  return path === undefined ? undefined : new Uint8Array(readFileSync(path))
}

export type GoldenArgument = number | boolean | string | readonly number[]

/** One operation PyTorch ran: its arguments, inputs, outputs, and the gradients of Σ outputs[0]·seed. */
export interface GoldenCase {
  readonly name: string
  readonly op: string
  readonly args: { readonly [name: string]: GoldenArgument }
  readonly inputs: ReadonlyMap<string, HostTensor>
  readonly outputs: readonly HostTensor[]
  readonly seed: HostTensor
  readonly grads: ReadonlyMap<string, HostTensor>
}

interface CaseEntry {
  readonly name: string
  readonly op: string
  readonly args: { readonly [name: string]: GoldenArgument }
  readonly inputs: readonly string[]
  readonly outputs: number
  readonly grads: readonly string[]
}

/** The cases of a group (`conv`, `pool`, …); none where the folder is absent. */
export function golden(group: string): readonly GoldenCase[] {
  const index = goldenJson<{ cases: readonly CaseEntry[] }>(`${group}.json`)
  const bytes = goldenBytes(`${group}.safetensors`)
  if (!index || !bytes) return []
  const { tensors } = readSafetensors(bytes, `${group}.safetensors`)
  const get = (name: string): HostTensor => {
    const stored = tensors.get(name)
    if (!stored) throw new Error(`${group}.safetensors lacks ${name}`)
    return decode(stored, name)
  }
  return index.cases.map((entry) => ({
    name: entry.name,
    op: entry.op,
    args: entry.args,
    inputs: new Map(entry.inputs.map((name) => [name, get(`${entry.name}/in/${name}`)])),
    outputs: Array.from({ length: entry.outputs }, (_, i) => get(`${entry.name}/out/${i}`)),
    seed: get(`${entry.name}/seed`),
    grads: new Map(entry.grads.map((name) => [name, get(`${entry.name}/grad/${name}`)])),
  }))
}

// ---- made-up values, the same on every machine (golden/README.md) ----

export function crc32(text: string): number {
  let crc = ~0
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** murmur3's finalizer. */
export function fmix32(value: number): number {
  let x = value ^ (value >>> 16)
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

/** Numbers in [-1, 1) made from a name. */
export function uniform(name: string, shape: Shape): Float32Array {
  const start = crc32(name)
  return Float32Array.from(
    { length: sizeOf(shape) },
    (_, i) => (fmix32((i + start) >>> 0) >>> 8) / 2 ** 23 - 1,
  )
}

/** The entry `name` of a state dict, made from its name and shape. */
export function fill(name: string, shape: Shape): Float32Array {
  const u = uniform(name, shape)
  const last = name.split('.').at(-1) ?? ''
  if (last.endsWith('num_batches_tracked')) return u.fill(0)
  if (last.endsWith('running_var')) return u.map((x) => 1 + 0.5 * x)
  if (last.endsWith('running_mean') || last.endsWith('bias')) return u.map((x) => 0.1 * x)
  if (shape.length >= 2) {
    const bound = Math.sqrt(6 / sizeOf(shape.slice(1)))
    return u.map((x) => x * bound)
  }
  return u.map((x) => 1 + 0.1 * x)
}

/** What is wrong with `actual`, allowing |a − b| ≤ tolerance·max|b| + floor; undefined when all is well. */
export function difference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance = 1e-4,
  floor = 0,
): string | undefined {
  if (actual.length !== expected.length)
    return `${actual.length} values, expected ${expected.length}`
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    const size = Math.abs(expected[i])
    if (size > largest && size < Infinity) largest = size
  }
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i], expected[i]]
    if (Object.is(a, b) || a === b) continue
    if (!(Math.abs(a - b) <= tolerance * largest + floor))
      return `value ${i} is ${a}, expected ${b} (within ${tolerance} of ${largest})`
  }
  return undefined
}
