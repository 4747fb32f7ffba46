// Lowers what winograd.ts marked. The weights: 9 loads, 16 stores. The product: blocks of tiles, each in one turn of the
// parallel loop. Its image tiles are transformed into the thread's scratch, [4, 4, tile, c]; then for each panel of output
// channels 16 small matrix products with the weights, [4, 4, tile, width], and from those the block's pixels, with the
// maps that follow the convolution. All of a block stays in the second-level cache.
import { invariant } from '../base/errors.js'
import { axisIndex, linear } from './access.js'
import {
  addAffine,
  coefficientOf,
  constant,
  load,
  ofVariable,
  scaleAffine,
  shiftAffine,
  store,
  substitute,
} from './build.js'
import { type Builder, NeedsScalar } from './builder.js'
import { type ContractDomain, contractDomain } from './contraction.js'
import type { ContractGroup } from './group.js'
import type { Affine, Inside, Variable } from './kernel.js'
import { builderFor, finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { registerTile } from './products.js'
import type { Machine } from './program.js'
import { isWinograd, only, type WinogradContract } from './winograd.js'
import { lowerBack, lowerTransform } from './winograd-gradient-kernel.js'
import { type Box, chooseBlock, type Placing, pixels, placeIn, tilesOf } from './winograd-tiles.js'
import { transformTile } from './winograd-transform.js'
import { four, imageOf, pixelsOf, turned, weightsOf } from './winograd-transforms.js'

export function lowerWinograd(group: ContractGroup, context: LowerContext): Lowered {
  const { spec } = group.core
  invariant(isWinograd(spec), () => 'a contraction in its own name')
  const { role } = spec.winograd
  if (role === 'weights') return lowerWeights(group, context)
  if (role === 'back') return lowerBack(group, spec, context)
  if (role !== 'product') return lowerTransform(group, spec, context)
  try {
    return lowerProduct(group, spec, context, true)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return lowerProduct(group, spec, context, false)
  }
}

/** [o / width, 4, 4, c, width] ← G w Gᵀ. */
function lowerWeights(group: ContractGroup, context: LowerContext): Lowered {
  const { core } = group
  const domain = contractDomain(group.chain, context.inMemory)
  const operands = new Operands(context)
  const { lanes } = context.machine
  const [panels, , , channels, width] = core.spec.extents
  const b = builderFor(domain.space, operands, context)
  invariant('at' in domain.a, () => 'weights that are a number')
  const from = operands.of(domain.a.base)
  invariant(from !== undefined, () => 'weights that are not in memory')
  const to = operands.write(core)
  const { at } = domain.a
  const [panel, , , channel, across] = domain.index.map(only)
  const [high, low] = domain.summed
  invariant(channel != null && across != null, () => 'a weight of one channel')
  const stride = coefficientOf(at, across)
  const vector = (k: number) => {
    const g = four.slice(0, 3).map((i) =>
      four.slice(0, 3).map((j) => {
        const there = substitute(substitute(at, high, constant(i)), low, constant(j))
        const address = substitute(there, across, constant(k))
        return b.here(load('float32', from, address, { lanes, stride }))
      }),
    )
    const once = turned(g).map((column) => weightsOf(b, column))
    const index = (r: number, s: number) =>
      linear(
        [domain.index[0], constant(r), constant(s), ofVariable(channel), constant(k)],
        core.shape,
      )
    turned(once).forEach((row, r) => {
      weightsOf(b, row).forEach((value, s) => {
        b.emit(store(to, index(r, s), value))
      })
    })
  }
  const vectors = () => {
    for (let k = 0; k < width; k += lanes) vector(k)
  }
  const byPanel = panel && panels >= 4
  const parallel = byPanel ? panel : channel
  b.outermost(parallel)
  if (byPanel) b.loop(channel, 0, channels, 1, vectors)
  else if (panel) b.loop(panel, 0, panels, 1, vectors)
  else vectors()
  const split = { variable: parallel, extent: byPanel ? panels : channels }
  return finishKernel(context, operands, split, b.statements, [core], 0)
}

function lowerProduct(
  group: ContractGroup,
  spec: WinogradContract,
  context: LowerContext,
  vectors: boolean,
): Lowered {
  const domain = contractDomain(group.chain, context.inMemory)
  const box = chooseBlock(tilesOf(spec), spec.extents[6], context.machine)
  const place = placeIn(domain, spec, box)
  const parallel = place.blocks
    .flatMap(({ terms }) => terms.map(([variable]) => variable))
    .reduce<Variable | undefined>((best, variable) => {
      const extent = (v: Variable) => domain.space.extents.get(v.id) ?? 1
      return best && extent(best) >= extent(variable) ? best : variable
    }, undefined)
  const product = new Product(group, spec, context, domain, box, place)
  const { b } = product
  const variable = parallel ?? domain.space.names.variable('once')
  b.outermost(variable)
  const others = place.blocks.flatMap(({ terms }) => terms.map(([v]) => v))
  const nest = (list: readonly Variable[]): void => {
    const [first, ...rest] = list
    if (!first) product.block(vectors)
    else b.loop(first, 0, domain.space.extents.get(first.id) ?? 1, 1, () => nest(rest))
  }
  nest(others.filter((other) => other !== parallel))
  return finishKernel(
    context,
    product.operands,
    { variable, extent: parallel ? (domain.space.extents.get(parallel.id) ?? 1) : 1 },
    b.statements,
    group.chain,
    spec.winograd.flops,
  )
}

class Product {
  readonly operands: Operands
  readonly b: Builder
  private readonly group: ContractGroup
  private readonly spec: WinogradContract
  private readonly machine: Machine
  private readonly domain: ContractDomain
  private readonly place: Placing
  private readonly count: number
  private readonly channels: number
  /** Scratch: elements from one tile to the next, and from one of the 16 to the next. */
  private readonly rowStride: number
  private readonly imageStride: number
  private readonly sumStride: number
  private readonly image: number
  private readonly sums: number

  constructor(
    group: ContractGroup,
    spec: WinogradContract,
    context: LowerContext,
    domain: ContractDomain,
    box: Box,
    place: Placing,
  ) {
    this.group = group
    this.spec = spec
    this.machine = context.machine
    this.domain = domain
    this.place = place
    this.operands = new Operands(context)
    this.b = builderFor(domain.space, this.operands, context)
    const { lanes } = context.machine
    this.count = box.n * box.y * box.x
    this.channels = spec.extents[6]
    // Distances that are no powers of two: rows and planes would meet in the same sets of a cache.
    this.rowStride = this.channels + lanes
    this.imageStride = this.count * this.rowStride + lanes
    this.sumStride = this.count * spec.winograd.width + lanes
    this.image = this.operands.scratch(group.core, 16 * this.imageStride, 'image')
    this.sums = this.operands.scratch(group.core, 16 * this.sumStride, 'sums')
  }

  block(vectors: boolean): void {
    const { b, spec, domain } = this
    this.eachTile(() => this.transform())
    const [, , , output] = domain.index.map(only)
    invariant(output != null, () => 'a convolution to one channel')
    const { width } = spec.winograd
    // The variable is where a panel begins; a vector has positions behind its first.
    const lanes = vectors ? this.machine.lanes : 1
    domain.space.extents.set(output.id, spec.extents[3] - width + lanes)
    if (vectors) b.lane = output
    b.loop(output, 0, spec.extents[3], width, () => {
      this.multiply(output)
      this.eachTile(() => this.finish(output, vectors))
    })
    b.lane = undefined
  }

  private eachTile(body: () => void): void {
    const { tiles, ends } = this.place
    const nest = (k: number): void => {
      if (k === tiles.length) {
        body()
        return
      }
      const [term] = tiles[k].terms
      if (term) this.b.loop(term[0], 0, ends[k], 1, () => nest(k + 1))
      else nest(k + 1)
    }
    nest(0)
  }

  /** Bᵀ d B of one tile, for all channels. What lies outside of the image is 0. */
  private transform(): void {
    const { b, domain, place, machine } = this
    const { a, summed } = domain
    invariant('at' in a, () => 'an image that is a number')
    const from = this.operands.of(a.base)
    invariant(from !== undefined, () => 'an image that is not in memory')
    const [high, low, channel] = summed
    transformTile(b, domain.space, {
      from,
      at: a.at,
      inside: a.inside,
      place: (affine) => place.at(affine, 0, 0),
      taps: [high, low],
      size: 4,
      channel,
      channels: this.channels,
      lanes: machine.lanes,
      of: imageOf,
      write: (r, s, value) => {
        const to = addAffine(scaleAffine(place.number, this.rowStride), ofVariable(channel))
        b.emit(store(this.image, shiftAffine(to, (4 * r + s) * this.imageStride), value))
      },
    })
  }

  /** 16 products [tile, c] · [c, width]. */
  private multiply(output: Variable): void {
    const { b, domain, spec, machine, channels } = this
    const { lanes, tile } = machine
    const { width } = spec.winograd
    const vectors = width / lanes
    const weights = this.operands.of(this.group.core.args[1])
    invariant(weights !== undefined, () => 'weights that are not in memory')
    const [, , channel] = domain.summed
    const plane = axisIndex(domain.space, 'plane', 16)
    const rows = Math.max(1, Math.floor((tile.splats * tile.vectors) / vectors))
    // Output channel o is in panel o / width, each of 16 · c · width.
    const panel = addAffine(ofVariable(output, 16 * channels), scaleAffine(plane, channels * width))
    const body = (first: Affine, count: number) => {
      const row = addAffine(
        scaleAffine(first, this.rowStride),
        scaleAffine(plane, this.imageStride),
      )
      registerTile(b, lanes, {
        rows: count,
        vectors,
        k: channel,
        sum: channels,
        a: { buffer: this.image, at: addAffine(row, ofVariable(channel)), row: this.rowStride },
        b: { buffer: weights, at: addAffine(panel, ofVariable(channel, width)) },
        c: {
          buffer: this.sums,
          at: addAffine(scaleAffine(first, width), scaleAffine(plane, this.sumStride)),
          row: width,
        },
        add: false,
      })
    }
    const [term] = plane.terms
    b.loop(term[0], 0, 16, 1, () => {
      // As even as they can be: so many of one more, then the others.
      const turns = Math.ceil(this.count / rows)
      const least = Math.floor(this.count / turns)
      const larger = this.count % turns
      this.rowsOf(0, larger, least + 1, body)
      this.rowsOf(larger * (least + 1), turns - larger, least, body)
    })
  }

  private rowsOf(
    start: number,
    turns: number,
    count: number,
    body: (first: Affine, count: number) => void,
  ): void {
    if (turns === 0) return
    const turn = axisIndex(this.domain.space, 'r', turns)
    const first = shiftAffine(scaleAffine(turn, count), start)
    const [term] = turn.terms
    if (term) this.b.loop(term[0], 0, turns, 1, () => body(first, count))
    else body(first, count)
  }

  /** Aᵀ m A of one tile, and what follows the convolution, for one panel of output channels. */
  private finish(output: Variable, vectors: boolean): void {
    const { b, spec, machine, domain } = this
    const { width } = spec.winograd
    if (vectors) {
      for (let k = 0; k < width; k += machine.lanes)
        this.pixels(ofVariable(output, 1, k), constant(k), machine.lanes)
      return
    }
    const k = axisIndex(domain.space, 'k', width)
    const [term] = k.terms
    b.loop(term[0], 0, width, 1, () => this.pixels(addAffine(ofVariable(output), k), k, 1))
  }

  private pixels(channel: Affine, from: Affine, lanes: number): void {
    const { b, spec, domain, place, group } = this
    const end = group.members[0].node
    const [, height, wide] = spec.extents
    const out = this.operands.write(end)
    const tileAt = addAffine(scaleAffine(place.number, spec.winograd.width), from)
    const m = four.map((r) =>
      four.map((s) => {
        const address = shiftAffine(tileAt, (4 * r + s) * this.sumStride)
        return b.here(load('float32', this.sums, address, { lanes }))
      }),
    )
    const once = turned(m).map((values) => pixelsOf(b, values))
    const values = turned(once).map((row) => pixelsOf(b, row))
    const [, , , output] = domain.index.map(only)
    invariant(output != null, () => 'a convolution to one channel')
    const at = (affine: Affine, dy: number, dx: number) =>
      substitute(place.at(affine, dy, dx), output, channel)
    for (const [dy, dx] of pixels) {
      const write = () => {
        const index = domain.index.map((affine) => at(affine, dy, dx))
        b.bind(group.core, index, values[dy][dx])
        b.store(end, out, index, end === group.core ? values[dy][dx] : b.evaluate(end, index))
        b.unbind(group.core)
      }
      const beyond: Inside[] = []
      if (dy === 1 && height % 2 === 1)
        beyond.push({ affine: at(domain.index[1], dy, dx), extent: height })
      if (dx === 1 && wide % 2 === 1)
        beyond.push({ affine: at(domain.index[2], dy, dx), extent: wide })
      if (beyond.length > 0) b.when(beyond, write)
      else write()
    }
  }
}
