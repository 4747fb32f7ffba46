// What the prose says: READMEs in two languages with the same programs, links that lead somewhere, and numbers and
// kernels that are those of kept results and of this compiler.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const READMES = ['README.md', 'README.zh-CN.md']

/** Code blocks and indented commands, without comments. */
const programs = (text: string) =>
  [...text.matchAll(/```(?:ts|text)\n([\s\S]*?)```|^ {4}(\S.*)$/gm)].map(([, block, line]) =>
    (block ?? line).replace(/ *(\/\/|#) .*$/gm, ''),
  )

test('both READMEs show the same programs and commands', () => {
  const [english, chinese] = READMES.map((file) => programs(read(file)))
  expect(english.length).toBeGreaterThan(8)
  expect(chinese).toEqual(english)
})

test.each([...READMES, 'CONTRIBUTING.md'])('%s: files it names are there', (file) => {
  const text = read(file)
  const links = [...text.matchAll(/\]\(([\w./-]+)\)/g)].map(([, path]) => path)
  const named = [...text.matchAll(/`((?:docs|test|examples|scripts)\/[\w./-]+)`/g)].map(
    ([, path]) => path,
  )
  expect([...links, ...named].filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('both READMEs list every example', () => {
  const examples = readdirSync(join(root, 'examples'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -3))
  for (const file of READMES) {
    const listed = [...read(file).matchAll(/^\| `([\w-]+)` /gm)].map(([, name]) => name)
    expect(listed.sort()).toEqual(examples.sort())
  }
})

test('what programs in the READMEs and in docs/ import is exported', async () => {
  const pages = [...READMES, ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]
  const missing: string[] = []
  let seen = 0
  for (const page of pages.filter((name) => name.endsWith('.md')))
    for (const [, names = '', path = ''] of read(page).matchAll(
      /^ *import \{([^}]*)\} from 'burnish(?:\/(\w+))?'/gm,
    )) {
      const exported: object = await import(join(root, 'src', path, 'index.ts'))
      for (const name of names.split(',').map((text) => text.trim())) {
        seen++
        if (name && !name.startsWith('type ') && !(name in exported))
          missing.push(`${page}: ${name} of burnish/${path}`)
      }
    }
  expect(seen).toBeGreaterThan(40)
  expect(missing).toEqual([])
})

test('what was measured and printed is what the READMEs show: `npm run docs` writes it', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})
