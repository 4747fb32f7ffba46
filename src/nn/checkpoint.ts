// Gradient checkpointing, for modules and functions. After torch.utils.checkpoint.
import { recompute } from '../tensor/recompute.js'
import { type AnyModule, Module } from './module.js'

/**
 * Marks a module, and returns it: from now on the backward pass computes the activations inside of it once more from its
 * inputs, instead of keeping them from the forward pass. That takes less memory and one more forward pass of the module;
 * the numbers are the same. Dropout drops the same elements again, and running statistics are set once.
 *
 *     class Net extends nn.Module {
 *       blocks = [nn.checkpoint(new Block(64)), nn.checkpoint(new Block(64))]
 */
export function checkpoint<M extends AnyModule>(module: M): M
/**
 * The result of `fn(...inputs)`, whose inside the backward pass computes once more from the tensors among `inputs` and from
 * parameters. Another tensor that `fn` reads is computed again with it, from where it came: pass it as an input to have
 * it kept. Results may be a tensor, or tensors in arrays and plain objects. After torch.utils.checkpoint.checkpoint.
 *
 *     const hidden = nn.checkpoint((x) => block2.forward(block1.forward(x)), images)
 */
export function checkpoint<A extends readonly unknown[], R>(
  fn: (...inputs: A) => R,
  ...inputs: A
): R
export function checkpoint(
  target: AnyModule | ((...inputs: readonly unknown[]) => unknown),
  ...inputs: readonly unknown[]
): unknown {
  if (!(target instanceof Module)) return recompute(() => target(...inputs), inputs)
  target.checkpointed = true
  return target
}
