// How large what a pickle made is: few bytes of it may stand for values without end, or that contain themselves.
import { fail } from '../base/errors.js'
import type { PickleValue } from './pickle.js'

const DEEPEST = 100
/** Elements, shared ones counted wherever they are used. */
const MOST_ELEMENTS = 10_000_000

export const isPlain = (value: PickleValue) => typeof value !== 'object' || value === null

/** A value for errors: what is no plain one may be a bomb, and is not looked into. */
export function shownValue(value: PickleValue): string {
  return isPlain(value) ? String(value) : 'no plain value'
}

/** How many elements, characters or bytes a value has itself. */
export function extentOf(value: PickleValue): number {
  if (typeof value === 'string' || value instanceof Uint8Array || Array.isArray(value))
    return value.length + 1
  return value instanceof Map || value instanceof Set ? value.size + 1 : 1
}

function childrenOf(value: PickleValue): Iterable<PickleValue> {
  if (value instanceof Map) return [...value].flat()
  if (value instanceof Set || Array.isArray(value)) return value
  return []
}

/** Refuses cycles, too deep a nesting, and parts that are shared so often that a walk would never end. */
export function checkSize(root: PickleValue, where: string): void {
  /** The elements of a container, those of shared ones each time, and how deep it is; 0 while it is looked into. */
  const known = new Map<PickleValue, { readonly size: number; readonly height: number }>()
  const inside = { size: 0, height: 0 }
  const leaf = { size: 1, height: 0 }
  const visit = (value: PickleValue, depth: number): { size: number; height: number } => {
    if (typeof value !== 'object' || value === null) return leaf
    const before = known.get(value)
    if (before === inside) fail(`${where}: a list or dict of its pickle contains itself`)
    if (depth + (before?.height ?? 0) > DEEPEST)
      fail(`${where}: its pickle is nested more than ${DEEPEST} deep`)
    if (before !== undefined) return before
    known.set(value, inside)
    let [size, height] = [1, 0]
    for (const child of childrenOf(value)) {
      const found = visit(child, depth + 1)
      size += found.size
      height = Math.max(height, found.height + 1)
    }
    if (size > MOST_ELEMENTS)
      fail(
        `${where}: its pickle has more than ${MOST_ELEMENTS} values, shared ones counted wherever they are used, as a bomb has`,
      )
    known.set(value, { size, height })
    return { size, height }
  }
  visit(root, 0)
}
