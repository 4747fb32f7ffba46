// Writes docs/zoo.md: `node scripts/zoo.mjs [--measure]`. --measure first makes every network (without drawing its initial
// values), and writes its multiply-adds and the smallest image it takes to scripts/zoo.json; minutes, and up to 8 GB.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createServer } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values: options } = parseArgs({ options: { measure: { type: 'boolean', default: false } } })

/** Initial values stay 0: they are not looked at, and there are billions. */
const undrawn = {
  name: 'undrawn',
  enforce: 'pre',
  transform: (code, id) =>
    id.endsWith('/src/nn/init.ts')
      ? code
          .replace(
            /(export function (?:uniform|normal)Values\([^)]*\): Tensor \{)/g,
            '$1\n  return tensor(new Float32Array(sizeOf(shape)), { shape })\n',
          )
          .replace(
            /(export function \w+\(p: Parameter[\s\S]*?\): void \{)/g,
            '$1\n  if (p) return\n',
          )
      : undefined,
}

const server = await createServer({
  root,
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  plugins: options.measure ? [undrawn] : [],
  server: { middlewareMode: true, ws: false },
})
const json = (path) => JSON.parse(readFileSync(`${root}${path}`, 'utf8'))

async function measure(list, create) {
  const { summary } = await server.ssrLoadModule('/src/nn/index.ts')
  const { zeros } = await server.ssrLoadModule('/src/tensor/create.ts')
  const one = ({ name, kind, input }) => {
    const model = create(name)
    const tokens = () => zeros([1, ...input], { dtype: 'int32' })
    const inputs =
      kind !== 'text'
        ? [1, ...input]
        : name.startsWith('transformer_')
          ? [tokens(), tokens()]
          : [tokens()]
    const { multiplyAdds } = summary(model, inputs)
    if (kind === 'text') return { multiplyAdds, smallest: null }
    const [channels, most] = input
    let smallest = 1
    // One forward in training: batch norm asks more of a batch there.
    const takes = (size) => {
      try {
        model.forward(zeros([2, channels, size, size]))
        return true
      } catch (error) {
        if (error.name !== 'BurnishError') throw error
        return false
      }
    }
    while (smallest < most && !takes(smallest)) smallest++
    return { multiplyAdds, smallest }
  }
  const sizes = {}
  for (const facts of list()) {
    sizes[facts.name] = one(facts)
    console.log(facts.name, sizes[facts.name])
  }
  writeFileSync(`${root}scripts/zoo.json`, `${JSON.stringify(sizes, null, 2)}\n`)
}

try {
  const { zooPage } = await server.ssrLoadModule('/test/zoo-page.ts')
  const { list, create } = await server.ssrLoadModule('/src/models/index.ts')
  if (options.measure) await measure(list, create)
  const results = readdirSync(`${root}experiments/results`)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => json(`experiments/results/${name}`))
  writeFileSync(`${root}docs/zoo.md`, zooPage(list(), json('scripts/zoo.json'), results))
  console.log('docs/zoo.md written')
} finally {
  await server.close()
}
// Forwards in training leave running statistics to be computed, which no one waits for.
if (options.measure) process.exit()
