// Products of small matrices in a thread's scratch, by register tiles: what kernels that keep intermediate values there
// (attention-block.ts) multiply with. Rows and sums may be bounded by loop variables; extents are padded, so that there
// are no rests. A single tile: what winograd-kernel.ts multiplies with too.
import {
  addAffine,
  bound,
  call,
  load,
  localOf,
  num,
  ofVariable,
  scaleAffine,
  set,
  shiftAffine,
  store,
} from './build.js'
import type { Builder } from './builder.js'
import type { Affine, Bound, Variable } from './kernel.js'
import type { Machine } from './program.js'

/** c[m, n] = (c[m, n] +) Σ over k of a[m, k]·b[k, n]. */
export interface Product {
  /** Rows up to here, rounded up to whole tiles; columns of which some vector begins before. */
  readonly rows: Bound | number
  readonly columns: number
  /** Panels that begin here or later are left out. */
  readonly until?: Affine | undefined
  readonly sum: Bound | number
  readonly a: { readonly buffer: number; readonly row: number; readonly k: number }
  /** Panels of `panelOf(machine)` columns: `panel` elements from one to the next. */
  readonly b: { readonly buffer: number; readonly k: number; readonly panel: number }
  readonly c: { readonly buffer: number; readonly row: number }
  readonly add: boolean
}

/** The next multiple of `unit`: what extents are padded to. */
export const roundUp = (n: number, unit: number) => Math.ceil(n / unit) * unit

/** Columns of a register tile. */
export function panelOf({ lanes, tile }: Machine): number {
  return lanes * tile.vectors
}

export function multiply(builder: Builder, machine: Machine, product: Product): void {
  const { lanes } = machine
  const width = panelOf(machine)
  const whole = product.columns - (product.columns % width)
  const walk = (from: number, to: number, vectors: number) => {
    if (from === to) return
    const { names, extents } = builder.space
    const column = names.variable('column')
    extents.set(column.id, to)
    const end = product.until ? bound('to', to, product.until) : to
    builder.loop(column, from, end, width, () => {
      const row = names.variable('row')
      builder.loop(row, 0, product.rows, machine.tile.splats, () => {
        tile(builder, machine, product, ofVariable(row), ofVariable(column), vectors)
      })
    })
  }
  walk(0, whole, machine.tile.vectors)
  walk(whole, product.columns, Math.ceil((product.columns - whole) / lanes))
}

function tile(
  builder: Builder,
  machine: Machine,
  { sum, a, b, c, add }: Product,
  row: Affine,
  column: Affine,
  vectors: number,
): void {
  const k = builder.space.names.variable('k')
  registerTile(builder, machine.lanes, {
    rows: machine.tile.splats,
    vectors,
    k,
    sum,
    a: { buffer: a.buffer, at: addAffine(scaleAffine(row, a.row), ofVariable(k, a.k)), row: a.row },
    b: {
      buffer: b.buffer,
      at: addAffine(scaleAffine(column, b.panel / panelOf(machine)), ofVariable(k, b.k)),
    },
    c: { buffer: c.buffer, at: addAffine(column, scaleAffine(row, c.row)), row: c.row },
    add,
  })
}

/** A product whose result fits in registers. */
interface RegisterTile {
  readonly rows: number
  readonly vectors: number
  /** The sum is over this variable, from 0. */
  readonly k: Variable
  readonly sum: Bound | number
  /** Where the first row begins, and elements from one row to the next. */
  readonly a: { readonly buffer: number; readonly at: Affine; readonly row: number }
  readonly b: { readonly buffer: number; readonly at: Affine }
  readonly c: { readonly buffer: number; readonly at: Affine; readonly row: number }
  /** Whether it is added to what is there. */
  readonly add: boolean
}

export function registerTile(builder: Builder, lanes: number, tile: RegisterTile): void {
  const { a, b, c, vectors } = tile
  const sums = Array.from({ length: tile.rows }, (_, m) =>
    Array.from({ length: vectors }, (_, n) => {
      const at = shiftAffine(c.at, m * c.row + n * lanes)
      return { at, local: builder.local('f32', lanes) }
    }),
  )
  for (const { at, local } of sums.flat()) {
    const first = tile.add ? load('float32', c.buffer, at, { lanes }) : num('f32', 0, lanes)
    builder.emit(set(local, first))
  }
  builder.loop(tile.k, 0, tile.sum, 1, () => {
    const read = Array.from({ length: vectors }, (_, n) =>
      builder.here(load('float32', b.buffer, shiftAffine(b.at, n * lanes), { lanes })),
    )
    sums.forEach((list, m) => {
      const at = shiftAffine(a.at, m * a.row)
      const splat = builder.here(load('float32', a.buffer, at, { lanes, stride: 0 }))
      list.forEach(({ local }, n) => {
        builder.emit(set(local, call('fma', splat, read[n], localOf(local))))
      })
    })
  })
  for (const { at, local } of sums.flat()) builder.emit(store(c.buffer, at, localOf(local)))
}
