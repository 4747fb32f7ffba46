// How good a classifier is, from its outputs: per class, averaged, ranked, calibrated, and beside what saying nothing
// but the most frequent class would give. Definitions after scikit-learn's `classification_report`, `f1_score` and
// `roc_auc_score` (one against the rest), and Guo et al. 2017 for the calibration error.
import { fail } from '../base/errors.js'

/** One class against the rest. */
export interface ClassFigures {
  /** Samples that are of the class, and that were said to be. */
  readonly support: number
  readonly said: number
  /** 0 where nothing was said to be it. */
  readonly precision: number
  /** 0 where nothing is it. */
  readonly recall: number
  /** 2·precision·recall / (precision + recall); 0 where both are. */
  readonly f1: number
  /**
   * The probability that a sample of the class gets a higher one for it than a sample of another class; ties count
   * half. NaN where there are none of either.
   */
  readonly auc: number
}

/** Samples whose confidence lies in [from, to). */
export interface CalibrationBin {
  readonly from: number
  readonly to: number
  readonly count: number
  /** Means over the samples; NaN where there are none. */
  readonly confidence: number
  readonly accuracy: number
}

export interface ClassificationReport {
  readonly samples: number
  /** counts[target][said]. */
  readonly counts: readonly (readonly number[])[]
  readonly accuracy: number
  /** What always saying the most frequent class gives: no model is worth more than what it has above this. */
  readonly baseline: { readonly class: number; readonly accuracy: number }
  /** The share of targets among the k greatest outputs, by k. */
  readonly top: { readonly [k: number]: number }
  readonly classes: readonly ClassFigures[]
  /** Means over the classes that occur as target or were said: each class counts alike, however rare. */
  readonly macro: { readonly precision: number; readonly recall: number; readonly f1: number }
  /** The mean of the classes' F1, weighted by support. */
  readonly weightedF1: number
  /** The mean over the classes that have one. */
  readonly auc: number
  /** The mean distance between confidence and accuracy, weighted by the bins' samples, and the bins. */
  readonly calibration: { readonly error: number; readonly bins: readonly CalibrationBin[] }
  /** The mean of −log p(target). */
  readonly logLoss: number
}

export interface ReportOptions {
  /** Which k `top` has, where there are so many classes; 1, 3 and 5 by default. */
  readonly top?: readonly number[]
  /** Bins of equal width between 0 and 1; 15 by default. */
  readonly bins?: number
}

/**
 * The report of logits [samples, classes] (row after row) and targets [samples].
 * @throws BurnishError when the sizes do not fit, a target is none of the classes, a logit is not a number, or a sample's
 * greatest one is infinite.
 */
export function classificationReport(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  { top = [1, 3, 5], bins = 15 }: ReportOptions = {},
): ClassificationReport {
  const samples = targets.length
  const count = logits.length / samples
  if (samples === 0 || !Number.isInteger(count))
    fail(
      `classificationReport: ${logits.length} logits are not rows for ${samples} targets; give as many rows as targets`,
    )
  if (!Number.isInteger(bins) || bins < 1)
    fail(`classificationReport: ${bins} bins, but there must be a whole number from 1`)
  const probabilities = softmax(logits, samples, count)
  const counts = Array.from({ length: count }, () => new Array<number>(count).fill(0))
  const within = new Map(top.filter((k) => k <= count).map((k) => [k, 0]))
  const sure: { confidence: number; right: boolean }[] = []
  let logLoss = 0
  for (let i = 0; i < samples; i++) {
    const target = targets[i]
    if (!Number.isInteger(target) || target < 0 || target >= count)
      fail(`classificationReport: target ${target} of sample ${i} is not in 0 … ${count - 1}`)
    const row = probabilities.subarray(i * count, (i + 1) * count)
    const said = greatest(row)
    counts[target][said]++
    sure.push({ confidence: row[said], right: said === target })
    logLoss -= Math.log(Math.max(row[target], Number.MIN_VALUE)) / samples
    let above = 0
    for (const p of row) if (p > row[target]) above++
    for (const [k, so] of within) if (above < k) within.set(k, so + 1)
  }
  const classes = counts.map((_, c) => figures(counts, c, aucOf(probabilities, targets, count, c)))
  const seen = classes.filter(({ support, said }) => support > 0 || said > 0)
  const supports = classes.map(({ support }) => support)
  const most = greatest(supports)
  return {
    samples,
    counts,
    accuracy: sum(counts.map((row, c) => row[c])) / samples,
    baseline: { class: most, accuracy: supports[most] / samples },
    top: Object.fromEntries([...within].map(([k, so]) => [k, so / samples])),
    classes,
    macro: {
      precision: mean(seen.map(({ precision }) => precision)),
      recall: mean(seen.map(({ recall }) => recall)),
      f1: mean(seen.map(({ f1 }) => f1)),
    },
    weightedF1: sum(classes.map(({ f1, support }) => f1 * support)) / samples,
    auc: mean(classes.map(({ auc }) => auc).filter((auc) => !Number.isNaN(auc))),
    calibration: calibrationOf(sure, bins),
    logLoss,
  }
}

function softmax(logits: ArrayLike<number>, samples: number, count: number): Float64Array {
  const result = new Float64Array(samples * count)
  for (let i = 0; i < samples; i++) {
    const from = i * count
    let most = Number.NEGATIVE_INFINITY
    for (let c = 0; c < count; c++) {
      if (Number.isNaN(logits[from + c]))
        fail(`classificationReport: logit ${c} of sample ${i} is not a number`)
      most = Math.max(most, logits[from + c])
    }
    if (!Number.isFinite(most))
      fail(`classificationReport: the greatest logit of sample ${i} is ${most}; it must be finite`)
    let total = 0
    for (let c = 0; c < count; c++) total += result[from + c] = Math.exp(logits[from + c] - most)
    for (let c = 0; c < count; c++) result[from + c] /= total
  }
  return result
}

function figures(counts: readonly (readonly number[])[], c: number, auc: number): ClassFigures {
  const right = counts[c][c]
  const support = sum(counts[c])
  const said = sum(counts.map((row) => row[c]))
  const precision = said > 0 ? right / said : 0
  const recall = support > 0 ? right / support : 0
  const f1 = right > 0 ? (2 * precision * recall) / (precision + recall) : 0
  return { support, said, precision, recall, f1, auc }
}

/** Mann and Whitney's U over the product of the counts, from the mean ranks of equal values. */
function aucOf(
  probabilities: Float64Array,
  targets: ArrayLike<number>,
  count: number,
  c: number,
): number {
  const scores = Array.from({ length: targets.length }, (_, i) => ({
    p: probabilities[i * count + c],
    own: targets[i] === c,
  })).sort((a, b) => a.p - b.p)
  const positives = scores.filter(({ own }) => own).length
  const negatives = scores.length - positives
  let ranks = 0
  for (let i = 0; i < scores.length; ) {
    let end = i
    while (end < scores.length && scores[end].p === scores[i].p) end++
    const rank = (i + 1 + end) / 2
    for (; i < end; i++) if (scores[i].own) ranks += rank
  }
  return (ranks - (positives * (positives + 1)) / 2) / (positives * negatives)
}

function calibrationOf(
  sure: readonly { readonly confidence: number; readonly right: boolean }[],
  bins: number,
): ClassificationReport['calibration'] {
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }))
  for (const { confidence, right } of sure) {
    const bin = sums[Math.min(Math.floor(confidence * bins), bins - 1)]
    bin.count++
    bin.confidence += confidence
    if (right) bin.right++
  }
  const made = sums.map(({ count, confidence, right }, i) => ({
    from: i / bins,
    to: (i + 1) / bins,
    count,
    confidence: confidence / count,
    accuracy: right / count,
  }))
  const error = sum(
    made
      .filter(({ count }) => count > 0)
      .map(({ count, confidence, accuracy }) => count * Math.abs(confidence - accuracy)),
  )
  return { error: error / sure.length, bins: made }
}

export const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

/** NaN of none. */
const mean = (values: readonly number[]) => sum(values) / values.length

/** The first of the greatest values, as argmax. */
export function greatest(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}
