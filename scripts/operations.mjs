// Writes the pages of docs that are made from tables of operations and operators: `node scripts/operations.mjs`.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createServer } from 'vite'

const PAGES = [
  ['operations.md', '/test/ops/page.ts', 'operationsPage'],
  ['tensorflow.md', '/test/tensorflow/page.ts', 'tensorflowPage'],
]

const root = fileURLToPath(new URL('..', import.meta.url))
const server = await createServer({
  root,
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, ws: false },
})
try {
  for (const [page, module, name] of PAGES) {
    const made = await server.ssrLoadModule(module)
    writeFileSync(`${root}docs/${page}`, made[name]())
    console.log(`docs/${page} written`)
  }
} finally {
  await server.close()
}
