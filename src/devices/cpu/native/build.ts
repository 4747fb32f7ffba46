// C → shared object: in parallel files when there is much of it, through the cache.
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type CCode, cSource } from '../../../targets/c.js'
import { type Cache, hashOf } from './cache.js'
import { command } from './command.js'
import type { Toolchain } from './toolchain.js'

/** Characters of kernels that are worth a file, and a compiler, of their own: about half a second. */
const FILE_SIZE = 60_000

/** The key of files compiled with this toolchain. */
export function keyOf(toolchain: Toolchain, files: readonly string[]): string {
  return hashOf(toolchain.identity, ...files)
}

/** Runs the compiler: as many at once as there are threads, the others wait. */
export type Compile = (args: readonly string[], folder: string) => Promise<void>

export function createCompile({ flags }: Toolchain): Compile {
  let free = availableParallelism()
  const waiting: (() => void)[] = []
  return async (args, folder) => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      await command('cc', [...flags, ...args], folder)
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}

/** Makes the object of some files of C, and puts it in the cache; its path. */
export async function build(
  compile: Compile,
  cache: Cache,
  key: string,
  files: readonly string[],
): Promise<string> {
  return cache.add(key, async (path, folder) => {
    const names = files.map((_, i) => `part${i}.c`)
    await Promise.all(files.map((text, i) => writeFile(join(folder, names[i]), text)))
    const link = ['-shared', '-o', path, '-pthread', '-lm']
    if (files.length === 1) {
      await compile([...names, ...link], folder)
      return
    }
    await Promise.all(names.map((name) => compile(['-c', name], folder)))
    await compile([...names.map((name) => name.replace(/c$/, 'o')), ...link], folder)
  })
}

/** The files of a program: the driver's, and kernels shared out so that all are about as long. */
export function filesOf(code: CCode): readonly string[] {
  const total = code.kernels.reduce((sum, { text }) => sum + text.length, 0)
  const count = Math.ceil(total / FILE_SIZE)
  if (count <= 1) return [cSource(code)]
  const parts = Array.from({ length: count }, () => ({ length: 0, texts: [] as string[] }))
  for (const { text } of [...code.kernels].sort((a, b) => b.text.length - a.text.length)) {
    const part = parts.reduce((least, p) => (p.length < least.length ? p : least))
    part.texts.push(text)
    part.length += text.length
  }
  const declarations = code.kernels.map(({ declaration }) => declaration)
  return [
    [code.prelude, ...declarations, code.driver].join('\n'),
    ...parts.map(({ texts }) => [code.prelude, ...texts].join('\n')),
  ]
}
