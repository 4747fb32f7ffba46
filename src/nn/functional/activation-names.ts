// Activations that options call by a word: PyTorch's of its Transformer layers, and Hugging Face's `gelu_new`.
import { fail } from '../../base/errors.js'
import type { Tensor } from '../../tensor/tensor.js'
import { gelu, relu } from './activation.js'

const activations = {
  relu,
  gelu: (x: Tensor) => gelu(x),
  gelu_new: (x: Tensor) => gelu(x, { approximate: 'tanh' }),
}

/** `gelu_new` is gelu by tanh, as in GPT-2. */
export type ActivationName = keyof typeof activations

/** The activation of that name, or the function itself; `where` names the option for errors. */
export function activationOf(
  activation: ActivationName | ((x: Tensor) => Tensor),
  where: string,
): (x: Tensor) => Tensor {
  if (typeof activation === 'function') return activation
  if (!Object.hasOwn(activations, activation))
    fail(`${where} '${activation}' must be 'relu', 'gelu', 'gelu_new', or a function of a tensor`)
  return activations[activation]
}
