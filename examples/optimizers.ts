// Four optimizers on one loss surface, drawn in the terminal: gradient descent, SGD, SGD with momentum, Adam.
// `npm run example -- optimizers [--steps 40] [--columns 38]`
//
// The problem is the smallest there is: a line y = slope·x + offset through 64 noisy points. Its loss, the mean squared
// error, is a valley over the plane of (slope, offset): steep across, shallow along, because the points lie far from 0.
//
// - Gradient descent takes the gradient over all points: it follows the valley's fall exactly, slowly where it is
//   shallow; a greater rate would make it bounce between the walls and out.
// - SGD takes a random batch of 4 points a step: a sixteenth of the work, and a path that trembles, for each batch has a
//   valley of its own.
// - Momentum lets the steps add up like a rolling ball: across the valley they cancel, along it they grow.
// - Adam divides each direction by the size its gradients have had: shallow directions take steps as long as steep ones.
import { parseArgs } from 'node:util'
import { manualSeed, Parameter, type Tensor, tensor } from 'burnish'
import * as nn from 'burnish/nn'
import { Adam, type Optimizer, SGD } from 'burnish/optim'

const { values: options } = parseArgs({
  options: { steps: { type: 'string', default: '40' }, columns: { type: 'string', default: '38' } },
})
const STEPS = Number(options.steps)
const WIDTH = Number(options.columns)
const HEIGHT = 17

// ---- the points ----

/** The same numbers each time: a small linear congruential generator. */
let state = 7
const uniform = () => {
  state = (state * 1103515245 + 12345) % 2 ** 31
  return state / 2 ** 31
}
const POINTS = 64
const xs = Float32Array.from({ length: POINTS }, () => 0.2 + 1.8 * uniform())
const ys = xs.map((x) => 1.5 * x - 1 + 0.6 * (uniform() - 0.5))
const BATCH = 4

/** The loss at a place, for the drawing. */
const lossAt = (slope: number, offset: number) =>
  xs.reduce((sum, x, i) => sum + (slope * x + offset - ys[i]) ** 2, 0) / POINTS

// ---- the runs ----

interface Run {
  readonly name: string
  readonly batch: number
  readonly optimizer: (parameters: Parameter[]) => Optimizer
}
const runs: readonly Run[] = [
  { name: 'gradient descent, lr 0.3', batch: POINTS, optimizer: (p) => new SGD(p, { lr: 0.3 }) },
  { name: 'SGD, batches of 4, lr 0.3', batch: BATCH, optimizer: (p) => new SGD(p, { lr: 0.3 }) },
  {
    name: 'momentum 0.8, batches of 4, lr 0.1',
    batch: BATCH,
    optimizer: (p) => new SGD(p, { lr: 0.1, momentum: 0.8 }),
  },
  { name: 'Adam, batches of 4, lr 0.5', batch: BATCH, optimizer: (p) => new Adam(p, { lr: 0.5 }) },
]
const START = [-1.5, 2] as const

async function pathOf({ batch, optimizer }: Run): Promise<(readonly [number, number])[]> {
  const line = new Parameter(tensor(START)) // [slope, offset]
  const steps = optimizer([line])
  const path: (readonly [number, number])[] = [START]
  state = 11 // the same batches for all
  for (let step = 0; step < STEPS; step++) {
    const chosen = Array.from({ length: batch }, (_, i) =>
      batch === POINTS ? i : Math.floor(uniform() * POINTS),
    )
    const x = tensor(chosen.map((i) => xs[i]))
    const y = tensor(chosen.map((i) => ys[i]))
    steps.zeroGrad()
    const [slope, offset]: readonly Tensor[] = [line.slice(0, 1), line.slice(1, 2)]
    nn.mseLoss(x.mul(slope).add(offset), y).backward()
    await steps.step()
    const [a, b] = await line.data()
    path.push([a, b])
  }
  return path
}

// ---- the drawing: contours of the loss as shades, the path as o from S to E ----

const RANGE = { slope: [-2.5, 3.5], offset: [-3.5, 3.5] } as const
const SHADES = ' ·░▒▓'
const LEVELS = [0.1, 0.5, 2, 6]

function draw(path: readonly (readonly [number, number])[]): string[] {
  const place = (value: number, [low, high]: readonly [number, number], cells: number) =>
    Math.floor(((value - low) / (high - low)) * cells)
  const centre = (cell: number, [low, high]: readonly [number, number], cells: number) =>
    low + ((cell + 0.5) / cells) * (high - low)
  const rows = Array.from({ length: HEIGHT }, (_, row) =>
    Array.from({ length: WIDTH }, (_, column) => {
      const loss = lossAt(
        centre(column, RANGE.slope, WIDTH),
        centre(HEIGHT - 1 - row, RANGE.offset, HEIGHT),
      )
      return SHADES[LEVELS.filter((level) => loss > level).length]
    }),
  )
  const drawn = [
    ...path.slice(1, -1).map((at) => ['o', at] as const),
    ['S', path[0]],
    ['E', path[path.length - 1]],
  ] as const
  for (const [letter, [slope, offset]] of drawn) {
    const row = HEIGHT - 1 - place(offset, RANGE.offset, HEIGHT)
    const column = place(slope, RANGE.slope, WIDTH)
    if (rows[row]?.[column] !== undefined) rows[row][column] = letter
  }
  return rows.map((row) => row.join(''))
}

manualSeed(0)
console.log(
  `${STEPS} steps each from S to E. Across: slope ${RANGE.slope.join(' … ')}; up: offset ${RANGE.offset.join(' … ')}. Blank is the valley: loss under ${LEVELS[0]}; shades are ${LEVELS.join(', ')} and more.\n`,
)
const results = []
for (const run of runs) results.push({ run, path: await pathOf(run) })
const GAP = '   '
for (let i = 0; i < results.length; i += 2) {
  const pair = results.slice(i, i + 2)
  console.log(pair.map(({ run }) => run.name.padEnd(WIDTH)).join(GAP))
  const drawn = pair.map(({ path }) => draw(path))
  for (let row = 0; row < HEIGHT; row++) console.log(drawn.map((rows) => rows[row]).join(GAP))
  console.log()
}
console.log(
  'optimizer                            loss after 10 steps  at the end  points looked at',
)
for (const { run, path } of results) {
  const loss = (step: number) => lossAt(...path[Math.min(step, path.length - 1)]).toFixed(4)
  console.log(
    `${run.name.padEnd(36)}${loss(10).padStart(20)}${loss(STEPS).padStart(12)}${String(run.batch * STEPS).padStart(18)}`,
  )
}
const mean = (list: Float32Array) => list.reduce((a, b) => a + b, 0) / list.length
const covariance = xs.reduce((sum, x, i) => sum + (x - mean(xs)) * (ys[i] - mean(ys)), 0)
const slope = covariance / xs.reduce((sum, x) => sum + (x - mean(xs)) ** 2, 0)
console.log(
  `${'the least there is'.padEnd(36)}${''.padStart(20)}${lossAt(slope, mean(ys) - slope * mean(xs))
    .toFixed(4)
    .padStart(12)}`,
)
