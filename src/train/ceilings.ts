// What a device can reach at most, measured in a second: multiply-adds and memory, on all its threads, on the tier that
// computes. Kernels are told as a share of it.

import { multiplyProbe, type Probe, streamProbe } from '../compiler/probe.js'
import type { Device, Machine } from '../compiler/program.js'

export interface Ceilings {
  /** 10⁹ floating-point operations a second, a multiply-add being two. */
  readonly gigaflops: number
  /** 10⁹ bytes read and written a second, of arrays that no cache holds. */
  readonly gigabytes: number
  readonly threads: number
  /** The name of the machine: wasm, wasm-relaxed or native. */
  readonly machine: string
}

export interface CeilingOptions {
  /** Milliseconds for each of the two; 400 by default. */
  readonly milliseconds?: number
  /** Bytes of each of the two arrays of the stream; 64 MB by default. */
  readonly bytes?: number
}

const WARM_UP = 3
const LEAST_RUNS = 3
/** Milliseconds that the probe waits for a compiler, where the device may choose its tier. */
const SETTLE = 10_000

/** Undefined on a device that interprets graphs: it has no kernels. */
export async function measureCeilings(
  device: Device,
  { milliseconds = 400, bytes = 1 << 26 }: CeilingOptions = {},
): Promise<Ceilings | undefined> {
  if (device.accepts === 'graph') return undefined
  const fastest = async (make: (machine: Machine) => Probe) => {
    const first = make(device.machine)
    const executable = device.load(first.program, (machine) => make(machine).program)
    const storages = first.program.arguments.map(({ bytes }) => device.alloc(bytes, 'ceilings'))
    try {
      for (const storage of storages) device.write(storage, new Uint8Array(storage.bytes))
      await executable.settle?.(SETTLE)
      let best = 0
      let machine = device.machine
      let spent = 0
      for (let run = 0; run < WARM_UP + LEAST_RUNS || spent < milliseconds; run++) {
        const report = await executable.run(storages)
        machine = report.program?.machine ?? machine
        if (run < WARM_UP) continue
        spent += report.milliseconds
        best = Math.max(best, make(machine).work / report.milliseconds / 1e6)
      }
      return { best, machine: machine.name }
    } finally {
      for (const storage of storages) device.free(storage)
      executable.dispose()
    }
  }
  const multiply = await fastest((machine) => multiplyProbe(machine, device.threads))
  const stream = await fastest((machine) => streamProbe(machine, bytes))
  return {
    gigaflops: multiply.best,
    gigabytes: stream.best,
    threads: device.threads,
    machine: multiply.machine,
  }
}
