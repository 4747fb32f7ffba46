// A line search for the strong Wolfe conditions, by bracketing and cubic interpolation. After PyTorch's, which is
// after Schmidt's minFunc.
import type { Evaluation } from './lbfgs.js'

/** Sufficient decrease, and the part of the slope that may be left. */
const DECREASE = 1e-4
const CURVATURE = 0.9
const MOST_EVALUATIONS = 25

interface Search {
  /** The loss at start + t·direction. */
  readonly at: (t: number) => Promise<Evaluation>
  readonly start: Evaluation
  readonly direction: Float64Array
  /** The first try. */
  readonly length: number
  readonly toleranceChange: number
}

/** A point of the line: its distance, loss and slope. */
interface Point {
  readonly t: number
  readonly end: Evaluation
  readonly slope: number
}

/** Where the cubic through two points with their slopes is least, within bounds. */
function cubicLeast(a: Point, b: Point, bounds?: readonly [number, number]): number {
  const [low, high] = bounds ?? [Math.min(a.t, b.t), Math.max(a.t, b.t)]
  const d1 = a.slope + b.slope - (3 * (a.end.loss - b.end.loss)) / (a.t - b.t)
  const square = d1 * d1 - a.slope * b.slope
  if (!(square >= 0)) return (low + high) / 2
  const d2 = Math.sqrt(square)
  const [left, right] = a.t <= b.t ? [a, b] : [b, a]
  const t =
    right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
  return Math.min(Math.max(t, low), high)
}

/** A length with enough decrease and a slope flat enough, or the best that was found. */
export async function strongWolfe(
  search: Search,
): Promise<{ readonly length: number; readonly end: Evaluation }> {
  const { at, start, direction, toleranceChange } = search
  const slopeOf = (end: Evaluation) => end.gradient.reduce((sum, g, k) => sum + g * direction[k], 0)
  const origin: Point = { t: 0, end: start, slope: slopeOf(start) }
  const reach = direction.reduce((most, d) => Math.max(most, Math.abs(d)), 0)
  let evaluations = 0
  const point = async (t: number): Promise<Point> => {
    evaluations++
    const end = await at(t)
    return { t, end, slope: slopeOf(end) }
  }
  const high = (p: Point) => p.end.loss > start.loss + DECREASE * p.t * origin.slope
  const flat = (p: Point) => Math.abs(p.slope) <= -CURVATURE * origin.slope

  // Outwards until a minimum lies between two points.
  let previous = origin
  let now = await point(search.length)
  let bracket: readonly [Point, Point] | undefined
  while (bracket === undefined && evaluations < MOST_EVALUATIONS) {
    if (high(now) || (evaluations > 1 && now.end.loss >= previous.end.loss))
      bracket = [previous, now]
    else if (flat(now)) return { length: now.t, end: now.end }
    else if (now.slope >= 0) bracket = [previous, now]
    else {
      const bounds = [now.t + 0.01 * (now.t - previous.t), now.t * 10] as const
      const next = cubicLeast(previous, now, bounds)
      previous = now
      now = await point(next)
    }
  }
  let [a, b] = bracket ?? [origin, now]

  // Inwards, with the best point as one end.
  let stalled = false
  while (evaluations < MOST_EVALUATIONS && Math.abs(b.t - a.t) * reach >= toleranceChange) {
    const [low, top] = [Math.min(a.t, b.t), Math.max(a.t, b.t)]
    let t = cubicLeast(a, b)
    // Points too near to an end are moved in, when the last was so too or lies at the end itself.
    const margin = 0.1 * (top - low)
    if (Math.min(top - t, t - low) < margin) {
      if (stalled || t >= top || t <= low) {
        t = Math.abs(t - top) < Math.abs(t - low) ? top - margin : low + margin
        stalled = false
      } else stalled = true
    } else stalled = false
    const middle = await point(t)
    const [best, other] = a.end.loss <= b.end.loss ? [a, b] : [b, a]
    if (high(middle) || middle.end.loss >= best.end.loss) {
      a = best
      b = middle
    } else {
      if (flat(middle)) return { length: middle.t, end: middle.end }
      a = middle
      b = middle.slope * (other.t - best.t) >= 0 ? best : other
    }
  }
  const best = a.end.loss <= b.end.loss ? a : b
  return { length: best.t, end: best.end }
}
