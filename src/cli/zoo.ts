// `burnish models`: the networks of the zoo, and which of them `burnish train` knows a recipe for.
import { fail } from '../base/errors.js'
import { type Facts, type Kind, list } from '../models/index.js'
import { table } from './inspect.js'
import { models } from './models.js'
import { suggestion } from './nearest.js'
import { count } from './values.js'

const KINDS: readonly Kind[] = ['classification', 'segmentation', 'detection', 'text']

type Network = Facts & { readonly name: string; readonly recipe: boolean }

/** All networks, or those of a kind. */
export function networks(kind: string | undefined): readonly Network[] {
  if (kind !== undefined && !KINDS.some((known) => known === kind))
    fail(`no kind of network ${kind}: there are ${KINDS.join(', ')}${suggestion(kind, KINDS)}`)
  return list()
    .filter((one) => kind === undefined || one.kind === kind)
    .map((one) => ({ ...one, recipe: one.name in models }))
}

/** A table of networks, and what to do with them. */
export function networkRows(found: readonly Network[]): string {
  const heading = ['NAME', 'KIND', 'PAPER', 'INPUT', 'PARAMETERS']
  const rows = found.map(({ name, kind, paper, input, parameters, recipe }) => [
    recipe ? `${name} *` : name,
    kind,
    paper,
    input.join('×'),
    count(parameters),
  ])
  const trained = found.some(({ recipe }) => recipe) ? '* burnish train NAME; ' : ''
  const other = found.find(({ recipe }) => !recipe)
  const rest = other ? `in a program: create('${other.name}') of burnish/models` : ''
  return `${table([heading, ...rows], 4)}\n\n${trained}${rest}`
}

export function listNetworks(
  kind: string | undefined,
  options: { readonly json: boolean },
): Promise<void> {
  const found = networks(kind)
  process.stdout.write(`${options.json ? JSON.stringify(found) : networkRows(found)}\n`)
  return Promise.resolve()
}
