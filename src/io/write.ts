// Writing files in Node, each whole under its name or not there: beside its place, synced, then renamed.
import { fail } from '../base/errors.js'

/** A file to be written: its path and its content, in parts one after the other. */
export type PathParts = readonly [path: string, parts: readonly Uint8Array[]]

/**
 * Writes all files beside their places first, then renames all. A process that is killed meanwhile leaves files called
 * `.writing-…`, which nothing reads. Returns the paths.
 * @throws BurnishError naming `path` when one cannot be written.
 */
export async function writeFiles(
  path: string,
  files: readonly PathParts[],
): Promise<readonly string[]> {
  const fs = await import('node:fs/promises')
  const { basename, dirname, join } = await import('node:path')
  // A name of its own: two that write one file must not write into each other's.
  const own = crypto.randomUUID()
  const beside = (to: string) => join(dirname(to), `.writing-${own}-${basename(to)}`)
  try {
    for (const [to, parts] of files) {
      const file = await fs.open(beside(to), 'wx')
      try {
        for (const part of parts) await file.writeFile(part)
        await file.sync()
      } finally {
        await file.close()
      }
    }
    for (const [to] of files) await fs.rename(beside(to), to)
    return files.map(([to]) => to)
  } catch (error) {
    for (const [to] of files) await fs.rm(beside(to), { force: true }).catch(() => {})
    throw explained(error, path)
  }
}

const REASONS: { readonly [code: string]: string } = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'it may not be written',
  EPERM: 'it may not be written',
  ENOENT: 'its folder is not there',
  EEXIST: 'it is there already, or one of its folders is a file',
  ENOTDIR: 'one of its folders is a file',
  EISDIR: 'it is a folder',
}

/** Says what a failure to write `path` means to a user; errors of other kinds stay as they are. */
export function explained(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (REASONS[code] === undefined) return error
  try {
    return fail(
      `${path}: ${REASONS[code]} (${code}); nothing was overwritten, what was there before is whole`,
    )
  } catch (better) {
    return better
  }
}
