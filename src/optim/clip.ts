// Limits on gradients between backward() and step(). After torch.nn.utils.
import { fail } from '../base/errors.js'
import { input, map, type Node, reduce } from '../graph/node.js'
import { add, atMost, div, exp, log, mul, square } from '../nn/nodes/math.js'
import type { Parameter } from '../tensor/parameter.js'
import { keep } from '../tensor/submit.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'
import { Scalar } from '../tensor/value.js'

/** All elements of each node in one. */
function over(fn: 'sum' | 'max', nodes: readonly Node[]): Node {
  const all = (x: Node) =>
    reduce(
      fn,
      x.shape.map((_, i) => i),
      x,
    )
  return nodes.map(all).reduce((one, other) => map(fn === 'sum' ? 'add' : 'max', one, other))
}

/** The norm of order p of all elements of all nodes. */
function norm(nodes: readonly Node[], p: number): Node {
  if (p === 2) return map('sqrt', over('sum', nodes.map(square)))
  const sizes = nodes.map((x) => map('abs', x))
  if (p === Number.POSITIVE_INFINITY) return over('max', sizes)
  if (p === 1) return over('sum', sizes)
  const sum = over(
    'sum',
    // 0 to a power is 0: the logarithm of 0 is −∞.
    sizes.map((x) => exp(mul(log(x), p))),
  )
  return exp(div(log(sum), p))
}

/**
 * Scales all gradients so that their joint norm is at most `maxNorm`; `normType` is its order, 2 by default, or
 * Infinity. Returns the norm before, which the next step writes out. After torch.nn.utils.clip_grad_norm_.
 * @throws BurnishError when there are no gradients.
 */
export function clipGradNorm(
  parameters: Iterable<Parameter>,
  maxNorm: number,
  { normType = 2 }: { readonly normType?: number } = {},
): Tensor {
  if (!(maxNorm >= 0)) fail(`clipGradNorm: maxNorm is ${maxNorm}, but must be a number from 0`)
  if (!(normType > 0)) fail(`clipGradNorm: normType is ${normType}, but must be above 0`)
  const clipped: (readonly [Parameter, Tensor])[] = []
  for (const parameter of parameters)
    if (parameter.grad !== undefined) clipped.push([parameter, parameter.grad])
  if (clipped.length === 0)
    fail('clipGradNorm: no parameter has a gradient; call loss.backward() first')
  const gradients = clipped.map(([, gradient]) => gradient)
  const before = norm(
    gradients.map((gradient) => gradient.node),
    normType,
  )
  const most = input(new Scalar(() => maxNorm), [], 'float32')
  const scale = atMost(div(most, add(before, 1e-6)), 1)
  for (const [parameter, gradient] of clipped)
    parameter.grad = fromNode(mul(gradient.node, scale), gradient)
  return keep(fromNode(before, ...gradients))
}

/** Clamps every element of every gradient to −limit … limit. After torch.nn.utils.clip_grad_value_. */
export function clipGradValue(parameters: Iterable<Parameter>, limit: number): void {
  if (!(limit >= 0)) fail(`clipGradValue: the limit is ${limit}, but must be a number from 0`)
  for (const parameter of parameters)
    if (parameter.grad !== undefined) parameter.grad = parameter.grad.clamp(-limit, limit)
}
