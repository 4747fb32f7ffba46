// A finished run on disk: model.safetensors and training.json, each written beside its place and renamed, so
// that a file under its name is always whole. Node only. Checkpoints to resume from are not this.
import { fail } from '../base/errors.js'
import { encodeState } from '../io/state.js'
import type { Module } from '../nn/module.js'

const MODEL = 'model.safetensors'
const TRAINING = 'training.json'

/** Makes the folder; throws when it already holds a run. */
export async function prepareRun(folder: string): Promise<void> {
  const { mkdir, readdir } = await import('node:fs/promises')
  await mkdir(folder, { recursive: true })
  const present = (await readdir(folder)).filter((name) => name === MODEL || name === TRAINING)
  if (present.length > 0)
    fail(
      `${folder} already holds a run (${present.join(', ')}): name another folder, or move it away`,
    )
}

/** The model's state under its PyTorch names, and `training` as JSON. */
export async function saveRun(folder: string, model: Module, training: object): Promise<void> {
  await writeWhole(folder, MODEL, await encodeState(model.stateDict()))
  await writeWhole(folder, TRAINING, `${JSON.stringify(training, null, 2)}\n`)
}

async function writeWhole(folder: string, name: string, content: Uint8Array | string) {
  const { open, rename } = await import('node:fs/promises')
  const { join } = await import('node:path')
  const beside = join(folder, `.${name}.${process.pid}`)
  const file = await open(beside, 'w')
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(beside, join(folder, name))
}
