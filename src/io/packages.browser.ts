// npm packages as a page sees them: nothing is installed, and the registry is npm's own. Chosen by the condition of
// `#packages` in package.json.
import type { Downloaded } from './download.js'
import { DEFAULT_REGISTRY } from './npmrc.js'
import type { Installed } from './packages.node.js'

export async function registryFor(_name: string): Promise<string> {
  return DEFAULT_REGISTRY
}

export async function installedFile(_name: string, _file: string): Promise<Installed | undefined> {
  return undefined
}

/** The content of a gzip file, piece by piece. */
export async function* unzipped(archive: Downloaded): AsyncGenerator<Uint8Array> {
  const packed = new Blob([(await archive.bytes()).slice()]).stream()
  const reader = packed.pipeThrough(new DecompressionStream('gzip')).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    yield value
  }
}
