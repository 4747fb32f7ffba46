// The cpu device: every case on one thread, two threads and unshared memory gives the bits of the JavaScript printer;
// traps, exhaustion, order, and processes that end by themselves. Workers run from dist: build first.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { cases, chain, expectTimes } from '../../../test/machine-cases.js'
import {
  argument,
  buffer,
  type Case,
  firstDifference,
  matmulCase,
  programOf,
} from '../../../test/programs.js'
import * as b from '../../compiler/build.js'
import { runJs } from '../../targets/js.js'
import { createNull } from '../null.js'
import { type CpuDevice, type CpuOptions, createCpu } from './device.js'

const open: CpuDevice[] = []
function cpu(options: CpuOptions): CpuDevice {
  const device = createCpu(options)
  open.push(device)
  return device
}
afterAll(async () => {
  for (const device of open) await device.close()
})

function place(device: CpuDevice, args: readonly Uint8Array[]) {
  return args.map((bytes) => {
    const storage = device.alloc(bytes.byteLength)
    device.write(storage, bytes)
    return storage
  })
}

/** Reads outside memory on the last row. */
function trapping(): Case {
  const names = b.createNames()
  const row = names.variable('row')
  const far = b.load('float32', 0, b.constant(0), {
    dynamic: b.index(b.ofVariable(row, 1 << 25)),
  })
  const kernel = {
    name: 'wild',
    buffers: [buffer('x', 'float32', 'read'), buffer('out', 'float32', 'write')],
    parallel: { variable: row, extent: 8 },
    body: [b.store(1, b.ofVariable(row), far)],
  } as const
  const program = programOf(kernel, [argument('in', 'float32', 8), argument('out', 'float32', 8)])
  return { name: 'trap', program, args: [new Uint8Array(32), new Uint8Array(32)] }
}

describe.each([
  { name: 'one thread', threads: 1 },
  { name: 'two threads', threads: 2 },
  { name: 'three threads', threads: 3 },
  { name: 'unshared memory', shared: false },
])('cpu, $name', (options) => {
  const device = cpu(options)
  // Relaxed multiply-add may round differently.
  test.skipIf(device.machine.fma)('computes the bits of the JavaScript printer', async () => {
    for (const { name, program, args } of cases) {
      const expected = args.map((bytes) => bytes.slice())
      const status = runJs(program, expected)
      const storages = place(device, args)
      const executable = device.load(program)
      const report = await executable.run(storages)
      expect({ code: report.code, value: report.value }, name).toEqual(status)
      const got = await Promise.all(storages.map((storage) => device.read(storage)))
      expect(firstDifference(got, expected), name).toBe(-1)
      for (const storage of storages) device.free(storage)
      executable.dispose()
    }
  })

  test('queued runs and reads keep their order', async () => {
    const names = b.createNames()
    const i = names.variable('i')
    const kernel = {
      name: 'increment',
      buffers: [buffer('x', 'int32', 'update')],
      parallel: { variable: i, extent: 64 },
      body: [
        b.store(
          0,
          b.ofVariable(i),
          b.call('add', b.load('int32', 0, b.ofVariable(i)), b.num('i32', 1)),
        ),
      ],
    } as const
    const executable = device.load(programOf(kernel, [argument('update', 'int32', 64)]))
    const [x] = place(device, [new Uint8Array(256)])
    const reads: Promise<Uint8Array>[] = []
    for (let n = 0; n < 50; n++) {
      void executable.run([x])
      reads.push(device.read(x))
    }
    const values = (await Promise.all(reads)).map((bytes) => new Int32Array(bytes.buffer))
    expect(values.map((v) => v[63])).toEqual(Array.from({ length: 50 }, (_, n) => n + 1))
    // A storage freed while runs on it are queued is not reused before they are done.
    const last = executable.run([x])
    device.free(x)
    const other = device.alloc(256)
    if (!executable) throw new Error('unreachable')
    device.write(other, new Uint8Array(256))
    await last
    expect(device.peek(other)).toEqual(new Uint8Array(256))
  })

  test('times of the regions', async () => {
    const { program, args } = chain(5, 100)
    const report = await device.load(program).run(place(device, args), { profile: true })
    expectTimes(report, 5, device.threads)
  })

  test('a trap names kernel and layer, and later runs work', async () => {
    const bad = trapping()
    const good = matmulCase(4, 16, 8)
    const run = device.load(good.program)
    const storages = place(device, good.args)
    await run.run(storages)
    const expected = device.peek(storages[2])
    device.write(storages[2], new Uint8Array(expected.length))
    const failing = device.load(bad.program).run(place(device, bad.args))
    const following = run.run(storages)
    await expect(failing).rejects.toThrow(
      /^internal: layer: kernel wild \(test\), thread \d: .*out of bounds/,
    )
    await expect(following).rejects.toThrow(/^an earlier run failed: internal: layer/)
    await run.run(storages)
    expect(device.peek(storages[2])).toEqual(expected)
  })
})

test('exhausted memory names the largest owners and the remedy', async () => {
  const device = cpu({ threads: 1, maximumMemory: 64 * 2 ** 20 })
  const kept = device.alloc(40 * 2 ** 20, 'conv1.weight')
  expect(() => device.alloc(30 * 2 ** 20)).toThrow(
    /^cpu: no room for 30 MB: 40 MB of 64 MB are in use; the largest: conv1.weight 40 MB. Use a smaller batch/,
  )
  setTimeout(() => device.free(kept), 0)
  await device.relieve()
  expect(device.alloc(30 * 2 ** 20).bytes).toBe(30 * 2 ** 20)
  expect(() => device.peek(kept)).toThrow('internal:')
})

test('intermediate results wait for what is given back, unless a queued run needs it', async () => {
  const device = cpu({ threads: 1, maximumMemory: 64 * 2 ** 20 })
  const { program, args } = chain(5, 100)
  const expected = args.map((bytes) => bytes.slice())
  runJs(program, expected)
  const executable = device.load({ ...program, arenaBytes: 30 * 2 ** 20 })
  const kept = device.alloc(40 * 2 ** 20)
  const storages = place(device, args)
  const run = executable.run(storages)
  const last = device.read(storages[storages.length - 1])
  for (const storage of [kept, ...storages]) device.free(storage)
  await run
  expect(await last).toEqual(expected[expected.length - 1])

  device.alloc(10 * 2 ** 20, 'kept')
  const more = device.load({ ...program, arenaBytes: 58 * 2 ** 20 })
  await expect(more.run(place(device, args))).rejects.toThrow(/^cpu: no room for 58 MB.*kept 10 MB/)
})

test('a closed device rejects what is queued and what comes later', async () => {
  const device = cpu({ threads: 2 })
  const { program, args } = chain(40, 1000)
  const storages = place(device, args)
  const executable = device.load(program)
  const queued = [executable.run(storages), device.read(storages[1])]
  const settled = Promise.allSettled(queued)
  await device.close()
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await expect(executable.run(storages)).rejects.toThrow('cpu: the device was closed')
})

test('bad options', () => {
  expect(() => createCpu({ threads: 0 })).toThrow('cpu: threads is 0')
})

test('the null device compiles and gives zeros', async () => {
  const device = createNull()
  const { program } = cases[0]
  const storages = program.arguments.map(({ bytes }) => device.alloc(bytes))
  expect((await device.load(program).run(storages)).code).toBe(0)
  expect(device.programs).toEqual([program])
})

const script = (tail: string) => `
import { createCpu } from ${JSON.stringify(new URL('../../../dist/devices/cpu/device.js', import.meta.url).href)}
const device = createCpu({ threads: 2 })
${tail}
`
const built = existsSync(new URL('../../../dist/devices/cpu/device.js', import.meta.url))

test.skipIf(!built)('a script that returns ends by itself and completes its work', () => {
  const { program } = chain(40, 1000)
  const tail = `const program = ${JSON.stringify(program)}
const run = device.load(program)
const storages = program.arguments.map((a) => device.alloc(a.bytes))
for (let i = 0; i < 20; i++) run.run(storages).then(() => { if (i === 19) console.log('complete') })`
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', script(tail)], {
    timeout: 20_000,
    encoding: 'utf8',
  })
  expect(ended.stderr).toBe('')
  expect(ended.stdout).toBe('complete\n')
  expect(ended.status).toBe(0)
  const unused = spawnSync(process.execPath, ['--input-type=module', '-e', script('')], {
    timeout: 20_000,
  })
  expect(unused.status).toBe(0)
})
