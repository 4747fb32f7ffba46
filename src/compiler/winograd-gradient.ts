// The gradient for the weights of a 3×3 convolution of stride 1 by transformed tiles: that of F(2×2, 3×3), turned
// round. With Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A of a tile, dw = Gᵀ [Σ (A dY Aᵀ) ⊙ (Bᵀ d B)] G: 16 products a tile of four
// pixels in place of 36. Image and gradient are transformed into memory, [4, 4, n, y, x, channels]; 16 matrix products
// sum over the tiles, as any contraction does; a last kernel makes 9 of 16. The transforms are contractions in name
// (winograd.ts).
import { type Index, isPlain, makeContract, plain } from '../graph/contract.js'
import { constant, contract, type Node, type NodeOf, permute, reshape } from '../graph/node.js'
import { Unfoldable } from './access.js'
import { coefficientOf } from './build.js'
import { contractDomain } from './contraction.js'
import type { Machine } from './program.js'
import {
  isWinograd,
  LEAST_CHANNELS,
  LEAST_GAIN,
  LEAST_PIXELS,
  only,
  type WinogradContract,
  walks,
} from './winograd.js'

/** [o, c, i, j] in some order = Σ over n, y, x of image[n, y + i + …, x + j + …, c] · gradient[n, y, x, o]. */
interface WeightGradient {
  readonly image: 0 | 1
  /** Output axes. */
  readonly o: number
  readonly c: number
  readonly taps: readonly [number, number]
  /** Extents of n, y, x, and where the first taps are read. */
  readonly size: readonly [number, number, number]
  readonly first: readonly [number, number]
}

/** The gradient by tiles, or undefined where it is another contraction, or would not gain. */
export function gradientByTiles(
  node: NodeOf<'contract'>,
  machine: Machine,
  forced: ReadonlySet<Node>,
): Node | undefined {
  const found = weightGradient(node)
  if (!found) return undefined
  const { spec } = node
  const [n, height, width] = found.size
  const [o, c] = [spec.extents[found.o], spec.extents[found.c]]
  const [rows, columns] = [Math.ceil(height / 2), Math.ceil(width / 2)]
  if (c < LEAST_CHANNELS || o < LEAST_CHANNELS) return undefined
  if (c % machine.lanes !== 0 || o % machine.lanes !== 0) return undefined
  const gain = ((9 / 4) * height * width) / (4 * rows * columns)
  if (n * height * width < LEAST_PIXELS || gain < LEAST_GAIN) return undefined
  const along = (tile: number, tap: number, offset: number): Index => ({
    terms: [
      [tile, 2],
      [tap, 1],
    ],
    offset,
    divide: 1,
  })
  const transformed = (role: 'image' | 'gradient', operand: Node, channels: number) => {
    const size = role === 'image' ? 4 : 2
    const [y, x] = role === 'image' ? found.first : [0, 0]
    const made = makeContract({
      extents: [4, 4, n, rows, columns, channels, size, size],
      rank: 6,
      a: [plain(2), along(3, 6, y), along(4, 7, x), plain(5)],
      b: [],
    })
    return inName({ ...made, winograd: { role, width: 0, flops: 0 } }, operand, 5, forced)
  }
  const image = transformed('image', node.args[found.image], c)
  const gradient = transformed('gradient', node.args[1 - found.image], o)
  if (!image || !gradient) return undefined
  const tiles = n * rows * columns
  const products = contract(
    makeContract({
      extents: [16, o, c, tiles],
      rank: 3,
      a: [plain(0), plain(3), plain(1)],
      b: [plain(0), plain(3), plain(2)],
    }),
    reshape(gradient, [16, tiles, o]),
    reshape(image, [16, tiles, c]),
  )
  const made = makeContract({
    extents: [o, 3, 3, c, 16],
    rank: 4,
    a: [plain(4), plain(0), plain(3)],
    b: [],
  })
  const back: WinogradContract = { ...made, winograd: { role: 'back', width: 0, flops: 0 } }
  const out = inName(back, products, 3, forced)
  const at = [found.o, ...found.taps, found.c]
  return (
    out &&
    permute(
      out,
      [0, 1, 2, 3].map((axis) => at.indexOf(axis)),
    )
  )
}

/** The contraction in name, where its operand's views fold and vectors can run along output axis `lane`. */
function inName(
  spec: WinogradContract,
  operand: Node,
  lane: number,
  forced: ReadonlySet<Node>,
): Node | undefined {
  const node = contract(spec, operand, constant(1, 'float32', []))
  try {
    const domain = contractDomain([node], (base) => base.kind !== 'view' || forced.has(base))
    if (!walks(domain, spec) || !('at' in domain.a)) return undefined
    const channel = only(domain.index[lane])
    if (!channel || coefficientOf(domain.a.at, channel) !== 1) return undefined
    const held = domain.a.inside
    return held.some((c) => coefficientOf(c.affine, channel) !== 0) ? undefined : node
  } catch (error) {
    if (error instanceof Unfoldable) return undefined
    throw error
  }
}

function weightGradient({ spec }: NodeOf<'contract'>): WeightGradient | undefined {
  if (spec.rank !== 4 || spec.extents.length !== 7 || isWinograd(spec)) return undefined
  for (const image of [0, 1] as const) {
    const data = image === 0 ? spec.a : spec.b
    const gradient = image === 0 ? spec.b : spec.a
    if (data.length !== 4 || gradient.length !== 4 || !gradient.every(isPlain)) continue
    if (!isPlain(data[0]) || !isPlain(data[3])) continue
    const [n, y, x, o] = gradient.map((index) => index.terms[0][0])
    const c = data[3].terms[0][0]
    const [i, j] = [tapOf(data[1], y, spec.extents), tapOf(data[2], x, spec.extents)]
    if (data[0].terms[0][0] !== n || i === undefined || j === undefined) continue
    if ([n, y, x].some((axis) => axis < 4) || new Set([o, c, i, j]).size !== 4) continue
    if ([o, c, i, j].some((axis) => axis >= 4) || new Set([n, y, x]).size !== 3) continue
    const size = [spec.extents[n], spec.extents[y], spec.extents[x]] as const
    const first = [data[1].offset, data[2].offset] as const
    return { image, o, c, taps: [i, j], size, first }
  }
  return undefined
}

/** The output axis of three taps that is added to a pixel of the gradient. */
function tapOf(index: Index, pixel: number, extents: readonly number[]): number | undefined {
  if (index.divide !== 1 || index.terms.length !== 2) return undefined
  if (!index.terms.every(([, by]) => by === 1)) return undefined
  const axes = index.terms.map(([axis]) => axis)
  const tap = axes.find((axis) => axis !== pixel)
  return tap !== undefined && axes.includes(pixel) && extents[tap] === 3 ? tap : undefined
}
