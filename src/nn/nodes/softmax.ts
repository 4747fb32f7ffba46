// Softmax and its logarithm along one axis, shifted by the maximum so that nothing overflows.
//
// Their gradients use the result: softmax y: y·(G − Σ G·y); log-softmax y: G − exp(y)·Σ G.
import { composite, type Node } from '../../graph/node.js'
import { div, exp, largest, log, mul, sub, sum } from './math.js'

/** The parts both share: x − max, and Σ exp(x − max), along `axis`. */
export function shifted(x: Node, axis: number): { centred: Node; top: Node } {
  const top = largest(x, [axis])
  return { centred: sub(x, top), top }
}

export function softmax(x: Node, axis: number): Node {
  return composite('softmax', `${axis}`, [x], x, {
    expand: () => {
      const e = exp(shifted(x, axis).centred)
      return div(e, sum(e, [axis]))
    },
    gradient: (y, G) => [mul(y, sub(G, sum(mul(G, y), [axis])))],
  })
}

export function logSoftmax(x: Node, axis: number): Node {
  return composite('logSoftmax', `${axis}`, [x], x, {
    expand: () => {
      const { centred } = shifted(x, axis)
      return sub(centred, log(sum(exp(centred), [axis])))
    },
    gradient: (y, G) => [sub(G, mul(exp(y), sum(G, [axis])))],
  })
}
