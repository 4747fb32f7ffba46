// A device that compiles and never runs: for asking what a program would be (`explain`, kernel counts, tests).
// Storages have a size and no content; reads give zeros.
import type { DeviceOf, Machine, Program } from '../compiler/program.js'
import { emitWasm } from '../targets/wasm/emit.js'
import { cpuMachine } from './cpu/machine.js'

export interface NullDevice extends DeviceOf<'program', Program> {
  /** The programs loaded so far, in order. */
  readonly programs: readonly Program[]
}

export function createNull(machine: Machine = cpuMachine(false)): NullDevice {
  const programs: Program[] = []
  const device: NullDevice = {
    name: 'null',
    accepts: 'program',
    machine,
    threads: 1,
    programs,
    alloc: (bytes) => ({ device, bytes }),
    free: () => {},
    write: () => {},
    read: async (storage) => new Uint8Array(storage.bytes),
    peek: (storage) => new Uint8Array(storage.bytes),
    load(program) {
      emitWasm(program, { shared: true, relaxed: machine.fma })
      programs.push(program)
      return {
        run: async () => ({ code: 0, value: 0, milliseconds: 0 }),
        dispose: () => {},
      }
    },
    close: async () => {},
  }
  return device
}
