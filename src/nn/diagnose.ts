// What went wrong in a model, in its own terms: which layers a value came from, which reshape mixed images,
// and which change would make the shapes fit. Runs only once there is an error to explain.
import type { BurnishError } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { context } from '../tensor/context.js'
import { RowsError } from '../tensor/movement.js'

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

/** A layer that changes the spatial size, such as a convolution or a pool. */
interface Sizing {
  outputSize(input: readonly number[], padding?: number): number[]
}
const sizes = (layer: object | undefined): layer is Sizing =>
  layer !== undefined && 'outputSize' in layer

interface ModuleTree {
  namedModules(): (readonly [string, object])[]
}

/** The text of an error that came up in `module`'s forward, within the model `top`. */
export function explain(error: BurnishError, module: ModuleTree, top: ModuleTree): string {
  if (!(error instanceof RowsError)) return error.message
  const { operand, columns } = error
  const expecting = module
    .namedModules()
    .find(([, layer]) => 'inFeatures' in layer && layer.inFeatures === columns)
  if (expecting === undefined || operand.shape.length < 2) return error.message
  const [, ...rest] = operand.shape
  const each = rest.length === 3 ? 'image' : 'example'
  const product = rest.length > 1 ? `${rest.join('·')} = ` : ''
  const remedy = paddingFor(operand, columns, top)
  return `${error.rule}; each ${each} has ${product}${sizeOf(rest)}. ${expecting[0]} expects ${columns}: use inFeatures ${sizeOf(rest)}${remedy ? `, or ${remedy}` : ''}`
}

/** The layers a value came through, first to last, and the spatial size that went in. */
function route(value: Node, top: ModuleTree) {
  const layers = new Map(top.namedModules())
  const names: string[] = []
  let input = value.shape
  let last = ''
  let node: Node | undefined = value
  for (let i = 0; node !== undefined && i < FARTHEST; i++) {
    if (node.label !== last) {
      if (node.label !== '') names.unshift(node.label)
      else input = node.shape
      last = node.label
    }
    if (node.kind === 'input') input = node.shape
    node = node.args[0]
  }
  return { layers: names.map((name) => ({ name, layer: layers.get(name) })), input }
}

const MOST_PADDING = 8

/** `padding 2 in conv1`: a change of one convolution's padding after which each image has `wanted` values. */
function paddingFor(value: Node, wanted: number, top: ModuleTree): string | undefined {
  const [, channels, ...spatial] = value.shape
  const { layers, input } = route(value, top)
  const flow = (changed: string, padding: number | undefined): number[] | undefined => {
    let size: number[] = input.slice(2)
    for (const { name, layer } of layers) {
      if (!sizes(layer)) continue
      size = layer.outputSize(size, name === changed ? padding : undefined)
      if (size.some((n) => n < 1)) return undefined
    }
    return size
  }
  const plain = flow('', undefined)
  if (plain === undefined || plain.join() !== spatial.join()) return undefined
  for (const { name, layer } of layers) {
    if (!sizes(layer) || !('outChannels' in layer)) continue
    for (let padding = 1; padding <= MOST_PADDING; padding++) {
      const size = flow(name, padding)
      if (size && channels * sizeOf(size) === wanted) return `padding ${padding} in ${name}`
    }
  }
  return undefined
}
