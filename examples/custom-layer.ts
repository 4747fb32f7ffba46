// A layer of one's own: parameters, a buffer, a check of shapes, names in checkpoints, gradients without a formula.
// `npm run example -- custom-layer [--steps 300]`
//
// The layer is the one the first LeNet had at its end (1998) and that no library carries: radial basis functions. A unit
// has a centre in the space of its inputs and answers by how near an input is: exp(−width · distance²). It is written in
// tensor operations; the library derives the gradient, and compiles the layer with the rest of the step.
import { parseArgs } from 'node:util'
import {
  BurnishError,
  compile,
  grad,
  manualSeed,
  Parameter,
  randn,
  type Tensor,
  tensor,
} from 'burnish'
import * as nn from 'burnish/nn'
import { Adam } from 'burnish/optim'

/** [B, inputs] → [B, units]: exp(−widthⱼ · |x − centreⱼ|²). */
class RadialBasis extends nn.Module {
  readonly inputs: number
  /** Fields that are Parameters are found by looking: parameters() and stateDict() list them. */
  readonly centres: Parameter // [units, inputs]
  readonly logWidths: Parameter // [units]; kept as a logarithm, so that a width is always above 0
  /** Not trained, but part of a checkpoint: how often the layer was used in training. PyTorch calls it a buffer. */
  readonly uses = new Parameter(tensor(0), { role: 'state' })

  constructor(inputs: number, units: number) {
    super()
    this.inputs = inputs
    this.centres = new Parameter(randn([units, inputs]))
    this.logWidths = new Parameter(new Float32Array(units))
  }

  forward(x: Tensor): Tensor {
    if (x.shape.length !== 2 || x.shape[1] !== this.inputs)
      throw new BurnishError(
        `RadialBasis: input [${x.shape.join(', ')}] has not ${this.inputs} columns`,
      )
    if (this.training) this.uses.set(this.uses.add(1)) // happens with the next step, once
    const difference = x.unsqueeze(1).sub(this.centres) // [B, 1, inputs] − [units, inputs] → [B, units, inputs]
    const distance = difference.square().sum(2) // [B, units]
    return distance.mul(this.logWidths.exp()).neg().exp()
  }
}

class Islands extends nn.Module {
  near = new RadialBasis(2, 12)
  out = new nn.Linear(12, 2)
  forward(points: Tensor): Tensor {
    return this.out.forward(this.near.forward(points)) // [B, 2]
  }
}

const { values: options } = parseArgs({ options: { steps: { type: 'string', default: '300' } } })
const steps = Number(options.steps)
manualSeed(3)
const model = new Islands()

console.log('What a checkpoint will hold, by name:')
for (const [name, { shape }] of Object.entries(model.stateDict()))
  console.log(`  ${name.padEnd(16)} [${shape.join(', ')}]`)

// ---- the gradient, checked by nudging ----

const points = randn([5, 2])
const lossOf = () => model.near.forward(points).square().sum()
model.eval()
const centres = model.near.centres
const exact = await grad(lossOf(), [centres])[0].data()
const values = Float32Array.from(await centres.data())
const h = 1e-2
console.log('\nGradient of a centre: by the library, and by nudging it:')
for (const i of [0, 1]) {
  const nudged = (by: number) => values.map((value, j) => value + (i === j ? by : 0))
  const losses: number[] = []
  for (const by of [h, -h]) {
    centres.set(nudged(by))
    losses.push(await lossOf().item())
  }
  centres.set(values)
  console.log(`  ${exact[i].toFixed(4)}  ${((losses[0] - losses[1]) / (2 * h)).toFixed(4)}`)
}

// ---- training: points in the ring around 0, or outside of it and inside of it ----

const batch = () => {
  const x = randn([256, 2])
  const radius = x.square().sum(1).sqrt() // [256]
  return { x, label: radius.gt(0.7).logicalAnd(radius.lt(1.6)).int() }
}
model.train()
const optimizer = new Adam(model.parameters(), { lr: 0.03 })
const step = compile(() => {
  const { x, label } = batch()
  optimizer.zeroGrad()
  const loss = nn.crossEntropy(model.forward(x), label)
  loss.backward()
  optimizer.step()
  return { loss }
})
console.log('\nIs a point in the ring? Training:')
for (let i = 1; i <= steps; i++) {
  const loss = await step().loss.item()
  if (i % Math.max(1, Math.floor(steps / 5)) === 0)
    console.log(`  step ${i}: loss ${loss.toFixed(4)}`)
}
model.eval()
const { x, label } = batch()
const accuracy = await model.forward(x).argmax(1).eq(label).float().mean().item()
console.log(
  `  accuracy on new points: ${(100 * accuracy).toFixed(1)} %, uses in training: ${await model.near.uses.item()}`,
)

// ---- what it learned, drawn ----

const [COLUMNS, ROWS, REACH] = [60, 25, 2.4]
const grid = Float32Array.from({ length: COLUMNS * ROWS * 2 }, (_, i) => {
  const cell = i >> 1
  return i % 2 === 0
    ? (((cell % COLUMNS) + 0.5) / COLUMNS - 0.5) * 2 * REACH
    : ((Math.floor(cell / COLUMNS) + 0.5) / ROWS - 0.5) * 2 * REACH
})
const answers = await nn
  .softmax(model.forward(tensor(grid, { shape: [COLUMNS * ROWS, 2] })), 1)
  .data() // [cells, 2]
console.log('\nHow sure it is that a point is in the ring:')
for (let row = 0; row < ROWS; row++)
  console.log(
    Array.from(
      { length: COLUMNS },
      (_, column) =>
        ' ░▒▓█'[Math.min(4, Math.floor(answers[2 * (row * COLUMNS + column) + 1] * 5))],
    ).join(''),
  )

// ---- an error says where ----

try {
  model.forward(randn([4, 3]))
} catch (error) {
  console.log(`\nA wrong shape: ${error instanceof Error ? error.message : String(error)}`)
}
