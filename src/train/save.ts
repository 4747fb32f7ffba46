// A finished run on disk: model.safetensors and training.json, each written beside its place and renamed, so that a
// file under its name is always whole. Node only. To go on with a run, see checkpoint.ts.
import { fail } from '../base/errors.js'
import { encodeState } from '../io/state.js'
import { explained } from '../io/write.js'
import type { Module } from '../nn/module.js'
import { latestCheckpoint } from './checkpoint.js'
import { type FileSystem, nodeFiles, replaceFile } from './files.js'

const MODEL = 'model.safetensors'
const TRAINING = 'training.json'

/** Makes the folder; throws when it already holds a run, or checkpoints of one. */
export async function prepareRun(folder: string, given?: FileSystem): Promise<void> {
  const files = given ?? (await nodeFiles())
  try {
    await files.makeFolder(folder)
  } catch (error) {
    throw explained(error, folder)
  }
  const present: string[] = ((await files.list(folder)) ?? []).filter(
    (name) => name === MODEL || name === TRAINING,
  )
  const checkpoint = await latestCheckpoint(folder, { files })
  if (checkpoint !== undefined) present.push(checkpoint)
  if (present.length > 0)
    fail(
      `${folder} already holds a run (${present.join(', ')}): name another folder, or move it away`,
    )
}

/** The model's state under its PyTorch names, and `training` as JSON. */
export async function saveRun(
  folder: string,
  model: Module,
  training: object,
  given?: FileSystem,
): Promise<void> {
  const files = given ?? (await nodeFiles())
  await replaceFile(files, folder, MODEL, await encodeState(model.stateDict()))
  await replaceFile(files, folder, TRAINING, `${JSON.stringify(training, null, 2)}\n`)
}
