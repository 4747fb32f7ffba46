// The workloads of the benchmarks: a model, a batch of random data, the optimizer of the peer's script.
import { tensor } from 'burnish'
import { LeNet } from 'burnish/models'

const images = (batch, channels, size, classes) => ({
  shape: [batch, channels, size, size],
  classes,
})

const workloads = {
  lenet64: { make: () => new LeNet(), data: images(64, 1, 28, 10) },
  lenet512: { make: () => new LeNet(), data: images(512, 1, 28, 10) },
}

export const names = Object.keys(workloads)

/** The model, and fresh batches of host data: [images float32, labels int32]. */
export function workload(name) {
  const { make, data } = workloads[name]
  const length = data.shape.reduce((product, n) => product * n, 1)
  const pixels = Float32Array.from({ length }, () => Math.random())
  const labels = Int32Array.from({ length: data.shape[0] }, () =>
    Math.floor(Math.random() * data.classes),
  )
  return {
    model: make(),
    batch: () => [tensor(pixels, { shape: data.shape }), tensor(labels)],
  }
}
