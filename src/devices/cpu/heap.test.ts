// The allocator against a plain model: blocks never overlap, and everything freed merges to one block again.
import { expect, test } from 'vitest'
import { noise } from '../../../test/programs.js'
import { ALIGNMENT, createHeap } from './heap.js'

test('random allocations never overlap and merge when freed', () => {
  const heap = createHeap(ALIGNMENT, ALIGNMENT + 65536)
  const live: { at: number; bytes: number }[] = []
  let refused = 0
  for (const x of noise(5000)) {
    if (x < -0.2 && live.length > 0) {
      const [block] = live.splice(Math.floor(Math.abs(x) * live.length), 1)
      heap.free(block.at)
      continue
    }
    const bytes = 1 + Math.floor(Math.abs(x) * 4000)
    const at = heap.alloc(bytes, 'test')
    if (at === undefined) {
      refused++
      const [block] = live.splice(0, 1)
      heap.free(block.at)
      continue
    }
    expect(at % ALIGNMENT).toBe(0)
    expect(at >= ALIGNMENT && at + bytes <= ALIGNMENT + 65536).toBe(true)
    expect(live.every((b) => at + bytes <= b.at || b.at + b.bytes <= at)).toBe(true)
    live.push({ at, bytes })
  }
  expect(refused).toBeGreaterThan(10)
  for (const { at } of live) heap.free(at)
  expect(heap.inUse()).toBe(0)
  expect(heap.alloc(65536, 'all of it')).toBe(ALIGNMENT)
})

test('the best fit is taken, the end grows, and owners are known', () => {
  const heap = createHeap(0, 1024)
  const a = heap.alloc(256, 'weights')
  const b = heap.alloc(64, 'bias')
  heap.alloc(64, 'other')
  if (a === undefined || b === undefined) throw new Error('no room')
  heap.free(a)
  expect(heap.alloc(128, 'x')).toBe(0)
  heap.free(b)
  expect(heap.alloc(1024, 'large')).toBeUndefined()
  heap.extend(4096)
  expect(heap.alloc(1024, 'large')).toBe(384)
  expect(heap.largest(2).map(({ owner }) => owner)).toEqual(['large', 'x'])
  expect(() => heap.free(7)).toThrow('internal: free of 7')
})
