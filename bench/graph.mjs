// The cost of building, hashing and submitting a training step's graph, each node counted once, on a device that
// computes nothing: `node bench/graph.mjs` prints one JSON line. The update's own nodes are not counted, so the
// time a node is an upper bound.
import { setDevice } from 'burnish'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'
import { workload } from './workloads.mjs'

const WARM_UP = 200
const STEPS = 300

function nodesBehind(roots) {
  const seen = new Set(roots)
  const open = [...seen]
  for (let node = open.pop(); node !== undefined; node = open.pop())
    for (const arg of node.args)
      if (!seen.has(arg)) {
        seen.add(arg)
        open.push(arg)
      }
  return seen.size
}

await setDevice('null')
const { model, batch } = workload('lenet64')
const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 })
const times = []
let nodes = 0
for (let step = 0; step < WARM_UP + STEPS; step++) {
  const [images, labels] = batch()
  const from = performance.now()
  optimizer.zeroGrad()
  const loss = crossEntropy(model.forward(images), labels)
  loss.backward()
  if (nodes === 0)
    nodes = nodesBehind([
      loss.node,
      ...model.parameters().flatMap((p) => (p.grad ? [p.grad.node] : [])),
    ])
  const done = optimizer.step()
  if (step >= WARM_UP) times.push(performance.now() - from)
  await done
}
times.sort((a, b) => a - b)
const median = times[times.length >> 1] * 1000
console.log(
  JSON.stringify({
    workload: 'lenet64',
    nodes,
    step_us: Number(median.toFixed(1)),
    us_per_node: Number((median / nodes).toFixed(3)),
  }),
)
process.exit(0)
