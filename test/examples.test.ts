// The examples as users run them: what the article's program prints, and how the misprint fails.
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const run = (...args: readonly string[]) =>
  spawnSync(process.execPath, ['scripts/example.mjs', ...args], { cwd: root, encoding: 'utf8' })

test('article: a line each 100 batches, then test loss and accuracy', () => {
  const { status, stdout, stderr } = run('article', '--epochs', '2', '--limit', '6464')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const lines = stdout.split('\n').filter((line) => line !== '')
  expect(lines.length).toBe(6)
  for (const [i, [position, share]] of [
    [0, 0],
    [6400, 99],
  ].entries())
    expect(lines[i]).toMatch(
      new RegExp(`^Train Epoch: 1 \\[${position}/6464 \\(${share}%\\)\\]\tLoss: \\d\\.\\d{6}$`),
    )
  const accuracies = [lines[2], lines[5]].map((line) =>
    Number(/^Test set: Average loss: \d\.\d{4}, Accuracy: (\d+)\/6464 /.exec(line)?.[1]),
  )
  expect(accuracies[1]).toBeGreaterThan(accuracies[0])
})

test('article-as-printed: batches of 64 fail in the reshape', () => {
  const { status, stdout, stderr } = run('article-as-printed')
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toBe(
    'CNNModel: reshape [64, 16, 4, 4] (from conv2, pool) to [-1, 400]: 16,384 values are not rows of 400; each image has 16·4·4 = 256. fc1 expects 400: use inFeatures 256, or padding 2 in conv1\n',
  )
})

test('article-as-printed: batches of 25 mix the images, and cross entropy sees it', () => {
  const { status, stdout, stderr } = run('article-as-printed', '--batch-size', '25')
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toBe(
    "crossEntropy: 16 rows of logits for 25 labels; CNNModel's reshape made 16 rows of 400 out of 25 images of 256\n",
  )
})

test('convolution: loops and library are equal, the step lowers the error, the table', () => {
  const { status, stdout, stderr } = run('convolution')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  for (const what of ['conv2d and ReLU', 'gradient of the kernel', 'kernel after the step'])
    expect(stdout).toMatch(new RegExp(`^${what}: loops and library are equal`, 'm'))
  expect(stdout).toMatch(/^at column 8\n.*\[.*\].*\n.*\n.*ReLU/m)
  const [, before, after] =
    /squared error ([\d.]+) before the step, ([\d.]+) after/.exec(stdout) ?? []
  expect(Number(after)).toBeLessThan(Number(before))
  expect(stdout).toMatch(/^ +3×3 +1 +26×26 +10 +6,084$/m)
  expect(stdout).toMatch(/^ +5×5 +2 +12×12 +26 +3,600$/m)
})

test('autograd: the library, the hand and the nudge agree', () => {
  const { status, stdout, stderr } = run('autograd')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const numbers = (what: string) =>
    stdout
      .split('\n')
      .find((line) => line.startsWith(what))
      ?.slice(44)
      .trim()
      .split(/ +/)
      .map(Number) ?? []
  expect(numbers("f''(3)")).toEqual([18])
  const library = numbers('dloss/dw by the library')
  expect(numbers('dloss/dw by hand')).toEqual(library)
  numbers('(loss(w + h)').forEach((value, i) => {
    expect(value).toBeCloseTo(library[i], 4)
  })
  expect(numbers('two backward passes add')).toEqual([8])
})

test('optimizers: four paths, all downhill', () => {
  const { status, stdout, stderr } = run('optimizers', '--steps', '25')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const rows = [...stdout.matchAll(/^(gradient descent|SGD|momentum|Adam).* {2}([\d.]+) +\d+$/gm)]
  expect(rows.length).toBe(4)
  for (const [, , loss] of rows) expect(Number(loss)).toBeLessThan(1)
})

test('custom-layer: names, a gradient that agrees, an error that says where', () => {
  const { status, stdout, stderr } = run('custom-layer', '--steps', '150')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toMatch(/near\.log_widths +\[12\]/)
  expect(Number(/accuracy on new points: ([\d.]+) %/.exec(stdout)?.[1])).toBeGreaterThan(85)
  expect(stdout).toMatch(/uses in training: 150$/m)
  expect(stdout).toMatch(/A wrong shape: .*near.*input \[4, 3\] has not 2 columns/)
})

test('gan: the made points come near the ring', () => {
  const { status, stdout, stderr } = run('gan', '--steps', '800')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const distances = [...stdout.matchAll(/^step \d+: ([\d.]+) from the ring/gm)].map((m) =>
    Number(m[1]),
  )
  expect(distances.at(-1)).toBeLessThan(distances[0] / 4)
})

test('finetuning: better than untrained; what is frozen stays', () => {
  const { status, stdout, stderr } = run(
    'finetuning',
    ...['--epochs', '6', '--limit', '3200', '--test', '1000'],
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toMatch(
    /^frozen: conv1\.weight, conv1\.bias, conv2\.weight, conv2\.bias: no gradient, and every bit as it was loaded$/m,
  )
  const share = (what: string) => Number(new RegExp(`${what} +([\\d.]+) %`).exec(stdout)?.[1])
  expect(share('fine-tuned on 200 labels')).toBeGreaterThan(share('untrained') + 20)
})

test('an unknown example: the list, exit code 1', () => {
  const { status, stderr } = run('articel')
  expect(status).toBe(1)
  expect(stderr).toMatch(
    /no example named articel; there are: article, article-as-printed, autograd, convolution/,
  )
})
