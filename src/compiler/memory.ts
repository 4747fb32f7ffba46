// The arena: every intermediate gets a byte range that no other uses while it lives.
//
// Largest first, each at the lowest offset that is free during its life (greedy by size; Pisarchyk and Lee,
// 2020, found it within a few per cent of optimal on network graphs).

export interface Life {
  readonly bytes: number
  /** The regions from the one that writes it to the last that reads it. */
  readonly first: number
  readonly last: number
}

export interface MemoryPlan {
  /** Byte offset of each, in the order given. */
  readonly offsets: readonly number[]
  readonly bytes: number
}

const ALIGN = 64

export function planMemory(lives: readonly Life[]): MemoryPlan {
  const offsets = new Array<number>(lives.length).fill(0)
  const order = lives.map((_, i) => i).sort((i, j) => lives[j].bytes - lives[i].bytes || i - j)
  const placed: number[] = []
  let total = 0
  for (const i of order) {
    const life = lives[i]
    const rivals = placed
      .filter((j) => lives[j].first <= life.last && life.first <= lives[j].last)
      .sort((j, k) => offsets[j] - offsets[k])
    let at = 0
    for (const j of rivals) {
      if (at + life.bytes <= offsets[j]) break
      at = Math.max(at, align(offsets[j] + lives[j].bytes))
    }
    offsets[i] = at
    placed.push(i)
    total = Math.max(total, align(at + life.bytes))
  }
  return { offsets, bytes: total }
}

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN
}
