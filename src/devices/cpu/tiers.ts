// The two ways to run a program on the cpu device, and which one its next run takes: WebAssembly, or C compiled for this
// machine. Nobody waits for a compiler with `auto`: a program starts in WebAssembly and moves over, between two runs,
// when its C is ready; that is made once the program has shown that it is worth it, or when `settle` asks.
import type { Machine, Program, Replan } from '../../compiler/program.js'
import type { Native, NativeProgram } from './native/native.js'
import type { Loaded, Queue, Tier } from './queue.js'

/** Runs after which the cache is looked at: programs run once or twice are not worth printing. */
const WARM_RUNS = 3
/** Milliseconds of runs after which a program is worth compiling: what a compiler takes for a small one. */
const HOT = 500

export interface TierOptions {
  /** Milliseconds that runs wait for the compiler; 0: they do not, and a program that runs often moves over. */
  readonly patience: number
  readonly queue: Queue
  /** Opened once, when first needed; undefined where it does not work, which has then been said. */
  readonly native: () => Promise<Native | undefined>
  /** Says that a program stays in WebAssembly, and why. */
  readonly notice: (reason: string) => void
  readonly loadWasm: (program: Program) => Loaded & { unload(): void }
  readonly wasmMachine: Machine
  /** What loaded programs are planned for. */
  readonly machine: Machine
}

export interface Tiered {
  choose(): Loaded | undefined
  /** A run took so long. */
  ran(milliseconds: number): void
  settle?(milliseconds: number): Promise<Tier>
  dispose(): void
}

export function createTiered(
  options: TierOptions,
  program: Program,
  replan: Replan | undefined,
): Tiered {
  const { patience, queue, notice, wasmMachine } = options
  let wasm: ReturnType<TierOptions['loadWasm']> | undefined
  let ready: { readonly loaded: Loaded; readonly object: NativeProgram } | undefined
  let making: Promise<void> | undefined
  let sought = false
  /** Runs wait for the compiler. */
  let waiting = patience > 0
  /** What there is stays. */
  let settled = false
  let failed = false
  let disposed = false
  let runs = 0
  let spent = 0

  const planFor = (machine: Machine): Program =>
    machine === options.machine || replan === undefined ? program : replan(machine)

  const take = (native: Native, object: NativeProgram | undefined, planned: Program) => {
    if (object === undefined) return
    if (disposed || settled) {
      object.unload()
      return
    }
    const steps = planned.regions.flatMap((region) => region.steps)
    const loaded: Loaded = {
      tier: 'native',
      program: planned,
      steps,
      post: (place) => native.pool.run({ ...place, entry: object.entry }),
    }
    ready = { loaded, object }
  }

  const make = (how: 'find' | 'load'): Promise<void> => {
    making ??= (async () => {
      try {
        const native = await options.native()
        if (native === undefined) failed = true
        else {
          const planned = planFor(native.machine)
          take(native, await native[how](planned), planned)
        }
      } catch (error) {
        failed = true
        notice(error instanceof Error ? error.message : String(error))
      } finally {
        making = undefined
      }
      if (waiting) decide()
    })()
    return making
  }

  // A pending compiler does not keep the process alive; a timer does where runs wait for it.
  const timer = !waiting
    ? undefined
    : Number.isFinite(patience)
      ? setTimeout(decide, patience)
      : setInterval(() => {}, 1000)
  function decide(): void {
    clearTimeout(timer)
    if (!waiting) return
    waiting = false
    settled = true
    queue.pump()
  }

  if (waiting) void make('load')

  return {
    choose() {
      if (ready !== undefined) return ready.loaded
      if (waiting) return undefined
      wasm ??= options.loadWasm(planFor(wasmMachine))
      return wasm
    },
    ran(milliseconds) {
      runs++
      spent += milliseconds
      if (ready !== undefined || failed || settled || making !== undefined) return
      if (spent >= HOT) void make('load')
      else if (runs >= WARM_RUNS && !sought) {
        sought = true
        void make('find')
      }
    },
    async settle(milliseconds) {
      const made = async () => {
        await making
        if (ready === undefined && !failed && !settled) await make('load')
      }
      // The timer holds the process while there is something to wait for.
      let limit: ReturnType<typeof setTimeout> | undefined
      const late = new Promise<void>((resolve) => {
        limit = setTimeout(resolve, milliseconds)
      })
      await Promise.race([made(), late])
      clearTimeout(limit)
      return ready === undefined ? 'wasm' : 'native'
    },
    dispose() {
      queue.finally(() => {
        disposed = true
        decide()
        wasm?.unload()
        ready?.object.unload()
      })
    },
  }
}
