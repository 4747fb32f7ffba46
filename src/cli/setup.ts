// What the commands share: models by name, the device with its figures, where reports go.
import { fail } from '../base/errors.js'
import { defaultThreads, device } from '../devices/registry.js'
import { setDevice } from '../tensor/devices.js'
import type { Tier } from './fields.js'
import { type KnownModel, models } from './models.js'
import { suggestion } from './nearest.js'
import { recording } from './recorder.js'

export interface MachineOptions {
  readonly device?: string
  readonly threads?: number
  readonly tier?: Tier
}

/** Milliseconds a program's first run waits for the C tier before it settles for WebAssembly. */
const DECIDE_WITHIN = 3000

export function modelNamed(name: string): KnownModel {
  if (Object.hasOwn(models, name)) return models[name]
  const known = Object.keys(models)
  return fail(
    `no model ${name}; there are: ${known.join(', ')}${suggestion(name, known)}; other networks of burnish models are trained in a program, by fit of burnish/train`,
  )
}

/** Runs `use` with a device that records its programs, and ends its workers afterwards. */
export async function onDevice(
  options: MachineOptions,
  profile: boolean,
  use: (recorded: ReturnType<typeof recording>) => Promise<void>,
): Promise<void> {
  const { device: name = 'cpu', threads = defaultThreads(), tier = 'auto' } = options
  const recorded = recording(
    await device(name, { threads, tier, decideWithin: DECIDE_WITHIN }),
    profile,
  )
  await setDevice(recorded.device)
  try {
    await use(recorded)
  } finally {
    await recorded.device.close()
  }
}

/** Whether pictures and bars are drawn in 24-bit colour. */
export function hasColour(output: typeof process.stdout): boolean {
  return output.isTTY === true && !process.env.NO_COLOR && output.getColorDepth() > 8
}
