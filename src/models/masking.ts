// Hidden words: what BERT learns from (Devlin et al. 2018, section 3.1, task 1, and appendix A.1).
import { Random } from '../base/random.js'

/** How tokens are hidden. */
export interface MaskOptions {
  readonly vocabSize: number
  /** The token [MASK]. */
  readonly maskToken: number
  /** Tokens that are never hidden, such as [CLS], [SEP] and padding. */
  readonly keep?: readonly number[]
  /** The part that is to be predicted. Default 0.15. */
  readonly probability?: number
  readonly seed: number
}

/**
 * Hides tokens for training: of those chosen 80% become [MASK], 10% a random token, 10% stay. Labels are −100
 * where nothing is to be predicted.
 */
export function maskTokens(
  ids: ArrayLike<number>,
  { vocabSize, maskToken, keep = [], probability = 0.15, seed }: MaskOptions,
): { readonly inputs: Int32Array; readonly labels: Int32Array } {
  const random = new Random(seed)
  const inputs = Int32Array.from(ids)
  const labels = new Int32Array(inputs.length).fill(-100)
  const kept = new Set(keep)
  inputs.forEach((token, i) => {
    const draw = random.word() / 2 ** 32
    if (draw >= probability || kept.has(token)) return
    labels[i] = token
    const way = draw / probability
    if (way < 0.8) inputs[i] = maskToken
    else if (way < 0.9) inputs[i] = random.below(vocabSize)
  })
  return { inputs, labels }
}
