// `burnish explain`: the compiled training step on one screen: its kernels in order, the layers they belong
// to, bytes moved, time and speed. A kernel is one parallel region between two barriers.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { crossEntropy } from '../nn/functional.js'
import { compile } from '../tensor/compile.js'
import { tensor } from '../tensor/create.js'
import { manualSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { median } from '../train/profile.js'
import type { KnownModel } from './models.js'
import { optimizers } from './optimizers.js'
import { figuresOf, type Recorded, trainingStep } from './recorder.js'
import { type MachineOptions, modelNamed, onDevice } from './setup.js'
import { count, size } from './values.js'

export interface ExplainOptions extends MachineOptions {
  readonly batchSize?: number
  readonly json: boolean
}

const WARM_UP = 10
const RUNS = 50

export interface KernelRow {
  readonly kernel: number
  readonly layer: string
  readonly what: string
  readonly bytes: number
  readonly flops: number
  readonly microseconds: number
  readonly parallel: boolean
}

/** One row a kernel; independent steps of one region share its time. */
export function kernelRows({ program, regions }: Recorded): KernelRow[] {
  const measured = regions.slice(Math.min(WARM_UP, regions.length - 1))
  return program.regions.map(({ steps }, i) => ({
    kernel: i + 1,
    layer: [...new Set(steps.map((step) => step.label).filter((label) => label !== ''))].join(', '),
    what: steps.map((step) => step.what).join('; '),
    bytes: steps.reduce((sum, step) => sum + step.bytes, 0),
    flops: steps.reduce((sum, step) => sum + step.flops, 0),
    microseconds: median(measured.map((times) => times[i] * 1000)),
    parallel: steps.some((step) => step.parallel),
  }))
}

export function explainTable(rows: readonly KernelRow[], columns: number): string {
  const total = rows.reduce(
    (sum, row) => ({
      bytes: sum.bytes + row.bytes,
      flops: sum.flops + row.flops,
      microseconds: sum.microseconds + row.microseconds,
    }),
    { bytes: 0, flops: 0, microseconds: 0 },
  )
  const speed = (flops: number, microseconds: number) =>
    microseconds > 0 ? (flops / microseconds / 1e3).toFixed(1) : '-'
  const layerWidth = Math.min(20, Math.max(5, ...rows.map((row) => row.layer.length)))
  const figures = (bytes: number, microseconds: number, flops: number) =>
    `${size(bytes).padStart(9)}${microseconds.toFixed(0).padStart(8)}${speed(flops, microseconds).padStart(9)}`
  const rest = Math.max(20, columns - layerWidth - 33)
  const shorten = (text: string, width: number) =>
    (text.length > width ? `${text.slice(0, width - 1)}…` : text).padEnd(width)
  const heading = `  #  ${shorten('layer', layerWidth)} ${shorten('what', rest)}${'bytes'.padStart(9)}${'µs'.padStart(8)}${'GFLOP/s'.padStart(9)}`
  const lines = rows.map(
    (row) =>
      `${String(row.kernel).padStart(3)}${row.parallel ? '  ' : ' ·'}${shorten(row.layer, layerWidth)} ${shorten(row.what, rest)}${figures(row.bytes, row.microseconds, row.flops)}`,
  )
  const last = `     ${shorten('all', layerWidth)} ${shorten(`${rows.length} kernels, ${count(total.flops / 1e6)} MFLOP`, rest)}${figures(total.bytes, total.microseconds, total.flops)}`
  return [heading, ...lines, last, '· runs on one thread'].join('\n')
}

export async function explain(
  name: string,
  options: ExplainOptions,
  signal: AbortSignal,
): Promise<void> {
  const known = modelNamed(name)
  const batchSize = options.batchSize ?? known.recipe.batchSize
  await onDevice(options, true, async ({ device, programs }) => {
    if (device.accepts === 'graph')
      fail(
        `explain: device ${device.name} interprets graphs, it has no kernels to show: use --device cpu`,
      )
    await runSteps(known, batchSize, signal)
    const recorded = trainingStep(programs) ?? fail('explain: the step compiled to no program')
    const rows = kernelRows(recorded)
    const step = figuresOf(recorded)
    const arena = recorded.program.arenaBytes
    const { name, threads } = device
    if (options.json)
      process.stdout.write(
        `${JSON.stringify({ model: known.name, batch_size: batchSize, device: name, threads, arena_bytes: arena, step, kernels: rows })}\n`,
      )
    else
      process.stdout.write(
        `one training step of ${known.name}, batch ${batchSize}, ${known.recipe.optimizer}, on ${name} (${step.machine}) with ${threads} thread${threads === 1 ? '' : 's'}: ${step.milliseconds.toFixed(2)} ms (median of ${RUNS}), ${size(arena)} of intermediates\n\n${explainTable(rows, process.stdout.columns ?? 120)}\n`,
      )
  })
}

/** Enough training steps on made-up images for a median. */
async function runSteps(known: KnownModel, batchSize: number, signal: AbortSignal): Promise<void> {
  manualSeed(0)
  const model = known.make()
  const optimizer = optimizers[known.recipe.optimizer](model.parameters(), known.recipe)
  const step = compile((images: Tensor, labels: Tensor) => {
    optimizer.zeroGrad()
    const loss = crossEntropy(model.forward(images), labels)
    loss.backward()
    optimizer.step({ guard: loss })
    return { loss }
  })
  const shape = [batchSize, ...known.input]
  const pixels = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i))
  const labels = Int32Array.from({ length: batchSize }, (_, i) => i % known.classes)
  for (let i = 0; i < WARM_UP + RUNS; i++) {
    signal.throwIfAborted()
    await step(tensor(pixels, { shape }), tensor(labels)).loss.item()
  }
}
