// Padding layers in 1, 2 and 3 dimensions: zeros, a constant, mirrored, repeated, wrapped.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import type { Tensor } from '../../tensor/tensor.js'
import { type PaddingMode, pad } from '../functional/padding.js'
import { Module } from '../module.js'

/** A number for all sides, or (low, high) of each dimension from the last backwards. */
type Widths = number | readonly number[]

abstract class Padding extends Module {
  readonly padding: readonly number[]
  readonly mode: PaddingMode
  readonly value: number

  constructor(rank: number, padding: Widths, mode: PaddingMode, value = 0) {
    super()
    this.padding =
      typeof padding === 'number' ? new Array<number>(2 * rank).fill(padding) : [...padding]
    if (this.padding.length !== 2 * rank)
      fail(
        `${this.constructor.name}: the padding ${showShape(this.padding)} has ${this.padding.length} numbers; give one, or ${2 * rank}`,
      )
    this.mode = mode
    this.value = value
  }

  /** The spatial size of the result for one of the input. */
  outputSize(input: readonly number[]): number[] {
    return input.map((n, d) => {
      const i = 2 * (input.length - 1 - d)
      return n + this.padding[i] + this.padding[i + 1]
    })
  }

  forward(input: Tensor): Tensor {
    return pad(input, this.padding, { mode: this.mode, value: this.value })
  }
}

/** Zeros around [.., L]. */
export class ZeroPad1d extends Padding {
  constructor(padding: Widths) {
    super(1, padding, 'constant')
  }
}

/** Zeros around [.., H, W]. */
export class ZeroPad2d extends Padding {
  constructor(padding: Widths) {
    super(2, padding, 'constant')
  }
}

/** Zeros around [.., D, H, W]. */
export class ZeroPad3d extends Padding {
  constructor(padding: Widths) {
    super(3, padding, 'constant')
  }
}

/** Mirrors [.., L]. */
export class ReflectionPad1d extends Padding {
  constructor(padding: Widths) {
    super(1, padding, 'reflect')
  }
}

/** Mirrors [.., H, W]. */
export class ReflectionPad2d extends Padding {
  constructor(padding: Widths) {
    super(2, padding, 'reflect')
  }
}

/** Mirrors [.., D, H, W]. */
export class ReflectionPad3d extends Padding {
  constructor(padding: Widths) {
    super(3, padding, 'reflect')
  }
}

/** Repeats the edges of [.., L]. */
export class ReplicationPad1d extends Padding {
  constructor(padding: Widths) {
    super(1, padding, 'replicate')
  }
}

/** Repeats the edges of [.., H, W]. */
export class ReplicationPad2d extends Padding {
  constructor(padding: Widths) {
    super(2, padding, 'replicate')
  }
}

/** Repeats the edges of [.., D, H, W]. */
export class ReplicationPad3d extends Padding {
  constructor(padding: Widths) {
    super(3, padding, 'replicate')
  }
}

/** Wraps round [.., L]. */
export class CircularPad1d extends Padding {
  constructor(padding: Widths) {
    super(1, padding, 'circular')
  }
}

/** Wraps round [.., H, W]. */
export class CircularPad2d extends Padding {
  constructor(padding: Widths) {
    super(2, padding, 'circular')
  }
}

/** Wraps round [.., D, H, W]. */
export class CircularPad3d extends Padding {
  constructor(padding: Widths) {
    super(3, padding, 'circular')
  }
}

/** `value` around [.., L]. */
export class ConstantPad1d extends Padding {
  constructor(padding: Widths, value: number) {
    super(1, padding, 'constant', value)
  }
}

/** `value` around [.., H, W]. */
export class ConstantPad2d extends Padding {
  constructor(padding: Widths, value: number) {
    super(2, padding, 'constant', value)
  }
}

/** `value` around [.., D, H, W]. */
export class ConstantPad3d extends Padding {
  constructor(padding: Widths, value: number) {
    super(3, padding, 'constant', value)
  }
}
