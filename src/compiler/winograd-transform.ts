// Transforms one tile of pixels, for all channels: forward's and those of the gradient for the weights. What lies
// outside of the image is 0.
import { alwaysHolds, distinct, type Space } from './access.js'
import { coefficientOf, constant, load, localOf, num, set, substitute } from './build.js'
import type { Builder } from './builder.js'
import type { Affine, Expr, Inside, Variable } from './kernel.js'
import { turned } from './winograd-transforms.js'

export interface Tile {
  /** The buffer, the address by tile, taps and channel, and what must hold for the element to exist. */
  readonly from: number
  readonly at: Affine
  readonly inside: readonly Inside[]
  /** Where the tile lies. */
  readonly place: (affine: Affine) => Affine
  readonly taps: readonly [Variable, Variable]
  /** Pixels a side. */
  readonly size: number
  readonly channel: Variable
  readonly channels: number
  readonly lanes: number
  /** What a column of pixels becomes, and then a row. */
  readonly of: (b: Builder, column: readonly Expr[]) => Expr[]
  readonly write: (row: number, column: number, value: Expr) => void
}

export function transformTile(b: Builder, space: Space, tile: Tile): void {
  const { channel, lanes, size, of } = tile
  const [high, low] = tile.taps
  const along = Array.from({ length: size }, (_, i) => i)
  const at = (affine: Affine, i: number, j: number) =>
    substitute(substitute(tile.place(affine), high, constant(i)), low, constant(j))
  const held = (i: number, j: number) =>
    tile.inside
      .map(({ affine, extent }): Inside => ({ affine: at(affine, i, j), extent }))
      .filter((condition) => !alwaysHolds(condition, space))
  const columns = (fetch: (value: Expr, i: number, j: number) => Expr) => {
    b.loop(channel, 0, tile.channels, lanes, () => {
      const d = along.map((i) =>
        along.map((j) => {
          const there = at(tile.at, i, j)
          const stride = coefficientOf(there, channel)
          return fetch(load('float32', tile.from, there, { lanes, stride }), i, j)
        }),
      )
      const once = turned(d).map((values) => of(b, values))
      turned(once).forEach((row, r) => {
        of(b, row).forEach((value, s) => {
          tile.write(r, s, value)
        })
      })
    })
  }
  const whole = () => columns((value) => b.here(value))
  const clipped = () =>
    columns((value, i, j) => {
      const conditions = held(i, j)
      if (conditions.length === 0) return b.here(value)
      const local = b.local('f32', lanes)
      b.when(
        conditions,
        () => b.emit(set(local, value)),
        () => b.emit(set(local, num('f32', 0, lanes))),
      )
      return localOf(local)
    })
  const ends = [0, size - 1]
  const corners = distinct(ends.flatMap((i) => ends.flatMap((j) => held(i, j))))
  if (corners.length === 0) whole()
  else b.when(corners, whole, clipped)
}
