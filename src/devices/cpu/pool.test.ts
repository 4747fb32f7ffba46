// The pool with workers that are played: what happens when one dies.
import { expect, test } from 'vitest'
import type { ToWorker, WorkerEvents } from './messages.js'
import { createPool } from './pool.js'

function played() {
  const made: { events: WorkerEvents; got: string[]; ended: boolean; held: boolean }[] = []
  return {
    made,
    spawn: (events: WorkerEvents) => {
      const worker = { events, got: [] as string[], ended: false, held: false }
      made.push(worker)
      return {
        post: (message: ToWorker) => worker.got.push(message.kind),
        ref: () => {
          worker.held = true
        },
        unref: () => {
          worker.held = false
        },
        terminate: async () => {
          worker.ended = true
        },
      }
    },
  }
}

const EMPTY = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
const turn = () => new Promise((resolve) => setTimeout(resolve, 0))
const run = { kind: 'run', program: 1, run: 7, args: 0, arena: 0, scratch: 0, control: 0 } as const

test('a dead worker replaces the pool, with its modules', async () => {
  const { made, spawn } = played()
  const failures: unknown[] = []
  const events = { done: () => {}, failed: (failure: unknown) => failures.push(failure) }
  const pool = createPool(spawn, new WebAssembly.Memory({ initial: 1 }), 2, events)
  pool.load(1, new WebAssembly.Module(EMPTY))
  pool.hold(true)
  pool.run(run)
  made[1].events.death('out of memory')
  made[0].events.message({ kind: 'done', run: 7, milliseconds: 1 })
  await turn()
  expect(failures).toEqual([{ thread: 1, message: 'out of memory' }])
  expect(made.map(({ ended }) => ended)).toEqual([true, true, false, false])
  expect(made[2]).toMatchObject({ got: ['begin', 'load'], held: true })
})

test('workers that never start are given up', async () => {
  const { made, spawn } = played()
  const failures: { message: string }[] = []
  const events = { done: () => {}, failed: (f: { message: string }) => failures.push(f) }
  const pool = createPool(spawn, new WebAssembly.Memory({ initial: 1 }), 1, events)
  for (let i = 0; i < 3; i++) {
    made.at(-1)?.events.death('no such file')
    await turn()
  }
  expect(made).toHaveLength(3)
  pool.run(run)
  await turn()
  expect(failures.at(-1)?.message).toBe('workers do not start: no such file')
})
