// What the sweeps measure: matrix products [m, k] × [k, n], and the 23 distinct convolutions of ResNet-50 (He et al. 2015,
// table 1, with the stride in the 3×3 convolution, as torchvision has it) on 8 images of 224×224.

export const products = [
  ...[64, 128, 256, 512, 1024].map((n) => ({ m: n, n, k: n })),
  { m: 1024, n: 256, k: 1024 },
  { m: 4096, n: 64, k: 64 },
  { m: 64, n: 4096, k: 256 },
  { m: 512, n: 16, k: 2048 },
  { m: 8, n: 4096, k: 4096 },
]

const BATCH = 8
/** [channels in, out, kernel, stride, pixels a side of the input] */
const layers = [
  [3, 64, 7, 2, 224],
  [64, 64, 1, 1, 56],
  [64, 64, 3, 1, 56],
  [64, 256, 1, 1, 56],
  [256, 64, 1, 1, 56],
  [256, 128, 1, 1, 56],
  [128, 128, 3, 2, 56],
  [128, 512, 1, 1, 28],
  [256, 512, 1, 2, 56],
  [512, 128, 1, 1, 28],
  [128, 128, 3, 1, 28],
  [512, 256, 1, 1, 28],
  [256, 256, 3, 2, 28],
  [256, 1024, 1, 1, 14],
  [512, 1024, 1, 2, 28],
  [1024, 256, 1, 1, 14],
  [256, 256, 3, 1, 14],
  [1024, 512, 1, 1, 14],
  [512, 512, 3, 2, 14],
  [512, 2048, 1, 1, 7],
  [1024, 2048, 1, 2, 14],
  [2048, 512, 1, 1, 7],
  [512, 512, 3, 1, 7],
]

export const convolutions = layers.map(([channels, filters, kernel, stride, size]) => {
  const out = Math.ceil(size / stride)
  return {
    name: `${kernel}×${kernel} ${channels}→${filters}, ${size}×${size}${stride > 1 ? `, stride ${stride}` : ''}`,
    x: [BATCH, channels, size, size],
    w: [filters, channels, kernel, kernel],
    y: [BATCH, filters, out, out],
    stride,
    padding: (kernel - 1) / 2,
    flops: 2 * BATCH * filters * out * out * channels * kernel * kernel,
  }
})
