// A strict JSON reader for headers from files of strangers: it refuses duplicate keys, which `JSON.parse`
// resolves silently in favour of the last, bounds the depth, and keeps objects as Maps so that a key such
// as `__proto__` is only a key. Numbers must be whole and exact. After RFC 8259; leaves out fractions.
import { fail } from '../base/errors.js'

export type Json = string | number | boolean | null | readonly Json[] | ReadonlyMap<string, Json>

const DEEPEST = 32

/** Parses text that must hold one JSON value and nothing else but white space around it. */
export function parseJson(text: string, where: string): Json {
  let at = 0

  const wrong = (what: string): never => fail(`${where}: ${what} at character ${at}`)
  const skip = () => {
    while (at < text.length && ' \t\n\r'.includes(text[at])) at++
  }
  const take = (token: string) => {
    if (!text.startsWith(token, at)) wrong(`expected ${token}`)
    at += token.length
  }

  function string(): string {
    const start = at
    if (text[at] !== '"') wrong('expected a string')
    at++
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
    if (at >= text.length) wrong('the string never ends')
    at++
    try {
      return JSON.parse(text.slice(start, at)) as string
    } catch (error) {
      throw fail(`${where}: a malformed string at character ${start}: ${String(error)}`)
    }
  }

  function number(): number {
    const digits = /-?(0|[1-9][0-9]*)/y
    digits.lastIndex = at
    const found = digits.exec(text)
    if (!found) return wrong('expected a value')
    const next = text[at + found[0].length] ?? ''
    if ('.eE'.includes(next) && next !== '') wrong('a number that is not whole')
    const value = Number(found[0])
    if (!Number.isSafeInteger(value)) wrong(`the number ${found[0]} is beyond 2^53`)
    at += found[0].length
    return value
  }

  function object(depth: number): ReadonlyMap<string, Json> {
    const entries = new Map<string, Json>()
    take('{')
    skip()
    if (text[at] === '}') {
      at++
      return entries
    }
    for (;;) {
      skip()
      const key = string()
      if (entries.has(key)) wrong(`the key ${JSON.stringify(key)} is there twice`)
      skip()
      take(':')
      entries.set(key, value(depth + 1))
      skip()
      if (text[at] !== ',') break
      at++
    }
    take('}')
    return entries
  }

  function array(depth: number): readonly Json[] {
    const items: Json[] = []
    take('[')
    skip()
    if (text[at] === ']') {
      at++
      return items
    }
    for (;;) {
      items.push(value(depth + 1))
      skip()
      if (text[at] !== ',') break
      at++
    }
    take(']')
    return items
  }

  function value(depth: number): Json {
    if (depth > DEEPEST) wrong(`nested more than ${DEEPEST} deep`)
    skip()
    switch (text[at]) {
      case '{':
        return object(depth)
      case '[':
        return array(depth)
      case '"':
        return string()
      case 't':
        take('true')
        return true
      case 'f':
        take('false')
        return false
      case 'n':
        take('null')
        return null
      default:
        return number()
    }
  }

  const result = value(0)
  skip()
  if (at < text.length) wrong('something follows the value')
  return result
}
