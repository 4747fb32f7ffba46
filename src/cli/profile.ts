// `burnish profile`: where the time of a training step goes: kernels and layers, as shares of what this machine can
// reach, and a trace for Perfetto.
import { writeFileSync } from 'node:fs'
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { device } from '../devices/registry.js'
import { create, list, Seq2SeqTransformer } from '../models/index.js'
import { crossEntropy } from '../nn/functional.js'
import type { AnyModule } from '../nn/module.js'
import { SGD } from '../optim/index.js'
import { compile } from '../tensor/compile.js'
import { tensor } from '../tensor/create.js'
import { manualSeed } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { type Ceilings, measureCeilings } from '../train/ceilings.js'
import {
  type Cost,
  type KernelCost,
  type LayerCost,
  type Profile,
  profileOf,
  shareOfCeiling,
  watchRuns,
} from '../train/profile.js'
import { suggestion } from './nearest.js'
import { type MachineOptions, onDevice } from './setup.js'
import { count, size } from './values.js'

export interface ProfileOptions extends MachineOptions {
  /** Sizes of one input, without the batch. */
  readonly input?: readonly number[]
  readonly batchSize?: number
  readonly steps: number
  readonly inference: boolean
  readonly top: number
  readonly trace?: string
  readonly json: boolean
}

const BATCH = 8
/** Steps before those that are timed, and milliseconds: engines compile what runs often once more. */
const LEAST_WARM_UP = 3
const MOST_WARM_UP = 50
const WARM = 500
const CLASSES = 10
/** Words of a text model, when it says nothing else. */
const WORDS = 256

const sum = (costs: readonly Cost[]): Cost => ({
  flops: costs.reduce((total, { flops }) => total + flops, 0),
  bytes: costs.reduce((total, { bytes }) => total + bytes, 0),
  milliseconds: costs.reduce((total, { milliseconds }) => total + milliseconds, 0),
})

/** The two tables: layers, costliest first, and the costliest kernels. */
function profileTables(profile: Profile, top: number, columns: number): string {
  const all = sum(profile.kernels)
  const { ceilings } = profile
  const nameWidth = Math.max(24, columns - 47)
  const shorten = (text: string) =>
    (text.length > nameWidth ? `${text.slice(0, nameWidth - 1)}…` : text).padEnd(nameWidth)
  const heading = (what: string) =>
    `${shorten(what)}${'ms'.padStart(9)}${'share'.padStart(8)}${'GFLOP/s'.padStart(9)}${'GB/s'.padStart(8)}  of ceiling`
  const rate = (work: number, milliseconds: number) =>
    milliseconds > 0 ? (work / milliseconds / 1e6).toFixed(1) : '-'
  const ofCeiling = (cost: Cost) => {
    if (ceilings === undefined || cost.milliseconds === 0) return '          -'
    const { share, limit } = shareOfCeiling(cost, ceilings)
    return `${(share * 100).toFixed(0).padStart(6)} % ${limit === 'memory' ? 'mem' : 'fma'}`
  }
  const line = (what: string, cost: Cost) =>
    `${shorten(what)}${cost.milliseconds.toFixed(3).padStart(9)}${`${((cost.milliseconds / all.milliseconds) * 100).toFixed(1)} %`.padStart(8)}${rate(cost.flops, cost.milliseconds).padStart(9)}${rate(cost.bytes, cost.milliseconds).padStart(8)} ${ofCeiling(cost)}`
  const kernels = [...profile.kernels].sort((a, b) => b.milliseconds - a.milliseconds)
  const rest = (costs: readonly Cost[], what: string) =>
    costs.length > top ? [line(`${costs.length - top} other ${what}`, sum(costs.slice(top)))] : []
  const layerLine = (cost: LayerCost) =>
    line(`${cost.layer} (${cost.kernels} kernel${cost.kernels === 1 ? '' : 's'})`, cost)
  const kernelLine = (cost: KernelCost) => line(`${cost.kernel}. ${cost.layer}: ${cost.what}`, cost)
  return [
    heading('layer'),
    ...profile.layers.slice(0, top).map(layerLine),
    ...rest(profile.layers, 'layers'),
    line('all', all),
    '',
    heading('kernel'),
    ...kernels.slice(0, top).map(kernelLine),
    ...rest(kernels, 'kernels'),
  ].join('\n')
}

/** What is said above the tables. */
function profileHeading(what: string, profile: Profile): string {
  const { flops } = sum(profile.kernels)
  const { ceilings, milliseconds, waiting, threads, runs, machine } = profile
  const lines = [
    `${what} on ${machine} with ${threads} thread${threads === 1 ? '' : 's'}: ${milliseconds.toFixed(2)} ms (median of ${runs}), ${count(flops / 1e6)} MFLOP, ${(flops / milliseconds / 1e6).toFixed(1)} GFLOP/s`,
  ]
  if (threads > 1)
    lines.push(
      `threads wait for each other ${waiting.toFixed(2)} ms of it, ${((waiting / milliseconds) * 100).toFixed(0)} %`,
    )
  if (ceilings !== undefined)
    lines.push(
      `ceilings of this machine: ${ceilings.gigaflops.toFixed(1)} GFLOP/s of multiply-adds (fma), ${ceilings.gigabytes.toFixed(1)} GB/s of memory (mem)`,
    )
  return lines.join('\n')
}

export async function profile(
  name: string,
  options: ProfileOptions,
  signal: AbortSignal,
): Promise<void> {
  const known = list()
  const facts = known.find((model) => model.name === name)
  if (facts === undefined) {
    const names = known.map((model) => model.name)
    return fail(`no model ${name}${suggestion(name, names)}; burnish profile --help lists them`)
  }
  const { batchSize = BATCH, steps, inference, trace } = options
  const shape = [batchSize, ...(options.input ?? facts.input)]
  await onDevice(options, true, async (recorded) => {
    const { accepts, name: where, threads } = recorded.device
    if (accepts === 'graph')
      fail(
        `profile: device ${where} interprets graphs, it has no kernels to time: use --device cpu`,
      )
    manualSeed(0)
    const step = stepOf(create(facts.name) as AnyModule, inference)
    const input = made(shape, facts.kind === 'text')
    const once = async () => {
      signal.throwIfAborted()
      for (const result of step(input)) await result.data()
    }
    const began = performance.now()
    for (
      let i = 0;
      i < MOST_WARM_UP && (i < LEAST_WARM_UP || performance.now() - began < WARM);
      i++
    )
      await once()
    const watch = watchRuns()
    for (let i = 0; i < steps; i++) await once()
    watch.stop()
    const runs = watch.runs()[0] ?? fail('profile: the step compiled to no program')
    const measured = profileOf(runs, await ceilingsOf(runs.program.machine.name, threads))
    if (trace !== undefined) writeFileSync(trace, `${JSON.stringify(measured.trace)}\n`)
    const kind = inference ? 'inference' : 'training step'
    if (options.json) {
      const { trace: _, ...figures } = measured
      const facts = { model: name, kind: inference ? 'inference' : 'training', input: shape }
      process.stdout.write(`${JSON.stringify({ ...facts, ...figures })}\n`)
      return
    }
    const arena = size(runs.program.arenaBytes)
    const what = `one ${kind} of ${name}, input [${shape.join(', ')}], ${arena} of intermediates,`
    process.stdout.write(
      `${profileHeading(what, measured)}\n\n${profileTables(measured, options.top, process.stdout.columns ?? 120)}\n`,
    )
    if (trace !== undefined)
      process.stdout.write(`\n${trace}: open it at https://ui.perfetto.dev or chrome://tracing\n`)
  })
}

/** On a device of its own, of the tier that computed: with `auto` that was decided program by program. */
async function ceilingsOf(machine: string, threads: number): Promise<Ceilings | undefined> {
  const tier = machine === 'native' ? 'native' : 'wasm'
  const own = await device('cpu', { threads, tier })
  try {
    return await measureCeilings(own)
  } finally {
    await own.close()
  }
}

/** Tensors anywhere in what a network gives: some give several. */
function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(tensorsIn) : []
}

/**
 * Forward alone, or a training step: SGD with momentum on the mean cross entropy of class i mod 10 in row i; of
 * networks that give no rows of logits, on the mean square of what they give.
 */
function stepOf(model: AnyModule, inference: boolean): (input: Tensor) => readonly Tensor[] {
  // A model of two sequences reads the same one twice.
  const forward = (input: Tensor) =>
    model instanceof Seq2SeqTransformer ? model.forward(input, input) : model.forward(input)
  if (inference) {
    model.eval()
    return compile((input: Tensor) => tensorsIn(forward(input)))
  }
  const optimizer = new SGD(model.parameters(), { lr: 1e-4, momentum: 0.9 })
  const lossOf = (output: Tensor): Tensor => {
    if (output.shape.length !== 2) return output.square().mean()
    const [rows, classes] = output.shape
    const labels = Int32Array.from({ length: rows }, (_, i) => i % Math.min(CLASSES, classes))
    return crossEntropy(output, tensor(labels))
  }
  return compile((input: Tensor) => {
    optimizer.zeroGrad()
    const losses = tensorsIn(forward(input)).map(lossOf)
    const loss = losses.reduce((total, part) => total.add(part))
    loss.backward()
    optimizer.step()
    return [loss]
  })
}

/** Made-up pixels or words. */
function made(shape: readonly number[], words: boolean): Tensor {
  const length = sizeOf(shape)
  return words
    ? tensor(
        Int32Array.from({ length }, (_, i) => (i * 7) % WORDS),
        { shape },
      )
    : tensor(
        Float32Array.from({ length }, (_, i) => Math.sin(i)),
        { shape },
      )
}
