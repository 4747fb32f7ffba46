// Checkpoints against the world: a save that stops after any call on the file system, a full disk, damaged, truncated and
// foreign files, another model, another version, a folder in use. The old one stays whole, and the error says what is.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../src/data/index.js'
import { encodeState } from '../src/io/state.js'
import { Linear } from '../src/nn/index.js'
import { Adam, SGD, StepLR } from '../src/optim/index.js'
import { setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import {
  bestCheckpoint,
  latestCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
} from '../src/train/checkpoint.js'
import { type FileSystem, nodeFiles, type OpenFile } from '../src/train/files.js'
import { fit } from '../src/train/fit.js'
import { prepareRun } from '../src/train/save.js'

let root = ''
let count = 0
const fresh = () => join(root, String(++count))
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'burnish-checkpoint-'))
})
afterAll(() => rm(root, { recursive: true }))
beforeEach(async () => {
  await setDevice('reference')
})

const data = new TensorDataset(
  hostArray(
    Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
    [12, 2],
  ),
  hostArray(Int32Array.from({ length: 12 }, (_, i) => i % 2)),
)

async function trained(seed: number, outputs = 2, lr = 0.1) {
  manualSeed(seed)
  const model = new Linear(2, outputs)
  const optimizer = new Adam(model.parameters(), { lr })
  model.forward(data.get(0)[0].unsqueeze(0)).sum().backward()
  await optimizer.step()
  const scheduler = new StepLR(optimizer, 2)
  const loader = new DataLoader(data, { batchSize: 4, seed })
  return { model, optimizer, scheduler, loader }
}
type Made = Awaited<ReturnType<typeof trained>>
const bytesOf = async ({ model, optimizer }: Made) => [
  await encodeState(model.stateDict()),
  await encodeState(optimizer.stateDict().tensors),
]

class Dead extends Error {}

/** A file system that performs `calls` calls, the last one only half where it can be, and then none. */
async function stopping(calls: number, half: boolean) {
  const real = await nodeFiles()
  const counter = { done: 0 }
  /** Whether this call is the last. */
  const next = (): boolean => {
    if (counter.done >= calls) throw new Dead('the process is gone')
    return ++counter.done === calls
  }
  const call = async <T>(act: () => Promise<T>, part: () => Promise<unknown> = act): Promise<T> => {
    if (!next() || !half) return act()
    await part()
    throw new Dead('the process is gone')
  }
  const open = (file: OpenFile): OpenFile => ({
    write: (bytes) =>
      call(
        () => file.write(bytes),
        () => file.write(bytes.subarray(0, bytes.length >> 1)),
      ),
    sync: () => call(() => file.sync()),
    // A process that ends closes its files.
    close: () => call(() => file.close()).finally(() => file.close().catch(() => {})),
  })
  const files: FileSystem = {
    makeFolder: (path) => call(() => real.makeFolder(path)),
    list: (path) => call(() => real.list(path)),
    read: (path) => call(() => real.read(path)),
    create: (path) =>
      call(
        async () => open(await real.create(path)),
        async () => (await real.create(path)).close(),
      ),
    rename: (from, to) => call(() => real.rename(from, to)),
    syncFolder: (path) => call(() => real.syncFolder(path)),
    remove: (path) =>
      call(
        () => real.remove(path),
        async () => {
          const [first] = await readdir(path)
          if (first !== undefined) await rm(join(path, first))
        },
      ),
  }
  return { files, counter }
}

describe('a save that stops', () => {
  test('after any call, whole or half, leaves the old one or the new one whole', async () => {
    const [old, next] = [await trained(1), await trained(2)]
    const before = fresh()
    for (const step of [1, 2]) await saveCheckpoint(before, old, { step, epoch: 1 })
    const whole = await stopping(Infinity, false)
    const tried = fresh()
    await cp(before, tried, { recursive: true })
    await saveCheckpoint(tried, next, { step: 3, epoch: 1 }, { keep: 1, files: whole.files })
    const calls = whole.counter.done
    expect(calls).toBeGreaterThan(20)
    const expected = { old: await bytesOf(old), next: await bytesOf(next) }
    const seen = new Set<number>()
    for (let n = 0; n < calls; n++)
      for (const half of [false, true]) {
        const folder = fresh()
        await cp(before, folder, { recursive: true })
        const { files } = await stopping(n, half)
        const saving = saveCheckpoint(folder, next, { step: 3, epoch: 1 }, { keep: 1, files })
        await expect(saving, `call ${n} of ${calls}`).rejects.toThrow(Dead)
        const found = await trained(9)
        const latest = await latestCheckpoint(folder)
        const { step } = await loadCheckpoint(latest ?? 'none', found)
        seen.add(step)
        expect(await bytesOf(found), `call ${n} of ${calls}`).toEqual(
          step === 2 ? expected.old : expected.next,
        )
        // The next save finds its way, and clears up.
        await saveCheckpoint(folder, next, { step: 4, epoch: 1 }, { keep: 1 })
        const names = await readdir(join(folder, 'checkpoints'))
        expect(names).toEqual([expect.stringMatching(/^0000[34]-epoch-1-step-4$/)])
        await rm(folder, { recursive: true })
      }
    expect([...seen].sort()).toEqual([2, 3])
  })

  test('on a full disk says so', async () => {
    const made = await trained(1)
    const folder = fresh()
    const path = await saveCheckpoint(folder, made, { step: 1, epoch: 1 })
    const real = await nodeFiles()
    let writes = 0
    for (let full = 1; full <= 3; full++) {
      writes = 0
      const files: FileSystem = {
        ...real,
        async create(name) {
          const file = await real.create(name)
          const write = (bytes: Uint8Array) => {
            if (++writes < full) return file.write(bytes)
            return Promise.reject(
              Object.assign(new Error('ENOSPC: no space left on device, write'), {
                code: 'ENOSPC',
              }),
            )
          }
          return { write, sync: () => file.sync(), close: () => file.close() }
        },
      }
      await expect(saveCheckpoint(folder, made, { step: 2, epoch: 1 }, { files })).rejects.toThrow(
        /checkpoints: the disk is full \(ENOSPC\); nothing was overwritten/,
      )
      expect(await latestCheckpoint(folder)).toBe(path)
      await loadCheckpoint(path, await trained(3))
    }
  })

  test('where a file is in the way of the folder says so', async () => {
    const folder = fresh()
    await writeFile(folder, 'mine')
    await expect(saveCheckpoint(folder, await trained(1), { step: 1, epoch: 1 })).rejects.toThrow(
      /one of its folders is a file/,
    )
    expect(await readFile(folder, 'utf8')).toBe('mine')
  })
})

test('the last ones and the best stay', async () => {
  const made = await trained(1)
  const folder = fresh()
  const losses = [5, 2, 3, Number.NaN, 4, 2.5]
  for (const [i, value] of losses.entries())
    await saveCheckpoint(
      folder,
      made,
      { step: i + 1, epoch: i + 1, score: { name: 'loss', value, better: 'lower' } },
      { keep: 2 },
    )
  expect((await readdir(join(folder, 'checkpoints'))).sort()).toEqual([
    '00002-epoch-2-step-2',
    '00005-epoch-5-step-5',
    '00006-epoch-6-step-6',
  ])
  expect(await bestCheckpoint(folder)).toMatch(/00002-epoch-2-step-2$/)
  expect(await latestCheckpoint(folder)).toMatch(/00006-epoch-6-step-6$/)
  expect(await latestCheckpoint(fresh())).toBeUndefined()
})

describe('a checkpoint that is not right', () => {
  const save = async () => {
    const made = await trained(1)
    return saveCheckpoint(fresh(), made, { step: 1, epoch: 1 })
  }
  /** Loads into something else, and sees that nothing of it has changed when that fails. */
  async function load(path: string, into?: Made): Promise<void> {
    const made = into ?? (await trained(5))
    const before = await bytesOf(made)
    const rates = [made.optimizer.lr, made.scheduler.count, made.loader.stateDict()]
    try {
      await loadCheckpoint(path, made)
    } catch (error) {
      expect(await bytesOf(made)).toEqual(before)
      expect([made.optimizer.lr, made.scheduler.count, made.loader.stateDict()]).toEqual(rates)
      throw error
    }
  }
  const edit = async (path: string, name: string, change: (bytes: Uint8Array) => Uint8Array) => {
    const file = join(path, name)
    await writeFile(file, change(new Uint8Array(await readFile(file))))
  }

  test('one bit turned, anywhere', async () => {
    const path = await save()
    for (const name of ['model.safetensors', 'optimizer.safetensors', 'checkpoint.json']) {
      const whole = await readFile(join(path, name))
      for (const at of [0, 40, whole.length >> 1, whole.length - 4]) {
        const spoilt = new Uint8Array(whole)
        spoilt[at] ^= 1
        await writeFile(join(path, name), spoilt)
        await expect(load(path), `${name} at ${at}`).rejects.toThrow(
          new RegExp(`${name}: .*(damaged|truncated|version)`),
        )
      }
      await writeFile(join(path, name), whole)
    }
    await load(path)
  })

  test('cut off, at any length', async () => {
    const path = await save()
    for (const name of ['model.safetensors', 'optimizer.safetensors', 'checkpoint.json'])
      for (const part of [0, 0.3, 0.99]) {
        const whole = await readFile(join(path, name))
        await edit(path, name, (bytes) => bytes.subarray(0, Math.floor(bytes.length * part)))
        await expect(load(path)).rejects.toThrow(new RegExp(`${name}: .*(truncated|damaged)`))
        await writeFile(join(path, name), whole)
      }
  })

  test('a file missing, a folder that is none, another folder', async () => {
    const path = await save()
    await rm(join(path, 'optimizer.safetensors'))
    await expect(load(path)).rejects.toThrow(/optimizer.safetensors: is missing/)
    await rm(join(path, 'checkpoint.json'))
    await expect(load(path)).rejects.toThrow(/holds no checkpoint.json: it is not a checkpoint/)
    await expect(load(fresh())).rejects.toThrow(/there is no such folder; a checkpoint is/)
  })

  test('another version', async () => {
    const path = await save()
    await edit(path, 'checkpoint.json', (bytes) =>
      Buffer.from(Buffer.from(bytes).toString().replace('"version": 1', '"version": 2')),
    )
    await expect(load(path)).rejects.toThrow(
      /is of format version 2, this Burnish reads version 1: use a newer Burnish/,
    )
  })

  test('another shape, optimizer, data set or group', async () => {
    const path = await save()
    await expect(load(path, await trained(5, 3))).rejects.toThrow(
      /does not fit this run: .*(weight|0\.expAvg).* is \[2, 2\].* \[3, 2\].*; nothing was loaded/,
    )
    const { model, scheduler } = await trained(5)
    await expect(
      loadCheckpoint(path, { model, optimizer: new SGD(model.parameters(), { lr: 1 }) }),
    ).rejects.toThrow(/SGD.loadStateDict: the state is that of Adam/)
    const loader = new DataLoader(data, { batchSize: 5 })
    await expect(load(path, { ...(await trained(5)), loader })).rejects.toThrow(
      /the state is of 3 batches of 4 from 12 items, this loader has 3 batches of 5/,
    )
    expect(scheduler.count).toBe(0)
  })

  test('another tier warns and goes on', async () => {
    const path = await save()
    await setDevice('cpu', { tier: 'wasm', threads: 1 })
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    await load(path)
    expect(warn.mock.calls.flat().join()).toMatch(
      /was computed on the tier reference, this run goes on with cpu wasm/,
    )
    warn.mockRestore()
  })
})

test('a new run never goes into a folder with checkpoints; a damaged one names the one before', async () => {
  const folder = fresh()
  const run = (resume: boolean) => {
    manualSeed(1)
    const model = new Linear(2, 2)
    return fit(model, new DataLoader(data, { batchSize: 6 }), {
      epochs: resume ? 3 : 2,
      optimizer: new SGD(model.parameters(), { lr: 0.1 }),
      checkpoint: { folder },
      resume,
    })
  }
  await run(false)
  await expect(run(false)).rejects.toThrow(/holds checkpoints already .*name another folder/)
  await expect(prepareRun(folder)).rejects.toThrow(/already holds a run/)
  const latest = (await latestCheckpoint(folder)) ?? ''
  await writeFile(join(latest, 'model.safetensors'), 'text')
  await expect(run(true)).rejects.toThrow(
    /model.safetensors: has 4 bytes.*; the one before it is .*00001-epoch-1-step-2$/,
  )
})

test('a device that chooses its tier is compared after the first step', async () => {
  const folder = fresh()
  const run = async (resume: boolean) => {
    manualSeed(1)
    const model = new Linear(2, 2)
    await fit(model, new DataLoader(data, { batchSize: 6 }), {
      epochs: resume ? 2 : 1,
      optimizer: new SGD(model.parameters(), { lr: 0.1 }),
      checkpoint: { folder },
      resume,
    })
  }
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  await setDevice('cpu', { tier: 'wasm', threads: 1 })
  await run(false)
  // A program that has not run for long stays in WebAssembly.
  await setDevice('cpu', { tier: 'auto', threads: 1 })
  await run(true)
  const told = warn.mock.calls.flat().filter((text) => /was computed on the tier/.test(text))
  warn.mockRestore()
  expect(told.filter((text) => !/cpu native|and/.test(text))).toEqual([])
  const into = await trained(4)
  const { tier } = await loadCheckpoint((await latestCheckpoint(folder)) ?? '', {
    model: into.model,
  })
  expect(tier).toMatch(/^cpu (wasm|native)/)
})
