// The guard of a step (rule 18), and the search for the first layer with a value that is not finite.
import { BurnishError } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { constant, map, type Node, reduce, topological } from '../graph/node.js'
import { cast } from './arithmetic.js'
import { type Output, type Request, submit } from './submission.js'
import { cellOf, Scalar, Value } from './value.js'

/** A bool scalar: every element is finite. */
export function guardNode(loss: Node): Node {
  return loss.shape.length === 0
    ? map('isFinite', loss)
    : map('eq', notFinite(loss), constant(0, 'int32'))
}

/** How many elements are not finite, int32. */
function notFinite(node: Node): Node {
  const bad = cast(map('not', map('isFinite', node)), 'int32')
  return reduce('sum', [...node.shape.keys()], bad)
}

interface Place {
  readonly node: Node
  readonly what: string
}

/** The inputs, then the last float node of each layer, in order of computation. */
function places(loss: Node): Place[] {
  const found: Place[] = []
  const layers = new Map<string, Node>()
  const order = topological([loss])
  for (const node of order) {
    if (node.dtype !== 'float32' || node.kind === 'scan') continue
    const cell = cellOf(node)
    if (cell !== undefined) found.push({ node, what: `the value of ${cell.name || 'a parameter'}` })
    else if (node.kind === 'input' && !(node.source instanceof Scalar))
      found.push({
        node,
        what: `an input ${showShape(node.shape)} of ${node.label || 'the model'}`,
      })
    else if (node.kind !== 'input' && node.label !== '') {
      layers.delete(node.label)
      layers.set(node.label, node)
    }
  }
  for (const [label, node] of layers)
    found.push({ node, what: `the output ${showShape(node.shape)} of ${label}` })
  found.push({ node: loss, what: 'the loss itself' })
  return found
}

/** Runs the graph behind `loss` once more, with a check of every layer; the error names the first that fails. */
export async function explainNonFinite(loss: Node, call?: Request['call']): Promise<Error> {
  const checked = places(loss)
  const outputs: Output[] = checked.map(({ node }) => ({
    node: notFinite(node),
    value: new Value([], 'int32'),
    deliver: 'value',
  }))
  await submit({ outputs, updates: [], by: 'a check', call })
  const first = outputs.findIndex(({ value }) => (value.host?.[0] ?? 0) > 0)
  const advice = 'a lower learning rate, or gradient clipping, often helps'
  if (first < 0)
    return new BurnishError(
      `the loss was not finite, and is when computed again; no update was applied: ${advice}`,
    )
  const count = outputs[first].value.host?.[0] ?? 0
  return new BurnishError(
    `the loss is not finite: the first such value is in ${checked[first].what} (${count} of them); no update was applied: ${advice}`,
  )
}
