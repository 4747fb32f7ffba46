// What went wrong in a model, in its own terms: which layers a value came from, which reshape mixed images,
// and which change would make the shapes fit. Runs only once there is an error to explain.
import { sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { context } from '../tensor/context.js'

/** How far back a value is followed. */
const FARTHEST = 200

/**
 * When logits have another number of rows than there are labels: the reshape that made these rows out of that many
 * images, as a sentence; undefined where there is none.
 */
export function mixedRows(logits: Node, labels: number): string | undefined {
  const rows = logits.shape[0]
  let node: Node | undefined = logits
  for (let i = 0; node !== undefined && i < FARTHEST; i++) {
    if (node.kind === 'view' && node.op.type === 'reshape') {
      const from: Node = node.args[0]
      if (node.shape[0] === rows && from.shape[0] === labels && from.shape.length > 1) {
        const owner = node.label === '' ? context.lastModule : `${context.lastModule}.${node.label}`
        return `${owner ? `${owner}'s` : 'the'} reshape made ${rows} rows of ${sizeOf(node.shape) / rows} out of ${labels} ${from.shape.length === 4 ? 'images' : 'rows'} of ${sizeOf(from.shape) / labels}`
      }
    }
    node = node.args[0]
  }
  return undefined
}
