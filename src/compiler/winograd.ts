// Winograd's F(2×2, 3×3): which convolutions are computed by it. Tiles of 4×4 pixels and the 3×3 weights are
// transformed, so that 16 products a channel pair give 4 pixels, instead of 36. (Lavin, Gray: Fast Algorithms for
// Convolutional Neural Networks, 2016; the matrices are theirs.)
//
// A convolution of stride 1 with channels last, forward or as the gradient for its input, becomes two contractions in
// name: one makes the transformed weights, once a step; the other reads them, and transforms and multiplies in one
// kernel. Both are lowered by winograd-kernel.ts alone: their indices say where elements lie, not what is summed.
import { type Contract, type Index, isPlain, makeContract, plain } from '../graph/contract.js'
import {
  constant,
  contract,
  inPlaceOf,
  type Node,
  type NodeOf,
  rootsOf,
  topological,
  withArgs,
} from '../graph/node.js'
import { baseOf, Unfoldable } from './access.js'
import { coefficientOf } from './build.js'
import type { Prepared } from './compile.js'
import { type ContractDomain, contractDomain } from './contraction.js'
import type { Affine, Variable } from './kernel.js'
import type { Machine } from './program.js'
import { gradientByTiles } from './winograd-gradient.js'

/** Channels, in and out, below which the transforms cost more than they save. */
export const LEAST_CHANNELS = 32
/** Pixels of the output that must share the transformed weights. */
export const LEAST_PIXELS = 256
/** Products of the direct convolution for one of this, counting those of tiles that hang over the edge. */
export const LEAST_GAIN = 1.4

/** A contraction in name: what winograd-kernel.ts makes of it. */
export interface WinogradContract extends Contract {
  readonly winograd: {
    /**
     * `weights`: [o / width, 4, 4, c, width] of the weights. `product`: [n, y, x, o] of the image and those. `image`,
     * `gradient`, `back`: see winograd-gradient.ts.
     */
    readonly role: 'weights' | 'product' | 'image' | 'gradient' | 'back'
    /** Output channels side by side in the transformed weights. */
    readonly width: number
    /** Those of the direct convolution; what the weights cost is theirs too. */
    readonly flops: number
  }
}

export function isWinograd(spec: Contract): spec is WinogradContract {
  return 'winograd' in spec
}

export function transformConvolutions(prepared: Prepared, machine: Machine): Prepared {
  const { graph, fixed } = prepared
  // A body's weights would be transformed in every step.
  if (!machine.winograd || fixed) return prepared
  const done = new Map<Node, Node>()
  const forced = new Set(prepared.forced)
  const known = new Map<Node, Map<string, Node>>()
  const of = (node: Node) => done.get(node) ?? node
  const weightsOf = (weights: Node, { spec }: Convolution): Node => {
    const list = known.get(weights) ?? new Map<string, Node>()
    known.set(weights, list)
    const key = String(spec.hash)
    const node = list.get(key) ?? contract(spec, weights, constant(1, 'float32', []))
    list.set(key, node)
    return node
  }
  for (const node of topological(rootsOf(graph))) {
    const same = withArgs(node, node.args.map(of))
    if (same !== node && forced.has(node)) forced.add(same)
    const found = same.kind === 'contract' ? convolution(same, machine) : undefined
    const image = found && same.args[found.image]
    done.set(
      node,
      found && image
        ? inPlaceOf(
            node,
            () =>
              fitting(found, image, weightsOf(same.args[1 - found.image], found), forced) ?? same,
          )
        : same.kind === 'contract'
          ? inPlaceOf(node, () => gradientByTiles(same, machine, forced) ?? same)
          : same,
    )
  }
  return {
    ...prepared,
    graph: {
      outputs: graph.outputs.map(of),
      updates: graph.updates.map(({ target, value }) => ({ target, value: of(value) })),
      guard: graph.guard && of(graph.guard),
    },
    forced,
  }
}

interface Convolution {
  /** Which operand is the image. */
  readonly image: 0 | 1
  /** Of the transformed weights. */
  readonly spec: WinogradContract
  /** Of the product. */
  readonly product: WinogradContract
}

/** [n, y, x, o] = Σ over i, j, c of image[n, y ± i + …, x ± j + …, c] · weights[some order of i, j, c, o], 3×3. */
function convolution(node: NodeOf<'contract'>, machine: Machine): Convolution | undefined {
  const { spec } = node
  if (spec.rank !== 4 || spec.extents.length !== 7 || isWinograd(spec)) return undefined
  for (const image of [0, 1] as const) {
    const data = image === 0 ? spec.a : spec.b
    const weights = image === 0 ? spec.b : spec.a
    if (data.length !== 4 || weights.length !== 4) continue
    if (!isPlain(data[0]) || data[0].terms[0][0] !== 0 || !isPlain(data[3])) continue
    const [rows, columns] = [tapsOf(data[1], 1, spec), tapsOf(data[2], 2, spec)]
    const channel = data[3].terms[0][0]
    if (!rows || !columns || channel < spec.rank || !weights.every(isPlain)) continue
    const axes = weights.map((index) => index.terms[0][0])
    const needed = [rows.axis, columns.axis, channel, 3]
    if (new Set(needed).size !== 4 || !needed.every((axis) => axes.includes(axis))) continue

    const [n, height, width, o] = spec.extents
    const c = spec.extents[channel]
    const { lanes, tile } = machine
    if (c < LEAST_CHANNELS || o < LEAST_CHANNELS || c % lanes !== 0 || o % lanes !== 0) continue
    const pixels = height * width
    const gain = (9 / 4) * (pixels / (4 * Math.ceil(height / 2) * Math.ceil(width / 2)))
    if (n * pixels < LEAST_PIXELS || gain < LEAST_GAIN) continue
    const vectors = largest(tile.vectors, (v) => o % (v * lanes) === 0)
    const across = vectors * lanes
    const shape = node.args[image].shape
    const flops = 2 * n * o * c * inside(rows, height, shape[1]) * inside(columns, width, shape[2])
    const indexOf = (axis: number): Index => {
      if (axis === 3) return between([0, across], [4, 1], 0)
      if (axis === channel) return plain(3)
      const taps = axis === rows.axis ? rows : columns
      const tap = axis === rows.axis ? 5 : 6
      return taps.sign === 1 ? plain(tap) : { terms: [[tap, -1]], offset: 2, divide: 1 }
    }
    const named = (role: 'weights' | 'product', made: Contract): WinogradContract => ({
      ...made,
      winograd: { role, width: across, flops: role === 'product' ? flops : 0 },
    })
    return {
      image,
      spec: named(
        'weights',
        makeContract({
          extents: [o / across, 4, 4, c, across, 3, 3],
          rank: 5,
          a: axes.map(indexOf),
          b: [],
        }),
      ),
      // Four taps: a tile reads so far, also where it hangs over the edge.
      product: named(
        'product',
        makeContract({
          extents: [n, height, width, o, 4, 4, c],
          rank: 4,
          a: [
            plain(0),
            between([1, 1], [4, 1], rows.first),
            between([2, 1], [5, 1], columns.first),
            plain(6),
          ],
          b: [none, plain(4), plain(5), plain(6), none],
        }),
      ),
    }
  }
  return undefined
}

const none: Index = { terms: [], offset: 0, divide: 1 }

type Term = Index['terms'][number]

function between(low: Term, high: Term, offset: number): Index {
  return { terms: [low, high], offset, divide: 1 }
}

interface Taps {
  readonly axis: number
  readonly sign: 1 | -1
  /** Where the first of the three is read, from the output's pixel. */
  readonly first: number
}

/** pixel ± tap + offset, over three taps. */
function tapsOf(index: Index, pixel: number, spec: Contract): Taps | undefined {
  if (index.divide !== 1 || index.terms.length !== 2) return undefined
  const [[y, one], [axis, sign]] = index.terms
  if (y !== pixel || one !== 1 || axis < spec.rank || spec.extents[axis] !== 3) return undefined
  if (sign === 1) return { axis, sign, first: index.offset }
  return sign === -1 ? { axis, sign, first: index.offset - 2 } : undefined
}

/** How many pairs of a pixel and a tap read inside of the image. */
function inside(taps: Taps, extent: number, length: number): number {
  let count = 0
  for (let y = 0; y < extent; y++)
    for (let i = 0; i < 3; i++) {
      const at = y + i + taps.first
      if (at >= 0 && at < length) count++
    }
  return count
}

function largest(most: number, fits: (n: number) => boolean): number {
  for (let n = most; n > 1; n--) if (fits(n)) return n
  return 1
}

/** The product, where its operands' views and those of the weights fold into addresses that its kernel can walk. */
function fitting(
  { product }: Convolution,
  image: Node,
  weights: NodeOf<'contract'> | Node,
  forced: Set<Node>,
): Node | undefined {
  const node = contract(product, image, weights)
  const inMemory = (base: Node) => base.kind !== 'view' || forced.has(base)
  try {
    if (weights.kind !== 'contract') return undefined
    const small = contractDomain([weights], inMemory)
    if (!walks(small, weights.spec) || !('at' in small.a) || small.a.inside.length > 0)
      return undefined
    const domain = contractDomain([node], inMemory)
    if (!walks(domain, product) || !('at' in domain.a)) return undefined
    const channel = domain.summed[2]
    const free = [domain.index[0], domain.index[3]].flatMap(({ terms }) => terms.map(([v]) => v))
    const held = domain.a.inside
    if ([...free, channel].some((v) => held.some((c) => coefficientOf(c.affine, v) !== 0)))
      return undefined
    // Vectors run along the image's channels.
    const base = baseOf(image)
    if (coefficientOf(domain.a.at, channel) !== 1) {
      if (base.kind !== 'view') return undefined
      forced.add(base)
    }
    return node
  } catch (error) {
    if (error instanceof Unfoldable) return undefined
    throw error
  }
}

/** Each axis is one loop of its own. */
export function walks(domain: ContractDomain, spec: Contract): boolean {
  return (
    domain.index.every((at) => only(at) !== null) &&
    domain.summed.length === spec.extents.length - spec.rank
  )
}

/** The variable that the index is, undefined for constant 0, null for anything else. */
export function only({ terms, offset }: Affine): Variable | undefined | null {
  if (offset !== 0 || terms.length > 1) return null
  if (terms.length === 0) return undefined
  const [[variable, coefficient]] = terms
  return coefficient === 1 ? variable : null
}
