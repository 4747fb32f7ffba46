// Ours and its peers in turn: rounds in which each is measured once, in an order that turns round; medians with spread, and
// ratios. One results file for each peer.
import { circumstances, writeResults } from './machine.mjs'
import { burnish, peers } from './peers.mjs'
import { median } from './timing.mjs'

const FIELDS = [
  'train_ms',
  'infer_ms',
  'first_step_ms',
  'warm_first_step_ms',
  'compile_ms',
  'peak_rss_mb',
]

/** Of each figure that was measured: median, least, most. */
export function summarise(results) {
  const entries = FIELDS.map((field) => {
    const values = results.map((result) => result[field]).filter((value) => value !== undefined)
    if (values.length === 0) return undefined
    return [
      field,
      { median: median(values), least: Math.min(...values), most: Math.max(...values) },
    ]
  })
  return Object.fromEntries(entries.filter((entry) => entry !== undefined))
}

/** Theirs over ours, of the figures both have: above 1, ours is faster or smaller. */
export function ratios(ours, theirs) {
  const both = FIELDS.filter((field) => field in ours && field in theirs)
  return Object.fromEntries(
    both.map((field) => [field, Number((theirs[field].median / ours[field].median).toFixed(3))]),
  )
}

function resultsName(workload, { threads, tier }, peer) {
  return [workload, `${threads}t`, ...(tier === 'wasm' ? [] : [tier]), peer].join('-')
}

/** Measures one workload; `print` gets each result. Gives the results by peer; a peer that fails is told and left out. */
export function compare(workload, names, options, print) {
  const { rounds, threads } = options
  const able = names.filter((name) => {
    const { runs, single } = peers[name]
    return runs(workload) && !(single && threads > 1)
  })
  const ours = []
  const theirs = Object.fromEntries(able.map((name) => [name, []]))
  const failed = new Map()
  for (let round = 0; round < rounds; round++) {
    const turns = [
      () => {
        const result = burnish(workload, options)
        ours.push(result)
        print(result)
      },
      ...able
        .filter((name) => !failed.has(name) && !(peers[name].once && round > 0))
        .map((name) => () => {
          try {
            const result = peers[name].measure(workload, options)
            theirs[name].push(result)
            print(result)
          } catch (error) {
            failed.set(name, error.message)
            console.error(`${name}, ${workload}: failed: ${error.message}`)
          }
        }),
    ]
    // The order turns round, so that no side always runs on the warmer machine.
    for (const measure of round % 2 ? turns.reverse() : turns) measure()
  }
  const a = summarise(ours)
  return able
    .filter((name) => theirs[name].length > 0)
    .map((name) => {
      const b = summarise(theirs[name])
      const results = {
        workload,
        threads,
        tier: options.tier,
        rounds,
        burnish: a,
        [name]: b,
        ratio: ratios(a, b),
        ...circumstances(),
        [`${name}_version`]: theirs[name][0].version,
        ...(theirs[name][0].train_error && { train_error: theirs[name][0].train_error }),
        rows: { burnish: ours, [name]: theirs[name] },
      }
      return { name, results, file: writeResults(resultsName(workload, options, name), results) }
    })
}
