// Writes docs/operations.md from the table of operations: `node scripts/operations.mjs`.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createServer } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const server = await createServer({
  root,
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, ws: false },
})
try {
  const { operationsPage } = await server.ssrLoadModule('/test/ops/page.ts')
  writeFileSync(`${root}docs/operations.md`, operationsPage())
  console.log('docs/operations.md written')
} finally {
  await server.close()
}
