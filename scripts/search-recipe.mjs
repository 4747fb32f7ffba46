// Chooses LeNet's recipe on 5,000 held-back training digits: `node scripts/search-recipe.mjs [--threads 2]`.
// Runs `burnish train --hold-out 5000` over a grid, three seeds each; the test digits are never read.
// Writes scripts/search-recipe.json: each setting's accuracies and seconds, the best mean first.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    epochs: { type: 'string', default: '4,6,8' },
    'batch-size': { type: 'string', default: '64,128' },
    lr: { type: 'string', default: '0.03,0.06,0.1' },
    optimizer: { type: 'string', default: 'sgd' },
    'weight-decay': { type: 'string', default: '0,0.0005' },
    seeds: { type: 'string', default: '0,1,2' },
  },
})
const list = (name) => options[name].split(',')
const NAMES = ['optimizer', 'epochs', 'batch-size', 'lr', 'weight-decay']

/** Every combination of the listed values. */
const settings = NAMES.reduce(
  (rows, name) => rows.flatMap((row) => list(name).map((value) => ({ ...row, [name]: value }))),
  [{ threads: options.threads }],
)

function held(flags) {
  const output = execFileSync(
    process.execPath,
    [
      ...['dist/cli/main.js', 'train', 'lenet', '--data', 'mnist', '--hold-out', '5000', '--json'],
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
    ],
    { encoding: 'utf8' },
  )
  const end = JSON.parse(output.trim().split('\n').at(-1))
  return { seed: Number(flags.seed), accuracy: end.test_accuracy, seconds: end.seconds }
}

const results = []
for (const setting of settings) {
  const runs = list('seeds').map((seed) => held({ ...setting, seed }))
  const mean = runs.reduce((sum, run) => sum + run.accuracy, 0) / runs.length
  const row = { ...setting, mean_accuracy: mean, runs }
  results.push(row)
  console.log(JSON.stringify(row))
}
results.sort((a, b) => b.mean_accuracy - a.mean_accuracy)
writeFileSync(
  'scripts/search-recipe.json',
  `${JSON.stringify({ date: new Date().toISOString(), node: process.version, held_back: 5000, results }, null, 2)}\n`,
)
