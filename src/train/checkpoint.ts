// Checkpoints: all that a run needs to go on as if it had never stopped, bit for bit.
//
// A run's folder holds them in `checkpoints/`, one folder each, named by number, epoch and step:
//
//     checkpoints/00007-epoch-2-step-1200/
//       model.safetensors       parameters and running statistics, by PyTorch's names
//       optimizer.safetensors   the optimizer's tensors
//       average.safetensors     the averaged weights, where there are any
//       callbacks.safetensors   tensors of callbacks, where there are any
//       checkpoint.json         format, version, where the run is, numbers of optimizer and schedule, the random
//                               generator, the loader's position, the tier, and size and SHA-256 of the others
//
// A checkpoint is written into a folder beside its place (`.writing-…`), every file synced, and renamed: a name
// without a dot in front is always a whole one, whatever moment the process was killed at. One is removed by renaming
// it to `.removing-…` first. The next save clears what such an end left behind. One process writes to a run at a time.
import { BurnishError, fail } from '../base/errors.js'
import type { DataLoader, LoaderState } from '../data/loader.js'
import { decodeState, encodeState } from '../io/state.js'
import type { HostTensor } from '../io/values.js'
import { explained } from '../io/write.js'
import type { Module } from '../nn/module.js'
import type { ExponentialMovingAverage } from '../optim/average.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { OptimizerValues } from '../optim/state.js'
import { context } from '../tensor/context.js'
import { tensor } from '../tensor/create.js'
import { currentDevice } from '../tensor/devices.js'
import type { Parameter } from '../tensor/parameter.js'
import { type FileSystem, joinPath, nodeFiles, writeFile } from './files.js'
import type { Json } from './json.js'
import {
  CHECKPOINTS,
  clear,
  INDEX,
  indexText,
  list,
  numberOf,
  REMOVING,
  readIndex,
  readWhole,
  type State,
  sha256,
  WRITING,
} from './stored.js'
import { compareTiers, tierOf } from './tier.js'

const DEFAULT_KEPT = 3

/** What has a state of plain values: schedules. */
export interface Resumable<State = never> {
  stateDict(): object
  loadStateDict(state: State): void
}

/** Whose state a checkpoint holds. The loader gives its position and seed. */
export interface Trained {
  readonly model: Module
  readonly optimizer?: Optimizer
  readonly scheduler?: Resumable
  readonly average?: ExponentialMovingAverage
  readonly loader?: Pick<DataLoader<never>, 'stateDict' | 'loadStateDict'>
}

/** A measurement that decides which checkpoint is the best. */
export interface Score {
  /** Such as `validation loss`. */
  readonly name: string
  readonly value: number
  readonly better: 'lower' | 'higher'
}

/** Where a run is. */
export interface Progress {
  /** Optimizer steps done. */
  readonly step: number
  /** The epoch that this step belongs to, from 1. */
  readonly epoch: number
  /** By it the best checkpoint is kept besides the last ones. */
  readonly score?: Score
  /** Anything else a program wants back: plain JSON. */
  readonly extra?: Json
  /** Overrides the loader's own position, which may be ahead of what was trained on. */
  readonly loader?: LoaderState
  /** Further tensors, by name. */
  readonly tensors?: { readonly [name: string]: Parameter }
}

export interface CheckpointOptions {
  /** How many of the last checkpoints stay (3 by default); the best stays besides. */
  readonly keep?: number
  /** By default Node's. */
  readonly files?: FileSystem
}

/** What `loadCheckpoint` tells of a checkpoint. */
export interface Checkpoint extends Omit<Progress, 'tensors'> {
  readonly path: string
  /** The tier it was computed on, such as `cpu wasm-relaxed`: bits are the same on the same tier only. */
  readonly tier: string
  /** False: the current device chooses its tier when it first runs, so nothing was said of a difference. */
  readonly tierKnown: boolean
  /** The name of the run's best checkpoint when this one was saved. */
  readonly best: string | undefined
  readonly tensors: { readonly [name: string]: HostTensor }
}

/**
 * Saves a checkpoint of a run and returns its path. Call it between two steps and await it: it reads the values that
 * are current when it is called. Older ones are removed, except the last `keep` and the best by `score`.
 * @throws BurnishError when it cannot be written (a full disk, no permission); earlier checkpoints are whole then.
 */
export async function saveCheckpoint(
  folder: string,
  trained: Trained,
  progress: Progress,
  options: CheckpointOptions = {},
): Promise<string> {
  const { keep = DEFAULT_KEPT } = options
  if (!Number.isInteger(keep) || keep < 1)
    fail(`saveCheckpoint: keep is ${keep}, but must be a whole number from 1`)
  const optimizer = trained.optimizer?.stateDict()
  const values = {
    generator: { ...context.generator },
    optimizer: asJson(optimizer?.values),
    scheduler: asJson(trained.scheduler?.stateDict()),
    loader: asJson(progress.loader ?? trained.loader?.stateDict()),
  }
  const average = trained.average?.stateDict()
  const contents = await Promise.all([
    file('model', trained.model.stateDict()),
    file('optimizer', optimizer?.tensors),
    file('average', average),
    file('callbacks', progress.tensors),
  ])
  const tier = tierOf(await currentDevice())
  const { step, epoch, score, extra } = progress
  const files = options.files ?? (await nodeFiles())
  const root = joinPath(folder, CHECKPOINTS)
  try {
    await files.makeFolder(root)
    await clear(files, root)
    const present = await list(files, folder)
    const last = present.at(-1)
    const number = last === undefined ? 1 : numberOf(last) + 1
    const name = `${String(number).padStart(5, '0')}-epoch-${epoch}-step-${step}`
    const best = await bestOf(files, root, present, name, score)
    const written = contents.filter((content) => content !== undefined)
    const state: State = {
      step,
      epoch,
      tier,
      ...values,
      score: asJson(score),
      best: best ?? null,
      extra: extra ?? null,
      files: Object.fromEntries(
        await Promise.all(
          written.map(async ({ name: own, bytes }) => [
            own,
            { bytes: bytes.length, sha256: await sha256(bytes) },
          ]),
        ),
      ),
    }
    const beside = joinPath(root, `${WRITING}${name}`)
    await files.makeFolder(beside)
    for (const { name: own, bytes } of written) await writeFile(files, joinPath(beside, own), bytes)
    await writeFile(files, joinPath(beside, INDEX), await indexText(state))
    await files.syncFolder(beside)
    await files.rename(beside, joinPath(root, name))
    await files.syncFolder(root)
    await removeOld(files, root, [...present, name], keep, best)
    return joinPath(root, name)
  } catch (error) {
    throw explained(error, root)
  }
}

/**
 * Puts everything a checkpoint holds into `trained`, made as it was made when the checkpoint was saved, and sets the
 * random generator. Warns where the current device is of another tier than the one it was computed on.
 * @throws BurnishError when a file is missing, damaged or of another version, and when something does not fit (shapes,
 * names, kinds of optimizer or schedule, another data set); then nothing was changed.
 */
export async function loadCheckpoint(
  path: string,
  trained: Trained,
  options: Pick<CheckpointOptions, 'files'> = {},
): Promise<Checkpoint> {
  const files = options.files ?? (await nodeFiles())
  const { state, contents } = await readWhole(files, path)
  const values = (name: string) => {
    const bytes = contents.get(`${name}.safetensors`)
    return bytes && decodeState(bytes, joinPath(path, `${name}.safetensors`))
  }
  const model = values('model') ?? fail(`${path}: holds no model`)
  const tensors = { optimizer: values('optimizer'), average: values('average') }
  apply(path, trained, { state, model, ...tensors })
  context.generator.seed = state.generator.seed
  context.generator.counter = state.generator.counter
  const tierKnown = compareTiers(path, state.tier, await currentDevice())
  return {
    path,
    step: state.step,
    epoch: state.epoch,
    tier: state.tier,
    tierKnown,
    best: typeof state.best === 'string' ? state.best : undefined,
    score: (state.score ?? undefined) as Score | undefined,
    extra: state.extra,
    loader: (state.loader ?? undefined) as LoaderState | undefined,
    tensors: values('callbacks') ?? {},
  }
}

/** The newest whole checkpoint of a run's folder; undefined when it has none. Does not look inside of it. */
export async function latestCheckpoint(
  folder: string,
  options: Pick<CheckpointOptions, 'files'> = {},
): Promise<string | undefined> {
  const files = options.files ?? (await nodeFiles())
  const name = (await list(files, folder)).at(-1)
  return name === undefined ? undefined : joinPath(joinPath(folder, CHECKPOINTS), name)
}

/** The whole checkpoint that was saved before another one of the same run. */
export async function previousCheckpoint(
  path: string,
  options: Pick<CheckpointOptions, 'files'> = {},
): Promise<string | undefined> {
  const files = options.files ?? (await nodeFiles())
  const [folder, , name] = /^(.*?)\/?(checkpoints)\/([^/]+)\/*$/.exec(path)?.slice(1) ?? []
  if (name === undefined || Number.isNaN(numberOf(name))) return undefined
  const names = await list(files, folder || '.')
  const before = names.filter((other) => numberOf(other) < numberOf(name)).at(-1)
  return before && joinPath(joinPath(folder || '.', CHECKPOINTS), before)
}

/** The checkpoint with the best score, by what the newest says; undefined when none has a score. */
export async function bestCheckpoint(
  folder: string,
  options: Pick<CheckpointOptions, 'files'> = {},
): Promise<string | undefined> {
  const files = options.files ?? (await nodeFiles())
  const latest = await latestCheckpoint(folder, { files })
  if (latest === undefined) return undefined
  const { best } = await readIndex(files, latest)
  return typeof best === 'string' ? joinPath(joinPath(folder, CHECKPOINTS), best) : undefined
}

// ---- writing ----

/** Undefined becomes null; class instances and functions have no place here. */
const asJson = (value: object | undefined): Json => (value === undefined ? null : (value as Json))

async function file(name: string, state: { readonly [name: string]: Parameter } | undefined) {
  if (state === undefined) return undefined
  return { name: `${name}.safetensors`, bytes: await encodeState(state) }
}

/** The best so far: the new one when its score is better than that of the best before. */
async function bestOf(
  files: FileSystem,
  root: string,
  present: readonly string[],
  name: string,
  score: Score | undefined,
): Promise<string | undefined> {
  let best: string | undefined
  for (const other of [...present].reverse()) {
    // A damaged one is not a reason to stop saving.
    const index = await readIndex(files, joinPath(root, other)).catch(() => undefined)
    if (index === undefined) continue
    best = typeof index.best === 'string' && present.includes(index.best) ? index.best : undefined
    break
  }
  if (score === undefined || Number.isNaN(score.value)) return best
  if (best === undefined) return name
  const index = await readIndex(files, joinPath(root, best)).catch(() => undefined)
  const before = (index?.score ?? undefined) as Score | undefined
  if (before === undefined || before.name !== score.name) return name
  const better = score.better === 'lower' ? score.value < before.value : score.value > before.value
  return better ? name : best
}

async function removeOld(
  files: FileSystem,
  root: string,
  names: readonly string[],
  keep: number,
  best: string | undefined,
): Promise<void> {
  for (const name of names.slice(0, -keep)) {
    if (name === best) continue
    const aside = joinPath(root, `${REMOVING}${name}`)
    await files.rename(joinPath(root, name), aside)
    await files.remove(aside)
  }
}

// ---- loading ----

interface Content {
  readonly state: State
  readonly model: { readonly [name: string]: HostTensor }
  readonly optimizer: { readonly [name: string]: HostTensor } | undefined
  readonly average: { readonly [name: string]: HostTensor } | undefined
}

/** All or nothing: what was loaded before something did not fit is put back. */
function apply(path: string, trained: Trained, content: Content): void {
  const { state } = content
  const undo: (() => void)[] = []
  try {
    const { optimizer, scheduler, average, loader, model } = trained
    if (optimizer !== undefined) {
      if (state.optimizer === null || content.optimizer === undefined)
        throw fail('it was saved without an optimizer')
      const before = optimizer.stateDict()
      const values = structuredClone(before.values)
      undo.push(() => optimizer.loadStateDict({ tensors: before.tensors, values }))
      optimizer.loadStateDict({
        tensors: content.optimizer,
        values: state.optimizer as unknown as OptimizerValues,
      })
    }
    if (scheduler !== undefined) {
      if (state.scheduler === null) fail('it was saved without a schedule')
      const before = scheduler.stateDict()
      undo.push(() => scheduler.loadStateDict(before as never))
      scheduler.loadStateDict(state.scheduler as never)
    }
    if (loader !== undefined) {
      if (state.loader === null) fail('it was saved without the position of a loader')
      const before = loader.stateDict()
      undo.push(() => loader.loadStateDict(before))
      loader.loadStateDict(state.loader as unknown as LoaderState)
    }
    if (average !== undefined) {
      if (content.average === undefined) throw fail('it was saved without averaged weights')
      checkShapes(content.average, average.stateDict())
    }
    model.loadStateDict(content.model)
    if (average !== undefined && content.average !== undefined)
      average.loadStateDict(
        Object.fromEntries(
          Object.entries(content.average).map(([name, { data, shape, dtype }]) => [
            name,
            tensor(data, { shape, dtype }),
          ]),
        ),
      )
  } catch (error) {
    for (const act of undo.reverse()) act()
    if (error instanceof BurnishError)
      throw new BurnishError(`${path} does not fit this run: ${error.message}; nothing was loaded`)
    throw error
  }
}

function checkShapes(
  values: { readonly [name: string]: HostTensor },
  own: { readonly [name: string]: Parameter },
): void {
  const shapes = (of: { readonly [name: string]: { readonly shape: readonly number[] } }) =>
    Object.entries(of)
      .map(([name, { shape }]) => `${name} [${shape.join(', ')}]`)
      .sort()
      .join('; ')
  if (shapes(values) !== shapes(own))
    fail(`the averaged weights are ${shapes(values)}, of this run ${shapes(own)}`)
}
