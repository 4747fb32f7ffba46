// Dropout as layers: it drops in training, and passes through in evaluation.
import { fail } from '../../base/errors.js'
import type { Tensor } from '../../tensor/tensor.js'
import * as F from '../functional/dropout.js'
import { Module } from '../module.js'

abstract class Dropping extends Module {
  /** The probability of being dropped. */
  p: number

  constructor(p = 0.5) {
    super()
    if (!(p >= 0 && p <= 1)) fail(`${this.constructor.name}: p is ${p}, but must be a probability`)
    this.p = p
  }
}

/** In training zeroes elements with probability p, and scales the others by 1/(1 − p). */
export class Dropout extends Dropping {
  forward(input: Tensor): Tensor {
    return F.dropout(input, { p: this.p, training: this.training })
  }
}

/** In training zeroes whole channels of [N, C, L]. */
export class Dropout1d extends Dropping {
  forward(input: Tensor): Tensor {
    return F.dropout1d(input, { p: this.p, training: this.training })
  }
}

/** In training zeroes whole channels of [N, C, H, W]. */
export class Dropout2d extends Dropping {
  forward(input: Tensor): Tensor {
    return F.dropout2d(input, { p: this.p, training: this.training })
  }
}

/** In training zeroes whole channels of [N, C, D, H, W]. */
export class Dropout3d extends Dropping {
  forward(input: Tensor): Tensor {
    return F.dropout3d(input, { p: this.p, training: this.training })
  }
}

/** Dropout that keeps mean 0 and variance 1, for SELU. */
export class AlphaDropout extends Dropping {
  forward(input: Tensor): Tensor {
    return F.alphaDropout(input, { p: this.p, training: this.training })
  }
}
