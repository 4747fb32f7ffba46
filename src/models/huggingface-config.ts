// config.json of a Hugging Face folder, read with care: every field that changes what is computed is honoured or
// refused, a value of another type is an error, and what is absent is what transformers takes then.
import { fail } from '../base/errors.js'
import { gelu, relu, sigmoid, silu } from '../nn/functional.js'
import type { Tensor } from '../tensor/tensor.js'

/** As parsed. */
export type Config = { readonly [field: string]: unknown }

/** Larger sizes no file here can have. */
const LARGEST = 2 ** 31 - 1

const activations: { readonly [name: string]: (x: Tensor) => Tensor } = {
  gelu: (x) => gelu(x),
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  quick_gelu: (x) => x.mul(sigmoid(x.mul(1.702))),
  relu: (x) => relu(x),
  silu: (x) => silu(x),
  swish: (x) => silu(x),
  tanh: (x) => x.tanh(),
  sigmoid: (x) => sigmoid(x),
}

function geluTanh(x: Tensor): Tensor {
  return gelu(x, { approximate: 'tanh' })
}

/** The name of an activation as config.json has it; undefined for a function that has none. */
export function activationName(activation: unknown): string | undefined {
  if (typeof activation === 'string') return activation
  return Object.keys(activations).find((name) => activations[name] === activation)
}

/** The fields of a config.json, or of another JSON file of such a folder. */
export class Fields {
  readonly where: string
  readonly config: Config

  constructor(where: string, config: Config) {
    this.where = where
    this.config = config
  }

  static parse(bytes: Uint8Array, where: string): Fields {
    let parsed: unknown
    try {
      parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    } catch (error) {
      throw fail(`${where}: not JSON: ${error instanceof Error ? error.message : String(error)}`)
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw fail(`${where}: not a JSON object`)
    return new Fields(where, Object.assign(Object.create(null), parsed))
  }

  /** The value of a field; undefined where it is absent or null. */
  get(name: string): unknown {
    return this.config[name] ?? undefined
  }

  /** A whole number, at least 1 unless said. */
  whole(name: string, fallback: number, least = 1): number {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > LARGEST)
      throw this.wrong(name, value, `a whole number from ${least} on`)
    return value
  }

  /** A number that is at least 0. */
  real(name: string, fallback: number): number {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'number' || !(value >= 0 && value < Infinity))
      throw this.wrong(name, value, 'a number that is at least 0')
    return value
  }

  probability(name: string, fallback: number): number {
    const value = this.real(name, fallback)
    if (value > 1) throw this.wrong(name, value, 'a probability')
    return value
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'boolean') throw this.wrong(name, value, 'true or false')
    return value
  }

  text(name: string, fallback: string): string {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'string') throw this.wrong(name, value, 'a word')
    return value
  }

  wholes(name: string, fallback: readonly number[], count: number): readonly number[] {
    const value = this.get(name) ?? fallback
    if (!Array.isArray(value) || value.length !== count)
      throw this.wrong(name, value, `a list of ${count} whole numbers`)
    return value.map((item: unknown) => {
      if (typeof item !== 'number' || !Number.isInteger(item) || item < 1 || item > LARGEST)
        throw this.wrong(name, value, 'a list of whole numbers from 1 on')
      return item
    })
  }

  activation(name: string, fallback: string): (x: Tensor) => Tensor {
    const value = this.text(name, fallback)
    if (!Object.hasOwn(activations, value))
      throw this.wrong(name, value, `one of ${Object.keys(activations).join(', ')}`)
    return activations[value]
  }

  /** Refuses a field with another value than the one that is built here. */
  only(name: string, value: unknown, why: string): void {
    const given = this.get(name)
    if (given === undefined || given === value) return
    if (Array.isArray(given) && given.length === 0) return
    fail(
      `${this.where}: ${name} is ${JSON.stringify(given)}, but only ${JSON.stringify(value)} is built: ${why}`,
    )
  }

  /** What the classes are called, in order: `id2label`, else as many as `num_labels` says. */
  labels(): readonly string[] {
    const given = this.get('id2label')
    if (given === undefined) {
      const count = this.whole('num_labels', 2)
      if (count > 1_000_000) throw this.wrong('num_labels', count, 'at most a million')
      return Array.from({ length: count }, (_, i) => `LABEL_${i}`)
    }
    if (typeof given !== 'object' || given === null)
      throw this.wrong('id2label', given, 'an object of names by number')
    const names = Object.entries(given)
    const labels = names.map((_, i) => {
      const name: unknown = Object.hasOwn(given, String(i)) ? Reflect.get(given, String(i)) : null
      if (typeof name !== 'string')
        throw this.wrong('id2label', given, `names of all classes 0 … ${names.length - 1}`)
      return name
    })
    if (labels.length === 0) throw this.wrong('id2label', given, 'the names of at least one class')
    return labels
  }

  /** An error about a field. */
  wrong(name: string, value: unknown, rule: string): never {
    const shown = JSON.stringify(value)?.slice(0, 80)
    return fail(`${this.where}: ${name} is ${shown}, but must be ${rule}`)
  }
}
