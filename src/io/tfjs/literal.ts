// A reader of the literals in minified JavaScript: JSON, and besides it bare keys, single quotes, `!0` and `!1`, and
// numbers such as `.5`. Nothing is evaluated; anything else is an error.
import { fail } from '../../base/errors.js'
import type { Plain } from './plain.js'

const DEEPEST = 200
const NUMBER = /-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y
const NAME = /[A-Za-z_$][\w$]*/y
const STRING = /"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'/y
const words: { readonly [word: string]: Plain } = {
  '!0': true,
  '!1': false,
  true: true,
  false: false,
  null: null,
  'void 0': null,
}

/** The literal that begins at `start`; what follows it is not looked at. */
export function readLiteral(source: string, start: number, where: string): Plain {
  let at = start
  const wrong = (what: string): never => fail(`${where}: ${what} at character ${at}`)
  const skip = () => {
    while (/\s/.test(source[at] ?? '')) at++
  }
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(source)?.[0]
    if (found !== undefined) at += found.length
    return found
  }

  function string(): string {
    const long = plainString()
    if (long !== undefined) return long
    const raw = match(STRING)
    if (raw === undefined) return wrong('a string that does not end')
    const inner = raw.slice(1, -1)
    const json = inner.replace(/\\(x[0-9a-fA-F]{2}|[\s\S])|"/g, (whole, letters?: string) => {
      if (letters === undefined) return '\\"'
      if (letters === "'") return "'"
      if (letters === '0') return '\\u0000'
      return letters.startsWith('x') ? `\\u00${letters.slice(1)}` : whole
    })
    try {
      return JSON.parse(`"${json}"`) as string
    } catch {
      return wrong('a malformed string')
    }
  }

  /** A string without escapes, as shards are: found by its end, for they are long. */
  function plainString(): string | undefined {
    const end = source.indexOf(source[at], at + 1)
    if (end < 0) return wrong('a string that does not end')
    const inner = source.slice(at + 1, end)
    if (inner.includes('\\') || inner.includes('\n')) return undefined
    at = end + 1
    return inner
  }

  function value(depth: number): Plain {
    if (depth > DEEPEST) wrong(`nested more than ${DEEPEST} deep`)
    skip()
    const c = source[at]
    if (c === '{') return object(depth)
    if (c === '[') return list(depth)
    if (c === '"' || c === "'") return string()
    for (const [word, meaning] of Object.entries(words))
      if (source.startsWith(word, at)) {
        at += word.length
        return meaning
      }
    const number = match(NUMBER)
    return number === undefined ? wrong('expected a literal') : Number(number)
  }

  function object(depth: number): Plain {
    const result: { [key: string]: Plain } = Object.create(null)
    at++
    for (skip(); source[at] !== '}'; skip()) {
      const quoted = source[at] === '"' || source[at] === "'"
      const key = quoted ? string() : (match(NAME) ?? match(NUMBER) ?? wrong('expected a key'))
      skip()
      if (source[at] !== ':') wrong('expected :')
      at++
      result[key] = value(depth + 1)
      skip()
      if (source[at] === ',') at++
      else if (source[at] !== '}') wrong('expected , or }')
    }
    at++
    return result
  }

  function list(depth: number): Plain {
    const result: Plain[] = []
    at++
    for (skip(); source[at] !== ']'; skip()) {
      result.push(value(depth + 1))
      skip()
      if (source[at] === ',') at++
      else if (source[at] !== ']') wrong('expected , or ]')
    }
    at++
    return result
  }

  return value(0)
}
