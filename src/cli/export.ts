// `burnish export`: a run's model, or a network of the zoo with weights from a file, as an ONNX file that other
// runtimes read.
import { existsSync } from 'node:fs'
import { fail } from '../base/errors.js'
import { loadState } from '../io/load.js'
import { exportOnnx } from '../io/onnx/export.js'
import { writeFiles } from '../io/write.js'
import { create, type Facts, list, Seq2SeqTransformer } from '../models/index.js'
import type { AnyModule } from '../nn/module.js'
import { zeros } from '../tensor/create.js'
import { suggestion } from './nearest.js'
import { openRun } from './run.js'
import { size } from './values.js'

export interface ExportOptions {
  /** A file for a network of the zoo, of any format that loadState reads. */
  readonly weights?: string
  /** Where the state dict is in a PyTorch checkpoint. */
  readonly key?: string
  /** A prefix taken off the names of the weights. */
  readonly strip?: string
  /** The shape of one input; default: the network's own. */
  readonly input?: readonly number[]
  readonly numClasses?: number
  /** Whether the batch is 1 in the file. */
  readonly fixedBatch: boolean
  readonly json: boolean
}

interface Opened {
  readonly model: AnyModule
  readonly name: string
  /** Of one input. */
  readonly shape: readonly number[]
  readonly words: boolean
  readonly classes?: readonly string[]
}

export async function exportModel(
  what: string,
  out: string,
  options: ExportOptions,
): Promise<void> {
  const { model, name, shape, words, classes } = existsSync(what)
    ? await ofRun(what, options)
    : await ofZoo(what, options)
  const example = zeros([1, ...shapeOf(options.input, shape)], {
    dtype: words ? 'int32' : 'float32',
  })
  let fixed: string | undefined
  const bytes = await exportOnnx(
    model,
    model instanceof Seq2SeqTransformer ? [example, example] : example,
    {
      name,
      ...(options.fixedBatch ? { dynamicBatch: false } : {}),
      ...(classes ? { metadata: { classes: JSON.stringify(classes) } } : {}),
      onFixedBatch: (reason) => {
        fixed = reason
      },
    },
  )
  await writeFiles(out, [[out, [bytes]]])
  const batch = options.fixedBatch || fixed !== undefined ? 'fixed' : 'any'
  if (options.json) {
    const line = { event: 'export', model: name, file: out, bytes: bytes.length, batch, fixed }
    process.stdout.write(`${JSON.stringify(line)}\n`)
    return
  }
  const input = [batch === 'any' ? 'batch' : '1', ...example.shape.slice(1)].join('×')
  process.stdout.write(`${out}: ${name}, input ${input}, opset 17, ${size(bytes.length)}\n`)
  if (fixed !== undefined) process.stdout.write(`${fixed}\n`)
}

async function ofRun(folder: string, options: ExportOptions): Promise<Opened> {
  const { weights, numClasses, key, strip } = options
  if ([weights, numClasses, key, strip].some((option) => option !== undefined))
    fail(
      `export: --weights, --key, --strip and --num-classes are for networks of the zoo; ${folder} has its own`,
    )
  const { known, dataset, model } = await openRun(folder, undefined)
  return { model, name: known.name, shape: known.input, words: false, classes: dataset.classes }
}

async function ofZoo(name: string, options: ExportOptions): Promise<Opened> {
  const { weights, numClasses, key, strip } = options
  if (weights === undefined && (key !== undefined || strip !== undefined))
    fail('export: --key and --strip say how --weights is read; give --weights too')
  const known = list()
  const facts: (Facts & { readonly name: string }) | undefined = known.find(
    (one) => one.name === name,
  )
  if (facts === undefined) {
    const names = known.map((one) => one.name)
    throw fail(
      `export: ${name} is neither a run's folder nor a network: see burnish models${suggestion(name, names)}`,
    )
  }
  const made: AnyModule = create(
    // The list has the zoo's own names.
    facts.name as Parameters<typeof create>[0],
    numClasses === undefined ? undefined : { numClasses },
  )
  if (weights === undefined)
    process.stderr.write(`export: without --weights, ${name} has the values it begins with\n`)
  else
    made.loadStateDict(
      await loadState(weights, {
        ...(key === undefined ? {} : { key }),
        ...(strip === undefined ? {} : { strip }),
      }),
    )
  return { model: made, name, shape: facts.input, words: facts.kind === 'text' }
}

function shapeOf(given: readonly number[] | undefined, own: readonly number[]): readonly number[] {
  if (given === undefined) return own
  if (given.length !== own.length)
    fail(`export: --input ${given} must be ${own.length} sizes, such as ${own}`)
  return given
}
