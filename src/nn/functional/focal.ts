// The focal loss of dense detectors (Lin, Goyal, Girshick, He and Dollár 2017), after torchvision.ops.
import { fail } from '../../base/errors.js'
import { map } from '../../graph/node.js'
import { power } from '../../tensor/arithmetic.js'
import type { Tensor } from '../../tensor/tensor.js'
import { add, mul, neg, sub } from '../nodes/math.js'
import { softplusNode } from './activation.js'
import { pairwise, type ReductionOptions } from './reduction.js'

/** Options of sigmoidFocalLoss. */
export interface FocalOptions extends ReductionOptions {
  /** Weight of the positive class, 1 − alpha of the negative one; below 0: none. Default 0.25. */
  readonly alpha?: number
  /** How much what is easy counts less; 0: not at all. Default 2. */
  readonly gamma?: number
}

/**
 * α_t·(1 − p_t)^γ·(−log p_t) of logits and targets 0 … 1 of one shape, where p_t is the probability of what is true. As
 * in torchvision nothing is reduced by default. torchvision.ops.sigmoid_focal_loss.
 */
export function sigmoidFocalLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'none', alpha = 0.25, gamma = 2 }: FocalOptions = {},
): Tensor {
  if (!(gamma >= 0)) fail(`sigmoidFocalLoss: gamma is ${gamma}, but must be 0 or more`)
  return pairwise('sigmoidFocalLoss', input, target, reduction, (x, t) => {
    const entropy = add(mul(sub(1, t), x), softplusNode(neg(x)))
    // 1 − p_t, exact also where p_t is nearly 1.
    const missed = add(mul(map('sigmoid', x), sub(1, t)), mul(map('sigmoid', neg(x)), t))
    const loss = gamma === 0 ? entropy : mul(entropy, power(missed, gamma))
    return alpha < 0 ? loss : mul(loss, add(mul(t, 2 * alpha - 1), 1 - alpha))
  })
}
