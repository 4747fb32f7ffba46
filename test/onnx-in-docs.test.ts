// docs/onnx.md says what exportOnnx writes, and lists the operators that loadOnnx knows.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { families, operators } from '../src/io/onnx/operators/index.js'

const script = new URL('../scripts/onnx.mjs', import.meta.url).href
const { EXPORT, NOTES, operatorTables } = (await import(script)) as {
  EXPORT: string
  NOTES: { readonly [op: string]: string }
  operatorTables: (tables: typeof families) => string
}
const page = fileURLToPath(new URL('../docs/onnx.md', import.meta.url))

it('docs/onnx.md is current: npm run docs', () => {
  expect(readFileSync(page, 'utf8')).toContain(
    `<!-- begin:operators -->\n${operatorTables(families)}\n<!-- end:operators -->`,
  )
  expect(readFileSync(page, 'utf8')).toContain(
    `<!-- begin:export -->\n${EXPORT}\n<!-- end:export -->`,
  )
})

it('its notes are of operators that are there', () => {
  expect(Object.keys(NOTES).filter((name) => !operators.has(name))).toEqual([])
})
