// What threads share out of a contraction: items, an output axis that is not tiled, or blocks of a tile's rows or lanes.
import { addAffine, constant, ofVariable } from './build.js'
import type { Builder } from './builder.js'
import type { ContractDomain } from './contraction.js'
import type { Affine, Variable } from './kernel.js'
import { type Axis, largestDivisor, type Segment, type TilePlan } from './tile-plan.js'

export interface Split {
  readonly variable: Variable
  readonly extent: number
  /** The loops left, outermost first. */
  readonly before: readonly Axis[]
  /** Where the tile's rows are what is split: runs the rows of one block. */
  readonly blocks?: (b: Builder, body: (rowAt: Affine, row: Segment) => void) => void
  /** Where the first segment of lanes is what is split: elements along it in a turn. */
  readonly lanes?: number
}

/** Threads share out the first axis: each item's copy is made once. */
export function byItem(loops: readonly Axis[], domain: ContractDomain): Split {
  const [item] = domain.outer
  return {
    variable: item,
    extent: domain.space.extents.get(item.id) ?? 1,
    before: loops.filter((axis) => axis.variable !== item),
  }
}

/** What the threads share out: an untiled output axis, or blocks of row tiles. */
export function chooseParallel(
  loops: readonly Axis[],
  plan: TilePlan,
  domain: ContractDomain,
): Split {
  const { names, extents } = domain.space
  const tiles = plan.rows ? plan.rowSegments[0].trips : 1
  const best = loops.reduce<Axis | undefined>(
    (found, axis) => (found && found.extent >= Math.min(4, axis.extent) ? found : axis),
    undefined,
  )
  if (best && (best.extent >= 4 || best.extent >= tiles || tiles < 2))
    return { ...best, before: loops.filter((axis) => axis !== best) }
  if (!plan.rows || tiles < 2) return { variable: names.variable('once'), extent: 1, before: loops }
  // A turn reads all of the operand that has not what is split: the shorter one, where sums are cut and it is read
  // often.
  const [along] = plan.laneSegments
  const shared = along && plan.lane && plan.lane.extent >= plan.rows.extent
  if (shared && plan.hoisted.length > 0 && loops.length === 0 && along.trips >= 4) {
    const parts = largestDivisor(along.trips, 8)
    const variable = names.variable('block')
    extents.set(variable.id, parts)
    const lanes = (along.trips / parts) * along.step
    return { variable, extent: parts, before: loops, lanes }
  }
  const count = largestDivisor(tiles, plan.hoisted.length > 0 ? 8 : 16)
  const turns = tiles / count
  const variable = names.variable('block')
  extents.set(variable.id, count)
  const [main, rest] = plan.rowSegments
  return {
    variable,
    extent: count,
    before: loops,
    blocks: (b, body) => {
      const first = ofVariable(variable, turns * main.step)
      if (turns === 1) body(first, main)
      else {
        const turn = names.variable('tile')
        extents.set(turn.id, turns)
        b.loop(turn, 0, turns, 1, () => body(addAffine(first, ofVariable(turn, main.step)), main))
      }
      if (rest)
        b.when([{ affine: ofVariable(variable, 1, 1 - count), extent: 1 }], () =>
          body(constant(rest.start), rest),
        )
    },
  }
}
