// The tiles of a convolution by transformed tiles (winograd.ts): how many make a block, and where each lies.
import type { Node } from '../graph/node.js'
import { accessesOf, axisIndex, baseOf, Unfoldable } from './access.js'
import { addAffine, bound, scaleAffine, shiftAffine, substitute } from './build.js'
import type { ContractDomain } from './contraction.js'
import type { Affine, Bound } from './kernel.js'
import type { Machine } from './program.js'
import { only, type WinogradContract, walks } from './winograd.js'

/** Items, rows and columns of tiles: of a block, or of all. */
export interface Box {
  readonly n: number
  readonly y: number
  readonly x: number
}

/** Share of the second-level cache for a block's transformed image. */
const SHARE = 0.5
/** Tiles of a block, for which reading all weights again is worth a twelfth of the products. */
const RELOAD = 3
const LEAST_BLOCKS = 4

/** The block that wastes least: at its edges, by reading weights anew, by leaving the cache or threads without work. */
export function chooseBlock(all: Box, channels: number, machine: Machine): Box {
  const room = (machine.secondLevelCache * SHARE) / (16 * 4 * (channels + machine.lanes))
  let best: Box | undefined
  let least = Number.POSITIVE_INFINITY
  const consider = (box: Box) => {
    const tiles = box.n * box.y * box.x
    const count = blocksOf(all, box)
    const blocks = count.n * count.y * count.x
    const padded = (blocks * tiles) / (all.n * all.y * all.x)
    const leaves = tiles > Math.max(room, 32) ? 1.5 : 1
    const cost = padded * (1 + RELOAD / tiles) * leaves * (blocks < LEAST_BLOCKS ? 1.1 : 1)
    if (cost < least) {
      best = box
      least = cost
    }
  }
  for (let x = all.x; x >= 1; x--) consider({ n: 1, y: 1, x })
  for (let y = 2; y <= all.y; y++) consider({ n: 1, y, x: all.x })
  for (let n = 2; n <= Math.min(all.n, 64); n++) consider({ n, y: all.y, x: all.x })
  return best ?? { n: 1, y: 1, x: 1 }
}

function blocksOf(all: Box, box: Box): Box {
  const count = (axis: keyof Box) => Math.ceil(all[axis] / box[axis])
  return { n: count('n'), y: count('y'), x: count('x') }
}

/** Where a block's tiles lie, by the variables of the block and of the tile in it. */
export interface Placing {
  /** An index of the contraction at pixel (dy, dx) of the tile. */
  readonly at: (index: Affine, dy: number, dx: number) => Affine
  readonly blocks: readonly Affine[]
  readonly tiles: readonly Affine[]
  /** How many there are in the block, where the last one is smaller. */
  readonly ends: readonly Bound[]
  /** The tile's number in the block. */
  readonly number: Affine
}

export function tilesOf({ extents }: WinogradContract): Box {
  return { n: extents[0], y: Math.ceil(extents[1] / 2), x: Math.ceil(extents[2] / 2) }
}

export function placeIn(domain: ContractDomain, spec: WinogradContract, box: Box): Placing {
  const all = tilesOf(spec)
  const count = blocksOf(all, box)
  const { space } = domain
  const axes = ['n', 'y', 'x'] as const
  const blocks = axes.map((axis) => axisIndex(space, `${axis}b`, count[axis]))
  const tiles = axes.map((axis) => axisIndex(space, `${axis}t`, box[axis]))
  const whole = axes.map((axis, i) => addAffine(tiles[i], scaleAffine(blocks[i], box[axis])))
  const ends = axes.map((axis, i) =>
    all[axis] % box[axis] === 0
      ? bound('to', box[axis])
      : bound('to', box[axis], shiftAffine(scaleAffine(blocks[i], -box[axis]), all[axis])),
  )
  const [n, y, x] = domain.index.map(only)
  const at = (index: Affine, dy: number, dx: number): Affine => {
    let out = index
    if (n) out = substitute(out, n, whole[0])
    if (y) out = substitute(out, y, shiftAffine(scaleAffine(whole[1], 2), dy))
    if (x) out = substitute(out, x, shiftAffine(scaleAffine(whole[2], 2), dx))
    return out
  }
  const row = addAffine(tiles[1], scaleAffine(tiles[0], box.y))
  return { at, blocks, tiles, ends, number: addAffine(tiles[2], scaleAffine(row, box.x)) }
}

/** Whether maps that follow a product fold at the indices that tiles have. */
export function foldsInTiles(
  chain: readonly Node[],
  spec: WinogradContract,
  domain: ContractDomain,
  inMemory: (node: Node) => boolean,
): boolean {
  if (!walks(domain, spec)) return false
  const place = placeIn(domain, spec, { n: 1, y: 1, x: 1 })
  try {
    for (const [dy, dx] of pixels) {
      const index = domain.index.map((at) => place.at(at, dy, dx))
      for (let i = 1; i < chain.length; i++)
        accessesOf(chain[i], index, domain.space, (n) => n === chain[i - 1] || inMemory(baseOf(n)))
    }
    return true
  } catch (error) {
    if (error instanceof Unfoldable) return false
    throw error
  }
}

/** The pixels of a tile: rows, columns. */
export const pixels = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const
