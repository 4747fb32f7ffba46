// A run's folder: `recipe.yaml`, what it was told, complete, so that it can be resumed, repeated and used;
// `checkpoints/` while it learns; `model.safetensors` and `training.json` when it has ended.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fail } from '../base/errors.js'
import { decodeState } from '../io/state.js'
import type { Module } from '../nn/module.js'
import { nodeFiles, replaceFile } from '../train/files.js'
import { latestCheckpoint } from '../train/index.js'
import { prepareRun } from '../train/save.js'
import { datasetNamed, type KnownDataset, type Scaling } from './datasets.js'
import type { Settings } from './fields.js'
import type { KnownModel } from './models.js'
import { loadRecipe, writeRecipe } from './recipe.js'
import { modelNamed } from './setup.js'

const RECIPE = 'recipe.yaml'
const MODEL = 'model.safetensors'
const TRAINING = 'training.json'

/** Makes the folder of a new run and leaves its recipe there. Throws when there is a run already. */
export async function beginRun(folder: string, settings: Settings): Promise<void> {
  if (existsSync(join(folder, RECIPE)) && !isFinished(folder))
    fail(
      `${folder} already holds a run that has not ended: go on with it by --resume ${shellWord(folder)}, or name another folder`,
    )
  await prepareRun(folder)
  const { out, ...kept } = settings
  const comment = `Repeat this run by: burnish train --recipe ${shellWord(join(folder, RECIPE))} --out ANOTHER`
  await replaceFile(await nodeFiles(), folder, RECIPE, writeRecipe(kept, comment))
}

/** The settings of a run. Throws when the folder is none. */
export async function settingsOf(folder: string): Promise<Settings> {
  if (!existsSync(folder))
    fail(`${folder}: there is no such folder; a run is what train --out made`)
  const file = join(folder, RECIPE)
  if (!existsSync(file))
    fail(`${folder}: holds no ${RECIPE}; a run is a folder that \`burnish train --out\` made`)
  return loadRecipe(file)
}

export function isFinished(folder: string): boolean {
  return existsSync(join(folder, TRAINING))
}

export interface TrainedRun {
  readonly known: KnownModel
  readonly dataset: KnownDataset
  readonly scaling: Scaling
  readonly settings: Settings
  readonly model: Module
  /** The file its weights come from. */
  readonly file: string
}

/** A run's model with its weights: those it ended with, or of its newest checkpoint. `data` replaces its data set. */
export async function openRun(folder: string, data: string | undefined): Promise<TrainedRun> {
  const settings = await settingsOf(folder)
  const known = modelNamed(settings.model ?? fail(`${folder}: its ${RECIPE} names no model`))
  const dataset = datasetNamed(
    data ?? settings.data ?? fail(`${folder}: its ${RECIPE} names no data: use --data`),
  )
  const { mean = dataset.scaling.mean, std = dataset.scaling.std } = settings
  const file = await weightsOf(folder)
  const model = known.make()
  model.loadStateDict(decodeState(await readFile(file), file))
  model.eval()
  return { known, dataset, scaling: { mean, std }, settings, model, file }
}

async function weightsOf(folder: string): Promise<string> {
  if (existsSync(join(folder, MODEL))) return join(folder, MODEL)
  const checkpoint = await latestCheckpoint(folder)
  return checkpoint === undefined
    ? fail(
        `${folder}: has no ${MODEL} and no checkpoint yet: train on by --resume ${shellWord(folder)}`,
      )
    : join(checkpoint, MODEL)
}

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
