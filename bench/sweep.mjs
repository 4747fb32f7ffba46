// Sweeps over matrix products and single convolutions on both tiers, in rounds; matrix products against OpenBLAS in the
// same run where python3 has numpy. Written to bench/results/sweep-gemm.json and sweep-conv.json.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { products } from './cases.mjs'
import { circumstances, here, writeResults } from './machine.mjs'
import { line, PYTHON } from './peers.mjs'
import { median, round } from './timing.mjs'

const MOST_ROUNDS = 3

function numpy(threads) {
  try {
    execFileSync(PYTHON, ['-c', 'import numpy'], { stdio: 'ignore' })
  } catch {
    console.error(
      `skipped: OpenBLAS: ${PYTHON} cannot import numpy: apt-get install python3-numpy libopenblas0-pthread`,
    )
    return undefined
  }
  const cases = products.map(({ m, n, k }) => [m, n, k].join())
  return () => line(PYTHON, [join(here, 'peers/gemm.py'), String(threads), ...cases])
}

const own = (what, threads, tier) => () =>
  line(process.execPath, [join(here, 'kernels.mjs'), what, String(threads), tier])

/** Medians of numbers at the same place in objects of one shape. */
export function medians(values) {
  const [first] = values
  if (typeof first === 'number') return round(median(values), 3)
  if (Array.isArray(first)) return first.map((_, i) => medians(values.map((value) => value[i])))
  if (typeof first !== 'object' || first === null) return first
  return Object.fromEntries(
    Object.keys(first).map((key) => [key, medians(values.map((value) => value[key]))]),
  )
}

export const sweeps = { gemm: 'matrix products', conv: 'the convolutions of ResNet-50' }

export async function sweep(what, options) {
  const threads = Number(options.threads)
  const rounds = Math.min(MOST_ROUNDS, Number(options.rounds))
  const openblas = what === 'gemm' ? numpy(threads) : undefined
  const sides = {
    native: own(what, threads, 'native'),
    ...(openblas && { openblas }),
    wasm: own(what, threads, 'wasm'),
  }
  const found = Object.fromEntries(Object.keys(sides).map((side) => [side, []]))
  for (let i = 0; i < rounds; i++) {
    const turns = Object.entries(sides)
    for (const [side, measure] of i % 2 ? turns.reverse() : turns) {
      found[side].push(measure())
      if (!options.json) console.log(`${what}, round ${i + 1} of ${rounds}: ${side} done`)
    }
  }
  const tiers = Object.fromEntries(
    Object.entries(found).map(([side, results]) => [side, medians(results)]),
  )
  const results = { sweep: what, threads, rounds, ...circumstances(), ...tiers }
  const file = writeResults(`sweep-${what}${threads > 1 ? `-${threads}t` : ''}`, results)
  if (options.json) console.log(JSON.stringify(results))
  else console.log(`${tableOf(results)}\nin ${file}`)
}

/** GFLOP/s of each case, a column a side (of convolutions: forward, gradX, gradW). */
function tableOf({ sweep, native, wasm, openblas }) {
  const sides = { native, wasm, ...(openblas && { openblas }) }
  const cell = (row) =>
    sweep === 'gemm'
      ? row.gflops.toFixed(1)
      : ['forward', 'gradX', 'gradW'].map((pass) => row[pass].gflops.toFixed(0)).join(' ')
  const lines = native.rows.map((row, i) => {
    const cells = Object.values(sides).map(({ rows }) => cell(rows[i]).padStart(14))
    return row.case.padEnd(32) + cells.join('')
  })
  const heading = `${'GFLOP/s'.padEnd(32)}${Object.keys(sides)
    .map((side) => side.padStart(14))
    .join('')}`
  const ceilings = `ceiling: native ${native.ceilings.gigaflops.toFixed(1)}, wasm ${wasm.ceilings.gigaflops.toFixed(1)}`
  return [heading, ...lines, ceilings].join('\n')
}
