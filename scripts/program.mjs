// Compiles a folder of programs into build/ and runs one of them. The programs import `burnish` as a user's do; the
// package resolves its own name to dist/, which is built first where it is older than src/.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs `npm run KIND -- NAME [arguments]`: a program of the folder `KINDs` but for the modules they share. Exits. */
export function runProgram(kind, { shared = [] } = {}) {
  const folder = `${kind}s`
  const names = readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3))
    .filter((name) => !shared.includes(name))
    .sort()
  const [name, ...rest] = process.argv.slice(2)
  if (name === undefined || !names.includes(name)) {
    console.error(
      `${name === undefined ? `which ${kind}?` : `no ${kind} named ${name};`} there are: ${names.join(', ')}\nusage: npm run ${kind} -- NAME [arguments]`,
    )
    process.exit(1)
  }

  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
  const run = (args) => {
    const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
    return signal ? 1 : (status ?? 1)
  }
  const newest = (of) =>
    Math.max(
      ...readdirSync(of, { recursive: true, encoding: 'utf8' }).map(
        (file) => statSync(join(of, file)).mtimeMs,
      ),
    )
  const built = statSync(join(root, 'dist/index.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const stale = newest(join(root, 'src')) > built
  for (const project of [...(stale ? ['tsconfig.build.json'] : []), `tsconfig.${folder}.json`]) {
    const status = run([join(typescript, 'bin/tsc'), '-p', project])
    if (status !== 0) process.exit(status)
  }
  process.exit(run(['--enable-source-maps', join('build', folder, `${name}.js`), ...rest]))
}
