// Random numbers on the host, for shuffles and splits: xoshiro128** (Blackman and Vigna), seeded through
// murmur3's finalizer. Random tensors are not made here: they are computed on the device, from counters.

function finalize(word: number): number {
  let x = word | 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

const rotate = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits))

/** A stream of random numbers: the same (seed, stream) gives the same numbers everywhere. */
export class Random {
  readonly #state: Int32Array

  constructor(seed: number, stream = 0) {
    const high = Math.floor(seed / 2 ** 32)
    this.#state = Int32Array.from([1, 2, 3, 4], (i) =>
      finalize(finalize(finalize(seed + i * 0x9e3779b1) ^ high) + stream),
    )
    this.#state[0] |= 1 // xoshiro's state must not be all zero
  }

  /** A whole number in 0 … 2³² − 1. */
  word(): number {
    const s = this.#state
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9)
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotate(s[3], 11)
    return result >>> 0
  }

  /** A whole number in 0 … limit − 1 (limit ≤ 2³²), each equally likely. */
  below(limit: number): number {
    const fair = 2 ** 32 - (2 ** 32 % limit)
    let word = this.word()
    while (word >= fair) word = this.word()
    return word % limit
  }

  /** The numbers 0 … length − 1 in random order (Fisher and Yates). */
  permutation(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, i) => i)
    for (let i = length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const held = order[i]
      order[i] = order[j]
      order[j] = held
    }
    return order
  }
}
