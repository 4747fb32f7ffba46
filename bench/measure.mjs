// One measurement in a process of its own, one JSON line: `node bench/measure.mjs WORKLOAD THREADS LOOP TIER [first]`.
// A step is: copy in a fresh batch, run, read the loss on the host. first_step_ms counts from process start, compile_ms is
// what the first step took more than later ones. `first` measures the first step alone.
import { compile, setDevice } from 'burnish'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'
import { finish, peakMegabytes, round, time } from './timing.mjs'
import { workload } from './workloads.mjs'

const [name, threads, loop, tier = 'wasm', only] = process.argv.slice(2)
await setDevice('cpu', { threads: Number(threads), tier })
const { model, batch, parameters } = workload(name)
const counted = model
  .parameters()
  .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0)
if (counted !== parameters)
  throw new Error(`${name}: ${counted} parameters, the peer ${parameters}`)
const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 })

const body = (images, labels) => {
  optimizer.zeroGrad()
  const loss = crossEntropy(model.forward(images), labels)
  loss.backward()
  return loss
}
const compiled = compile((images, labels) => {
  const loss = body(images, labels)
  optimizer.step()
  return { loss }
})
const steps = {
  compiled: async () => compiled(...batch()).loss.item(),
  imperative: async () => {
    const loss = body(...batch())
    await optimizer.step()
    return loss.item()
  },
}
const inferCompiled = compile((images) => model.forward(images))
const infers = {
  compiled: async () => inferCompiled(batch()[0]).data(),
  imperative: async () => model.forward(batch()[0]).data(),
}

const began = performance.now()
const loss = await steps[loop]()
const first = performance.now()
if (!Number.isFinite(loss)) throw new Error(`the first loss is ${loss}`)
if (only === 'first') finish({ first_step_ms: round(first, 1) })
const train = await time(steps[loop])
model.eval()
const infer = await time(infers[loop], { most: 100 })
finish({
  peer: 'burnish',
  workload: name,
  device: 'cpu',
  tier,
  threads: Number(threads),
  train_ms: train,
  infer_ms: infer,
  first_step_ms: round(first, 1),
  compile_ms: round(first - began - train, 1),
  peak_rss_mb: peakMegabytes(),
  ...(loop === 'compiled' ? {} : { loop }),
})
