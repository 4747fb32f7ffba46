// Which device submissions go to: `setDevice('reference')`, `withDevice`. Devices start at the first use.
import type { Device } from '../compiler/program.js'
import { device as makeDevice } from '../devices/registry.js'
import { context } from './context.js'
import { flushReads, submitStates } from './evaluate.js'
import { Runner } from './runner.js'
import { surface } from './submission.js'
import { forgetStates, isHeld, reading } from './usable.js'

export interface DeviceOptions {
  readonly threads?: number
  /** Bytes the device may grow to. */
  readonly maximumMemory?: number
  /** False: no workers, the cpu device computes on the calling thread, as in a page that is not cross-origin isolated. */
  readonly shared?: boolean
  /**
   * Of the cpu device: `wasm` computes in WebAssembly, `native` in C compiled for this machine (where there is a compiler
   * and the package koffi), `auto` in WebAssembly until the C of a program that runs often is ready.
   */
  readonly tier?: 'auto' | 'wasm' | 'native'
  /** With `auto`: milliseconds that a program's first run waits for its C, before it settles on what there is. */
  readonly decideWithin?: number
}

const DEFAULT_DEVICE = 'cpu'

const runners = new Map<string | Device, Runner>()
const current: { runner: Runner | undefined } = { runner: undefined }

function runnerOf(name: string | Device, options: DeviceOptions): Runner {
  const given = typeof name !== 'string'
  const { threads, maximumMemory, shared, tier, decideWithin } = options
  const key = given ? name : [name, threads, maximumMemory, shared, tier, decideWithin].join(' ')
  let runner = runners.get(key)
  if (runner === undefined) {
    runner = given
      ? new Runner(name.name, () => Promise.resolve(name))
      : new Runner(name, () => makeDevice(name, options))
    runners.set(key, runner)
  }
  return runner
}

/** The runner of the current device. */
export function currentRunner(): Runner {
  current.runner ??= runnerOf(DEFAULT_DEVICE, {})
  return current.runner
}

/**
 * Makes a device the default, and waits until it has started. Rejects where it is not available. Forwards and losses of
 * the device before are not written out by steps on the new one.
 */
export async function setDevice(
  name: string | Device,
  options: DeviceOptions = {},
): Promise<Device> {
  flushReads()
  const next = runnerOf(name, options)
  if (current.runner !== undefined && current.runner !== next) {
    leaveDevice()
    context.takeUnsubmitted()
  }
  current.runner = next
  return next.started
}

/** Reads, and running statistics with data there, are the device's last submissions for now. */
function leaveDevice(): void {
  flushReads()
  const states = [...context.states].map((cell) => cell.pending ?? cell.current)
  if (reading(states, isHeld).includes(true)) surface(submitStates(), [])
}

/** What `fn` submits before it returns goes to that device. Tensors on another one cannot be used there. */
export function withDevice<T>(name: string | Device, fn: () => T): T {
  flushReads()
  const before = current.runner
  const inside = runnerOf(name, {})
  if (before === inside) return fn()
  leaveDevice()
  const taken = context.takeUnsubmitted()
  current.runner = inside
  try {
    return fn()
  } finally {
    leaveDevice()
    current.runner = before
    context.putBack(taken)
  }
}

/** The current device, started. */
export function currentDevice(): Promise<Device> {
  return currentRunner().started
}

/** Ends the workers of every device and forgets all programs. Data that is only there is lost. */
export async function closeDevices(): Promise<void> {
  const open = [...runners.values()]
  runners.clear()
  current.runner = undefined
  context.takeUnsubmitted()
  forgetStates(isHeld)
  for (const runner of open) await runner.close()
}
