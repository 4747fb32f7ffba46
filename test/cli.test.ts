// The built command line as users meet it: exit codes, what goes to which stream, JSON lines, files left behind.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
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

    expect((await readdir(out)).sort()).toEqual([
      'checkpoints',
      'model.safetensors',
      'recipe.yaml',
      'training.json',
    ])
    const { tensors } = readSafetensors(await readFile(join(out, 'model.safetensors')))
    expect(tensors.get('conv1.weight')?.shape).toEqual([6, 1, 5, 5])
    expect(JSON.parse(await readFile(join(out, 'training.json'), 'utf8'))).toMatchObject({
      model: 'LeNet',
      epochs: 2,
      final: { accuracy: lines[3].test_accuracy },
    })

    const second = await run(args)
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toMatch(/already holds a run \(model.safetensors, training.json/)
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

  test('Ctrl-C saves and says how to go on; a resumed run ends with the same bits', async () => {
    const run1 = join(folder, 'one')
    const run2 = join(folder, 'two')
    const settings = ['--data', 'mnist', '--epochs', '4', '--json', ...SLICE]
    const whole = await run(['train', 'lenet', ...settings, '--out', run1])
    expect(whole.code).toBe(0)
    const broken = await run(['train', 'lenet', ...settings, '--out', run2], /epoch"/)
    expect(broken.code).toBe(130)
    const stopped = events(broken.stdout).at(-1)
    expect(stopped).toMatchObject({
      event: 'stopped',
      resume: `npx burnish train --resume ${run2}`,
    })
    const again = await run(['train', 'lenet', ...settings, '--out', run2])
    expect(again).toMatchObject({ code: 1 })
    expect(again.stderr).toMatch(/a run that has not ended: go on with it by --resume/)
    // A run that has not ended is evaluated with its newest checkpoint.
    const half = await run(['evaluate', run2, '--limit', '100', '--json', ...WASM])
    expect(JSON.parse(half.stdout)).toMatchObject({ event: 'evaluate', samples: 100 })

    const resumed = await run(['train', '--resume', run2, '--json'])
    expect(resumed).toMatchObject({ code: 0, stderr: '' })
    const file = (name: string) => readFile(join(name, 'model.safetensors'))
    expect((await file(run2)).equals(await file(run1))).toBe(true)
    const ended = await run(['train', '--resume', run2])
    expect(ended.stderr).toMatch(/this run has ended/)
  })

  test('a recipe; flags come before it; its own recipe repeats a run', async () => {
    const recipe = join(folder, 'lenet.yaml')
    const out = join(folder, 'recipe')
    await writeFile(
      recipe,
      'model: lenet\ndata: mnist\nepochs: 3\nlimit: 320\nthreads: 1\ntier: wasm\nlr: 0.02\n',
    )
    const told = ['train', '--recipe', recipe, '--epochs', '1', '--json', '--out', out]
    const [start] = events((await run(told)).stdout)
    expect(start).toMatchObject({ epochs: 1, lr: 0.02, samples: 320, threads: 1 })
    const other = join(folder, 'repeated')
    await run(['train', '--recipe', join(out, 'recipe.yaml'), '--out', other])
    const file = (name: string) => readFile(join(name, 'model.safetensors'))
    expect((await file(other)).equals(await file(out))).toBe(true)

    await writeFile(recipe, 'model: lenet\nepoch: 3\n')
    const wrong = await run(['train', '--recipe', recipe, '--data', 'mnist'])
    expect(wrong).toMatchObject({ code: 1, stdout: '' })
    expect(wrong.stderr).toContain(`${recipe}:2:1: there is no field epoch; did you mean epochs?`)
  })

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
    /no model alexnet; there are: lenet; other networks .* in a program/,
  ],
  ['no data', ['train', 'lenet'], /no data: give --data mnist, --data fashion-mnist or a folder/],
  ['no model', ['train', '--data', 'mnist'], /which model\? burnish train lenet/],
  [
    'missing data',
    ['train', 'lenet', '--data', '/nowhere'],
    /\/nowhere: is neither mnist nor fashion-mnist nor a folder/,
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
    ['train', 'lenet', '--data', 'mnist', '--optimizer', 'adma'],
    /Allowed choices are sgd, adam, adamw.*Did you mean adam\?/,
  ],
  ['a misspelt model', ['train', 'lent', '--data', 'mnist'], /did you mean lenet\?/],
  ['misspelt data', ['train', 'lenet', '--data', 'mnits'], /did you mean mnist\?/],
  ['no such run', ['evaluate', '/nowhere'], /\/nowhere: there is no such folder/],
  ['a folder that is no run', ['predict', tmpdir(), 'x.png'], /holds no recipe\.yaml/],
  [
    'a resumed run with other settings',
    ['train', '--resume', 'r', '--lr', '1'],
    /lr cannot be given/,
  ],
  ['no such recipe', ['train', '--recipe', '/nowhere.yaml'], /\/nowhere\.yaml/],
  ['no such file', ['inspect', '/nowhere.npy'], /\/nowhere\.npy/],
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

describe('a trained run', () => {
  const out = () => join(folder, 'trained')
  beforeAll(async () => {
    const settings = ['--data', 'mnist', '--epochs', '3', '--limit', '6400', ...WASM]
    expect((await run(['train', 'lenet', ...settings, '--out', out()])).code).toBe(0)
  })

  test('evaluate: loss, accuracy, each class, what is confused', async () => {
    const { code, stdout } = await run(['evaluate', out(), ...WASM])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^LeNet of .*model\.safetensors on mnist: 10,000 test images$/m)
    expect(stdout).toMatch(/^test loss 0\.\d{4}, test accuracy 9\d\.\d\d %$/m)
    expect(stdout).toMatch(/^0 +980 +\d+\.\d % +\d+\.\d %$/m)
    expect(stdout).toMatch(/^ {2}\d read as \d: \d+$/m)
  })

  test('predict: a digit drawn dark on paper, large and off the middle', async () => {
    // A bar with a flag, as one writes 1, in ink on paper, 200×200.
    const png = new PNG({ width: 200, height: 200 })
    png.data.fill(255)
    for (let y = 40; y < 160; y++)
      for (let x = 60; x < 160; x++) {
        const ink = Math.abs(x - 110 + (y - 100) / 8) < 6
        if (ink) png.data.fill(0, 4 * (y * 200 + x), 4 * (y * 200 + x) + 3)
      }
    const file = join(folder, 'one.png')
    await writeFile(file, PNG.sync.write(png))
    const { code, stdout } = await run(['predict', out(), file, ...WASM])
    expect(code).toBe(0)
    expect(stdout).toMatch(/one\.png: 1 \(\d+\.\d %\)/)
    expect(stdout).toMatch(/▸ 1 █+/)
    const json = await run(['predict', out(), file, file, '--json', ...WASM])
    const lines = events(json.stdout)
    expect(lines.map((line) => line.class)).toEqual(['1', '1'])
    const shares = Object.values(lines[0].probability as Record<string, number>)
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 6)

    const wrong = await run(['predict', out(), join(out(), 'recipe.yaml')])
    expect(wrong).toMatchObject({ code: 1, stdout: '' })
    expect(wrong.stderr).toMatch(/recipe\.yaml: is neither PNG nor JPEG/)
  })

  test('inspect: names, types, shapes, totals; values on request', async () => {
    const { code, stdout } = await run(['inspect', out(), '--values'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/safetensors, 10 tensors/)
    expect(stdout).toMatch(/^conv1\.weight +F32 +\[6, 1, 5, 5\] +150 +600 B/m)
    expect(stdout).toMatch(/^all +61,706 +246\.8 kB$/m)
    const json = JSON.parse((await run(['inspect', out(), '--json'])).stdout)
    expect(json).toMatchObject({ format: 'safetensors', elements: 61706, bytes: 246824 })
  })
})

test('info: versions, threads, what WebAssembly can do, tiers', async () => {
  const { code, stdout } = await run(['info'])
  expect(code).toBe(0)
  expect(stdout).toContain(process.version)
  expect(stdout).toMatch(/^WebAssembly +SIMD yes, relaxed SIMD (yes|no), shared memory yes$/m)
  const json = JSON.parse((await run(['info', '--json'])).stdout)
  expect(json.tiers).toContain('wasm')
  expect(json.threads).toBeGreaterThan(0)
})

test('models: the zoo, or a kind of it', async () => {
  const { code, stdout } = await run(['models'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^lenet \* +classification +LeCun et al\. 1998 +1×28×28 +61,706$/m)
  expect(stdout).toMatch(/^yolox_s +detection +Ge et al\. 2021 +3×640×640 +8,968,255$/m)
  const json = JSON.parse((await run(['models', 'detection', '--json'])).stdout)
  expect(json.map(({ kind }: { kind: string }) => kind)).toEqual(Array(8).fill('detection'))
  const wrong = await run(['models', 'detektion'])
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(
    /no kind of network detektion: there are .*; did you mean detection\?/,
  )
})

test.each([
  'train',
  'evaluate',
  'predict',
  'export',
  'explain',
  'profile',
  'info',
  'inspect',
  'convert',
  'models',
])('%s --help has examples', async (command) => {
  const { code, stdout } = await run([command, '--help'])
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`Examples:\n  burnish ${command}`))
})

test('--help names commands, models and examples', async () => {
  const { code, stdout } = await run(['--help'])
  expect(code).toBe(0)
  for (const text of ['train', 'explain', 'lenet', 'Examples:']) expect(stdout).toContain(text)
})
