// Factors of the learning rate over a run, as functions of progress 0 … 1; `fit` sets the rate before each step.

export type Schedule = (progress: number) => number

/** The rate as it is. */
export const constant: Schedule = () => 1

/** Down to 0 in a straight line. */
export const linear: Schedule = (progress) => 1 - progress

/** Up from `start` to 1 in the first `warmup` part of the run, then down to `end` along half a cosine (Smith's one-cycle). */
export function oneCycle({ warmup = 0.3, start = 0.04, end = 1e-4 } = {}): Schedule {
  return (progress) => {
    const rising = progress < warmup
    const part = rising ? progress / warmup : (progress - warmup) / (1 - warmup)
    const [from, to] = rising ? [start, 1] : [1, end]
    return to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2
  }
}
