// The device's one WebAssembly.Memory: it starts small and grows when the heap is full, up to a maximum that the
// platform accepts. Views are made anew for each use: a growing memory leaves old views short.
import { OutOfMemoryError } from '../../base/errors.js'
import { RESERVED } from '../../targets/wasm/addresses.js'
import { ALIGNMENT, createHeap } from './heap.js'

const PAGE = 65536
const GB = 2 ** 30
/** Tried in this order: some platforms refuse to reserve 4 GB. The last page is left out of the heap. */
const MAXIMA = [4 * GB, 2 * GB, GB]
/** Growing has a price, so it is done in steps of at least this, and of a quarter of the memory. */
const STEP = 16 * 2 ** 20

export interface CpuMemory {
  readonly memory: WebAssembly.Memory
  readonly maximum: number
  /** The address, or undefined when memory is exhausted. */
  alloc(bytes: number, owner: string): number | undefined
  free(address: number): void
  /** The error for a request that cannot be met. */
  exhausted(bytes: number): OutOfMemoryError
  bytes(address: number, length: number): Uint8Array
  words(address: number, length: number): Int32Array
  doubles(address: number, length: number): Float64Array
}

function create(shared: boolean, wanted: number): { memory: WebAssembly.Memory; maximum: number } {
  const maxima = [...new Set(MAXIMA.map((m) => Math.min(m, wanted)))]
  let last: unknown
  for (const maximum of maxima) {
    const pages = { initial: Math.min(RESERVED + STEP, maximum) / PAGE, maximum: maximum / PAGE }
    try {
      return { memory: new WebAssembly.Memory(shared ? { ...pages, shared } : pages), maximum }
    } catch (error) {
      last = error
    }
  }
  throw last
}

function megabytes(bytes: number): string {
  const size = bytes / 2 ** 20
  return `${size < 10 ? size.toFixed(1) : Math.round(size).toLocaleString('en')} MB`
}

export function createMemory(shared: boolean, maximumMemory: number = 4 * GB): CpuMemory {
  const wanted = Math.max(2 * RESERVED, Math.floor(maximumMemory / PAGE) * PAGE)
  const { memory, maximum } = create(shared, wanted)
  // Addresses stay below 2³² − one page, so that 32-bit arithmetic at an end does not wrap.
  const limit = Math.min(maximum, 4 * GB - PAGE)
  const size = () => Math.min(memory.buffer.byteLength, limit)
  const heap = createHeap(RESERVED, size())

  /** Enough for `bytes` at the end of memory; false when there is no such room. */
  const grow = (bytes: number): boolean => {
    const now = size()
    const least = Math.ceil((bytes + ALIGNMENT) / PAGE) * PAGE
    const room = Math.floor((maximum - now) / PAGE) * PAGE
    for (const by of [Math.max(least, STEP, Math.floor(now / 4 / PAGE) * PAGE), least]) {
      if (by > room) continue
      try {
        memory.grow(by / PAGE)
      } catch {
        continue
      }
      heap.extend(size())
      return true
    }
    return false
  }

  return {
    memory,
    maximum,
    alloc(bytes, owner) {
      return heap.alloc(bytes, owner) ?? (grow(bytes) ? heap.alloc(bytes, owner) : undefined)
    },
    free: heap.free,
    exhausted(bytes) {
      const owners = heap
        .largest(5)
        .map((o) => `${o.owner} ${megabytes(o.bytes)}${o.blocks > 1 ? ` in ${o.blocks}` : ''}`)
      return new OutOfMemoryError(
        `cpu: no room for ${megabytes(bytes)}: ${megabytes(heap.inUse())} of ${megabytes(maximum)} are in use; the largest: ${owners.join(', ')}. Use a smaller batch, drop tensors you keep, or raise maximumMemory`,
      )
    },
    bytes: (address, length) => new Uint8Array(memory.buffer, address, length),
    words: (address, length) => new Int32Array(memory.buffer, address, length),
    doubles: (address, length) => new Float64Array(memory.buffer, address, length),
  }
}
