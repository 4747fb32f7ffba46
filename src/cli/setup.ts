// What the commands share: the model and device by name, and the compiled training step with its figures.
import { fail } from '../base/errors.js'
import { defaultThreads, device } from '../devices/registry.js'
import { setDevice } from '../tensor/devices.js'
import { type KnownModel, models } from './models.js'
import { recording } from './recorder.js'

export interface MachineOptions {
  readonly device: string
  readonly threads?: number
  readonly tier: 'auto' | 'wasm' | 'native'
}

/** Milliseconds a program's first run waits for the C tier before it settles for WebAssembly. */
const DECIDE_WITHIN = 3000

export function modelNamed(name: string): KnownModel {
  return models[name] ?? fail(`no model ${name}; there are: ${Object.keys(models).join(', ')}`)
}

/** Runs `use` with a device that records its programs, and ends its workers afterwards. */
export async function onDevice(
  options: MachineOptions,
  profile: boolean,
  use: (recorded: ReturnType<typeof recording>) => Promise<void>,
): Promise<void> {
  const threads = options.threads ?? defaultThreads()
  const recorded = recording(
    await device(options.device, { threads, tier: options.tier, decideWithin: DECIDE_WITHIN }),
    profile,
  )
  await setDevice(recorded.device)
  try {
    await use(recorded)
  } finally {
    await recorded.device.close()
  }
}
