// Lines of TypeScript per folder of src/, tests apart: `npm run size`. The core is base to devices.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const CORE = ['base', 'graph', 'autograd', 'compiler', 'targets', 'devices']
const lines = (path) => readFileSync(path, 'utf8').split('\n').length - 1

const folders = new Map()
for (const entry of readdirSync('src', { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
  const path = join(entry.parentPath, entry.name)
  const folder = path.split(/[\\/]/).length > 2 ? path.split(/[\\/]/)[1] : '(index)'
  const row = folders.get(folder) ?? { code: 0, tests: 0, files: 0 }
  if (entry.name.endsWith('.test.ts')) row.tests += lines(path)
  else {
    row.code += lines(path)
    row.files++
  }
  folders.set(folder, row)
}

const print = (name, { files, code, tests }) =>
  console.log(
    `${name.padEnd(12)}${String(files).padStart(6)}${String(code).padStart(8)}${String(tests).padStart(8)}`,
  )
const sum = (rows) =>
  rows.reduce(
    (total, row) => ({
      files: total.files + row.files,
      code: total.code + row.code,
      tests: total.tests + row.tests,
    }),
    { files: 0, code: 0, tests: 0 },
  )

console.log(
  `${'folder'.padEnd(12)}${'files'.padStart(6)}${'lines'.padStart(8)}${'tests'.padStart(8)}`,
)
const order = (name) => (CORE.includes(name) ? CORE.indexOf(name) : CORE.length)
const sorted = [...folders].sort(([a], [b]) => order(a) - order(b) || a.localeCompare(b))
for (const [name, row] of sorted) print(name, row)
print('core', sum(sorted.filter(([name]) => CORE.includes(name)).map(([, row]) => row)))
print('all', sum(sorted.map(([, row]) => row)))
