// Lowers the transforms of winograd-gradient.ts: image and gradient tile by tile into memory, and 9 weights of 16 sums.
import { invariant } from '../base/errors.js'
import { linear } from './access.js'
import { coefficientOf, constant, load, ofVariable, store, substitute } from './build.js'
import { contractDomain } from './contraction.js'
import type { ContractGroup } from './group.js'
import type { Variable } from './kernel.js'
import { builderFor, finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { only, type WinogradContract } from './winograd.js'
import { transformTile } from './winograd-transform.js'
import { four, gradientOf, imageOf, tapsOf, turned } from './winograd-transforms.js'

function prepare(group: ContractGroup, context: LowerContext) {
  const domain = contractDomain(group.chain, context.inMemory)
  const operands = new Operands(context)
  const b = builderFor(domain.space, operands, context)
  const { a } = domain
  invariant('at' in a, () => 'an operand that is a number')
  const from = operands.of(a.base)
  invariant(from !== undefined, () => 'an operand that is not in memory')
  return { domain, operands, b, a, from, to: operands.write(group.core) }
}

/** [4, 4, n, y, x, channels] of [n, rows, columns, channels]. */
export function lowerTransform(
  group: ContractGroup,
  spec: WinogradContract,
  context: LowerContext,
): Lowered {
  const { domain, operands, b, a, from, to } = prepare(group, context)
  const { lanes } = context.machine
  const [, , item, row, column, channel] = domain.index.map(only)
  const [high, low] = domain.summed
  invariant(channel != null, () => 'an image of one channel')
  const extentOf = (v: Variable) => domain.space.extents.get(v.id) ?? 1
  const loops = [item, row, column].filter((v) => v != null)
  const parallel =
    loops.find((v) => extentOf(v) >= 4) ?? loops[0] ?? domain.space.names.variable('once')
  b.outermost(parallel)
  const shape = group.core.shape
  const body = () =>
    transformTile(b, domain.space, {
      from,
      at: a.at,
      inside: a.inside,
      place: (affine) => affine,
      taps: [high, low],
      size: spec.extents[6],
      channel,
      channels: spec.extents[5],
      lanes,
      of: spec.winograd.role === 'image' ? imageOf : gradientOf,
      write: (r, s, value) => {
        const index = [constant(r), constant(s), ...domain.index.slice(2)]
        b.emit(store(to, linear(index, shape), value))
      },
    })
  const nest = ([first, ...rest]: readonly Variable[]): void => {
    if (!first) body()
    else b.loop(first, 0, extentOf(first), 1, () => nest(rest))
  }
  nest(loops.filter((v) => v !== parallel))
  const split = { variable: parallel, extent: loops.length > 0 ? extentOf(parallel) : 1 }
  return finishKernel(context, operands, split, b.statements, [group.core], 0)
}

/** [o, 3, 3, c] ← Gᵀ m G of the sums [16, o, c]. */
export function lowerBack(
  group: ContractGroup,
  spec: WinogradContract,
  context: LowerContext,
): Lowered {
  const { domain, operands, b, a, from, to } = prepare(group, context)
  const { lanes } = context.machine
  const [output, , , channel] = domain.index.map(only)
  const [plane] = domain.summed
  invariant(output != null && channel != null, () => 'weights of one channel')
  const [outputs, , , channels] = spec.extents
  b.outermost(output)
  b.loop(channel, 0, channels, lanes, () => {
    const m = four.map((r) =>
      four.map((s) => {
        const there = substitute(a.at, plane, constant(4 * r + s))
        return b.here(
          load('float32', from, there, { lanes, stride: coefficientOf(there, channel) }),
        )
      }),
    )
    const once = turned(m).map((values) => tapsOf(b, values))
    turned(once).forEach((row, i) => {
      tapsOf(b, row).forEach((value, j) => {
        const index = [ofVariable(output), constant(i), constant(j), ofVariable(channel)]
        b.emit(store(to, linear(index, group.core.shape), value))
      })
    })
  })
  const split = { variable: output, extent: outputs }
  return finishKernel(context, operands, split, b.statements, [group.core], 0)
}
