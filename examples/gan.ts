// Two networks, two optimizers: a generative adversarial network (Goodfellow et al. 2014) that learns to draw points on a
// ring from nothing but examples.
// `npm run example -- gan [--steps 3000]`
//
// The generator turns random numbers into points. The discriminator says how real a point looks. Each step trains both:
//
// 1. the discriminator, to call real points real and made ones made. The made points are detached: this loss shall teach
//    the discriminator alone.
// 2. the generator, to be called real. The gradient runs through the discriminator, but only the generator's optimizer
//    steps; what the discriminator's weights gather on the way is forgotten by its own zeroGrad().
//
// Both parts are compiled; a compiled step may hold several optimizers' steps, in the order they are called.
import { parseArgs } from 'node:util'
import { compile, manualSeed, ones, rand, randn, stack, type Tensor, zeros } from 'burnish'
import * as nn from 'burnish/nn'
import { Adam } from 'burnish/optim'

const { values: options } = parseArgs({ options: { steps: { type: 'string', default: '3000' } } })
const STEPS = Number(options.steps)
const BATCH = 256
const NOISE = 4

/** A small perceptron. */
const network = (inputs: number, outputs: number, width: number): nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(inputs, width),
    new nn.LeakyReLU(0.2),
    new nn.Linear(width, width),
    new nn.LeakyReLU(0.2),
    new nn.Linear(width, outputs),
  )

manualSeed(4)
const generator = network(NOISE, 2, 32)
const discriminator = network(2, 1, 32)
const teach = { betas: [0.5, 0.999] as const }
const generatorSteps = new Adam(generator.parameters(), { lr: 1e-3, ...teach })
const discriminatorSteps = new Adam(discriminator.parameters(), { lr: 1e-3, ...teach })

/** Points on a ring of radius 1, a little off. */
function realPoints(): Tensor {
  const angle = rand([BATCH]).mul(2 * Math.PI)
  return stack([angle.cos(), angle.sin()], 1).add(randn([BATCH, 2]).mul(0.04)) // [B, 2]
}
const made = () => generator.forward(randn([BATCH, NOISE])) // [B, 2]
const called = (points: Tensor, real: boolean) =>
  nn.binaryCrossEntropyWithLogits(
    discriminator.forward(points),
    real ? ones([BATCH, 1]) : zeros([BATCH, 1]),
  )

const teachDiscriminator = compile(() => {
  discriminatorSteps.zeroGrad()
  const loss = called(realPoints(), true).add(called(made().detach(), false))
  loss.backward()
  discriminatorSteps.step()
  return { loss }
})
const teachGenerator = compile(() => {
  generatorSteps.zeroGrad()
  const loss = called(made(), true)
  loss.backward()
  generatorSteps.step()
  return { loss }
})

// ---- drawing ----

const [COLUMNS, ROWS, REACH] = [44, 21, 1.5]
function draw(points: ArrayLike<number>): string[] {
  const counts = Array.from({ length: ROWS }, () => new Array<number>(COLUMNS).fill(0))
  for (let i = 0; i < points.length; i += 2) {
    const column = Math.floor(((points[i] / REACH + 1) / 2) * COLUMNS)
    const row = Math.floor(((points[i + 1] / REACH + 1) / 2) * ROWS)
    if (counts[row]?.[column] !== undefined) counts[row][column]++
  }
  return counts.map((row) => row.map((count) => ' .:oO@'[Math.min(5, count)]).join(''))
}

/** How far from the ring points are, and into how many of 16 sectors they fall. */
function quality(points: ArrayLike<number>): string {
  const sectors = new Set<number>()
  let sum = 0
  for (let i = 0; i < points.length; i += 2) {
    sum += Math.abs(Math.hypot(points[i], points[i + 1]) - 1)
    sectors.add(Math.floor(((Math.atan2(points[i + 1], points[i]) / Math.PI + 1) / 2) * 16))
  }
  return `${((2 * sum) / points.length).toFixed(3)} from the ring on average, ${sectors.size} of 16 sectors`
}

const real = await realPoints().data()
console.log(`real: ${quality(real)}`)
const shown = new Set([0, 0.1, 0.3, 1].map((share) => Math.round(share * STEPS)))
const pictures: { title: string; rows: string[] }[] = []
for (let step = 0; step <= STEPS; step++) {
  if (shown.has(step)) {
    const points = await made().data()
    console.log(`step ${step}: ${quality(points)}`)
    pictures.push({ title: `after ${step} steps`, rows: draw(points) })
  }
  if (step === STEPS) break
  const a = teachDiscriminator()
  const b = teachGenerator()
  if (step % Math.max(1, Math.floor(STEPS / 5)) === 0)
    console.log(
      `  discriminator's loss ${(await a.loss.item()).toFixed(3)} (2·ln 2 = 1.386 when it cannot tell), generator's ${(await b.loss.item()).toFixed(3)}`,
    )
}
for (const pair of [[{ title: 'real', rows: draw(real) }, pictures[0]], pictures.slice(-2)]) {
  console.log(`\n${pair.map(({ title }) => title.padEnd(COLUMNS)).join('  ')}`)
  for (let row = 0; row < ROWS; row++) console.log(pair.map(({ rows }) => rows[row]).join('  '))
}
