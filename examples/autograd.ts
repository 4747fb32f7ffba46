// Gradients: what the library computes, and how one would by hand.
// `npm run example -- autograd`
//
// A tensor knows how it was made: from which tensors, by which operation. Each operation knows its own derivative, and
// the chain rule multiplies them along the way back. So a gradient is a tensor like any other: it is computed when it is
// read, and has gradients itself.
import { grad, noGrad, Parameter, type Tensor, tensor } from 'burnish'
import * as nn from 'burnish/nn'

const show = async (what: string, t: Tensor) =>
  console.log(
    `${what.padEnd(44)} ${Array.from(await t.data(), (v) => Number(v.toPrecision(6))).join('  ')}`,
  )

// ---- one number: f(x) = x³ + 2x ----

const x = tensor([3])
const f = x.pow(3).add(x.mul(2))
const [first] = grad(f.sum(), [x])
const [second] = grad(first.sum(), [x])
await show('f(3) = 3³ + 2·3', f)
await show("f'(3) = 3·3² + 2", first)
await show("f''(3) = 6·3, a gradient of a gradient", second)

// ---- the chain rule, step by step: the smallest network, σ(w·x + b) ----

const w = new Parameter(tensor([0.5, -1]))
const b = new Parameter(tensor([0.25]))
const input = tensor([2, 1])
const label = 1
const z = w.mul(input).sum().add(b) // [1]
const y = nn.sigmoid(z)
const loss = y.sub(label).square().sum()

loss.backward() // fills w.grad and b.grad, as in PyTorch
const yValue = await y.item()
// loss = (y − 1)²      →  dloss/dy = 2·(y − 1)
// y = σ(z)             →  dy/dz = y·(1 − y)
// z = w·x + b          →  dz/dw = x, dz/db = 1
const byHand = 2 * (yValue - label) * yValue * (1 - yValue)
console.log()
if (w.grad === undefined || b.grad === undefined) throw new Error('no gradient')
await show('dloss/dw by the library', w.grad)
await show('dloss/dw by hand: 2(y−1)·y(1−y)·x', input.mul(byHand))
await show('dloss/db by the library', b.grad)
await show('dloss/db by hand: 2(y−1)·y(1−y)', tensor([byHand]))

// ---- does it agree with nudging? ----

// The definition: nudge a weight by h and see how the loss answers. Good for a check, hopeless for training: each
// weight would need two forward passes of its own.
async function lossWith(weights: readonly number[]): Promise<number> {
  const nudged = nn.sigmoid(tensor(weights).mul(input).sum().add(0.25))
  return nudged.sub(label).square().sum().item()
}
const h = 1e-2
const differences: number[] = []
for (const i of [0, 1]) {
  const nudge = (by: number) => [0.5, -1].map((value, j) => value + (i === j ? by : 0))
  differences.push(((await lossWith(nudge(h))) - (await lossWith(nudge(-h)))) / (2 * h))
}
await show('(loss(w + h) − loss(w − h)) / 2h', tensor(differences))

// ---- gradients add up, and can be left out ----

console.log()
const p = new Parameter(tensor([2]))
p.square().sum().backward()
p.square().sum().backward()
if (p.grad === undefined) throw new Error('no gradient')
await show('two backward passes add: 2·(2·2)', p.grad)
p.grad = undefined // what optimizer.zeroGrad() does for each parameter
p.mul(p.detach()).sum().backward() // detach(): from here on a constant
await show('p·detach(p): one factor is a constant', p.grad ?? tensor([]))
p.grad = undefined
const constant = noGrad(() => p.square())
constant.mul(p).sum().backward()
await show('noGrad(() => p²)·p: p² is a constant, 4', p.grad ?? tensor([]))

// ---- a whole vector at once: the gradient of a sum is the sum of gradients ----

console.log()
const values = tensor([-2, -0.5, 0, 0.5, 2])
for (const [name, fn] of [
  ['relu', nn.relu],
  ['sigmoid', nn.sigmoid],
  ['gelu', nn.gelu],
] as const)
  await show(`derivative of ${name} at −2 −0.5 0 0.5 2`, grad(fn(values).sum(), [values])[0])
