// A best-fit allocator over one growing range of addresses: free blocks are kept in address order and merged with
// their neighbours. It knows sizes and owners, not contents.
import { invariant } from '../../base/errors.js'

/** Every block begins and ends on a cache line. */
export const ALIGNMENT = 64

export interface Owner {
  readonly owner: string
  readonly bytes: number
  readonly blocks: number
}

export interface Heap {
  /** The address of a block, or undefined when none is large enough. */
  alloc(bytes: number, owner: string): number | undefined
  free(address: number): void
  /** More room at the end. */
  extend(end: number): void
  /** Bytes in use, and who has most of them. */
  inUse(): number
  largest(count: number): readonly Owner[]
}

export function createHeap(start: number, end: number): Heap {
  invariant(start % ALIGNMENT === 0 && end % ALIGNMENT === 0, () => `a heap at ${start} to ${end}`)
  // Free blocks in address order.
  const starts: number[] = end > start ? [start] : []
  const sizes: number[] = end > start ? [end - start] : []
  const used = new Map<number, { readonly bytes: number; readonly owner: string }>()
  let limit = end
  let total = 0

  /** The index of the first free block at or after an address. */
  const search = (address: number): number => {
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (starts[middle] < address) low = middle + 1
      else high = middle
    }
    return low
  }

  const release = (address: number, bytes: number) => {
    const i = search(address)
    const joinsLeft = i > 0 && starts[i - 1] + sizes[i - 1] === address
    const joinsRight = i < starts.length && address + bytes === starts[i]
    if (joinsLeft && joinsRight) {
      sizes[i - 1] += bytes + sizes[i]
      starts.splice(i, 1)
      sizes.splice(i, 1)
    } else if (joinsLeft) sizes[i - 1] += bytes
    else if (joinsRight) {
      starts[i] = address
      sizes[i] += bytes
    } else {
      starts.splice(i, 0, address)
      sizes.splice(i, 0, bytes)
    }
  }

  return {
    alloc(bytes, owner) {
      const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT)
      let best = -1
      for (let i = 0; i < sizes.length; i++)
        if (sizes[i] >= size && (best < 0 || sizes[i] < sizes[best])) {
          best = i
          if (sizes[i] === size) break
        }
      if (best < 0) return undefined
      const address = starts[best]
      if (sizes[best] === size) {
        starts.splice(best, 1)
        sizes.splice(best, 1)
      } else {
        starts[best] += size
        sizes[best] -= size
      }
      used.set(address, { bytes: size, owner })
      total += size
      return address
    },
    free(address) {
      const block = used.get(address)
      invariant(block !== undefined, () => `free of ${address}, which is not in use`)
      used.delete(address)
      total -= block.bytes
      release(address, block.bytes)
    },
    extend(to) {
      invariant(to >= limit && to % ALIGNMENT === 0, () => `a heap of ${limit} extended to ${to}`)
      if (to > limit) release(limit, to - limit)
      limit = to
    },
    inUse: () => total,
    largest(count) {
      const owners = new Map<string, Owner>()
      for (const { owner, bytes } of used.values()) {
        const so = owners.get(owner) ?? { owner, bytes: 0, blocks: 0 }
        owners.set(owner, { owner, bytes: so.bytes + bytes, blocks: so.blocks + 1 })
      }
      return [...owners.values()].sort((a, b) => b.bytes - a.bytes).slice(0, count)
    },
  }
}
