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

test('an unknown example: the list, exit code 1', () => {
  const { status, stderr } = run('articel')
  expect(status).toBe(1)
  expect(stderr).toMatch(/no example named articel; there are: article, article-as-printed/)
})
