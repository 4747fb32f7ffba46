// The Program: what a compiled graph is to a target and a device; and the interfaces Machine, Target, Device.
import type { DType } from '../base/dtype.js'
import type { Shape } from '../base/shape.js'
import type { Graph, InputNode } from '../graph/node.js'
import type { Kernel } from './kernel.js'

/** What the compiler knows of the machine it plans for. */
export interface Machine {
  readonly name: string
  /** 32-bit elements in a vector register. */
  readonly lanes: number
  /** Accumulators of one micro-tile: `splats` operands broadcast against `vectors` of lanes. */
  readonly tile: { readonly splats: number; readonly vectors: number }
  readonly fma: boolean
  readonly firstLevelCache: number
  readonly secondLevelCache: number
  /** 3×3 convolutions of stride 1 are computed by transformed tiles, where that saves products: see winograd.ts. */
  readonly winograd?: boolean
}

/** `update`: read as an input, and rewritten by the steps that commit. */
export type Role = 'in' | 'out' | 'update'

export interface Argument {
  readonly role: Role
  readonly dtype: DType
  readonly shape: Shape
  readonly bytes: number
}

/** How a place moves in a repeat: `by` bytes further each turn, or, where it alternates, in odd turns only. */
export interface Move {
  /** Index into `Program.repeats`. */
  readonly repeat: number
  readonly by: number
  readonly alternates: boolean
}

/** Where a kernel's buffer is: byte offsets in the shared arena or in the thread's own scratch. */
export type Slot = (
  | { readonly space: 'argument'; readonly index: number }
  | { readonly space: 'arena'; readonly offset: number }
  | { readonly space: 'scratch'; readonly offset: number }
) & {
  /** Bytes from there in the first turn. */
  readonly from?: number
  readonly moves?: readonly Move[]
}

/** One run of a kernel. */
export interface Step {
  /** Index into `Program.kernels`. */
  readonly kernel: number
  readonly slots: readonly Slot[]
  /** The layers it belongs to, and what it computes: `conv1`, `contract relu [64, 6, 28, 28]`. */
  readonly label: string
  readonly what: string
  /** Floating-point operations, and bytes read and written once each. */
  readonly flops: number
  readonly bytes: number
  /** False: so small that one thread does it alone. */
  readonly parallel: boolean
}

/** One parallel region between two barriers: its steps are independent. This is what we count as a kernel. */
export interface Region {
  readonly steps: readonly Step[]
  /** Writes updates: skipped by every thread when the status word is not 0. */
  readonly commit: boolean
}

/** Regions `first` up to but without `end` run `turns` times. Two repeats are apart, or one lies within the other. */
export interface Repeat {
  readonly first: number
  readonly end: number
  readonly turns: number
}

/** What a status code means: which node reported, for the error's text. */
export interface Report {
  readonly kind: 'index' | 'guard'
  readonly label: string
  readonly what: string
  /** For an index: how many values are allowed. */
  readonly size: number
}

export interface Program {
  readonly machine: Machine
  readonly arguments: readonly Argument[]
  readonly kernels: readonly Kernel[]
  readonly regions: readonly Region[]
  /** Outer ones before those within them. */
  readonly repeats?: readonly Repeat[]
  readonly arenaBytes: number
  /** For each thread. */
  readonly scratchBytes: number
  /** Status code c (1, 2, …) is reports[c − 1]. */
  readonly reports: readonly Report[]
}

/** Pure: the same program gives the same code. */
export interface Target<Code> {
  readonly name: string
  emit(program: Program): Code
}

/** Device memory; `bytes` is its size. */
export interface Storage {
  readonly device: Device
  readonly bytes: number
}

/** What a run leaves beside its results: the status words, code 0 when all is well. */
export interface RunReport {
  readonly code: number
  readonly value: number
  /** Milliseconds of the run on the device, and of each region when profiling. */
  readonly milliseconds: number
  readonly regions?: readonly number[]
  /**
   * When profiling, of each thread: milliseconds on one clock, before the first region, then for each region after each of
   * its steps (also those another thread did) and after its barrier.
   */
  readonly stamps?: readonly ArrayLike<number>[]
  /** The program that ran, where it is not the one that was loaded but was planned again for another machine. */
  readonly program?: Program
}

/** The graph of a loaded program compiled for another machine. */
export type Replan = (machine: Machine) => Program

export interface Executable {
  /** Queues a run; runs of a device happen one at a time in the order queued. Rejects when a kernel traps. */
  run(args: readonly Storage[], options?: { readonly profile?: boolean }): Promise<RunReport>
  /** Waits for the fastest way to run it, at most so many milliseconds; what the next run then uses. */
  settle?(milliseconds: number): Promise<string>
  dispose(): void
}

export interface DeviceOf<Accepts extends 'graph' | 'program', Loaded> {
  readonly name: string
  readonly accepts: Accepts
  readonly machine: Machine
  /**
   * What has computed, where the device may choose: `auto` before the first run, then the names of the machines. Results
   * are the same bits on the same tier.
   */
  readonly tier?: string
  readonly threads: number
  /** Throws OutOfMemoryError, listing the largest owners, when there is no room. */
  alloc(bytes: number, owner?: string): Storage
  /** When memory is short: lets finalizers and queued runs give some back. */
  relieve?(): Promise<void>
  free(storage: Storage): void
  /** Copies bytes in at once, to `offset` (default 0); the storage must not be in use by a queued run. */
  write(storage: Storage, bytes: Uint8Array, offset?: number): void
  /** The content after every run queued so far. */
  read(storage: Storage): Promise<Uint8Array>
  /** The content now: only when no queued run touches it. */
  peek(storage: Storage): Uint8Array
  /** Whether `load` makes use of `replan`. */
  readonly replans?: boolean
  load(code: Loaded, replan?: Replan): Executable
  /** Ends workers; everything on the device is lost. */
  close(): Promise<void>
}

/** A graph with its argument order, for devices that interpret. Inputs first (in or update), then outputs. */
export interface BoundGraph {
  readonly graph: Graph
  readonly inputs: readonly InputNode[]
  readonly arguments: readonly Argument[]
}

export type Device = DeviceOf<'graph', BoundGraph> | DeviceOf<'program', Program>
