// Resident memory over many steps, a fresh batch each, loss and accuracy read: `node bench/memory.mjs [--loop
// compiled|imperative] [--steps 5000] [--threads 1]` prints one JSON line and exits 1 when memory at the last
// step is more than 10 MB above that at step 200.
import { parseArgs } from 'node:util'
import { compile, setDevice } from 'burnish'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'
import { workload } from './workloads.mjs'

const ALLOWED_MB = 10
const SETTLED = 200

const { values: options } = parseArgs({
  options: {
    loop: { type: 'string', default: 'compiled' },
    steps: { type: 'string', default: '5000' },
    threads: { type: 'string', default: '1' },
  },
})
await setDevice('cpu', { threads: Number(options.threads) })
const { model, batch } = workload('lenet64')
const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 })
const correctOf = (logits, labels) => logits.argmax(1).eq(labels).sum()

const compiled = compile((images, labels) => {
  optimizer.zeroGrad()
  const logits = model.forward(images)
  const loss = crossEntropy(logits, labels)
  loss.backward()
  optimizer.step()
  return { loss, correct: correctOf(logits, labels) }
})
const loops = {
  compiled: async (images, labels) => {
    const { loss, correct } = compiled(images, labels)
    return [await loss.item(), await correct.item()]
  },
  imperative: async (images, labels) => {
    optimizer.zeroGrad()
    const logits = model.forward(images)
    const loss = crossEntropy(logits, labels)
    loss.backward()
    await optimizer.step()
    return [await loss.item(), await correctOf(logits, labels).item()]
  },
}

const megabytes = () => process.memoryUsage().rss / 2 ** 20
const rss = {}
const steps = Number(options.steps)
for (let step = 1; step <= steps; step++) {
  const [loss] = await loops[options.loop](...batch())
  if (!Number.isFinite(loss)) throw new Error(`loss ${loss} at step ${step}`)
  if (step === SETTLED || step === steps || step % 1000 === 0)
    rss[step] = Number(megabytes().toFixed(1))
}
const growth = Number((rss[steps] - rss[SETTLED]).toFixed(1))
console.log(
  JSON.stringify({
    loop: options.loop,
    threads: Number(options.threads),
    rss_mb: rss,
    growth_mb: growth,
  }),
)
process.exit(growth > ALLOWED_MB ? 1 : 0)
