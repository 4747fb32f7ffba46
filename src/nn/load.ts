// Loading values by name into a model's parameters and state: all that fits, or nothing; and a report.
import type { DType, TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { type Shape, sameShape, showShape } from '../base/shape.js'
import { tensor } from '../tensor/create.js'
import type { Parameter } from '../tensor/parameter.js'
import { Tensor } from '../tensor/tensor.js'

/** Values by name, as `stateDict()` names them. */
export type StateDict = { readonly [name: string]: Parameter }

/** Values on the host, as files give them. */
export interface HostValues {
  readonly shape: Shape
  readonly dtype: DType
  readonly data: TypedArray
}

/** How loadStateDict takes what does not fit. */
export interface LoadOptions {
  /** Whether every name and shape must fit; default true. */
  readonly strict?: boolean
  /** Names that need not fit even then, such as those of a head that is new. */
  readonly except?: (name: string) => boolean
}

/** What loadStateDict set, what it did not set, and what it did not use. */
export interface LoadReport {
  /** In the model's order. */
  readonly matched: readonly string[]
  /** In the model but not in the file, and the other way round. */
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
  /** In both, with another shape or dtype: not set. */
  readonly mismatched: readonly Mismatch[]
}

/** A name with another shape or dtype: `[3, 2]`, or `int32 [3, 2]`. */
export interface Mismatch {
  readonly name: string
  readonly given: string
  readonly expected: string
}

const kind = ({ dtype, shape }: { readonly dtype: DType; readonly shape: Shape }, both: boolean) =>
  both ? `${dtype} ${showShape(shape)}` : showShape(shape)

/**
 * Whether floats on the host stand for an int32 state: averages over checkpoints make counters such as
 * num_batches_tracked floats. All must be whole and fit.
 */
function isWhole(value: Tensor | HostValues, parameter: Parameter): boolean {
  if (parameter.dtype !== 'int32' || value.dtype !== 'float32' || value instanceof Tensor)
    return false
  for (const n of value.data) if ((n | 0) !== n) return false
  return true
}

function mismatches(state: StateDict, values: { readonly [name: string]: Tensor | HostValues }) {
  const found: Mismatch[] = []
  for (const [name, parameter] of Object.entries(state)) {
    if (!Object.hasOwn(values, name)) continue
    const value = values[name]
    const types = value.dtype !== parameter.dtype && !isWhole(value, parameter)
    if (types || !sameShape(value.shape, parameter.shape))
      found.push({ name, given: kind(value, types), expected: kind(parameter, types) })
  }
  return found
}

const SHOWN = 10

/** The first of a list, and how many there are besides. */
function some(list: readonly string[], separator = ', '): string {
  const more = list.length - SHOWN
  return more < 2
    ? list.join(separator)
    : `${list.slice(0, SHOWN).join(separator)} and ${more} more`
}

/** What to do about names that do not fit: wrappers as DataParallel put a prefix before all of them. */
function remedy(state: StateDict, missing: readonly string[], unexpected: readonly string[]) {
  const lost = new Set(missing)
  const [first = ''] = missing
  const wrapped = unexpected.find((name) => name.endsWith(`.${first}`))
  const prefix = wrapped?.slice(0, wrapped.length - first.length)
  if (first !== '' && prefix !== undefined) {
    const found = unexpected.filter(
      (name) => name.startsWith(prefix) && lost.has(name.slice(prefix.length)),
    )
    if (2 * found.length > missing.length)
      return `the file's names begin with ${prefix}, which loadState(file, { strip: '${prefix}' }) takes off, and burnish convert --strip ${prefix} on the command line`
  }
  return missing.length === Object.keys(state).length
    ? 'no name is as in the model'
    : 'use { strict: false } to load what fits and get a report'
}

/** See Module.loadStateDict; `owner` is the model's class. */
export function load(
  owner: string,
  state: StateDict,
  values: { readonly [name: string]: Tensor | HostValues },
  { strict = true, except = () => false }: LoadOptions,
): LoadReport {
  const given = (name: string) => Object.hasOwn(values, name)
  // A shared parameter may be stored under either of its names.
  const reached = new Set(
    Object.keys(state)
      .filter(given)
      .map((name) => state[name]),
  )
  const missing = Object.keys(state).filter((name) => !given(name) && !reached.has(state[name]))
  const unexpected = Object.keys(values).filter((name) => state[name] === undefined)
  const mismatched = mismatches(state, values)
  if (strict) {
    const listed = (names: readonly string[]) => names.filter((name) => !except(name))
    const problems = mismatched
      .filter(({ name }) => !except(name))
      .map(({ name, given, expected }) => `${name} is ${given}, the model has ${expected}`)
    const lost = listed(missing)
    const extra = listed(unexpected)
    if (lost.length > 0) problems.push(`missing are ${some(lost)}`)
    if (extra.length > 0) problems.push(`unexpected are ${some(extra)}`)
    if (problems.length > 0)
      fail(`${owner}.loadStateDict: ${some(problems, '; ')}; ${remedy(state, missing, unexpected)}`)
  }
  const differs = new Set(mismatched.map(({ name }) => name))
  const matched = Object.keys(state).filter((name) => given(name) && !differs.has(name))
  for (const name of matched) {
    const parameter = state[name]
    const value = values[name]
    parameter.set(
      value instanceof Tensor
        ? value
        : tensor(value.data, { shape: value.shape, dtype: parameter.dtype }),
    )
  }
  return { matched, missing, unexpected, mismatched }
}
