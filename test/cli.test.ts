// The built command line as users meet it: exit codes, what goes to which stream, JSON lines, files left behind.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSafetensors } from '../src/io/safetensors.js'
import { hasNative, ownCache } from './run-native.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const main = join(root, 'dist/cli/main.js')

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function run(args: readonly string[], interrupt?: RegExp): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], (_, stdout, stderr) => {
      const { exitCode, signalCode } = child
      resolve({ code: exitCode, signal: signalCode, stdout, stderr })
    })
    if (interrupt === undefined) return
    let seen = ''
    let sent = false
    child.stdout?.on('data', (text: string) => {
      seen += text
      if (sent || !interrupt.test(seen)) return
      sent = true
      child.kill('SIGINT')
    })
  })
}

const events = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

ownCache()
const native = await hasNative()

// One tier: with auto it depends on how fast the compiler is, and C and WebAssembly round differently.
const WASM = ['--tier', 'wasm']
const SLICE = ['--limit', '640', '--threads', '1', ...WASM]
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'burnish-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('train', () => {
  test('JSON lines alone on standard output; the run is left in --out, and not overwritten', async () => {
    const out = join(folder, 'run')
    const args = [
      'train',
      'lenet',
      '--data',
      'mnist',
      '--epochs',
      '2',
      ...SLICE,
      '--json',
      '--out',
      out,
    ]
    const first = await run(args)
    expect(first).toMatchObject({ code: 0, stderr: '' })
    const lines = events(first.stdout)
    expect(lines.map((line) => line.event)).toEqual(['start', 'epoch', 'epoch', 'end'])
    expect(Object.keys(lines[1])).toEqual([
      'event',
      'epoch',
      'train_loss',
      'test_loss',
      'test_accuracy',
      'samples_per_second',
    ])
    expect(lines[2].train_loss).toBeLessThan(Number(lines[1].train_loss))
    expect(lines[3].test_accuracy).toBe(lines[2].test_accuracy)

    expect((await readdir(out)).sort()).toEqual(['model.safetensors', 'training.json'])
    const { tensors } = readSafetensors(await readFile(join(out, 'model.safetensors')))
    expect(tensors.get('conv1.weight')?.shape).toEqual([6, 1, 5, 5])
    expect(JSON.parse(await readFile(join(out, 'training.json'), 'utf8'))).toMatchObject({
      model: 'LeNet',
      epochs: 2,
      final: { accuracy: lines[3].test_accuracy },
    })

    const second = await run(args)
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toMatch(/already holds a run \(model.safetensors, training.json\)/)
  })

  test('the same seed gives the same bits, for any number of threads', async () => {
    const results = await Promise.all(
      ['1', '2'].map((threads) =>
        run([
          'train',
          'lenet',
          '--data',
          'mnist',
          '--epochs',
          '1',
          '--limit',
          '640',
          '--json',
          '--threads',
          threads,
          ...WASM,
        ]),
      ),
    )
    const [one, two] = results.map(({ stdout }) => {
      const { train_loss, test_loss, test_accuracy } = events(stdout)[1]
      return { train_loss, test_loss, test_accuracy }
    })
    expect(two).toEqual(one)
  })

  test('plain lines where there is no terminal: epochs, mistakes, the step, the result', async () => {
    const { code, stdout } = await run([
      'train',
      'lenet',
      '--data',
      'mnist',
      '--epochs',
      '1',
      ...SLICE,
    ])
    expect(code).toBe(0)
    for (const control of ['\x1b', '\r']) expect(stdout).not.toContain(control)
    expect(stdout).toMatch(/^epoch 1\/1: loss \d\.\d+, accuracy .*samples\/s$/m)
    expect(stdout).toMatch(/the 10 most confident of \d+ mistakes:/)
    expect(stdout).toMatch(/^step: \d+ kernels, [\d.]+ ms, [\d.]+ GFLOP\/s \(wasm(-relaxed)?\)$/m)
    expect(stdout).toMatch(/^test loss [\d.]+, test accuracy [\d.]+ %, after [\d.]+ s$/m)
  })

  test.skipIf(!native)(
    '--tier native computes in C, the same bits for any number of threads',
    async () => {
      const results = await Promise.all(
        ['1', '2'].map((threads) =>
          run([
            'train',
            'lenet',
            '--data',
            'mnist',
            '--epochs',
            '1',
            '--limit',
            '640',
            '--json',
            '--threads',
            threads,
            '--tier',
            'native',
          ]),
        ),
      )
      const [one, two] = results.map(({ stdout }) => events(stdout))
      expect(one.at(-1)).toMatchObject({ event: 'end', machine: 'native' })
      for (const key of ['train_loss', 'test_loss', 'test_accuracy'])
        expect(two[1][key]).toBe(one[1][key])
    },
  )

  test('Ctrl-C ends it between two steps', async () => {
    const ended = await run(
      ['train', 'lenet', '--data', 'mnist', '--epochs', '500', ...SLICE, '--json'],
      /epoch"/,
    )
    expect(ended.code).toBe(130)
    expect(events(ended.stdout).at(-1)?.event).toBe('stopped')
  })

  test('a loss that is not finite stops the run and names a layer', async () => {
    const ended = await run(['train', 'lenet', '--data', 'mnist', '--lr', '1e30', ...SLICE])
    expect(ended.code).toBe(1)
    expect(ended.stderr).toMatch(
      /^error: fit, epoch 1, step \d+: the loss is not finite: .*(conv|fc)/,
    )
  })
})

test.each([
  [
    'an unknown option',
    ['train', 'lenet', '--data', 'mnist', '--epoch', '1'],
    /unknown option '--epoch'/,
  ],
  ['an unknown command', ['trian'], /unknown command 'trian'/],
  [
    'an unknown model',
    ['train', 'alexnet', '--data', 'mnist'],
    /no model alexnet; there are: lenet/,
  ],
  ['no data', ['train', 'lenet'], /required option '--data <name>' not specified/],
  [
    'missing data',
    ['train', 'lenet', '--data', '/nowhere'],
    /\/nowhere: is neither mnist nor a folder/,
  ],
  [
    'half an epoch',
    ['train', 'lenet', '--data', 'mnist', '--epochs', '0.5'],
    /'0.5' is invalid.*whole number of 1 or more/,
  ],
  [
    'no threads',
    ['train', 'lenet', '--data', 'mnist', '--threads', '0'],
    /whole number of 1 or more/,
  ],
  ['a negative rate', ['train', 'lenet', '--data', 'mnist', '--lr', '-1'], /a number above 0/],
  [
    'momentum 1',
    ['train', 'lenet', '--data', 'mnist', '--momentum', '1'],
    /from 0 up to, not including, 1/,
  ],
  [
    'an unknown optimizer',
    ['train', 'lenet', '--data', 'mnist', '--optimizer', 'lion'],
    /Allowed choices are sgd, adam, adamw/,
  ],
  ['an unknown device', ['train', 'lenet', '--data', 'mnist', '--device', 'tpu'], /tpu/],
])('%s: a clear error, exit code 1', async (_, args, message) => {
  const ended = await run(args)
  expect(ended).toMatchObject({ code: 1, stdout: '' })
  expect(ended.stderr).toMatch(message)
  expect(ended.stderr).not.toMatch(/\n {4}at /)
})

test('truncated data: the file and both sizes', async () => {
  const header = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 100, 0, 0, 0, 28, 0, 0, 0, 28)
  const file = join(folder, 'train-images-idx3-ubyte')
  await writeFile(file, header)
  await truncate(file, 5000)
  await writeFile(join(folder, 'train-labels-idx1-ubyte'), Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 0))
  const ended = await run(['train', 'lenet', '--data', folder])
  expect(ended.code).toBe(1)
  expect(ended.stderr).toMatch(
    /train-images-idx3-ubyte: has 5000 bytes, its header \[100, 28, 28\] asks for 78416: truncated/,
  )
})

test('explain: every kernel with its layer, and the totals', async () => {
  const { code, stdout } = await run(['explain', 'lenet', '--threads', '1', ...WASM])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^one training step of LeNet, batch 64, sgd, on cpu \(wasm(?:-relaxed)?\) with 1 thread: [\d.]+ ms/,
  )
  expect(stdout).toMatch(/conv1/)
  expect(stdout).toMatch(/^ +all +\d+ kernels, \d+ MFLOP/m)

  const json = JSON.parse(
    (await run(['explain', 'lenet', '--threads', '1', '--json', ...WASM])).stdout,
  )
  expect(json.kernels.length).toBe(json.step.kernels)
  expect(json.kernels.every((kernel: { microseconds: number }) => kernel.microseconds >= 0)).toBe(
    true,
  )
})

test('--help names commands, models and examples', async () => {
  const { code, stdout } = await run(['--help'])
  expect(code).toBe(0)
  for (const text of ['train', 'explain', 'lenet', 'Examples:']) expect(stdout).toContain(text)
})
