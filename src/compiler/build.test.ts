// Affine arithmetic against its meaning on numbers, bounds, and the checks of `call`.
import { describe, expect, test } from 'vitest'
import * as b from './build.js'
import type { Affine, Variable } from './kernel.js'

const names = b.createNames()
const [x, y, z] = ['x', 'y', 'z'].map((name) => names.variable(name))
const values = new Map<Variable, number>([
  [x, 3],
  [y, -7],
  [z, 11],
])
const valueAt = (a: Affine) => b.evaluateAffine(a, (v) => values.get(v) ?? Number.NaN)

describe('affine', () => {
  const p = b.sumAffine(b.ofVariable(z, 2), b.ofVariable(x, -1, 4))
  const q = b.addAffine(b.ofVariable(y, 5, -2), b.ofVariable(x))

  test('sums, scales and shifts are those of the values', () => {
    expect(valueAt(p)).toBe(23)
    expect(valueAt(q)).toBe(-34)
    expect(valueAt(b.addAffine(p, q, -3))).toBe(23 + 3 * 34)
    expect(valueAt(b.scaleAffine(p, -2))).toBe(-46)
    expect(valueAt(b.shiftAffine(q, 9))).toBe(-25)
  })

  test('terms ascend and none is zero', () => {
    const sum = b.addAffine(p, q)
    expect(sum.terms.map(([v, c]) => [v.name, c])).toEqual([
      ['y', 5],
      ['z', 2],
    ])
    expect(b.sameAffine(sum, b.addAffine(q, p))).toBe(true)
    expect(b.affineKey(b.addAffine(sum, sum, -1))).toBe(b.affineKey(b.zero))
    expect(b.scaleAffine(p, 0).terms).toEqual([])
  })

  test('substitution', () => {
    const replaced = b.substitute(p, z, b.addAffine(b.ofVariable(x, 4), b.ofVariable(y)))
    expect(valueAt(replaced)).toBe(2 * (4 * 3 - 7) - 3 + 4)
    expect(b.substitute(p, y, q)).toBe(p)
  })
})

test('bounds merge constants and drop repetitions', () => {
  const third = b.quotient(b.ofVariable(x), 3)
  expect(b.bound('from', 0, 2, third, third)).toEqual([b.quotient(b.constant(2)), third])
  expect(b.constantBound(b.bound('to', 9, b.quotient(b.constant(-7), 2)), 'to')).toBe(-4)
  expect(b.constantBound([third], 'to')).toBeUndefined()
  expect(b.quotientUp(b.constant(7), 3)).toEqual(b.quotient(b.constant(3)))
})

describe('expressions', () => {
  const f = b.load('float32', 0, b.zero, { lanes: 4 })

  test('scalars beside vectors are splatted, comparisons give bool', () => {
    const less = b.call('lt', f, b.num('f32', 2))
    expect([less.type, less.lanes]).toEqual(['bool', 4])
    const chosen = b.call('select', less, b.load('float32', 1, b.zero), b.num('f32', 0))
    expect([chosen.type, chosen.lanes]).toEqual(['f32', 4])
    expect(b.splat(b.load('float32', 1, b.zero), 4)).toMatchObject({ op: 'load', stride: 0 })
  })

  test('types that do not fit are internal errors', () => {
    expect(() => b.call('add', f, b.num('i32', 1))).toThrow('internal: add(f32x4, i32x1)')
    expect(() => b.call('sqrt', b.num('i32', 1))).toThrow('internal: sqrt')
    expect(() => b.call('shl', b.num('i32', 1), b.num('i32', 1, 4))).toThrow('internal: shl')
    expect(() => b.call('not', f)).toThrow('internal: not')
    expect(() => b.set(names.local('f32', 1), f)).toThrow('internal: set f32x1 to f32x4')
    expect(() => b.store(0, b.zero, f, { stride: 0 })).toThrow('internal:')
  })
})
