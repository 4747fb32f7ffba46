// TensorFlow.js: `node bench/peers/tfjs.mjs WORKLOAD cpu|wasm THREADS`. Training of LeNet on its plain cpu backend; on
// wasm the attempt, whose error is told: that backend has no gradients of convolutions. Inference of the image networks.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { hostBatch } from '../data.mjs'
import { finish, peakMegabytes, round, time } from '../timing.mjs'

const [name, backend, threads] = process.argv.slice(2)
const require = createRequire(import.meta.url)
// Its hint to install tfjs-node, whose binaries Node 20 needs other ones of, is not for this measurement.
console.warn = () => {}
const tf = require('@tensorflow/tfjs')
if (backend === 'wasm') {
  const { setWasmPaths, setThreadsCount } = require('@tensorflow/tfjs-backend-wasm')
  setWasmPaths(`${join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')), '/')}`)
  setThreadsCount(Number(threads))
}
await tf.setBackend(backend)
await tf.ready()

const conv = (filters, kernelSize, options = {}) =>
  tf.layers.conv2d({ filters, kernelSize, padding: 'same', ...options })
const relu = () => tf.layers.activation({ activation: 'relu' })
const pool = (size) => tf.layers.maxPooling2d({ poolSize: size, strides: 2, padding: 'same' })
const then = (x, ...layers) => layers.reduce((value, layer) => layer.apply(value), x)
const dense = (units, activation = 'linear') => tf.layers.dense({ units, activation })

function lenet(x) {
  const activation = 'relu'
  return then(
    x,
    conv(6, 5, { activation }),
    pool(2),
    conv(16, 5, { activation, padding: 'valid' }),
    pool(2),
    tf.layers.flatten(),
    dense(120, activation),
    dense(84, activation),
    dense(10),
  )
}

function vgg11(x) {
  const widths = [64, 'M', 128, 'M', 256, 256, 'M', 512, 512, 'M', 512, 512, 'M']
  const layers = widths.map((w) => (w === 'M' ? pool(2) : conv(w, 3, { activation: 'relu' })))
  // 2×2 pixels, which adaptive pooling repeats to 7×7.
  const features = then(x, ...layers, tf.layers.upSampling2d({ size: [4, 4] }))
  const cropped = tf.layers
    .cropping2D({
      cropping: [
        [0, 1],
        [0, 1],
      ],
    })
    .apply(features)
  return then(cropped, tf.layers.flatten(), dense(4096, 'relu'), dense(4096, 'relu'), dense(10))
}

const norm = () => tf.layers.batchNormalization()
function resnet18(x, small) {
  let h = small
    ? then(x, conv(64, 3, { useBias: false }), norm(), relu())
    : then(x, conv(64, 7, { strides: 2, useBias: false }), norm(), relu(), pool(3))
  for (const [i, width] of [64, 128, 256, 512].entries())
    for (const strides of [i > 0 ? 2 : 1, 1]) {
      const inside = then(h, conv(width, 3, { strides, useBias: false }), norm(), relu())
      const y = then(inside, conv(width, 3, { useBias: false }), norm())
      const same = strides === 1 && h.shape.at(-1) === width
      const shortcut = same ? h : then(h, conv(width, 1, { strides, useBias: false }), norm())
      h = relu().apply(tf.layers.add().apply([y, shortcut]))
    }
  return then(h, tf.layers.globalAveragePooling2d({}), dense(10))
}

function mobilenetV2(x) {
  const relu6 = () => tf.layers.reLU({ maxValue: 6 })
  const table = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ]
  let h = then(x, conv(32, 3, { strides: 2, useBias: false }), norm(), relu6())
  for (const [t, width, count, stride] of table)
    for (let i = 0; i < count; i++) {
      const strides = i === 0 ? stride : 1
      const inner = h.shape.at(-1) * t
      let y = t === 1 ? h : then(h, conv(inner, 1, { useBias: false }), norm(), relu6())
      const depthwise = { kernelSize: 3, strides, padding: 'same', useBias: false }
      y = then(y, tf.layers.depthwiseConv2d(depthwise), norm(), relu6())
      y = then(y, conv(width, 1, { useBias: false }), norm())
      h = strides === 1 && h.shape.at(-1) === width ? tf.layers.add().apply([h, y]) : y
    }
  const last = then(h, conv(1280, 1, { useBias: false }), norm(), relu6())
  return then(last, tf.layers.globalAveragePooling2d({}), dense(10))
}

const networks = {
  lenet64: lenet,
  lenet512: lenet,
  vgg11_64: vgg11,
  resnet18_cifar32: (x) => resnet18(x, true),
  resnet18_224: (x) => resnet18(x, false),
  mobilenetv2_224: mobilenetV2,
}
if (!Object.hasOwn(networks, name))
  throw new Error(`tfjs runs ${Object.keys(networks)} here, not ${name}`)

const { input, labels, shape, classes } = hostBatch(name)
const [batch, channels, height, width] = shape
const own = [batch, height, width, channels]
const inputs = tf.input({ shape: own.slice(1) })
const model = tf.model({ inputs, outputs: networks[name](inputs) })
const optimizer = tf.train.momentum(0.001, 0.9)

async function train() {
  const images = tf.tensor(input, own)
  const loss = optimizer.minimize(
    () => {
      const oneHot = tf.oneHot(tf.tensor1d(labels, 'int32'), classes)
      return tf.losses.softmaxCrossEntropy(oneHot, model.apply(images, { training: true }))
    },
    true,
    model.trainableWeights.map((weight) => weight.val),
  )
  images.dispose()
  const [value] = await loss.data()
  loss.dispose()
  return value
}

async function infer() {
  const images = tf.tensor(input, own)
  const logits = tf.tidy(() => model.predict(images, { batchSize: batch }))
  const values = await logits.data()
  tf.dispose([images, logits])
  return values
}

const result = {
  peer: `tfjs-${backend}`,
  version: `tfjs ${tf.version.tfjs} (${backend})`,
  workload: name,
  threads: backend === 'wasm' ? Number(threads) : 1,
}
if (name.startsWith('lenet'))
  try {
    const loss = await train()
    if (!Number.isFinite(loss)) throw new Error(`the first loss is ${loss}`)
    result.first_step_ms = round(performance.now(), 1)
    result.train_ms = await time(train, { most: 20 })
  } catch (error) {
    result.train_error = error.message.split('\n')[0]
  }
if (backend === 'wasm' || name.startsWith('lenet'))
  result.infer_ms = await time(infer, { most: 100 })
finish({ ...result, peak_rss_mb: peakMegabytes() })
