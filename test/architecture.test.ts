// Reads every import line of src/ and holds it to the table of rooms in docs/architecture.md: a folder
// imports only from rows above it and, within a row, from those to its left; and to the rules below the table.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
const rows = [...page.matchAll(/^\| `src\/([^`]*)` \|/gm)].map((row) =>
  row[1].split(' ').map((name) => name.replace('/', '')),
)
const order = rows.flat()
const folderOf = (file: string) => relative(join(root, 'src'), file).split(sep)[0]

const imports = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  .flatMap((file) => {
    const from = join(root, 'src', file)
    const source = readFileSync(from, 'utf8')
    const found = source.matchAll(/(?:\bfrom|^import|\bimport\()\s*'([^']+)'/gm)
    return [...found].map(([, to]) => ({ file, from, to }))
  })
const inside = imports
  .filter(({ to }) => to.startsWith('.'))
  .map((line) => ({ ...line, target: resolve(dirname(line.from), line.to) }))
const broken = (rule: (from: string, to: string, target: string) => boolean) =>
  inside
    .filter((line) => rule(folderOf(line.from), folderOf(line.target), line.target))
    .map(({ file, to }) => `${file} imports ${to}`)

test('the table names every folder of src/', () => {
  const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  expect(folders.map((entry) => entry.name).filter((name) => !order.includes(name))).toEqual([])
  expect(inside.length).toBeGreaterThan(10)
})

test('folders import only from those above and to their left', () => {
  expect(
    broken((from, to) => order.includes(from) && order.indexOf(to) > order.indexOf(from)),
  ).toEqual([])
})

test('autograd and compiler never see each other, targets never see graph', () => {
  expect(broken((from, to) => from === 'compiler' && to === 'autograd')).toEqual([])
  expect(broken((from, to) => from === 'autograd' && to === 'compiler')).toEqual([])
  expect(broken((from, to) => from === 'targets' && to === 'graph')).toEqual([])
})

test('devices are reached through the registry', () => {
  const direct = (from: string, to: string, target: string) =>
    from !== 'devices' && to === 'devices' && !target.endsWith(join('devices', 'registry.js'))
  expect(broken(direct)).toEqual([])
})

test('src/index.ts re-exports, up to tensor', () => {
  const above = order.slice(order.indexOf('tensor') + 1)
  expect(broken((from, to) => from === 'index.ts' && above.includes(to))).toEqual([])
})

test('types of other packages stay inside: their declarations may not suit a user’s settings', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => [file, readFileSync(join(root, 'src', file), 'utf8')] as const)
  const typed = sources.filter(([, text]) => /^import type .* from '(?![.#]|node:)/m.test(text))
  expect(typed.map(([file]) => file)).toEqual([])
})
