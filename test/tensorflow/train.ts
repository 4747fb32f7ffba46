// A few steps of gradient descent on whatever a model gives: losses, the last one behind the last step.

import type { AnyModule } from '../../src/nn/index.js'
import { AdamW } from '../../src/optim/index.js'
import type { Tensor } from '../../src/tensor/tensor.js'

export async function parameterStep(
  model: AnyModule,
  loss: () => Tensor,
  steps: number,
  lr = 1e-3,
): Promise<number[]> {
  const optimizer = new AdamW(
    model.parameters().filter((p) => p.trainable),
    { lr },
  )
  const losses: number[] = []
  for (let i = 0; i < steps; i++) {
    optimizer.zeroGrad()
    const value = loss()
    value.backward()
    optimizer.step()
    losses.push(await value.item())
  }
  losses.push(await loss().item())
  return losses
}
