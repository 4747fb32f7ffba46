// Where submissions go: a device that may still be starting, its queue, and its programs by key.
//
// A submission is captured synchronously; until the device is there its job waits in a list, afterwards jobs
// are handed over at once. Programs are kept by the key of their graph, the 64 last used.

import { itemSize } from '../base/dtype.js'
import { BurnishError, fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type {
  Argument,
  Device,
  Executable,
  Program,
  Replan,
  Report,
  RunReport,
} from '../compiler/program.js'
import type { Graph, InputNode } from '../graph/node.js'
import { reportingNodes } from '../graph/reports.js'
import { detachInputs, expandComposites } from '../graph/simplify.js'

const MOST_PROGRAMS = 64

/** A graph made ready for a device. */
export interface Loaded {
  readonly executable: Executable
  readonly arguments: readonly Argument[]
  /** Undefined on a device that interprets graphs. */
  readonly program?: Program
  /** What status code 1, 2, … of the program that ran means. */
  readonly report: (code: number, ran?: Program) => Report | undefined
  runs: number
}

type CompileGraph = (
  graph: Graph,
  machine: Device['machine'],
  inputs: readonly InputNode[],
) => Program

/** Called after each run, with the program that ran. */
export type RunObserver = (program: Program, report: RunReport) => void

export interface Job {
  start(device: Device, runner: Runner): void
  fail(error: Error): void
}

export class Runner {
  readonly name: string
  device: Device | undefined
  #waiting: Job[] = []
  #broken: Error | undefined
  #held = false
  #debug: ((graph: Graph, program?: Program) => void) | undefined
  #compile: CompileGraph | undefined
  readonly #programs = new Map<string, Loaded>()
  readonly started: Promise<Device>
  /** Who is told of runs: see observe.ts. */
  readonly observers = new Set<RunObserver>()
  /** Programs compiled so far: what tests of recompilation count. */
  compiled = 0

  constructor(name: string, make: () => Promise<Device>) {
    this.name = name
    this.started = this.#start(make)
    this.started.catch((error: unknown) => this.#giveUp(error))
  }

  async #start(make: () => Promise<Device>): Promise<Device> {
    const device = await make()
    if (device.accepts === 'program')
      this.#compile = (await import('../compiler/compile.js')).compileGraph
    const words = globalThis.process?.env.BURNISH_DEBUG // a browser has no process
    if (words !== undefined) {
      const { debug } = await import('./debug.js')
      this.#debug = (graph, program) => debug(words, graph, program)
    }
    this.device = device
    this.#startWaiting()
    return device
  }

  #startWaiting(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const job of waiting) this.submit(job)
  }

  /** Jobs submitted until `act` is done wait, in order. It submits none of its own. */
  async hold<T>(act: () => Promise<T>): Promise<T> {
    this.#held = true
    try {
      return await act()
    } finally {
      this.#held = false
      this.#startWaiting()
    }
  }

  #giveUp(error: unknown): void {
    this.#broken = error instanceof Error ? error : new BurnishError(String(error))
    for (const job of this.#waiting) job.fail(this.#broken)
    this.#waiting = []
  }

  /** Starts the job now, or, in order, when the device is there and no job is held up. */
  submit(job: Job): void {
    if (this.#broken !== undefined) {
      job.fail(this.#broken)
      return
    }
    if (this.device === undefined || this.#held) {
      this.#waiting.push(job)
      return
    }
    try {
      job.start(this.device, this)
    } catch (error) {
      job.fail(error instanceof Error ? error : new BurnishError(String(error)))
    }
  }

  /** The program of a graph: kept by key, or compiled now. */
  load(key: string, graph: Graph, inputs: readonly InputNode[]): Loaded {
    let loaded = this.#programs.get(key)
    if (loaded !== undefined) {
      this.#programs.delete(key)
      this.#programs.set(key, loaded)
      return loaded
    }
    loaded = this.#prepare(graph, inputs)
    this.compiled++
    this.#programs.set(key, loaded)
    for (const [oldest, entry] of this.#programs) {
      if (this.#programs.size <= MOST_PROGRAMS) break
      if (oldest === key || entry.runs > 0) continue
      this.#programs.delete(oldest)
      entry.executable.dispose()
    }
    return loaded
  }

  #prepare(graph: Graph, inputs: readonly InputNode[]): Loaded {
    const device = this.device
    if (device === undefined) return fail('the device has not started')
    if (device.accepts === 'program') {
      const compile = this.#compile
      if (compile === undefined) return fail('the compiler has not been loaded')
      const program = compile(graph, device.machine, inputs)
      this.#debug?.(graph, program)
      const replan = device.replans ? again(compile, graph, inputs) : undefined
      const executable = device.load(program, replan)
      return {
        executable,
        arguments: program.arguments,
        program,
        report: (code, ran = program) => ran.reports[code - 1],
        runs: 0,
      }
    }
    this.#debug?.(graph)
    const args = argumentsOf(graph, inputs)
    const executable = device.load({ graph, inputs, arguments: args })
    return { executable, arguments: args, report: (code) => reportOf(graph, code), runs: 0 }
  }

  async close(): Promise<void> {
    for (const entry of this.#programs.values()) entry.executable.dispose()
    this.#programs.clear()
    await (await this.started).close()
  }
}

/** Compiles the graph for another machine, when asked. Holds none of the data its inputs are bound to. */
function again(compile: CompileGraph, graph: Graph, inputs: readonly InputNode[]): Replan {
  const kept = detachInputs(graph, inputs)
  return (machine) => compile(kept.graph, machine, kept.inputs)
}

/** Inputs in order, `update` where an update rewrites them; then one `out` for each output. */
function argumentsOf(graph: Graph, inputs: readonly InputNode[]): Argument[] {
  const targets = new Set(graph.updates.map((update) => update.target))
  const argument = (role: Argument['role'], node: Graph['outputs'][number]): Argument => ({
    role,
    dtype: node.dtype,
    shape: node.shape,
    bytes: sizeOf(node.shape) * itemSize[node.dtype],
  })
  return [
    ...inputs.map((node) => argument(targets.has(node) ? 'update' : 'in', node)),
    ...graph.outputs.map((node) => argument('out', node)),
  ]
}

/** For interpreting devices: gathers and scatters in order, then the guard. */
function reportOf(graph: Graph, code: number): Report | undefined {
  const expanded = expandComposites(graph)
  const node = reportingNodes(expanded)[code - 1]
  if (node === undefined) return undefined
  if (node === expanded.guard) return { kind: 'guard', label: node.label, what: 'guard', size: 0 }
  const size =
    node.kind === 'gather'
      ? node.args[0].shape[node.axis]
      : node.kind === 'scatterAdd'
        ? node.shape[node.axis]
        : 0
  return { kind: 'index', label: node.label, what: node.kind, size }
}
