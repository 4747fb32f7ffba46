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
  // Those placed, by offset: where each begins and ends, and when it lives.
  const count = lives.length
  const starts = new Float64Array(count)
  const ends = new Float64Array(count)
  const firsts = new Int32Array(count)
  const lasts = new Int32Array(count)
  let total = 0
  for (let placed = 0; placed < count; placed++) {
    const i = order[placed]
    const { bytes, first, last } = lives[i]
    let at = 0
    let k = 0
    for (; k < placed; k++) {
      if (firsts[k] > last || lasts[k] < first) continue
      if (at + bytes <= starts[k]) break
      if (ends[k] > at) at = ends[k]
    }
    offsets[i] = at
    const end = align(at + bytes)
    let to = k
    while (to > 0 && starts[to - 1] > at) to--
    while (to < placed && starts[to] <= at) to++
    for (const list of [starts, ends, firsts, lasts]) list.copyWithin(to + 1, to, placed)
    starts[to] = at
    ends[to] = end
    firsts[to] = first
    lasts[to] = last
    total = Math.max(total, end)
  }
  return { offsets, bytes: total }
}

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN
}
