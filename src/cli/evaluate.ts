// `burnish evaluate`: a saved run on test images: loss, accuracy, each class, and what is confused most.
import { Subset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import { confusion, evaluate as measure } from '../train/index.js'
import { table } from './inspect.js'
import { openRun } from './run.js'
import { type MachineOptions, onDevice } from './setup.js'
import { count, percent } from './values.js'

export interface EvaluateOptions extends MachineOptions {
  readonly data?: string
  readonly limit?: number
  readonly json: boolean
}

const BATCH = 500
const MOST_CONFUSED = 5

export async function evaluate(
  folder: string,
  options: EvaluateOptions,
  signal: AbortSignal,
): Promise<void> {
  const { known, dataset, scaling, model, file } = await openRun(folder, options.data)
  const all = await dataset.load(false, scaling)
  const { limit = all.length } = options
  const indices = Array.from({ length: Math.min(limit, all.length) }, (_, i) => i)
  const images = new Subset(all, indices)
  const batches = new DataLoader(images, { batchSize: BATCH, signal })
  await onDevice(options, false, async () => {
    const { loss, accuracy } = await measure(model, batches, { signal })
    const { counts, precision, recall } = await confusion(model, batches, { signal })
    const { classes } = dataset
    const confused = counts
      .flatMap((row, is) => row.map((times, said) => ({ is, said, times })))
      .filter(({ is, said, times }) => is !== said && times > 0)
      .sort((a, b) => b.times - a.times)
    if (options.json) {
      const line = {
        ...{ event: 'evaluate', run: folder, weights: file, data: dataset.name },
        ...{ samples: images.length, test_loss: loss, test_accuracy: accuracy },
        confusion: counts,
      }
      process.stdout.write(`${JSON.stringify(line)}\n`)
      return
    }
    const share = (value: number) => (Number.isNaN(value) ? '-' : percent(value, 1))
    const rows = counts.map((row, i) => [
      classes[i],
      count(row.reduce((sum, times) => sum + times, 0)),
      share(recall[i]),
      share(precision[i]),
    ])
    const lines = [
      `${known.name} of ${file} on ${dataset.name}: ${count(images.length)} test images`,
      `test loss ${loss.toFixed(4)}, test accuracy ${percent(accuracy)}`,
      '',
      table([['class', 'images', 'found', 'right when said'], ...rows], 1),
      ...(confused.length > 0 ? ['', 'confused most:'] : []),
      ...confused
        .slice(0, MOST_CONFUSED)
        .map(({ is, said, times }) => `  ${classes[is]} read as ${classes[said]}: ${count(times)}`),
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
  })
}
