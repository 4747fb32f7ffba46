// jax-js on LeNet, its WebAssembly backend, one thread: `node bench/peers/jax.mjs WORKLOAD`. The training step is one
// jitted function of parameters, velocities and the batch; the loss is read after each step.
import { readFileSync } from 'node:fs'
import { hostBatch } from '../data.mjs'
import { finish, peakMegabytes, round, time } from '../timing.mjs'

const [name] = process.argv.slice(2)
if (!name.startsWith('lenet')) throw new Error(`jax-js runs lenet64 and lenet512 here, not ${name}`)
const {
  init,
  defaultDevice,
  jit,
  lax,
  nn,
  numpy: np,
  tree,
  valueAndGrad,
} = await import('@jax-js/jax')
const { version } = JSON.parse(
  readFileSync(new URL('./node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'),
)
await init('wasm')
defaultDevice('wasm')

const RATE = 0.001
const MOMENTUM = 0.9
const random = (shape, fan) =>
  np
    .array(
      Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => (2 * Math.random() - 1) / Math.sqrt(fan),
      ),
    )
    .reshape(shape)
const shapes = {
  c1: [6, 1, 5, 5],
  c2: [16, 6, 5, 5],
  f1: [400, 120],
  f2: [120, 84],
  f3: [84, 10],
}
const fans = { c1: 25, c2: 150, f1: 400, f2: 120, f3: 84 }
const outputs = { c1: [6, 1, 1], c2: [16, 1, 1], f1: [120], f2: [84], f3: [10] }
const layers = Object.keys(shapes)
const made = (make) =>
  Object.fromEntries(
    layers.flatMap((l) => [
      [`${l}w`, make(shapes[l], fans[l])],
      [`${l}b`, make(outputs[l], fans[l])],
    ]),
  )

// Arguments are consumed: what is used twice is used by reference first (jax-js's ownership).
const pool = (x) => {
  const [n, c, h, w] = x.shape
  return np.max(np.max(x.reshape([n, c, h / 2, 2, w / 2, 2]), 5), 3)
}
const forward = (p, x) => {
  let h = lax
    .conv(
      x,
      p.c1w,
      [1, 1],
      [
        [2, 2],
        [2, 2],
      ],
    )
    .add(p.c1b)
  h = pool(nn.relu(h))
  h = pool(nn.relu(lax.conv(h, p.c2w, [1, 1], 'VALID').add(p.c2b)))
  h = h.reshape([h.shape[0], 400])
  h = nn.relu(np.dot(h, p.f1w).add(p.f1b))
  h = nn.relu(np.dot(h, p.f2w).add(p.f2b))
  return np.dot(h, p.f3w).add(p.f3b)
}
const lossOf = (p, x, y) => np.mean(np.sum(nn.logSoftmax(forward(p, x)).mul(y), 1)).mul(-1)
const step = jit((p, v, x, y) => {
  const [loss, gradient] = valueAndGrad(lossOf)(tree.ref(p), x, y)
  const velocity = tree.map((v, g) => v.mul(MOMENTUM).add(g), v, gradient)
  const next = tree.map((p, v) => p.sub(v.mul(RATE)), p, tree.ref(velocity))
  return [loss, next, velocity]
})
const infer = jit(forward)

const { input, labels, shape, classes } = hostBatch(name)
let parameters = made(random)
let velocities = made((shape) => np.zeros(shape))
const oneHot = () => nn.oneHot(np.array(labels, { dtype: np.int32 }), classes)
const train = async () => {
  const [loss, p, v] = step(parameters, velocities, np.array(input).reshape(shape), oneHot())
  parameters = p
  velocities = v
  return (await loss.data())[0]
}
const loss = await train()
if (!Number.isFinite(loss)) throw new Error(`the first loss is ${loss}`)
const first = round(performance.now(), 1)
const train_ms = await time(train)
const infer_ms = await time(
  async () => infer(tree.ref(parameters), np.array(input).reshape(shape)).data(),
  { most: 100 },
)
finish({
  peer: 'jax',
  version: `jax-js ${version} (wasm)`,
  workload: name,
  threads: 1,
  train_ms,
  infer_ms,
  first_step_ms: first,
  peak_rss_mb: peakMegabytes(),
})
