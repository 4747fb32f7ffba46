// Vite's settings for the page. A project of your own needs nothing for Burnish but the isolation headers, without which
// a browser shares no memory and Burnish computes on one thread.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { writeDigits } from './digits.js'

const here = dirname(fileURLToPath(import.meta.url))
const build = join(here, '../../build')
const digits = join(build, 'digits')
writeDigits(digits, 512)

/** With these headers a page is cross-origin isolated: `crossOriginIsolated` is true in it. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

export default defineConfig({
  root: here,
  base: './',
  publicDir: digits,
  build: { outDir: join(build, 'vite'), emptyOutDir: true },
  server: { headers },
  preview: { headers },
})
