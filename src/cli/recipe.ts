// Recipes: training runs as YAML files. Every field is a flag of `burnish train` without its dashes; errors say file,
// line and column, what is allowed, and the nearest spelling. Values are plain: no nesting, anchors or tags.
import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from 'commander'
import { isMap, isScalar, LineCounter, parseDocument, type Scalar } from 'yaml'
import { fail } from '../base/errors.js'
import { type Field, recipeFields, type Settings } from './fields.js'
import { nearest, suggestion } from './nearest.js'

const LARGEST = 1_000_000

export async function loadRecipe(path: string): Promise<Settings> {
  const bytes = await readFile(path)
  if (bytes.length > LARGEST)
    fail(
      `${path}: has ${bytes.length} bytes; a recipe has at most ${LARGEST}: this is another file`,
    )
  return parseRecipe(bytes.toString('utf8'), path)
}

/**
 * The settings of a recipe's text.
 * @throws BurnishError `file:line:column: field: …`, the first in the text.
 */
export function parseRecipe(source: string, file: string): Settings {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  for (const { pos, message } of [...document.errors, ...document.warnings])
    fail(`${at(pos[0])}: ${message.split('\n')[0]}`)
  const { contents } = document
  if (contents === null) return {}
  const names = recipeFields.map(({ name }) => name)
  if (!isMap(contents))
    throw fail(
      `${at(contents.range?.[0] ?? 0)}: a recipe is a list of fields, such as \`epochs: 6\``,
    )
  const settings: { [key: string]: number | string } = {}
  for (const { key, value } of contents.items) {
    if (!isScalar(key)) throw fail(`${file}: a field's name is a word`)
    const here = at(key.range?.[0] ?? 0)
    const name = String(key.value)
    const field = recipeFields.find((candidate) => candidate.name === name)
    if (field === undefined)
      throw fail(
        `${here}: there is no field ${name}${suggestion(name, names)} Fields are ${names.join(', ')}`.replace(
          `${name} Fields`,
          `${name}; fields`,
        ),
      )
    if (!isScalar(value) || value.value === null) {
      const offset =
        value !== null && typeof value === 'object' && 'range' in value ? rangeOf(value) : undefined
      throw fail(
        `${offset === undefined ? here : at(offset)}: ${name}: needs one value, ${ruleOf(field)}`,
      )
    }
    settings[field.key] = readValue(field, value, `${at(value.range?.[0] ?? 0)}: ${name}`)
  }
  return settings
}

function rangeOf(node: { readonly range?: unknown }): number | undefined {
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : undefined
}

function readValue(field: Field, { value, source }: Scalar, where: string): number | string {
  if (field.kind === 'number' && typeof value !== 'number')
    fail(`${where}: ${JSON.stringify(value)} is not a number; ${ruleOf(field)}`)
  // A number may be a name too: a folder called 2024 keeps its spelling.
  const text =
    typeof value === 'string'
      ? value
      : field.kind === 'text'
        ? (source ?? String(value))
        : String(value)
  try {
    return field.read(text)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    const near = field.choices === undefined ? undefined : nearest(text, field.choices)
    return fail(
      `${where}: ${text} is not allowed. ${error.message}${near === undefined ? '' : ` Did you mean ${near}?`}`,
    )
  }
}

function ruleOf({ choices, kind, about }: Field): string {
  if (choices !== undefined) return `one of ${choices.join(', ')}`
  return kind === 'number' ? `a number: ${about}` : about
}

/** Settings as a recipe: what reading it gives back. */
export function writeRecipe(settings: Settings, comment: string): string {
  const lines = recipeFields.flatMap(({ key, name }) => {
    const value = settings[key]
    if (value === undefined) return []
    return [
      `${name}: ${typeof value === 'string' && !isPlain(value) ? JSON.stringify(value) : value}`,
    ]
  })
  return `# ${comment}\n${lines.join('\n')}\n`
}

/** Words that YAML reads as themselves without quotes. */
function isPlain(text: string): boolean {
  return /^[A-Za-z][\w./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text)
}
