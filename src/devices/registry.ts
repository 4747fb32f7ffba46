// Devices by name. Each is imported when first asked for, so a program carries only what it uses.

import { hardwareThreads } from '#spawn'
import { fail } from '../base/errors.js'
import type { Device } from '../compiler/program.js'

export interface DeviceOptions {
  /** Workers of the cpu device. */
  readonly threads?: number
  /** Bytes the cpu device's memory may grow to. */
  readonly maximumMemory?: number
  /** False: the cpu device computes on the calling thread, as in a page that is not cross-origin isolated. */
  readonly shared?: boolean
  /** What computes on the cpu device: see its CpuOptions. */
  readonly tier?: 'auto' | 'wasm' | 'native'
  readonly decideWithin?: number
}

const devices: { readonly [name: string]: (options: DeviceOptions) => Promise<Device> } = {
  cpu: async (options) => (await import('./cpu/device.js')).openCpu(options),
  reference: async () => (await import('./reference.js')).createReference(),
  null: async () => (await import('./null.js')).createNull(),
}

/** A new device. Throws for a name that is not `cpu`, `reference` or `null`. */
export async function device(name: string, options: DeviceOptions = {}): Promise<Device> {
  if (!Object.hasOwn(devices, name))
    fail(`device ${name} is not known; there are ${Object.keys(devices).join(', ')}`)
  return devices[name](options)
}

/** Threads of this machine. */
export function defaultThreads(): number {
  return hardwareThreads()
}
