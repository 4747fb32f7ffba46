// What a download must be: the hashes that are asked for, and whether a content has them.
import { fail } from '../base/errors.js'
import { hexOfIntegrity } from './bytes.js'
import type { Algorithm, Content, Kept } from './place.js'

/** The hashes that a caller may give; see DownloadOptions. */
export interface Hashes {
  /** 64 hexadecimal digits. */
  readonly sha256?: string
  /** 128 hexadecimal digits, or `sha512-` and base64 as npm's lock files have it. */
  readonly sha512?: string
  /** The content's name as a Git blob, 40 hexadecimal digits: SHA-1 of `blob SIZE\0` and the content. */
  readonly gitSha1?: string
}

/** A hash that a content must have. */
export interface Wanted {
  readonly word: string
  readonly algorithm: Algorithm
  readonly hex: string
  /** What the content is kept under. */
  readonly key: string
}

const GIT = 'Git blob name'

/** @throws BurnishError naming `here` when one is no hash. */
export function wantedOf({ sha256, sha512, gitSha1 }: Hashes, here: string): readonly Wanted[] {
  const wanted: Wanted[] = []
  const add = (word: string, algorithm: Algorithm, kind: string, digits: number, hex?: string) => {
    if (hex === undefined) return
    const lower = hex.toLowerCase()
    if (lower.length !== digits || !/^[0-9a-f]+$/.test(lower))
      fail(`${here}: ${JSON.stringify(hex)} is no ${word}, which has ${digits} hexadecimal digits`)
    wanted.push({ word, algorithm, hex: lower, key: `${kind}-${lower}` })
  }
  add('SHA-256', 'sha256', 'sha256', 64, sha256)
  add('SHA-512', 'sha512', 'sha512', 128, sha512 && (hexOfIntegrity(sha512) ?? sha512))
  add(GIT, 'sha1', 'git', 40, gitSha1)
  return wanted
}

/** How a content is not what is wanted. */
export async function difference(
  content: Content,
  wanted: readonly Wanted[],
): Promise<string | undefined> {
  for (const { word, algorithm, hex } of wanted) {
    const prefix = word === GIT ? new TextEncoder().encode(`blob ${content.size}\0`) : undefined
    const found = await content.digest(algorithm, prefix)
    if (found !== hex) return `its ${word} is ${found}, not ${hex}`
  }
  return undefined
}

/** Whether the cache still holds what was put there. */
export async function isIntact(
  kept: Kept,
  wanted: readonly Wanted[],
  size: number | undefined,
): Promise<boolean> {
  if (size !== undefined && kept.size !== size) return false
  if (wanted.length > 0) return (await difference(kept, wanted)) === undefined
  const sum = kept.note?.sha256
  return sum !== undefined && (await kept.digest('sha256')) === sum
}
