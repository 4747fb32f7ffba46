// The loops of a contraction before they are tiled: a variable for every axis, the address of each operand
// through the views in front of it, and the index of the chain's last map.
import { invariant } from '../base/errors.js'
import { type Node, nodeKindIs } from '../graph/node.js'
import {
  accessesOf,
  axisIndex,
  baseOf,
  createSpace,
  linear,
  reshapeIndex,
  type Space,
  Unfoldable,
  variableOf,
} from './access.js'
import { addAffine, coefficientOf, ofVariable, scaleAffine, substitute } from './build.js'
import { viewAccess } from './builder.js'
import type { Affine, Inside, Variable } from './kernel.js'

/** An operand in memory at an address, or a number; 0 where not all of `inside` hold. */
export type Operand = (
  | { readonly base: Node; readonly at: Affine }
  | { readonly value: number }
) & { readonly inside: readonly Inside[] }

export interface ContractDomain {
  readonly space: Space
  /** The output's variables, in order, and the summed ones. */
  readonly outer: readonly Variable[]
  readonly summed: readonly Variable[]
  readonly a: Operand
  readonly b: Operand
  /** The index of the contraction's result, and of the chain's end. */
  readonly index: readonly Affine[]
  readonly endIndex: readonly Affine[]
}

/** Throws Unfoldable when a view must be computed first. */
export function contractDomain(
  chain: readonly Node[],
  inMemory: (base: Node) => boolean,
): ContractDomain {
  const core = chain[0]
  invariant(nodeKindIs(core, 'contract'), () => 'a chain begins with its contraction')
  const { spec } = core
  const space = createSpace()
  let axes = spec.extents.map((extent, i) =>
    axisIndex(space, i < spec.rank ? `o${i}` : `k${i}`, extent),
  )
  for (;;) {
    try {
      const at = (operand: 'a' | 'b') =>
        spec[operand].map((index) => {
          invariant(index.divide === 1, () => 'a divided index reaches lowering')
          let sum: Affine = { terms: [], offset: index.offset }
          for (const [axis, coefficient] of index.terms)
            sum = addAffine(sum, scaleAffine(axes[axis], coefficient))
          return sum
        })
      const a = operandOf(core.args[0], at('a'), space, inMemory)
      const b = operandOf(core.args[1], at('b'), space, inMemory)
      const index = axes.slice(0, spec.rank)
      let endIndex: readonly Affine[] = index
      for (let i = 1; i < chain.length; i++)
        if (chain[i].kind === 'view')
          endIndex = reshapeIndex(chain[i], endIndex, chain[i - 1].shape, chain[i].shape, space)
        // What else the chain's maps read must fold at their index too.
        else
          accessesOf(
            chain[i],
            endIndex,
            space,
            (node) => node === chain[i - 1] || inMemory(baseOf(node)),
          )
      const variables = (list: readonly Affine[]) =>
        list.flatMap((affine) => affine.terms.map(([v]) => v))
      return {
        space,
        outer: variables(index),
        summed: variables(axes.slice(spec.rank)),
        a,
        b,
        index,
        endIndex,
      }
    } catch (error) {
      if (!(error instanceof Unfoldable) || error.split === undefined) throw error
      const { variable, by } = error.split
      const extent = space.extents.get(variable.id) ?? 1
      const high = variableOf(space, `${variable.name}a`, extent / by)
      const low = variableOf(space, `${variable.name}b`, by)
      const whole = addAffine(ofVariable(high, by), ofVariable(low))
      axes = axes.map((axis) =>
        coefficientOf(axis, variable) === 0 ? axis : substitute(axis, variable, whole),
      )
    }
  }
}

function operandOf(
  node: Node,
  index: readonly Affine[],
  space: Space,
  inMemory: (base: Node) => boolean,
): Operand {
  const ends = (base: Node) => base.kind === 'const' || inMemory(base)
  const access = viewAccess(node, index, space, ends)
  if (access === undefined) throw new Unfoldable(node)
  const { inside } = access
  const base = baseOf(access.node)
  if (base.kind === 'const') return { value: base.value, inside }
  return { base, at: linear(access.index, access.node.shape), inside }
}
