// Work in evaluation mode that leaves every module in the mode it was in.
import type { AnyModule } from './module.js'

/** Runs with the model in evaluation mode. Afterwards the modules that were in training are so again, and no others. */
export async function inEvaluation<T>(model: AnyModule, run: () => T | Promise<T>): Promise<T> {
  const training = model.modules().filter((module) => module.training)
  model.eval()
  try {
    return await run()
  } finally {
    for (const module of training) module.training = true
  }
}
