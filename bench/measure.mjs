// One measurement in a process of its own, one JSON line: `node bench/measure.mjs WORKLOAD THREADS LOOP TIER`.
// A step is: copy in a fresh batch, run, read the loss on the host. first_step_ms counts from process start.
import { compile, setDevice } from 'burnish'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'
import { workload } from './workloads.mjs'

const MOST_STEPS = 200
const SECONDS = 4
/** Until the engine has compiled what a step runs in JavaScript; steps are counted from then. */
const WARM_SECONDS = 3

const [name, threads, loop, tier = 'wasm'] = process.argv.slice(2)
await setDevice('cpu', { threads: Number(threads), tier })
const { model, batch } = workload(name)
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

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
const round = (value, digits) => Number(value.toFixed(digits))

async function time(run, most) {
  const start = performance.now()
  for (let i = 0; i < 2 || performance.now() - start < WARM_SECONDS * 1000; i++) await run()
  const began = performance.now()
  for (let i = 0; i < 3; i++) await run()
  const count = Math.max(
    5,
    Math.min(most, Math.floor((SECONDS * 3000) / (performance.now() - began))),
  )
  const times = []
  for (let i = 0; i < count; i++) {
    const from = performance.now()
    await run()
    times.push(performance.now() - from)
  }
  return median(times)
}

const loss = await steps[loop]()
if (!Number.isFinite(loss)) throw new Error(`the first loss is ${loss}`)
const first = performance.now()
const train = await time(steps[loop], MOST_STEPS)
model.eval()
const infer = await time(infers[loop], MOST_STEPS / 2)

console.log(
  JSON.stringify({
    peer: 'burnish',
    workload: name,
    device: 'cpu',
    tier,
    threads: Number(threads),
    train_ms: round(train, 3),
    infer_ms: round(infer, 3),
    first_step_ms: round(first, 1),
    peak_rss_mb: round(process.resourceUsage().maxRSS / 1024, 1),
    ...(loop === 'compiled' ? {} : { loop }),
  }),
)
process.exit(0)
