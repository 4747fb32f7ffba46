// The cpu device's tiers: C gives what WebAssembly gives, runs keep their order while a program moves over, and without
// compiler, cache or koffi there is a working run and one line. Runs from dist, as workers do: build first.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { cases, chain, expectTimes } from '../../../test/machine-cases.js'
import { argument, buffer, firstDifference, matmulCase, programOf } from '../../../test/programs.js'
import { hasNative, ownCache } from '../../../test/run-native.js'
import * as b from '../../compiler/build.js'
import type { Program } from '../../compiler/program.js'
import { runJs } from '../../targets/js.js'
import { type CpuDevice, type CpuOptions, createCpu, openCpu } from './device.js'

const folder = ownCache()
const present = await hasNative()
const { PATH, XDG_CACHE_HOME } = process.env

const scratch = mkdtempSync(join(tmpdir(), 'burnish-test-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const temporary = (name: string) => mkdtempSync(join(scratch, name))

const open: CpuDevice[] = []
function kept(device: CpuDevice): CpuDevice {
  open.push(device)
  return device
}
afterEach(async () => {
  process.env.PATH = PATH
  process.env.XDG_CACHE_HOME = XDG_CACHE_HOME
  vi.restoreAllMocks()
  for (const device of open.splice(0)) await device.close()
})

function place(device: CpuDevice, args: readonly Uint8Array[]) {
  return args.map((bytes) => {
    const storage = device.alloc(bytes.byteLength)
    device.write(storage, bytes)
    return storage
  })
}

/** Runs it and compares with the JavaScript printer; the report. */
async function agrees(
  device: CpuDevice,
  { program, args, name }: { program: Program; args: readonly Uint8Array[]; name: string },
) {
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
  return report
}

/** x += 1, 64 integers. */
function increment(): Program {
  const names = b.createNames()
  const i = names.variable('i')
  const next = b.call('add', b.load('int32', 0, b.ofVariable(i)), b.num('i32', 1))
  const kernel = {
    name: 'increment',
    buffers: [buffer('x', 'int32', 'update')],
    parallel: { variable: i, extent: 64 },
    body: [b.store(0, b.ofVariable(i), next)],
  } as const
  return programOf(kernel, [argument('update', 'int32', 64)])
}

describe.skipIf(!present)('with a compiler', () => {
  test.each([1, 2, 3])(
    'C computes the bits of the JavaScript printer, %d threads',
    async (threads) => {
      const warn = vi.spyOn(console, 'warn')
      const device = kept(createCpu({ threads, tier: 'native' }))
      for (const one of cases) await agrees(device, one)
      expect(warn).not.toHaveBeenCalled()
    },
  )

  test('a program moves over between two runs, and the order stays', async () => {
    const device = kept(createCpu({ threads: 2, tier: 'auto' }))
    const program = increment()
    const executable = device.load(program)
    const [x] = place(device, [new Uint8Array(256)])
    const seen: Promise<Int32Array>[] = []
    const read = () => seen.push(device.read(x).then((bytes) => new Int32Array(bytes.buffer)))
    const some = async (count: number) => {
      for (let n = 0; n < count; n++) {
        void executable.run([x])
        read()
      }
    }
    await some(20)
    const settling = executable.settle?.(20_000)
    await some(20)
    expect(await settling).toBe('native')
    await some(20)
    const values = (await Promise.all(seen)).map((v) => v[63])
    expect(values).toEqual(Array.from({ length: 60 }, (_, n) => n + 1))
  })

  test('a program is planned again for the machine of C', async () => {
    const device = kept(createCpu({ threads: 1, tier: 'auto' }))
    const { program, args } = matmulCase(6, 32, 37)
    const machines: number[] = []
    const executable = device.load(program, (machine) => {
      machines.push(machine.lanes)
      return { ...program, machine: { ...program.machine, name: machine.name } }
    })
    const storages = place(device, args)
    const before = await executable.run(storages)
    expect(before.program).toBe(program)
    await executable.settle?.(20_000)
    const after = await executable.run(storages)
    expect(after.program?.machine.name).toBe('native')
    expect(machines).toHaveLength(1)
  })

  test('times of the regions', async () => {
    const device = kept(createCpu({ threads: 2, tier: 'native' }))
    const { program, args } = chain(5, 100)
    const report = await device.load(program).run(place(device, args), { profile: true })
    expectTimes(report, 5, device.threads)
  })

  test('a closed device rejects what was queued', async () => {
    const device = createCpu({ threads: 2, tier: 'native' })
    const { program, args } = chain(40, 333)
    const executable = device.load(program)
    const runs = Array.from({ length: 20 }, () => executable.run(place(device, args)))
    const ended = Promise.allSettled(runs)
    await device.close()
    expect((await ended).at(-1)?.status).toBe('rejected')
    executable.dispose()
    await device.close()
  })
})

describe('without', () => {
  async function fallsBack(options: CpuOptions, reason: RegExp) {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const device = kept(await openCpu(options))
    for (const one of cases.slice(-3)) await agrees(device, one)
    await device.load(cases[0].program).settle?.(5000)
    expect(warn.mock.calls).toHaveLength(1)
    expect(String(warn.mock.calls[0][0])).toMatch(/^burnish: computing in WebAssembly, not in C: /)
    expect(String(warn.mock.calls[0][0])).toMatch(reason)
  }

  const tiers = ['native', 'auto'] as const

  test.each(tiers)('a compiler, %s', async (tier) => {
    process.env.PATH = temporary('empty')
    await fallsBack({ threads: 2, tier }, /there is no cc/)
  })

  test.skipIf(!present).each(tiers)('a compiler that works, %s', async (tier) => {
    process.env.XDG_CACHE_HOME = temporary('cache')
    process.env.PATH = brokenCompiler()
    await fallsBack({ threads: 2, tier }, /cc failed \(1\): error: broken/)
  })

  test.skipIf(!present).each(tiers)('a compiler that works for a program, %s', async (tier) => {
    // The pool of threads is in the cache already.
    expect(readdirSync(folder).length).toBeGreaterThan(0)
    const { program, args } = chain(tier === 'auto' ? 7 : 8, 77)
    process.env.PATH = brokenCompiler()
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const device = kept(createCpu({ threads: 2, tier }))
    const executable = device.load(program)
    await executable.run(place(device, args))
    expect(await executable.settle?.(5000)).toBe('wasm')
    await agrees(device, { program, args, name: 'chain' })
    expect(warn.mock.calls).toHaveLength(1)
    expect(String(warn.mock.calls[0][0])).toMatch(/cc failed \(1\): error: broken/)
  })

  test.skipIf(!present).each(tiers)('a folder for the cache, %s', async (tier) => {
    process.env.XDG_CACHE_HOME = '/dev/null'
    await fallsBack({ threads: 2, tier }, /\/dev\/null\/burnish/)
  })

  test('shared memory', async () => {
    await fallsBack({ shared: false, tier: 'native' }, /native threads need shared memory/)
  })

  /** A compiler that knows its macros and compiles nothing. */
  function brokenCompiler(): string {
    const bin = temporary('bin')
    const file = join(bin, 'cc')
    const script = `#!/bin/sh
case "$*" in *-dM*) PATH='${PATH}' exec cc "$@" ;; esac
echo 'error: broken' >&2
exit 1
`
    writeFileSync(file, script)
    chmodSync(file, 0o755)
    return `${bin}${delimiter}/usr/bin${delimiter}/bin`
  }
})

const module = new URL('../../../dist/devices/cpu/device.js', import.meta.url).href
const ending = (tail: string) => `
import { createCpu } from ${JSON.stringify(module)}
const device = createCpu({ threads: 2, tier: 'native' })
const program = ${JSON.stringify(chain(40, 100_000).program)}
const run = device.load(program)
const storages = program.arguments.map((a) => device.alloc(a.bytes))
${tail}
`

describe.skipIf(!present)('a script', () => {
  function ends(tail: string) {
    return spawnSync(process.execPath, ['--input-type=module', '-e', ending(tail)], {
      timeout: 30_000,
      encoding: 'utf8',
    })
  }

  test('that returns ends by itself and completes its work', () => {
    const ended = ends(
      "for (let i = 0; i < 20; i++) run.run(storages).then(() => { if (i === 19) console.log('complete') })",
    )
    expect(ended.stderr).toBe('')
    expect(ended.stdout).toBe('complete\n')
    expect(ended.status).toBe(0)
  })

  test('that waits for a device to open is not ended before', () => {
    const text = `import { openCpu } from ${JSON.stringify(module)}
const device = await openCpu({ threads: 1, tier: 'native' })
console.log(device.machine.name)
await device.close()`
    const ended = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
      timeout: 30_000,
      encoding: 'utf8',
      env: { ...process.env, XDG_CACHE_HOME: temporary('cache') },
    })
    expect(ended).toMatchObject({ stderr: '', stdout: 'native\n', status: 0 })
  })

  test('that exits while threads compute ends cleanly', () => {
    const ended = ends(`await run.run(storages)
for (let i = 0; i < 8; i++) void run.run(storages)
process.exit(3)`)
    expect(ended.stderr).toBe('')
    expect(ended.status).toBe(3)
  })
})
