// A device that remembers: each program it loads, and how long every run of it took. The figures of the
// commands come from here, from the very runs that trained.
import type {
  Device,
  Executable,
  Program,
  Replan,
  RunReport,
  Storage,
} from '../compiler/program.js'
import { median } from '../train/profile.js'

const KEPT_RUNS = 1000

export interface Recorded {
  /** What ran last: a device may plan a program again for another machine. */
  program: Program
  /** Milliseconds of the runs on the device, the last thousand; and of each region when profiling. */
  readonly milliseconds: number[]
  readonly regions: (readonly number[])[]
}

/** `device` with a record of its programs; devices that interpret graphs have none and are returned as they are. */
export function recording(
  device: Device,
  profile: boolean,
): { readonly device: Device; readonly programs: readonly Recorded[] } {
  const programs: Recorded[] = []
  if (device.accepts === 'graph') return { device, programs }
  const load = (program: Program, replan?: Replan): Executable => {
    const executable = device.load(program, replan)
    const recorded: Recorded = { program, milliseconds: [], regions: [] }
    programs.push(recorded)
    return {
      run: async (args: readonly Storage[]): Promise<RunReport> => {
        const report = await executable.run(args, { profile })
        if (report.program !== undefined && report.program !== recorded.program) {
          recorded.program = report.program
          recorded.milliseconds.length = 0
          recorded.regions.length = 0
        }
        recorded.milliseconds.push(report.milliseconds)
        if (recorded.milliseconds.length > KEPT_RUNS) recorded.milliseconds.shift()
        if (report.regions !== undefined) recorded.regions.push(report.regions)
        if (recorded.regions.length > KEPT_RUNS) recorded.regions.shift()
        return report
      },
      dispose: () => executable.dispose(),
    }
  }
  const wrapped: Device = {
    name: device.name,
    accepts: 'program',
    machine: device.machine,
    threads: device.threads,
    replans: device.replans,
    get tier() {
      return device.tier
    },
    alloc: (bytes) => device.alloc(bytes),
    free: (storage) => device.free(storage),
    write: (storage, bytes) => device.write(storage, bytes),
    read: (storage) => device.read(storage),
    peek: (storage) => device.peek(storage),
    load,
    close: () => device.close(),
  }
  return { device: wrapped, programs }
}

/** The training step among the programs: the one with updates that ran most often. */
export function trainingStep(programs: readonly Recorded[]): Recorded | undefined {
  return programs
    .filter(({ program }) => program.arguments.some(({ role }) => role === 'update'))
    .sort((a, b) => b.milliseconds.length - a.milliseconds.length)[0]
}

export interface StepFigures {
  readonly kernels: number
  /** Median. */
  readonly milliseconds: number
  readonly gigaflops: number
  /** The name of the machine it was planned for: wasm, wasm-relaxed or native. */
  readonly machine: string
}

export function figuresOf({ program, milliseconds }: Recorded): StepFigures {
  const typical = median(milliseconds)
  const flops = program.regions
    .flatMap((region) => region.steps)
    .reduce((sum, step) => sum + step.flops, 0)
  return {
    kernels: program.regions.length,
    milliseconds: typical,
    gigaflops: flops / typical / 1e6,
    machine: program.machine.name,
  }
}
