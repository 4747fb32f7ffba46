// The matrices of F(2×2, 3×3), each as what it makes of one column of registers. Applied to the columns, then to the
// rows, they give G g Gᵀ of the weights, Bᵀ d B of a tile of the image, and Aᵀ m A of the products.
import { call, num } from './build.js'
import type { Builder } from './builder.js'
import type { Expr } from './kernel.js'

export const four = [0, 1, 2, 3] as const

/** G column: [g0, (g0 + g1 + g2) / 2, (g0 − g1 + g2) / 2, g2]. */
export function weightsOf(b: Builder, [g0, g1, g2]: readonly Expr[]): Expr[] {
  const half = num('f32', 0.5)
  const ends = b.here(call('add', g0, g2))
  const sum = b.here(call('mul', call('add', ends, g1), half))
  const difference = b.here(call('mul', call('sub', ends, g1), half))
  return [g0, sum, difference, g2]
}

/** Bᵀ column: [d0 − d2, d1 + d2, d2 − d1, d1 − d3]. */
export function imageOf(b: Builder, [d0, d1, d2, d3]: readonly Expr[]): Expr[] {
  return [
    b.here(call('sub', d0, d2)),
    b.here(call('add', d1, d2)),
    b.here(call('sub', d2, d1)),
    b.here(call('sub', d1, d3)),
  ]
}

/** Aᵀ column: [m0 + m1 + m2, m1 − m2 − m3]. */
export function pixelsOf(b: Builder, [m0, m1, m2, m3]: readonly Expr[]): Expr[] {
  const first = call('add', call('add', m0, m1), m2)
  return [b.here(first), b.here(call('sub', call('sub', m1, m2), m3))]
}

export function turned<T>(rows: readonly (readonly T[])[]): T[][] {
  return rows[0].map((_, j) => rows.map((row) => row[j]))
}

/** A column: [g0, g0 + g1, g0 − g1, −g1]. */
export function gradientOf(b: Builder, [g0, g1]: readonly Expr[]): Expr[] {
  return [g0, b.here(call('add', g0, g1)), b.here(call('sub', g0, g1)), b.here(call('neg', g1))]
}

/** Gᵀ column: [m0 + (m1 + m2) / 2, (m1 − m2) / 2, (m1 + m2) / 2 + m3]. */
export function tapsOf(b: Builder, [m0, m1, m2, m3]: readonly Expr[]): Expr[] {
  const half = num('f32', 0.5)
  const middle = b.here(call('mul', call('add', m1, m2), half))
  return [
    b.here(call('add', m0, middle)),
    b.here(call('mul', call('sub', m1, m2), half)),
    b.here(call('add', middle, m3)),
  ]
}
