// The figures of classifiers, against values worked out by hand and by their definitions.
import { describe, expect, it } from 'vitest'
import { classificationReport } from './classification.js'

/** Logits whose softmax is what is given. */
const logits = (...rows: readonly (readonly number[])[]) => rows.flat().map(Math.log)

describe('classificationReport', () => {
  const rows = [
    [0.7, 0.2, 0.1],
    [0.6, 0.3, 0.1],
    [0.2, 0.5, 0.3],
    [0.5, 0.4, 0.1],
    [0.1, 0.2, 0.7],
    [0.4, 0.35, 0.25],
  ]
  const targets = [0, 0, 1, 1, 2, 0]
  const report = classificationReport(logits(...rows), targets, { top: [1, 2, 5], bins: 10 })

  it('counts, per class', () => {
    expect(report.counts).toEqual([
      [3, 0, 0],
      [1, 1, 0],
      [0, 0, 1],
    ])
    expect(report.accuracy).toBeCloseTo(5 / 6)
    expect(report.baseline).toEqual({ class: 0, accuracy: 0.5 })
    const [zero, one, two] = report.classes
    expect([zero.precision, zero.recall, zero.f1]).toEqual([0.75, 1, 6 / 7])
    expect([one.precision, one.recall, one.f1]).toEqual([1, 0.5, 2 / 3])
    expect([two.support, two.said, two.f1]).toEqual([1, 1, 1])
    expect(report.macro.f1).toBeCloseTo((6 / 7 + 2 / 3 + 1) / 3)
    expect(report.weightedF1).toBeCloseTo((3 * (6 / 7) + 2 * (2 / 3) + 1) / 6)
  })

  it('ranks: AUC with ties as halves, top k', () => {
    // Class 0: positives 0.7 0.6 0.4, negatives 0.2 0.5 0.1: 8 of 9 pairs in order.
    expect(report.classes[0].auc).toBeCloseTo(8 / 9)
    expect(report.classes[2].auc).toBe(1)
    expect(report.top).toEqual({ 1: 5 / 6, 2: 1 })
    const tied = classificationReport(logits([0.5, 0.5], [0.5, 0.5], [0.9, 0.1]), [0, 1, 0])
    expect(tied.classes[0].auc).toBe(0.75)
  })

  it('calibration and log loss', () => {
    const loss = -[0.7, 0.6, 0.5, 0.4, 0.7, 0.4].reduce((sum, p) => sum + Math.log(p), 0) / 6
    expect(report.logLoss).toBeCloseTo(loss)
    // Bins of 0.1: two samples at 0.7 (right), one at 0.6 (right), two at 0.5 (one right), one at 0.4 (right).
    expect(report.calibration.error).toBeCloseTo((2 * 0.3 + 0.4 + 2 * 0 + 0.6) / 6)
    expect(report.calibration.bins.reduce((sum, { count }) => sum + count, 0)).toBe(6)
  })

  it('an absent class has no AUC and does not weigh; a class never said has precision 0', () => {
    const none = classificationReport(logits([0.8, 0.1, 0.1], [0.7, 0.2, 0.1]), [0, 1])
    expect(none.classes[2].auc).toBeNaN()
    expect(none.classes[1].precision).toBe(0)
    expect(none.macro.recall).toBe(0.5)
    expect(none.auc).toBe(1)
  })

  it('refuses what does not fit', () => {
    expect(() => classificationReport([1, 2, 3], [0, 1])).toThrow(
      '3 logits are not rows for 2 targets',
    )
    expect(() => classificationReport([1, 2], [2])).toThrow('target 2 of sample 0 is not in 0 … 1')
    expect(() => classificationReport([1, Number.NaN], [0])).toThrow(
      'logit 1 of sample 0 is not a number',
    )
    expect(() => classificationReport([1, Number.POSITIVE_INFINITY], [0])).toThrow(
      'the greatest logit of sample 0 is Infinity; it must be finite',
    )
    expect(() => classificationReport([1, 2], [0], { bins: 0 })).toThrow('0 bins')
    expect(classificationReport([1, Number.NEGATIVE_INFINITY], [0]).accuracy).toBe(1)
  })
})
