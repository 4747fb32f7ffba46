// Configurations from files of strangers: JSON with fractions, and the typed fields of its objects.
//
// The text's depth is measured before it is parsed, so that neither the parser nor a walk over the result runs out of
// stack. Objects are read by own keys alone: a key such as `__proto__` is only a key. Other than `io/json.ts`, which is
// for headers, this takes fractions and the last of two equal keys, as Python's and JavaScript's own readers do.
import { fail } from '../../base/errors.js'

/** A JSON value. */
export type Plain = null | boolean | number | string | readonly Plain[] | PlainObject
/** A JSON object; read it with `fieldsOf`. */
export interface PlainObject {
  readonly [key: string]: Plain
}

/** Keras nests a model's layers some ten deep a model; this leaves room for models in models in models. */
const DEEPEST = 200

/** Parses JSON text; a byte order mark in front is skipped. */
export function readPlain(text: string, where: string): Plain {
  checkDepth(text, where)
  try {
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as Plain
  } catch (error) {
    return fail(
      `${where}: is no JSON: ${error instanceof Error ? error.message : String(error)}; is the file whole?`,
    )
  }
}

/** JSON in bytes, which must be UTF-8. */
export function readPlainBytes(bytes: Uint8Array, where: string): Plain {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return fail(`${where}: is not UTF-8, so no JSON`)
  }
  return readPlain(text, where)
}

function checkDepth(text: string, where: string): void {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at)
    if (c === QUOTE) {
      at++
      while (at < text.length && text.charCodeAt(at) !== QUOTE)
        at += text.charCodeAt(at) === BACKSLASH ? 2 : 1
    } else if (c === OPEN_LIST || c === OPEN_OBJECT) {
      if (++depth > DEEPEST) fail(`${where}: is nested more than ${DEEPEST} deep`)
    } else if (c === CLOSE_LIST || c === CLOSE_OBJECT) depth--
  }
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/** The fields of an object, typed: each reader says where, what was expected, and what is there. */
export class Fields {
  readonly where: string
  readonly #object: PlainObject

  constructor(object: PlainObject, where: string) {
    this.#object = object
    this.where = where
  }

  /** The object with some fields replaced. */
  with(changes: PlainObject): Fields {
    return new Fields({ ...this.#object, ...changes }, this.where)
  }

  /** The same object under another name in errors. */
  at(where: string): Fields {
    return new Fields(this.#object, where)
  }

  /** The object as it was read. */
  raw(): PlainObject {
    return this.#object
  }

  keys(): string[] {
    return Object.keys(this.#object)
  }

  /** Whether the field is there, and not null. */
  has(key: string): boolean {
    return this.get(key) !== null
  }

  /** The value; null where there is none. */
  get(key: string): Plain {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? null) : null
  }

  #wrong(key: string, expected: string): never {
    return fail(`${this.where}: ${key} is ${shown(this.get(key))}, but must be ${expected}`)
  }

  string(key: string, otherwise?: string): string {
    const value = this.get(key)
    if (typeof value === 'string') return value
    if (value === null && otherwise !== undefined) return otherwise
    return this.#wrong(key, 'a string')
  }

  number(key: string, otherwise?: number): number {
    const value = this.get(key)
    if (typeof value === 'number') return value
    if (value === null && otherwise !== undefined) return otherwise
    return this.#wrong(key, 'a number')
  }

  /** A whole number from `least`. */
  count(key: string, least = 0, otherwise?: number): number {
    const value = this.number(key, otherwise)
    if (!Number.isSafeInteger(value) || value < least)
      this.#wrong(key, `a whole number from ${least}`)
    return value
  }

  flag(key: string, otherwise?: boolean): boolean {
    const value = this.get(key)
    if (typeof value === 'boolean') return value
    if (value === null && otherwise !== undefined) return otherwise
    return this.#wrong(key, 'true or false')
  }

  list(key: string): readonly Plain[] {
    const value = this.get(key)
    return Array.isArray(value) ? value : this.#wrong(key, 'a list')
  }

  strings(key: string): readonly string[] {
    const list = this.list(key)
    return list.every((item) => typeof item === 'string') ? list : this.#wrong(key, 'names')
  }

  /** Whole numbers from `least`. */
  counts(key: string, least = 0): readonly number[] {
    const list = this.list(key)
    return list.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= least)
      ? (list as readonly number[])
      : this.#wrong(key, `whole numbers from ${least}`)
  }

  /** `rank` whole numbers from `least`; one number stands for all of them. */
  sizes(key: string, rank: number, otherwise?: number, least = 1): readonly number[] {
    const value = this.get(key)
    if (value === null && otherwise !== undefined) return new Array<number>(rank).fill(otherwise)
    if (!Array.isArray(value)) return new Array<number>(rank).fill(this.count(key, least))
    const list = this.counts(key, least)
    if (list.length === 1) return new Array<number>(rank).fill(list[0])
    return list.length === rank ? list : this.#wrong(key, `${rank} numbers`)
  }

  object(key: string): Fields {
    const value = this.get(key)
    return isObject(value)
      ? new Fields(value, `${this.where}.${key}`)
      : this.#wrong(key, 'an object')
  }
}

export function isObject(value: Plain | undefined): value is PlainObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The fields of what must be an object. */
export function fieldsOf(value: Plain, where: string): Fields {
  if (!isObject(value)) throw fail(`${where}: is ${shown(value)}, but must be an object`)
  return new Fields(value, where)
}

/** A value as text, cut short. */
export function shown(value: Plain): string {
  if (value === null) return 'absent'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}
