// What a convolution does, from the window that slides to the gradient that teaches the kernel.
// `npm run example -- convolution`
//
// A convolution layer looks at an image through a small window, the kernel. At each place it multiplies the pixels
// under the window with the kernel's weights, adds the products and a bias; ReLU then keeps what is above 0. A 3×3
// window fits 26×26 times into 28×28 pixels, so that is the size of the result: one number for each place.
//
// The program does this twice, by plain loops and by the library, and compares. (Mathematicians call it correlation: a
// convolution would turn the kernel by 180°. For a learned kernel that makes no difference, and nobody does.)
//
// Then it takes one step of gradient descent on the kernel, again checked by plain loops, and tabulates what kernel size
// and stride cost.
import { grad, Parameter, type Tensor, tensor } from 'burnish'
import * as nn from 'burnish/nn'
import { SGD } from 'burnish/optim'

const SIZE = 28
const KERNEL = 3
const OUT = SIZE - KERNEL + 1 // 26

// ---- the image: a bright ring on black, brightness 0 … 1 ----

const image = Float32Array.from({ length: SIZE * SIZE }, (_, i) => {
  const [y, x] = [Math.floor(i / SIZE), i % SIZE]
  const distance = Math.hypot(y - 13.5, x - 13.5)
  return Math.max(0, Math.min(1, 3 - Math.abs(distance - 8)))
})
/** Answers to what becomes brighter from left to right. */
const kernel = Float32Array.of(-1, 0, 1, -2, 0, 2, -1, 0, 1)
const bias = -0.5

// ---- by plain loops ----

/** The sum under the window at (y, x), before ReLU. */
function windowSum(weights: Float32Array, offset: number, y: number, x: number): number {
  let sum = offset
  for (let i = 0; i < KERNEL; i++)
    for (let j = 0; j < KERNEL; j++)
      sum += image[(y + i) * SIZE + (x + j)] * weights[i * KERNEL + j]
  return sum
}

function convolve(weights: Float32Array, offset: number): Float32Array {
  const result = new Float32Array(OUT * OUT)
  for (let y = 0; y < OUT; y++)
    for (let x = 0; x < OUT; x++)
      result[y * OUT + x] = Math.max(0, windowSum(weights, offset, y, x))
  return result
}

// ---- drawing: two characters a pixel, so that it looks square ----

const SHADES = ['  ', '░░', '▒▒', '▓▓', '██']
const shade = (value: number, most: number) =>
  SHADES[Math.round(Math.max(0, Math.min(1, value / most)) * (SHADES.length - 1))]

function draw(values: ArrayLike<number>, width: number): string {
  const most = Math.max(...Array.from(values)) || 1
  const rows: string[] = []
  for (let at = 0; at < values.length; at += width)
    rows.push(
      Array.from({ length: width }, (_, x) => shade(values[at + x], most))
        .join('')
        .trimEnd(),
    )
  return rows.join('\n')
}

/** The three rows under the window, with the window in brackets, and beside them the arithmetic. */
function drawWindow(y: number, x: number): string {
  return Array.from({ length: KERNEL }, (_, i) => {
    const pixels = Array.from({ length: SIZE }, (_, column) =>
      shade(image[(y + i) * SIZE + column], 1),
    )
    const inside = pixels.slice(x, x + KERNEL).join('')
    const row = `${pixels.slice(0, x).join('')}[${inside}]${pixels.slice(x + KERNEL).join('')}`
    const products = Array.from({ length: KERNEL }, (_, j) => {
      const weight = kernel[i * KERNEL + j]
      return `${image[(y + i) * SIZE + x + j].toFixed(2)}·${weight < 0 ? '−' : ' '}${Math.abs(weight)}`
    })
    const sum = windowSum(kernel, bias, y, x)
    const last =
      i < KERNEL - 1
        ? ' +'
        : ` + (${bias}) = ${sum.toFixed(2)} → ReLU → ${Math.max(0, sum).toFixed(2)}`
    return `${row}   ${products.join(' + ')}${last}`
  }).join('\n')
}

console.log(`The image, ${SIZE}×${SIZE}:\n${draw(image, SIZE)}\n`)
const ROW = 12
console.log(`The window slides along row ${ROW}; each place gives one number of the result:\n`)
for (const x of [2, 3, 4, 6, 7, 8]) console.log(`at column ${x}\n${drawWindow(ROW, x)}\n`)

const byLoops = convolve(kernel, bias)
console.log(`The result, ${OUT}×${OUT}, bright where the image becomes brighter to the right:`)
console.log(`${draw(byLoops, OUT)}\n`)

// ---- by the library ----

const x = tensor(image, { shape: [1, 1, SIZE, SIZE] }) // [images, channels, height, width]
const weight = new Parameter(tensor(kernel, { shape: [1, 1, KERNEL, KERNEL] })) // [out, in, height, width]
const offset = new Parameter(tensor([bias]))
const forward = (): Tensor => nn.relu(nn.conv2d(x, weight, offset)) // [1, 1, 26, 26]

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0)
const TOLERANCE = 1e-5
function compare(what: string, a: ArrayLike<number>, b: ArrayLike<number>): void {
  const difference = furthest(a, b)
  if (a.length !== b.length || !(difference <= TOLERANCE))
    throw new Error(`${what}: loops and library differ by ${difference}`)
  console.log(
    `${what}: loops and library are equal (${a.length} numbers, furthest ${difference.toExponential(1)})`,
  )
}
compare('conv2d and ReLU', byLoops, await forward().data())

// ---- one step of gradient descent ----

// The kernel shall learn to answer to what becomes brighter downwards: the same kernel, transposed, shows how.
const wanted = convolve(Float32Array.of(-1, -2, -1, 0, 0, 0, 1, 2, 1), bias)
const target = tensor(wanted, { shape: [1, 1, OUT, OUT] })
const lossOf = () => nn.mseLoss(forward(), target)

// By loops. The loss is the mean of (y − t)²; its derivative for the weight at (i, j) is a sum over all places of
// 2·(y − t)/N, where ReLU let something through, times the pixel that this weight was multiplied with there.
const gradient = new Float32Array(KERNEL * KERNEL)
for (let y = 0; y < OUT; y++)
  for (let xx = 0; xx < OUT; xx++) {
    const at = y * OUT + xx
    if (byLoops[at] <= 0) continue
    const back = (2 * (byLoops[at] - wanted[at])) / (OUT * OUT)
    for (let i = 0; i < KERNEL; i++)
      for (let j = 0; j < KERNEL; j++)
        gradient[i * KERNEL + j] += back * image[(y + i) * SIZE + (xx + j)]
  }
const [byLibrary] = grad(lossOf(), [weight])
compare('gradient of the kernel', gradient, await byLibrary.data())

const LR = 0.5
const optimizer = new SGD([weight, offset], { lr: LR })
const before = lossOf()
before.backward()
await optimizer.step()
const rows = (values: ArrayLike<number>) =>
  Array.from({ length: KERNEL }, (_, i) =>
    Array.from({ length: KERNEL }, (_, j) => values[i * KERNEL + j].toFixed(3).padStart(8)).join(
      '',
    ),
  )
const after = await weight.data()
compare(
  'kernel after the step',
  kernel.map((value, i) => value - LR * gradient[i]),
  after,
)
const columns = [rows(kernel), rows(gradient), rows(after)]
console.log(`\n  kernel                  − ${LR} ×  gradient            =  next kernel`)
for (let i = 0; i < KERNEL; i++) console.log(columns.map((column) => column[i]).join('   '))
console.log(
  `mean squared error ${(await before.item()).toFixed(4)} before the step, ${(await lossOf().item()).toFixed(4)} after it\n`,
)

// ---- what sizes cost ----

console.log('One kernel on a 28×28 image. Out: ⌊(28 − kernel) / stride⌋ + 1 a side.')
console.log('kernel  stride     output  parameters  multiply-adds')
for (const size of [1, 3, 5])
  for (const stride of [1, 2]) {
    const layer = new nn.Conv2d(1, 1, size, { stride })
    const [, , height, width] = layer.forward(x).shape
    const expected = Math.floor((SIZE - size) / stride) + 1
    if (height !== expected || width !== expected)
      throw new Error(`kernel ${size}, stride ${stride}: ${height}×${width}, expected ${expected}`)
    const parameters = layer
      .parameters()
      .reduce((sum, p) => sum + p.shape.reduce((a, b) => a * b, 1), 0)
    const multiplyAdds = height * width * size * size
    console.log(
      `${`${size}×${size}`.padStart(6)}${String(stride).padStart(8)}${`${height}×${width}`.padStart(11)}${String(parameters).padStart(12)}${multiplyAdds.toLocaleString('en-US').padStart(15)}`,
    )
  }
