// What the workloads read, those of the peer's script: sizes, and random batches on the host. Peers read the same.

const images = (batch, channels, size, classes) => ({
  shape: [batch, channels, size, size],
  labels: batch,
  classes,
})
const tokens = (batch, length, vocabulary, labels, classes) => ({
  shape: [batch, length],
  vocabulary,
  labels,
  classes,
})

const data = {
  lenet64: images(64, 1, 28, 10),
  lenet512: images(512, 1, 28, 10),
  textcnn: tokens(64, 64, 5000, 64, 2),
  resnet18_cifar32: images(32, 3, 32, 10),
  resnet18_224: images(8, 3, 224, 10),
  mobilenetv2_224: images(8, 3, 224, 10),
  vgg11_64: images(8, 3, 64, 10),
  gpt: tokens(8, 128, 256, 8 * 128, 256),
}

export const names = Object.keys(data)

const below = (limit) => Math.floor(Math.random() * limit)

/** Host data of one batch: input (float32 pixels, or int32 tokens) and int32 labels. */
export function hostBatch(name) {
  const { shape, vocabulary, labels, classes } = data[name]
  const length = shape.reduce((product, n) => product * n, 1)
  return {
    shape,
    input:
      vocabulary === undefined
        ? Float32Array.from({ length }, () => Math.random())
        : Int32Array.from({ length }, () => below(vocabulary)),
    labels: Int32Array.from({ length: labels }, () => below(classes)),
    classes,
  }
}
