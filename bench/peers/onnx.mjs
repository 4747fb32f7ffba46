// onnxruntime-node's inference of one workload: `node bench/peers/onnx.mjs WORKLOAD THREADS FOLDER`. FOLDER holds
// WORKLOAD.onnx, written by export.py from the peer's definition.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostBatch } from '../data.mjs'
import { finish, peakMegabytes, round, time } from '../timing.mjs'

const [name, threads, folder] = process.argv.slice(2)
const { default: ort } = await import('onnxruntime-node')
const { version } = JSON.parse(
  readFileSync(new URL('./node_modules/onnxruntime-node/package.json', import.meta.url), 'utf8'),
)
const session = await ort.InferenceSession.create(join(folder, `${name}.onnx`), {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
})
const { input, shape } = hostBatch(name)
const words = input instanceof Int32Array
const data = words ? BigInt64Array.from(input, BigInt) : input
const run = async () => {
  const x = new ort.Tensor(words ? 'int64' : 'float32', data, shape)
  const { y } = await session.run({ x })
  return y.data
}
await run()
const first = round(performance.now(), 1)
finish({
  peer: 'onnx',
  version: `onnxruntime-node ${version}`,
  workload: name,
  threads: Number(threads),
  infer_ms: await time(run, { most: 100 }),
  first_infer_ms: first,
  peak_rss_mb: peakMegabytes(),
})
