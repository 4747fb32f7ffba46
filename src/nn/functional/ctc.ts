// Connectionist temporal classification (Graves et al. 2006), with PyTorch's arguments.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import {
  broadcastTo,
  concat,
  constant,
  detach,
  gather,
  iota,
  map,
  type Node,
  reshape,
  view,
} from '../../graph/node.js'
import { placeholder, scan, slicePlaceholder } from '../../graph/scan.js'
import { tensor } from '../../tensor/create.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { add, div, eq, exp, le, log, lt, mul, ne, neg, sub, where } from '../nodes/math.js'
import { floatNode, indexNode, knownIntegers, named } from './checks.js'
import { type ReductionOptions, reduced } from './reduction.js'

/** Options of ctcLoss. */
export interface CTCOptions extends ReductionOptions {
  /** The class that stands for no label. Default 0. */
  readonly blank?: number
  /** Losses of sequences that no alignment fits are 0, with their gradients; by default infinite. */
  readonly zeroInfinity?: boolean
}

/** Lengths of each sequence of the batch. */
export type Lengths = Tensor | readonly number[]

// The logarithm of a probability that is 0: so low that adding to it changes nothing, and finite, so that no difference of
// two is NaN. An alignment's true logarithm is above IMPOSSIBLE.
const NEVER = -1e30
const IMPOSSIBLE = -1e29

/**
 * The negative logarithm of the probability of the target, over all alignments of it with blanks and repetitions: the sum of
 * the forward variables of Graves et al., as a scan over time, in logarithms.
 *
 * `logProbs` are [T, N, C], or [T, C] for one sequence: log-softmax of the class scores. `targets` are int32, [N, S] with
 * anything behind each target's length, or all targets one after the other, [sum of lengths] (then targetLengths must be
 * numbers). Losses are [N]; `mean` divides each by its target's length, at least 1, before it averages.
 *
 * Lengths in a list, and in a tensor made of host data or read before, must be numbers from 0 to T, or to S. Of other
 * tensors, an input's length above T counts as T, below 0 as 0; a target's out of range is an error of the run.
 *
 * The gradient of an infinite loss is 0 here (NaN in PyTorch). Source: torch.nn.functional.ctc_loss.
 */
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: Lengths,
  targetLengths: Lengths,
  { blank = 0, reduction = 'mean', zeroInfinity = false }: CTCOptions = {},
): Tensor {
  const name = 'ctcLoss'
  const rank = logProbs.shape.length
  if (rank !== 2 && rank !== 3)
    fail(`${name}: the log-probabilities ${showShape(logProbs.shape)} must be [T, N, C] or [T, C]`)
  const alone = rank === 2
  const [T, N, C] = alone ? [logProbs.shape[0], 1, logProbs.shape[1]] : logProbs.shape
  if (T === 0) fail(`${name}: a sequence of no positions`)
  if (!Number.isInteger(blank) || blank < 0 || blank >= C)
    fail(`${name}: blank is ${blank}, but must be one of the ${C} classes`)
  const loss = named(name, () => {
    const probs = reshape(floatNode(logProbs, name, 'logProbs'), [T, N, C])
    const labels = paddedTargets(name, targets, targetLengths, N)
    const S = labels.shape[1]
    const inputEnds = lengthsNode(name, 'inputLengths', inputLengths, N, T)
    const targetEnds = lengthsNode(name, 'targetLengths', targetLengths, N, S)
    const chances = alignments(probs, labels, inputEnds, targetEnds, blank)
    const possible = lt(IMPOSSIBLE, chances)
    const losses = where(possible, neg(chances), zeroInfinity ? 0 : Number.POSITIVE_INFINITY)
    if (reduction !== 'mean') return losses
    return div(losses, map('max', map('toFloat32', targetEnds), constant(1, 'float32', [N])))
  })
  const result = reduction === 'none' && alone ? reshape(loss, []) : reduced(name, loss, reduction)
  return fromNode(result, logProbs)
}

/** [N] logarithms of the targets' probabilities. */
function alignments(
  probs: Node,
  labels: Node,
  inputEnds: Node,
  targetEnds: Node,
  blank: number,
): Node {
  const [T, N, C] = probs.shape
  const S = labels.shape[1]
  const L = 2 * S + 1
  // Blanks around the labels; what is behind a target's end is blank too.
  const inside = lt(iota([N, S], 1), broadcastTo(reshape(targetEnds, [N, 1]), [N, S]))
  const kept = reshape(where(inside, labels, constant(blank, 'int32', [N, S])), [N, S, 1])
  const pairs = concat(2, [constant(blank, 'int32', [N, S, 1]), kept])
  const states = concat(1, [reshape(pairs, [N, 2 * S]), constant(blank, 'int32', [N, 1])])
  const found = gather(2, probs, clampedTo(broadcastTo(states, [T, N, L]), C))
  const emitted = where(lt(NEVER, found), found, NEVER)
  // Two different labels may follow each other without a blank between.
  const twoBack = shifted(states, 2, blank)
  const skips = map('and', ne(states, constant(blank, 'int32', [N, L])), ne(states, twoBack))
  const running = lt(iota([T, N], 0), broadcastTo(inputEnds, [T, N]))
  const start = where(
    eq(iota([N, L], 1), constant(0, 'int32', [N, L])),
    constant(0, 'float32', [N, L]),
    NEVER,
  )

  const alpha = placeholder(start)
  const now = slicePlaceholder(emitted)
  const runs = slicePlaceholder(running)
  const reached = logSum([
    alpha,
    shifted(alpha, 1, NEVER),
    where(skips, shifted(alpha, 2, NEVER), NEVER),
  ])
  const next = where(broadcastTo(reshape(runs, [N, 1]), [N, L]), add(reached, now), alpha)
  const { last } = scan(
    { length: T, carries: [alpha], slices: [now, runs], next: [next], ys: [] },
    [start],
    [emitted, running],
  )
  const at = (place: Node) => reshape(gather(1, last[0], reshape(place, [N, 1])), [N])
  const end = mul(targetEnds, constant(2, 'int32', [N]))
  const before = map('max', sub(end, constant(1, 'int32', [N])), constant(0, 'int32', [N]))
  const some = lt(constant(0, 'int32', [N]), targetEnds)
  return logSum([at(end), where(some, at(before), NEVER)])
}

/** An index that is out of range stays so: it is reported when the program runs. */
function clampedTo(index: Node, classes: number): Node {
  return where(
    le(constant(0, 'int32', index.shape), index),
    index,
    constant(classes, 'int32', index.shape),
  )
}

/** x[:, l − by], and `value` where there is none. */
function shifted(x: Node, by: number, value: number): Node {
  const [N, L] = x.shape
  const wide = view({ type: 'pad', low: [0, by], high: [0, 0], value }, x)
  return view({ type: 'slice', starts: [0, 0], steps: [1, 1], shape: [N, L] }, wide)
}

/** log Σ exp, element by element. */
function logSum(parts: readonly Node[]): Node {
  const most = detach(parts.reduce((a, b) => map('max', a, b)))
  const sum = parts.map((part) => exp(sub(part, most))).reduce((a, b) => add(a, b))
  return add(most, log(sum))
}

function lengthsNode(name: string, what: string, lengths: Lengths, N: number, most: number): Node {
  for (const n of knownIntegers(lengths))
    if (!Number.isInteger(n) || n < 0 || n > most)
      fail(`${name}: ${what} has ${n}, but must be whole numbers from 0 to ${most}`)
  const given = 'node' in lengths ? lengths : tensor(lengths, { dtype: 'int32' })
  if (given.shape.reduce((a, b) => a * b, 1) !== N)
    fail(`${name}: ${what} is ${showShape(given.shape)}, but the batch has ${N}: give [${N}]`)
  return reshape(indexNode(given, name, what), [N])
}

/** [N, S], whichever form they come in. */
function paddedTargets(name: string, targets: Tensor, lengths: Lengths, N: number): Node {
  const labels = indexNode(targets, name, 'targets')
  if (labels.shape.length === 2 && labels.shape[0] === N) return labels
  if (labels.shape.length !== 1)
    fail(
      `${name}: the targets ${showShape(labels.shape)} must be [N, S], here [${N}, S], or all one after the other`,
    )
  if ('node' in lengths) {
    if (N === 1) return reshape(labels, [1, labels.shape[0]])
    return fail(
      `${name}: for targets one after the other, targetLengths must be numbers: give a list, or targets [${N}, S]`,
    )
  }
  const total = lengths.reduce((sum, n) => sum + n, 0)
  if (lengths.length !== N || total !== labels.shape[0])
    fail(
      `${name}: the targets have ${labels.shape[0]} labels, but targetLengths are ${showShape(lengths)}, ${total} in all, for a batch of ${N}`,
    )
  const longest = Math.max(0, ...lengths)
  let begin = 0
  const rows = lengths.map((n) => {
    const first = begin
    begin += n
    const row = view({ type: 'slice', starts: [first], steps: [1], shape: [n] }, labels)
    const wide = view({ type: 'pad', low: [0], high: [longest - n], value: 0 }, row)
    return reshape(wide, [1, longest])
  })
  return concat(0, rows)
}
