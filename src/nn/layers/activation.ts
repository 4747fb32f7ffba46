// Activations as layers.

import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import * as F from '../functional/activation.js'
import { Module } from '../module.js'

/** max(x, 0) */
export class ReLU extends Module {
  forward(input: Tensor): Tensor {
    return F.relu(input)
  }
}

/** min(max(x, 0), 6) */
export class ReLU6 extends Module {
  forward(input: Tensor): Tensor {
    return F.relu6(input)
  }
}

/** 1 / (1 + e^−x) */
export class Sigmoid extends Module {
  forward(input: Tensor): Tensor {
    return F.sigmoid(input)
  }
}

/** x·sigmoid(x) */
export class SiLU extends Module {
  forward(input: Tensor): Tensor {
    return F.silu(input)
  }
}

/** x·tanh(softplus(x)) */
export class Mish extends Module {
  forward(input: Tensor): Tensor {
    return F.mish(input)
  }
}

/** ELU with constants that keep mean 0 and variance 1. */
export class SELU extends Module {
  forward(input: Tensor): Tensor {
    return F.selu(input)
  }
}

/** x·hardsigmoid(x) */
export class Hardswish extends Module {
  forward(input: Tensor): Tensor {
    return F.hardswish(input)
  }
}

/** min(max(x + 3, 0), 6) / 6 */
export class Hardsigmoid extends Module {
  forward(input: Tensor): Tensor {
    return F.hardsigmoid(input)
  }
}

/** x / (1 + |x|) */
export class Softsign extends Module {
  forward(input: Tensor): Tensor {
    return F.softsign(input)
  }
}

/** log(sigmoid(x)) */
export class LogSigmoid extends Module {
  forward(input: Tensor): Tensor {
    return F.logSigmoid(input)
  }
}

/** x − tanh(x) */
export class Tanhshrink extends Module {
  forward(input: Tensor): Tensor {
    return F.tanhshrink(input)
  }
}

/** tanh(x) */
export class Tanh extends Module {
  forward(input: Tensor): Tensor {
    return input.tanh()
  }
}

/** x·Φ(x), or its approximation by tanh. */
export class GELU extends Module {
  readonly approximate: 'none' | 'tanh'

  constructor({ approximate = 'none' }: { readonly approximate?: 'none' | 'tanh' } = {}) {
    super()
    this.approximate = approximate
  }

  forward(input: Tensor): Tensor {
    return F.gelu(input, { approximate: this.approximate })
  }
}

/** x, or x·negativeSlope below 0. */
export class LeakyReLU extends Module {
  readonly negativeSlope: number

  constructor(negativeSlope = 0.01) {
    super()
    this.negativeSlope = negativeSlope
  }

  forward(input: Tensor): Tensor {
    return F.leakyRelu(input, { negativeSlope: this.negativeSlope })
  }
}

/** x, or α(e^x − 1) below 0. */
export class ELU extends Module {
  readonly alpha: number

  constructor(alpha = 1) {
    super()
    this.alpha = alpha
  }

  forward(input: Tensor): Tensor {
    return F.elu(input, { alpha: this.alpha })
  }
}

/** log(1 + e^βx)/β */
export class Softplus extends Module {
  readonly options: { readonly beta?: number; readonly threshold?: number }

  constructor(options: { readonly beta?: number; readonly threshold?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.softplus(input, this.options)
  }
}

/** min(max(x, −1), 1) by default. */
export class Hardtanh extends Module {
  readonly options: { readonly minVal?: number; readonly maxVal?: number }

  constructor(options: { readonly minVal?: number; readonly maxVal?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.hardtanh(input, this.options)
  }
}

/** A learned slope below 0: one for all, or one for each of `numParameters` channels. */
export class PReLU extends Module {
  weight: Parameter

  constructor({
    numParameters = 1,
    init = 0.25,
  }: { readonly numParameters?: number; readonly init?: number } = {}) {
    super()
    this.weight = new Parameter(new Float32Array(numParameters).fill(init))
  }

  forward(input: Tensor): Tensor {
    return F.prelu(input, this.weight)
  }
}

/** e^x / Σ e^x along `dim`. */
export class Softmax extends Module {
  readonly dim: number

  constructor(dim: number) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return F.softmax(input, this.dim)
  }
}

/** log softmax along `dim`. */
export class LogSoftmax extends Module {
  readonly dim: number

  constructor(dim: number) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return F.logSoftmax(input, this.dim)
  }
}

/** ELU with a continuous derivative. */
export class CELU extends Module {
  readonly options: { readonly alpha?: number }

  constructor(options: { readonly alpha?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.celu(input, this.options)
  }
}

/** x where |x| > λ, else 0. */
export class Hardshrink extends Module {
  readonly options: { readonly lambd?: number }

  constructor(options: { readonly lambd?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.hardshrink(input, this.options)
  }
}

/** Towards 0 by λ, and 0 within it. */
export class Softshrink extends Module {
  readonly options: { readonly lambd?: number }

  constructor(options: { readonly lambd?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.softshrink(input, this.options)
  }
}

/** x where x > threshold, else `value`. */
export class Threshold extends Module {
  readonly threshold: number
  readonly value: number

  constructor(threshold: number, value: number) {
    super()
    this.threshold = threshold
    this.value = value
  }

  forward(input: Tensor): Tensor {
    return F.threshold(input, this.threshold, this.value)
  }
}

/** The first half along `dim` times the sigmoid of the second. */
export class GLU extends Module {
  readonly dim: number

  constructor(dim = -1) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return F.glu(input, this.dim)
  }
}

/** In training a slope below 0 drawn for each element; in evaluation the mean of the bounds. */
export class RReLU extends Module {
  readonly options: Omit<F.RReLUOptions, 'training'>

  constructor(options: Omit<F.RReLUOptions, 'training'> = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.rrelu(input, { ...this.options, training: this.training })
  }
}

/** softmax(−x) along `dim`. */
export class Softmin extends Module {
  readonly dim: number

  constructor(dim: number) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return F.softmin(input, this.dim)
  }
}

/** Softmax over the channels of [N, C, H, W]. */
export class Softmax2d extends Module {
  forward(input: Tensor): Tensor {
    return F.softmax(input, -3)
  }
}
