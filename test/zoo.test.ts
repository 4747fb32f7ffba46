// docs/zoo.md is what list(), scripts/zoo.json and experiments/results say; and those hold.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { create, list } from '../src/models/index.js'
import { summary } from '../src/nn/index.js'
import { zeros } from '../src/tensor/create.js'
import { type Experiment, type Sizes, zooPage } from './zoo-page.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(root + path, 'utf8')
const sizes: Sizes = JSON.parse(read('scripts/zoo.json'))
const results: readonly Experiment[] = readdirSync(`${root}experiments/results`)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => JSON.parse(read(`experiments/results/${name}`)))

describe('docs/zoo.md', () => {
  it('is what its sources say', () => {
    expect(read('docs/zoo.md'), 'stale: run node scripts/zoo.mjs').toBe(
      zooPage(list(), sizes, results),
    )
  })

  it('knows the size of every network', () => {
    expect(Object.keys(sizes), 'stale: run node scripts/zoo.mjs --measure').toEqual(
      list().map(({ name }) => name),
    )
  })

  it('shows numbers as one reads them', () => {
    const facts = {
      name: 'one',
      kind: 'detection',
      paper: 'A',
      parameters: 1_234_567,
      input: [3, 8, 8],
    } as const
    const page = zooPage([facts], { one: { multiplyAdds: 4.1115e9, smallest: 32 } }, [
      {
        name: 'try',
        title: 'Something is learned',
        command: 'npm run experiment -- try',
        commit: 'abc',
        date: '2026-01-01',
        minutes: 2,
        processorMinutes: 3,
        device: { name: 'cpu', tier: 'native', threads: 2 },
        machine: { processor: 'P', cores: 2, node: 'v20' },
        settings: { seed: 1, data: '', batchSize: 8 },
        figures: { mapAt50to95: 0.12345, curve: [1, 2], sample: 'a\n\nb' },
      },
    ])
    expect(page).toContain('| `one` | A | 1.23 M | 3×8×8 | 4.11 G | 32×32 |')
    expect(page).toContain('| map at 50 to 95 | 0.1235 |')
    expect(page).toContain('sample:\n\n    a\n\n    b\n')
    expect(page).toContain('seed 1, batch size 8; 2 minutes by the clock')
  })

  it.each([
    ['lenet', 416_520], // 6·28²·25 + 16·10²·150 + 400·120 + 120·84 + 84·10
    ['squeezenet1_1', undefined],
    ['mobilenet_v3_small', undefined],
    ['yolox_nano', undefined],
  ] as const)('%s: what was measured is what summary says now', (name, known) => {
    const { input } = list().find((one) => one.name === name) ?? { input: [] }
    const model = create(name)
    const { multiplyAdds, smallest } = sizes[name]
    expect(summary(model, [1, ...input]).multiplyAdds).toBe(multiplyAdds)
    if (known !== undefined) expect(multiplyAdds).toBe(known)
    if (smallest === null) throw new Error(`${name} has no smallest image`)
    const images = (size: number) => zeros([2, input[0], size, size])
    model.forward(images(smallest))
    if (smallest > 1) expect(() => model.forward(images(smallest - 1))).toThrow()
  })
})

describe('experiments', () => {
  it.each(results.map((result) => [result.name, result] as const))(
    '%s says how it was run, with its usual settings',
    (name, result) => {
      expect(read(`experiments/${name}.ts`)).toContain(`'${name}'`)
      expect(result.command).toMatch(new RegExp(`^npm run experiment -- ${name}`))
      expect(result.commit).toMatch(/^[0-9a-f]{7,}\+?$/)
      expect(result.minutes).toBeGreaterThan(0)
      expect(Object.keys(result.figures).length).toBeGreaterThan(1)
    },
  )

  it('found what they were to find', () => {
    const figure = (experiment: string, name: string) =>
      Number(results.find((result) => result.name === experiment)?.figures[name] ?? Number.NaN)
    expect(figure('yolo-mnist', 'mapAt50')).toBeGreaterThan(0.9)
    expect(figure('resnet18-cifar', 'testAccuracy')).toBeGreaterThan(0.65)
    expect(figure('resnet18-cifar', 'majorityClass')).toBeLessThan(0.15)
  })
})
