// Copies of keys and values in the thread's scratch, side by side as products.ts reads the operand with the lanes: in
// panels of a register tile's columns.
import type { Node } from '../graph/node.js'
import type { Blocks } from './attention-block.js'
import { addAffine, bound, constant, ofVariable, shiftAffine } from './build.js'
import type { Variable } from './kernel.js'
import { type Product, panelOf, roundUp } from './products.js'

/** Where `copyTurned` puts its copy. */
export function turnedPanels(blocks: Blocks, name: string, columns: number): Product['b'] {
  const width = panelOf(blocks.context.machine)
  const size = roundUp(blocks.sizes.keys, width) * columns
  return { buffer: blocks.scratch(name, size), k: width, panel: columns * width }
}

/** [panel of keys, feature, key in the panel]. */
export function copyTurned(
  blocks: Blocks,
  node: Node,
  name: string,
  feature: Variable,
  columns: number,
): void {
  const { b, at } = blocks
  const { keys } = blocks.sizes
  const width = panelOf(blocks.context.machine)
  const { buffer } = turnedPanels(blocks, name, columns)
  const { names, extents } = b.space
  const panel = names.variable('panel')
  const inside = names.variable('inside')
  extents.set(panel.id, Math.ceil(keys / width))
  extents.set(inside.id, width)
  const key = addAffine(ofVariable(panel, width), ofVariable(inside))
  const rest = addAffine(constant(keys), ofVariable(panel), -width)
  b.loop(panel, 0, Math.ceil(keys / width), 1, () => {
    b.loop(inside, 0, bound('to', width, rest), 1, () => {
      blocks.along(feature, columns, () => {
        const from = addAffine(ofVariable(panel, columns * width), ofVariable(inside))
        const place = addAffine(from, ofVariable(feature, width))
        b.emitStore(buffer, place, width, b.read(node, [...at.batch, key, ofVariable(feature)]))
      })
    })
  })
}

/** Where `copyRows` puts its copy. */
export function panels(blocks: Blocks, name: string, columns: number): Product['b'] {
  const width = panelOf(blocks.context.machine)
  const { keys } = blocks.sizes
  const buffer = blocks.scratch(name, roundUp(columns, width) * keys)
  return { buffer, k: width, panel: keys * width }
}

/** [panel of features, key, feature in the panel]. */
export function copyRows(
  blocks: Blocks,
  node: Node,
  name: string,
  feature: Variable,
  columns: number,
): void {
  const { b, at } = blocks
  const { keys } = blocks.sizes
  const width = panelOf(blocks.context.machine)
  const { buffer } = panels(blocks, name, columns)
  const panel = b.space.names.variable('panel')
  b.space.extents.set(panel.id, Math.ceil(columns / width))
  b.loop(at.key, 0, keys, 1, () => {
    b.loop(panel, 0, Math.ceil(columns / width), 1, () => {
      const from = ofVariable(panel, width)
      const index = [...at.batch, ofVariable(at.key), ofVariable(feature)]
      const row = addAffine(ofVariable(panel, keys * width - width), ofVariable(at.key, width))
      blocks.along(
        feature,
        columns,
        () => {
          b.emitStore(buffer, addAffine(row, ofVariable(feature)), 1, b.read(node, index))
        },
        from,
        shiftAffine(from, width),
      )
    })
  })
}
