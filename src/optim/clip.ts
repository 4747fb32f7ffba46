// Limits on gradients between backward() and step(). After torch.nn.utils.
import { fail } from '../base/errors.js'
import { map, type Node, reduce, reshape } from '../graph/node.js'
import { add, atMost, div, mul, square } from '../nn/nodes/math.js'
import { number } from '../tensor/arithmetic.js'
import type { Parameter } from '../tensor/parameter.js'
import { keep } from '../tensor/submit.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'

function everything(x: Node): Node {
  return reduce(
    'sum',
    x.shape.map((_, i) => i),
    x,
  )
}

/**
 * Scales all gradients so that their joint Euclidean norm is at most `maxNorm`. Returns the norm before, which the
 * next step writes out.
 */
export function clipGradNorm(parameters: Iterable<Parameter>, maxNorm: number): Tensor {
  const clipped = [...parameters].filter((parameter) => parameter.grad !== undefined)
  if (!(maxNorm >= 0)) fail(`clipGradNorm: maxNorm is ${maxNorm}, but must be a number from 0`)
  if (clipped.length === 0)
    fail('clipGradNorm: no parameter has a gradient; call loss.backward() first')
  const gradients = clipped.map(({ grad }) => grad as Tensor)
  const sum = gradients
    .map((gradient) => everything(square(gradient.node)))
    .reduce((total, part) => add(total, part))
  const norm = map('sqrt', sum)
  const scale = atMost(div(reshape(number(maxNorm, 'float32'), []), add(norm, 1e-6)), 1)
  clipped.forEach((parameter, i) => {
    parameter.grad = fromNode(mul(gradients[i].node, scale), gradients[i])
  })
  return keep(fromNode(norm, ...gradients))
}

/** Clamps every element of every gradient to −limit … limit. */
export function clipGradValue(parameters: Iterable<Parameter>, limit: number): void {
  if (!(limit >= 0)) fail(`clipGradValue: the limit is ${limit}, but must be a number from 0`)
  for (const parameter of parameters)
    if (parameter.grad !== undefined) parameter.grad = parameter.grad.clamp(-limit, limit)
}
