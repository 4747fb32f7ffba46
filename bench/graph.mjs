// The cost of a training step before it reaches a device: building the graph with its gradients and updates,
// hashing it, and submitting it to a device that does nothing. `node bench/graph.mjs` prints one JSON line.
import { setDevice } from 'burnish'
import { crossEntropy } from 'burnish/nn'
import { SGD } from 'burnish/optim'
import { workload } from './workloads.mjs'

const WARM_UP = 200
const STEPS = 300

function nodesOf({ outputs, updates, guard }) {
  const seen = new Set([
    ...outputs,
    ...updates.map((update) => update.value),
    ...(guard ? [guard] : []),
  ])
  const open = [...seen]
  for (let node = open.pop(); node !== undefined; node = open.pop())
    for (const arg of node.args)
      if (!seen.has(arg)) {
        seen.add(arg)
        open.push(arg)
      }
  return seen.size
}

let nodes = 0
const idle = {
  name: 'idle',
  accepts: 'graph',
  machine: {},
  threads: 1,
  alloc: (bytes) => ({ device: idle, bytes }),
  free: () => {},
  write: () => {},
  read: async (storage) => new Uint8Array(storage.bytes),
  peek: (storage) => new Uint8Array(storage.bytes),
  load: ({ graph }) => {
    nodes = Math.max(nodes, nodesOf(graph))
    return { run: async () => ({ code: 0, value: 0, milliseconds: 0 }), dispose: () => {} }
  },
  close: async () => {},
}

await setDevice(idle)
const { model, batch } = workload('lenet64')
const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 })
const times = []
for (let step = 0; step < WARM_UP + STEPS; step++) {
  const [images, labels] = batch()
  const from = performance.now()
  optimizer.zeroGrad()
  const loss = crossEntropy(model.forward(images), labels)
  loss.backward()
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
