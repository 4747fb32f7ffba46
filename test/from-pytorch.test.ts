// Runs the right column of docs/from-pytorch.md, every row, so that the page cannot go stale.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as data from '../src/data/index.js'
import * as burnish from '../src/index.js'
import * as io from '../src/io/index.js'
import * as models from '../src/models/index.js'
import * as nn from '../src/nn/index.js'
import * as optim from '../src/optim/index.js'
import * as train from '../src/train/index.js'
import * as vision from '../src/vision/index.js'

const page = readFileSync(new URL('../docs/from-pytorch.md', import.meta.url), 'utf8')

interface Row {
  readonly section: string
  readonly habit: string
  readonly spelling: string
}

function rowsOf(text: string): Row[] {
  const rows: Row[] = []
  let section = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3)
    const cells = /^\| (.*) \| `(.*)` \|$/.exec(line)
    if (cells) rows.push({ section, habit: cells[1], spelling: cells[2] })
  }
  return rows
}
const rows = rowsOf(page)

beforeAll(async () => {
  await burnish.setDevice('cpu', { threads: 1 })
})
afterAll(burnish.closeDevices)

/** What the page says every row may use; fresh for each, as some rows train. */
function scope(): { readonly [name: string]: unknown } {
  burnish.manualSeed(1)
  const model = new nn.Sequential(new nn.Linear(3, 4))
  const x = burnish.tensor([
    [1, -2, 3],
    [0.5, 2, -1],
  ])
  const labels = burnish.tensor(Int32Array.of(2, 0))
  return {
    ...burnish,
    nn,
    optim,
    data,
    io,
    train,
    models,
    vision,
    burnish,
    model,
    x,
    y: x.mul(2),
    v: burnish.tensor([1, 2, 3]),
    i: burnish.tensor(Int32Array.of(1, 0)),
    mask: x.gt(0),
    labels,
    loss: nn.crossEntropy(model.forward(x), labels),
  }
}

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (
  ...parts: string[]
) => (...values: unknown[]) => Promise<unknown>

/** Runs a snippet: an expression's value, or what its statements do. */
async function run(code: string): Promise<unknown> {
  const names = scope()
  const statements = /^(class|for) |;|^\w+ = /.test(code)
  const body = statements ? code : `return (${code})`
  return new AsyncFunction(...Object.keys(names), body)(...Object.values(names))
}

test('has 80 rows and more, in seven sections', () => {
  expect(rows.length).toBeGreaterThanOrEqual(80)
  expect(new Set(rows.map((row) => row.section)).size).toBe(7)
  // No row of the tables was missed for its form.
  const lines = page.split('\n').filter((line) => /^\| [^|]*`/.test(line))
  expect(rows.length).toBe(lines.length)
})

test.each(rows.map((row) => [`${row.section}: ${row.habit}`, row] as const))(
  '%s',
  async (_, row) => {
    const value = await run(row.spelling)
    const tensors = [value].flat().filter((item) => item instanceof burnish.Tensor)
    for (const t of tensors)
      expect((await t.data()).length).toBe(t.shape.reduce((a, b) => a * b, 1))
  },
)
