// What Burnish weighs: the npm package, and the bundles Vite makes of programs for a browser, in gzip.
// `npm run weight` writes bench/results/weight.json and docs/weight.md; `--json` prints the numbers and writes nothing.
// Bundles are made of dist/: build first.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** What the nearest peer says it weighs in gzip, all of it. */
const PEER = 80_000

const PROGRAMS = [
  {
    name: 'add',
    what: 'two tensors added and read',
    code: `import { tensor } from 'burnish'
      console.log(await tensor([1, 2]).add(tensor([3, 4])).data())`,
  },
  {
    name: 'training',
    what: 'LeNet trained with SGD',
    code: `import { compile, tensor } from 'burnish'
      import { LeNet } from 'burnish/models'
      import { crossEntropy } from 'burnish/nn'
      import { SGD } from 'burnish/optim'
      const model = new LeNet()
      const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
      const step = compile((images, labels) => {
        optimizer.zeroGrad()
        const loss = crossEntropy(model.forward(images), labels)
        loss.backward()
        optimizer.step()
        return { loss }
      })
      export const learn = (images, labels) => step(tensor(images), tensor(labels)).loss.item()`,
  },
  { name: 'burnish', what: "all of `import 'burnish'`", code: `export * from 'burnish'` },
  {
    name: 'with nn and optim',
    what: 'all of `burnish`, `burnish/nn` and `burnish/optim`',
    code: `export * from 'burnish'
      export * as nn from 'burnish/nn'
      export * as optim from 'burnish/optim'`,
  },
]

/** What a page loads only when it asks for it: two devices, and the printers of BURNISH_DEBUG. */
const ON_REQUEST = ['reference', 'null', 'debug']

const gzip = (content) => gzipSync(content, { level: 9 }).length

/** The files of a program's bundle: those of its entry, and those it loads at the first computation. */
async function bundle(code) {
  const folder = mkdtempSync(join(root, 'build/weight-'))
  try {
    const entry = join(folder, 'program.js')
    writeFileSync(entry, code)
    const { output } = await build({
      configFile: false,
      logLevel: 'error',
      root: folder,
      worker: { format: 'es' },
      build: {
        write: false,
        target: 'es2023',
        rolldownOptions: { input: entry, preserveEntrySignatures: 'strict' },
      },
    })
    return output
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const isOnRequest = (chunk) => ON_REQUEST.includes(basename(chunk.facadeModuleId ?? '', '.js'))

/** A chunk, and what it imports at once. */
function closure(chunks, names, into = new Set()) {
  for (const name of names) {
    const chunk = chunks.get(name)
    if (chunk === undefined || into.has(chunk)) continue
    into.add(chunk)
    closure(chunks, chunk.imports, into)
  }
  return into
}

async function weigh({ name, what, code }) {
  const output = await bundle(code)
  const chunks = new Map(
    output.filter(({ type }) => type === 'chunk').map((chunk) => [chunk.fileName, chunk]),
  )
  const entry = [...chunks.values()].find((chunk) => chunk.isEntry)
  const atOnce = closure(chunks, [entry.fileName])
  const loaded = new Set(atOnce)
  for (const chunk of loaded)
    closure(
      chunks,
      chunk.dynamicImports.filter((file) => !isOnRequest(chunks.get(file))),
      loaded,
    )
  const worker = output.filter(({ type, fileName }) => type === 'asset' && /worker/.test(fileName))
  const files = [...[...loaded].map((chunk) => chunk.code), ...worker.map(({ source }) => source)]
  const all = [...[...chunks.values()].map((chunk) => chunk.code), ...worker.map((w) => w.source)]
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0)
  const plain = sum(files.map((text) => Buffer.byteLength(text)))
  return {
    name,
    what,
    bytes: plain,
    gzip: sum(files.map(gzip)),
    gzipAtOnce: sum([...atOnce].map((chunk) => gzip(chunk.code))),
    workers: worker.length,
    builtins: all.some((text) => /["'`]node:|__vite-browser-external/.test(text)),
  }
}

function pack() {
  const text = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ size, unpackedSize, files }] = JSON.parse(text)
  return { size, unpackedSize, files: files.map(({ path }) => path) }
}

mkdirSync(join(root, 'build'), { recursive: true })
const packed = pack()
const bundles = []
for (const program of PROGRAMS) bundles.push(await weigh(program))

if (process.argv.includes('--json')) console.log(JSON.stringify({ packed, bundles }, null, 2))
else {
  const results = { package: { ...packed, files: packed.files.length }, peer: PEER, bundles }
  mkdirSync(join(root, 'bench/results'), { recursive: true })
  writeFileSync(join(root, 'bench/results/weight.json'), `${JSON.stringify(results, null, 2)}\n`)
  const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`
  const rows = bundles.map(
    (b) => `| ${b.what} | ${kB(b.gzipAtOnce)} | ${kB(b.gzip)} | ${kB(b.bytes)} |`,
  )
  const page = `# What Burnish weighs

Written by \`npm run weight\`, which makes the bundles with Vite; a kB is 1,000 bytes.

| a program in a browser | gzip, at once | gzip, with the compiler, the cpu device and its worker | not compressed |
| --- | --: | --: | --: |
${rows.join('\n')}

The compiler, the device and the worker are loaded at the first computation. The nearest peer says ${kB(PEER)}
(gzip) of its whole package.

The npm package has ${results.package.files} files, ${kB(packed.size)} packed and ${kB(packed.unpackedSize)} unpacked.
`
  writeFileSync(join(root, 'docs/weight.md'), page)
  console.log(page)
}
