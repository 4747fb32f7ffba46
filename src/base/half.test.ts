// Every float16 and bfloat16 there is, to and from numbers, and the rounding between two neighbours.
import { describe, expect, it } from 'vitest'
import {
  bfloat16Bits,
  bfloat16Value,
  float16Bits,
  float16Value,
  roundBfloat16,
  roundFloat16,
} from './half.js'

describe.each([
  ['float16', float16Bits, float16Value, roundFloat16, 0x7c00],
  ['bfloat16', bfloat16Bits, bfloat16Value, roundBfloat16, 0x7f80],
] as const)('%s', (_, bitsOf, numberOf, round, infinity) => {
  it('comes back from all its bits', () => {
    const wrong: number[] = []
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = numberOf(bits)
      const back = Number.isNaN(value) ? bits : bitsOf(value)
      if (back !== bits || (!Number.isNaN(value) && !Object.is(round(value), value)))
        wrong.push(bits)
      if (Number.isNaN(value) !== (bits & 0x7fff) > infinity) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('rounds to the nearest, halves to even', () => {
    const wrong: number[] = []
    for (let bits = 0; bits + 1 < infinity; bits++) {
      const [low, high] = [numberOf(bits), numberOf(bits + 1)]
      const middle = (low + high) / 2
      if (bitsOf(middle) !== (bits % 2 === 0 ? bits : bits + 1)) wrong.push(bits)
      if (bitsOf(-(low + (high - low) * 0.25)) !== (bits | 0x8000)) wrong.push(bits)
      if (bitsOf(low + (high - low) * 0.75) !== bits + 1) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('knows the ends', () => {
    expect(bitsOf(Infinity)).toBe(infinity)
    expect(bitsOf(-Infinity)).toBe(infinity | 0x8000)
    expect(bitsOf(1e39)).toBe(infinity)
    expect(numberOf(bitsOf(Number.NaN))).toBeNaN()
    expect(Object.is(numberOf(bitsOf(-0)), -0)).toBe(true)
  })
})

it('float16 overflows from 65520 on', () => {
  expect(roundFloat16(65519.99)).toBe(65504)
  expect(roundFloat16(65520)).toBe(Infinity)
})
