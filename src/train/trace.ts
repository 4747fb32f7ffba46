// A trace of runs in Chrome's Trace Event Format (Google, "Trace Event Format"), which Perfetto and chrome://tracing open:
// one row a thread, one complete event a kernel, with the waits at barriers between them.
import { type Runs, timedSteps } from './timed.js'

export type TraceEvent =
  /** A name: of the process, or of a thread. */
  | {
      readonly ph: 'M'
      readonly name: 'process_name' | 'thread_name'
      readonly pid: number
      readonly tid: number
      readonly args: { readonly name: string }
    }
  /** Something that took `dur` microseconds from `ts` on. */
  | {
      readonly ph: 'X'
      readonly name: string
      readonly cat: 'run' | 'kernel' | 'wait'
      readonly ts: number
      readonly dur: number
      readonly pid: number
      readonly tid: number
      readonly args: { readonly [name: string]: string | number }
    }

export interface Trace {
  readonly displayTimeUnit: 'ms'
  readonly traceEvents: readonly TraceEvent[]
}

/** Runs shown: enough to see what varies, and few enough for a browser. */
const SHOWN_RUNS = 20
const PROCESS = 1
/** Rows: the runs, then the threads. */
const RUNS_ROW = 0
/** Waits below a microsecond are not worth a mark. */
const LEAST_WAIT = 1

/** The last twenty runs. Times count from the first of them, in microseconds. */
export function traceOf({ program, reports }: Runs): Trace {
  const shown = reports.slice(-SHOWN_RUNS).map(({ stamps = [] }) => stamps)
  const origin = Math.min(...shown.flatMap((run) => run.map((times) => times[0])))
  const at = (milliseconds: number) => Math.round((milliseconds - origin) * 1e6) / 1e3
  const { steps, barriers } = timedSteps(program)
  const threads = shown[0]?.length ?? 0
  const events: TraceEvent[] = []
  const name = (kind: 'process_name' | 'thread_name', tid: number, text: string) =>
    events.push({ ph: 'M', name: kind, pid: PROCESS, tid, args: { name: text } })
  const add = (
    event: Pick<Extract<TraceEvent, { ph: 'X' }>, 'name' | 'cat' | 'args'>,
    tid: number,
    from: number,
    to: number,
  ) => {
    const ts = at(from)
    events.push({ ph: 'X', ...event, ts, dur: Math.max(0, at(to) - ts), pid: PROCESS, tid })
  }
  name('process_name', RUNS_ROW, `burnish, ${program.machine.name}`)
  name('thread_name', RUNS_ROW, 'runs')
  for (let t = 0; t < threads; t++) name('thread_name', t + 1, `thread ${t}`)
  shown.forEach((run, r) => {
    const kernels = steps.length
    const ends = run.map((times) => times[times.length - 1])
    add(
      { name: `run ${r + 1}`, cat: 'run', args: { kernels } },
      RUNS_ROW,
      run[0][0],
      Math.max(...ends),
    )
    run.forEach((times, t) => {
      for (const { step, layer, end, on } of steps) {
        if (!on(t, threads)) continue
        const { what, flops, bytes } = step
        add(
          { name: `${layer}: ${what}`, cat: 'kernel', args: { layer, what, flops, bytes } },
          t + 1,
          times[end - 1],
          times[end],
        )
      }
      if (threads > 1)
        for (const end of barriers)
          if ((times[end] - times[end - 1]) * 1e3 >= LEAST_WAIT)
            add({ name: 'wait', cat: 'wait', args: {} }, t + 1, times[end - 1], times[end])
    })
  })
  return { displayTimeUnit: 'ms', traceEvents: events }
}
