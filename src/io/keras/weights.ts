// Weights into a Keras model's layers. Files name them in several ways: `conv2d/kernel`, `lstm/lstm_cell/kernel:0`,
// `bidirectional/forward_lstm/lstm_cell_1/kernel`, or (Keras 3) by place alone. What a layer needs is known, so its
// weights are found by the last part of their names, else by order.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import type { HostTensor } from '../values.js'
import { KerasLayer, type SlotOf } from './layer.js'
import { type KerasModel, modelOf } from './model.js'

export type NamedTensor = readonly [name: string, tensor: HostTensor]

/** A layer that has weights of its own, and the models it lies in. */
export interface Leaf {
  readonly layer: KerasLayer
  /** Names of the models around it, the outermost first, and its own. */
  readonly path: readonly string[]
}

/** All layers but models, in order. */
export function leavesOf(model: KerasModel, path: readonly string[] = []): Leaf[] {
  return [...model.layers].flatMap(([name, layer]) => {
    const inner = modelOf(layer)
    if (inner !== undefined) return leavesOf(inner, [...path, name])
    return layer instanceof KerasLayer ? [{ layer, path: [...path, name] }] : []
  })
}

const clean = (name: string) => name.replace(/:\d+$/, '')

/**
 * Sets a layer's weights from those a file has for it.
 * @throws BurnishError naming what is missing, and what the file has.
 */
export function fill(leaf: Leaf, found: readonly NamedTensor[], where: string): void {
  const slots = leaf.layer.slots()
  const here = `${where}: ${leaf.layer.className} ${leaf.path.join('/')}`
  const chosen = byName(slots, found) ?? byOrder(slots, found)
  if (chosen === undefined) {
    const needed = slots.filter(({ slot }) => slot.optional !== true).map(slotName)
    throw fail(
      `${here}: needs ${needed.join(', ') || 'no weights'}; the file has ${found.map(([name, { shape }]) => `${name} ${showShape(shape)}`).join(', ') || 'none'} for it`,
    )
  }
  for (const [{ layer, slot }, tensor] of chosen) layer.assign(slot, tensor)
}

const slotName = ({ prefix, slot }: SlotOf) =>
  prefix === '' ? slot.name : `${prefix}/${slot.name}`

type Chosen = (readonly [SlotOf, HostTensor])[]

/** Each slot by the last part of its name, and where that is not enough by the other parts. */
function byName(slots: readonly SlotOf[], found: readonly NamedTensor[]): Chosen | undefined {
  const used = new Set<NamedTensor>()
  const chosen: Chosen = []
  for (const entry of slots) {
    const parts = entry.slot.name.split('/')
    const last = parts.at(-1)
    let candidates = found.filter(([name]) => clean(name).split('/').at(-1) === last)
    // Where several have the name, the part of the layer must be in the path: query, forward_lstm.
    const marks = [
      ...parts.slice(0, -1),
      ...(entry.layer.layerName === '' ? [] : [entry.layer.layerName]),
    ]
    for (const mark of marks) {
      if (candidates.length < 2) break
      const marked = candidates.filter(([name]) => clean(name).split('/').includes(mark))
      if (marked.length > 0) candidates = marked
    }
    const [one, ...others] = candidates
    if (one === undefined && entry.slot.optional === true) continue
    if (one === undefined || others.length > 0 || used.has(one)) return undefined
    used.add(one)
    chosen.push([entry, one[1]])
  }
  return used.size === found.length ? chosen : undefined
}

function byOrder(slots: readonly SlotOf[], found: readonly NamedTensor[]): Chosen | undefined {
  const needed = slots.length === found.length ? slots : slots.filter(({ slot }) => !slot.optional)
  if (needed.length !== found.length) return undefined
  return needed.map((slot, i) => [slot, found[i][1]] as const)
}

/** Sets all weights from tensors by name, as TensorFlow.js keeps them: `layer/weight`, perhaps with more around. */
export function assignNamed(
  model: KerasModel,
  tensors: ReadonlyMap<string, HostTensor>,
  where: string,
): void {
  // By every part of the name but the last, so that a layer finds its own without looking at all.
  const byPart = new Map<string, NamedTensor[]>()
  for (const entry of tensors)
    for (const part of new Set(entry[0].split('/').slice(0, -1)))
      byPart.set(part, [...(byPart.get(part) ?? []), entry])
  const used = new Set<string>()
  for (const leaf of leavesOf(model)) {
    const name = leaf.path.at(-1) ?? ''
    let found = byPart.get(name) ?? []
    const leading = found.filter(([key]) => key.startsWith(`${name}/`))
    if (leading.length > 0) found = leading
    // Equal names in two models inside: the model's name must be in the path.
    for (const outer of leaf.path.slice(0, -1).reverse()) {
      const inside = (byPart.get(name) ?? []).filter(([key]) => key.split('/').includes(outer))
      if (inside.length > 0) found = inside
    }
    if (leaf.layer.slots().length === 0) continue
    const fresh = found.filter(([key]) => !used.has(key))
    fill(leaf, fresh, where)
    for (const [key] of fresh) used.add(key)
  }
}
