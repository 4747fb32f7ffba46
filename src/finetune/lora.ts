// LoRA: low-rank adapters beside frozen weights (Hu et al. 2021), for linear layers and convolutions; with rsLoRA's
// scaling (Kalajdzievski 2023) and DoRA's magnitudes (Liu et al. 2024). Names, defaults and formulas after PEFT.
//
// A layer's result gets scaling · B(A(dropout(x))) added, by a hook on its forward; the layer itself, its names and its
// values stay as they are. A begins at random and B at 0, so the model begins as it was, bit for bit.
import { fail } from '../base/errors.js'
import * as F from '../nn/functional/dropout.js'
import * as init from '../nn/init.js'
import type { Conv2d } from '../nn/layers/convolution.js'
import { Linear } from '../nn/layers/linear.js'
import { type AnyModule, Module } from '../nn/module.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Conv, isConv } from './surgery.js'

/** What a LoRA adapter can be put on. */
export type Adaptable = Linear | Conv

/** The form of one adapter. */
export interface BranchOptions {
  readonly r: number
  readonly scaling: number
  readonly dropout: number
  readonly dora: boolean
}

/** Whether LoRA has a form for this layer: a linear one, or a convolution without groups. */
export function isAdaptable(module: AnyModule): module is Adaptable {
  return module instanceof Linear || (isConv(module) && groupsOf(module) === 1)
}

const groupsOf = (convolution: Conv) => convolution.options.groups ?? 1

/** The adapter of one layer: A into `r` channels, B out of them. */
export class LoraBranch extends Module {
  readonly options: BranchOptions
  /** [r, in], or [r, in, …kernel] with the layer's stride, padding and dilation. */
  a: Adaptable
  /** [out, r], or [out, r, 1 …]. */
  b: Adaptable
  /** DoRA: the length of each output's weights, [out]. */
  magnitude: Parameter | undefined
  readonly #layer: () => Adaptable

  constructor(layer: Adaptable, options: BranchOptions) {
    super()
    this.options = options
    // A function: the layer is not a child of its own adapter.
    this.#layer = () => layer
    const { r, dora } = options
    if (layer instanceof Linear) {
      this.a = new Linear(layer.inFeatures, r, { bias: false })
      this.b = new Linear(r, layer.outFeatures, { bias: false })
    } else {
      const Kind = layer.constructor as new (
        ...given: ConstructorParameters<typeof Conv2d>
      ) => Adaptable
      this.a = new Kind(layer.inChannels, r, layer.kernelSize, { ...layer.options, bias: false })
      this.b = new Kind(r, layer.outChannels, 1, { bias: false })
    }
    init.kaimingUniform(this.a.weight, { a: Math.sqrt(5) })
    init.zeros(this.b.weight)
    if (dora) this.magnitude = new Parameter(lengths(layer.weight).detach())
  }

  /** scaling · B(A(dropout(x))) */
  forward(x: Tensor): Tensor {
    const { dropout, scaling } = this.options
    const dropped = dropout > 0 ? F.dropout(x, { p: dropout, training: this.training }) : x
    return this.b.forward(this.a.forward(dropped)).mul(scaling)
  }

  /** The layer's result with the adapter's. */
  adapted(x: Tensor, output: Tensor): Tensor {
    const low = this.forward(x)
    if (this.magnitude === undefined) return output.add(low)
    const layer = this.#layer()
    const spatial = layer instanceof Linear ? 0 : layer.kernelSize.length
    const along = (t: Tensor) => t.reshape(-1, ...Array<number>(spatial).fill(1))
    // The length is held constant in the gradient, as in section 4.3 of the paper.
    const scale = along(this.magnitude.div(lengths(layer.weight.add(this.delta())).detach()))
    const plain = layer.bias ? output.sub(along(layer.bias)) : output
    const sum = plain.add(low).mul(scale)
    return layer.bias ? sum.add(along(layer.bias)) : sum
  }

  /** What the adapter adds to the layer's weight, in its shape; without DoRA's magnitudes. */
  delta(): Tensor {
    const { a, b } = this
    const product = b.weight.flatten(1).matmul(a.weight.flatten(1)).mul(this.options.scaling)
    return product.reshape(...this.#layer().weight.shape)
  }

  /** The weight that does without the adapter what the layer does with it. */
  mergedWeight(): Tensor {
    const { weight } = this.#layer()
    const sum = weight.add(this.delta())
    if (this.magnitude === undefined) return sum
    const scale = this.magnitude.div(lengths(sum))
    return sum.mul(scale.reshape(-1, ...Array<number>(weight.shape.length - 1).fill(1)))
  }
}

/** The length of each output's weights: [out, …] → [out]. */
function lengths(weight: Tensor): Tensor {
  return weight.flatten(1).square().sum(1).sqrt()
}

/** Refuses a layer that is not adaptable, with the reason. */
export function refuse(path: string, module: AnyModule): never {
  const groups = isConv(module) ? groupsOf(module) : 1
  return fail(
    groups > 1
      ? `addLora: ${path} is a convolution with ${groups} groups; LoRA is for linear layers and convolutions without groups`
      : `addLora: ${path} is a ${module.constructor.name}; LoRA is for linear layers and convolutions`,
  )
}
