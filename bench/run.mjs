// `npm run bench -- WORKLOAD… [--threads N] [--tier wasm|native|auto] [--loop compiled|imperative] [--json]`: one
// measurement each. `… --against pytorch|onnx|tfjs|jax|wasm|imperative|all [--rounds N]`: in turn with those peers, medians
// and ratios, written to bench/results/. `-- gemm` and `-- conv` sweep matrix products and the convolutions of ResNet-50,
// `-- all` does everything. Environment: BENCH_SECONDS of each timing (4), BENCH_RESULTS, another folder for the results.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { compare } from './against.mjs'
import { names } from './data.mjs'
import { root, stop } from './machine.mjs'
import { burnish, named, peers } from './peers.mjs'
import { sweep, sweeps } from './sweep.mjs'

const TIERS = ['wasm', 'native', 'auto']

let parsed
try {
  parsed = parseArgs({
    allowPositionals: true,
    options: {
      threads: { type: 'string', default: '1' },
      loop: { type: 'string', default: 'compiled' },
      tier: { type: 'string', default: 'wasm' },
      against: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  })
} catch (error) {
  stop(error.message)
}
const { values: options, positionals } = parsed
const chosen = positionals.length > 0 ? positionals : ['lenet64']
const threads = Number(options.threads)
const rounds = Number(options.rounds)
const unknown = chosen.find((name) => ![...names, ...Object.keys(sweeps), 'all'].includes(name))
if (unknown !== undefined)
  stop(
    `no workload ${unknown}; there are: ${[...names, ...Object.keys(sweeps)].join(', ')}, and all`,
  )
if (!Number.isInteger(threads) || threads < 1)
  stop(`--threads ${options.threads}: a whole number of 1 or more`)
if (!Number.isInteger(rounds) || rounds < 1)
  stop(`--rounds ${options.rounds}: a whole number of 1 or more`)
if (!['compiled', 'imperative'].includes(options.loop))
  stop(`--loop ${options.loop}: compiled or imperative`)
if (!TIERS.includes(options.tier)) stop(`--tier ${options.tier}: wasm, native or auto`)
if (!existsSync(join(root, 'dist/index.js'))) stop('dist/ is missing: run `npm run build` first')

function print(result) {
  if (options.json) return console.log(JSON.stringify(result))
  const { peer, loop = '', tier = '', workload, threads: on, train_error } = result
  const figures = [
    ['train', result.train_ms, 'ms'],
    ['infer', result.infer_ms, 'ms'],
    ['first step after', result.first_step_ms, 'ms'],
    ['with a warm cache', result.warm_first_step_ms, 'ms'],
    ['compiled in', result.compile_ms, 'ms'],
    ['peak', result.peak_rss_mb, 'MB'],
  ]
  const told = figures
    .filter(([, value]) => value !== undefined)
    .map(([what, value, unit]) => `${what} ${value} ${unit}`)
  if (train_error) told.push(`cannot train: ${train_error}`)
  const who = [peer, tier, loop, workload].filter((word) => word !== '').join(' ')
  console.log(`${who}, ${on} thread${on > 1 ? 's' : ''}: ${told.join(', ')}`)
}

/** The peers of --against that are here; what others need is said. Stops when one that was asked for by name is not. */
function present(words) {
  const wanted = words.split(',').flatMap((word) => {
    const found = named(word)
    return found ?? stop(`--against ${word}: ${[...Object.keys(peers), 'tfjs', 'all'].join(', ')}`)
  })
  const here = wanted.filter((name) => {
    const missing = peers[name].missing()
    if (missing !== undefined) console.error(`skipped: ${name}: ${missing}`)
    return missing === undefined
  })
  if (here.length === 0) stop('no peer is here')
  return here
}

function against(workload, peerNames, settings) {
  const done = compare(workload, peerNames, settings, print)
  for (const { name, results, file } of done) {
    if (options.json) console.log(JSON.stringify(results))
    else {
      const told = ['train_ms', 'infer_ms']
        .filter((field) => field in results.ratio)
        .map(
          (field) =>
            `${field.replace('_ms', '')} ${results.burnish[field].median} ms against ${results[name][field].median} ms (${results.ratio[field]} times)`,
        )
      console.log(`${name}: ${told.join(', ')}, medians of ${settings.rounds} rounds; in ${file}`)
    }
  }
}

/**
 * Everything that docs/performance.md shows. A round of it takes some ten minutes on two CPUs, the sweeps five more; the slow
 * peers take part in the first round only.
 */
async function everything() {
  process.env.BENCH_SECONDS ??= '1.5'
  const all = present('all')
  const pytorch = all.filter((name) => name === 'pytorch')
  for (const workload of names) {
    against(workload, all, { threads: 1, tier: 'native', rounds })
    if (pytorch.length === 0) continue
    against(workload, pytorch, { threads: 1, tier: 'wasm', rounds })
    against(workload, pytorch, { threads: 2, tier: 'native', rounds })
  }
  process.env.BENCH_SECONDS = '0.2'
  for (const name of Object.keys(sweeps)) await sweep(name, options)
}

for (const name of chosen) {
  if (name === 'all') await everything()
  else if (name in sweeps) await sweep(name, options)
  else if (options.against !== undefined)
    against(name, present(options.against), { threads, tier: options.tier, rounds })
  else print(burnish(name, { threads, loop: options.loop, tier: options.tier }))
}
