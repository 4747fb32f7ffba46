// Compiles examples/ into build/ and runs one: `npm run example -- NAME [arguments]`.
// The examples import `burnish` as a user's program does; the package resolves its own name to dist/.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const names = readdirSync(join(root, 'examples'))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3))
  .sort()
const [name, ...rest] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(
    `${name === undefined ? 'which example?' : `no example named ${name};`} there are: ${names.join(', ')}\nusage: npm run example -- NAME [arguments]`,
  )
  process.exit(1)
}

const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
const run = (args) => {
  const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  return signal ? 1 : (status ?? 1)
}
const newest = (folder) =>
  Math.max(
    ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
      (file) => statSync(join(folder, file)).mtimeMs,
    ),
  )
const built = statSync(join(root, 'dist/index.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0
const stale = newest(join(root, 'src')) > built
for (const project of [...(stale ? ['tsconfig.build.json'] : []), 'tsconfig.examples.json']) {
  const status = run([join(typescript, 'bin/tsc'), '-p', project])
  if (status !== 0) process.exit(status)
}
process.exit(run(['--enable-source-maps', join('build/examples', `${name}.js`), ...rest]))
