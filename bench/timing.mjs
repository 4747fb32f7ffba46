// How everything here is timed: some runs to warm up, then as many as fit the seconds, and their median.

/** Seconds for each of training and inference: BENCH_SECONDS, or 4, as in the peer's script. */
export const SECONDS = Number(process.env.BENCH_SECONDS ?? 4)
const LEAST_RUNS = 3

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export const round = (value, digits = 3) => Number(value.toFixed(digits))

/** Milliseconds of a run: a median. Warms up for at most a quarter of the time, ten runs at most. */
export async function time(run, { most = 200, seconds = SECONDS } = {}) {
  const began = performance.now()
  let warm = 0
  do {
    await run()
    warm++
  } while (warm < 10 && performance.now() - began < 250 * seconds)
  const times = []
  const start = performance.now()
  while (
    times.length < LEAST_RUNS ||
    (times.length < most && performance.now() - start < 1000 * seconds)
  ) {
    const from = performance.now()
    await run()
    times.push(performance.now() - from)
  }
  return round(median(times))
}

export const peakMegabytes = () => round(process.resourceUsage().maxRSS / 1024, 1)

/** One JSON line, and the end: workers and native threads of peers do not hold the process. */
export function finish(result) {
  console.log(JSON.stringify(result))
  process.exit(0)
}
