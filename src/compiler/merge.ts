// Merges neighbouring loops that every address walks as one.
import { invariant } from '../base/errors.js'
import { addAffine, coefficientOf, type Names, ofVariable } from './build.js'
import type { Affine, Variable } from './kernel.js'

export interface Loop {
  readonly variable: Variable
  readonly extent: number
}

export interface Merged {
  readonly loops: readonly Loop[]
  /** Rewrites a linear address into the merged variables. */
  readonly merge: (address: Affine) => Affine
}

/**
 * Loops v, w (w the faster) become one where each address has coefficient(v) = coefficient(w)·extent(w), and
 * neither variable is pinned (used otherwise than in an address).
 */
export function mergeLoops(
  variables: readonly Variable[],
  addresses: readonly Affine[],
  pinned: ReadonlySet<number>,
  extentOf: (variable: Variable) => number,
  names: Names,
): Merged {
  const runs: Variable[][] = []
  const walks = (a: Affine, v: Variable, w: Variable) =>
    coefficientOf(a, v) === coefficientOf(a, w) * extentOf(w)
  const fits = (v: Variable, w: Variable) =>
    !pinned.has(v.id) && !pinned.has(w.id) && addresses.every((a) => walks(a, v, w))
  for (const variable of variables) {
    const run = runs.at(-1)
    const last = run?.at(-1)
    if (run && last && fits(last, variable)) run.push(variable)
    else runs.push([variable])
  }
  const single = new Map<number, Variable>()
  const dropped = new Set<number>()
  const loops = runs.map((run) => {
    const extent = run.reduce((n, v) => n * extentOf(v), 1)
    if (run.length === 1) return { variable: run[0], extent }
    const variable = names.variable(run.map((v) => v.name).join(''))
    for (const v of run) dropped.add(v.id)
    single.set(run[run.length - 1].id, variable)
    return { variable, extent }
  })
  if (single.size === 0) return { loops, merge: (address) => address }
  const merge = (address: Affine): Affine => {
    for (const run of runs)
      for (let i = 1; i < run.length; i++)
        invariant(walks(address, run[i - 1], run[i]), () => 'a position within merged loops')
    let out: Affine = {
      terms: address.terms.filter(([v]) => !dropped.has(v.id)),
      offset: address.offset,
    }
    for (const [v, coefficient] of address.terms) {
      const variable = single.get(v.id)
      if (variable) out = addAffine(out, ofVariable(variable), coefficient)
    }
    return out
  }
  return { loops, merge }
}
