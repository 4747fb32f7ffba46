// What the commands share: the model and device by name, and the compiled training step with its figures.
import { fail } from '../base/errors.js'
import { defaultThreads, device } from '../devices/registry.js'
import { setDevice } from '../tensor/devices.js'
import { type KnownModel, models } from './models.js'
import { recording } from './recorder.js'

export interface MachineOptions {
  readonly device: string
  readonly threads?: number
}

export function modelNamed(name: string): KnownModel {
  return models[name] ?? fail(`no model ${name}; there are: ${Object.keys(models).join(', ')}`)
}

/** Starts the device, with a record of its programs, and makes it the one that everything runs on. */
export async function startDevice(
  options: MachineOptions,
  profile = false,
): Promise<ReturnType<typeof recording>> {
  const threads = options.threads ?? defaultThreads()
  const recorded = recording(await device(options.device, { threads }), profile)
  await setDevice(recorded.device)
  return recorded
}
