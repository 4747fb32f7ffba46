// A page has no workers for loaders. Chosen by the condition of `#loader` in package.json.
import { fail } from '../base/errors.js'
import type { Port } from './team.node.js'

export const hasLoaderWorkers = false

export function spawnLoader(): Port {
  return fail('DataLoader: a page has no workers for loaders')
}

export type { Port }
