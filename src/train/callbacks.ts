// Callbacks that come along: early stopping, and a log of the epochs.
import { fail } from '../base/errors.js'
import type { Module } from '../nn/module.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Callback, type EpochEvent, type Monitor, measurementOf } from './events.js'
import { type FileSystem, joinPath, nodeFiles, replaceFile } from './files.js'
import type { Json } from './json.js'

export interface EarlyStoppingOptions extends Monitor {
  /** Epochs without improvement that are let pass; 5 by default. */
  readonly patience?: number
  /** Improvements up to this do not count; 0 by default. */
  readonly minDelta?: number
  /** Ends with the weights of the best epoch, not those of the last; true by default. */
  readonly restoreBest?: boolean
}

/**
 * Ends a run when a measurement has not improved for `patience` epochs. After the run the model has the weights of its
 * best epoch. Works across interruptions: what it remembers is in the checkpoints.
 */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  const { patience = 5, minDelta = 0, restoreBest = true } = options
  if (!Number.isInteger(patience) || patience < 0)
    fail(`earlyStopping: patience is ${patience}, but must be a whole number from 0`)
  if (!(minDelta >= 0)) fail(`earlyStopping: minDelta is ${minDelta}, but must be a number from 0`)
  let best: number | null = null
  let waited = 0
  let kept: { readonly [name: string]: Parameter } = {}

  return {
    onEpochEnd(event, run) {
      const measured = measurementOf(event, options)
      if (measured === undefined)
        throw fail(`earlyStopping: ${options.name ?? 'loss'} is none of the metrics of this run`)
      const { value, better } = measured
      const gain = best === null ? Infinity : better === 'lower' ? best - value : value - best
      if (gain > minDelta && !Number.isNaN(value)) {
        best = value
        waited = 0
        if (restoreBest) kept = copyOf(run.model)
      } else if (++waited > patience) run.stop()
    },
    onEnd({ model }) {
      if (restoreBest && best !== null) model.loadStateDict(kept)
    },
    stateDict: () => ({ values: { best, waited }, tensors: kept }),
    loadStateDict({ values, tensors }) {
      const saved = values as { readonly best: number | null; readonly waited: number }
      best = saved.best
      waited = saved.waited
      kept = parametersOf(tensors)
    },
  }
}

/** The model's state as it is now. */
function copyOf(model: Module): { readonly [name: string]: Parameter } {
  return parametersOf(model.stateDict())
}

function parametersOf(tensors: { readonly [name: string]: Tensor }): {
  readonly [name: string]: Parameter
} {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, value]) => [name, new Parameter(value, { role: 'state' })]),
  )
}

/**
 * Writes the history as a table that grows by a line an epoch: `log.csv`, or JSON lines (`log.jsonl`). The file is whole
 * at every moment. A new run wants a path without a file; a resumed one goes on with the lines up to its checkpoint.
 */
export function historyLog(path: string, options: { readonly files?: FileSystem } = {}): Callback {
  const kind = /\.(csv|jsonl)$/.exec(path)?.[1]
  if (kind === undefined)
    throw fail(`historyLog: ${path} ends neither in .csv nor in .jsonl: the end says the format`)
  const at = path.lastIndexOf('/')
  const folder = at < 0 ? '.' : path.slice(0, at) || '/'
  const name = path.slice(at + 1)
  const table = kind === 'csv' ? csv : jsonLines

  return {
    async onStart({ resumed }) {
      const files = options.files ?? (await nodeFiles())
      await files.makeFolder(folder)
      if (!resumed && (await files.list(folder))?.includes(name))
        fail(`historyLog: ${joinPath(folder, name)} is there already: name another file`)
    },
    async onEpochEnd(_, { history }) {
      const files = options.files ?? (await nodeFiles())
      await replaceFile(files, folder, name, table(history.map(lineOf)))
    },
  }
}

function lineOf({ epoch, train, validation, seconds }: EpochEvent): { [name: string]: number } {
  const named = (prefix: string, values: { readonly [name: string]: number }) =>
    Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, value] as const)
  return {
    epoch,
    ...Object.fromEntries([...named('train', train), ...named('validation', validation)]),
    seconds,
  }
}

function csv(lines: readonly { readonly [name: string]: number }[]): string {
  const columns = Object.keys(lines[0])
  const quoted = columns.map((name) =>
    /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name,
  )
  const rows = lines.map((line) => columns.map((name) => line[name] ?? '').join())
  return `${[quoted.join(), ...rows].join('\n')}\n`
}

/** A value that is not finite is null. */
const jsonLines = (lines: readonly Json[]) =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('')
