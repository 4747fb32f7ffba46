// From logits to classes, and from pixels to greys that can be drawn.

/** exp(logit) over their sum, without overflow. */
export function probabilities(logits: ArrayLike<number>): number[] {
  const most = Math.max(...Array.from(logits))
  const powers = Array.from(logits, (logit) => Math.exp(logit - most))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** The class of the greatest logit, and its probability. */
export function mostLikely(logits: ArrayLike<number>): { said: number; confidence: number } {
  let said = 0
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[said]) said = i
  return { said, confidence: probabilities(logits)[said] }
}

/** Scaled so that the darkest pixel is 0 and the brightest 255. */
export function greys(pixels: ArrayLike<number>): Uint8Array {
  const values = Array.from(pixels)
  const least = Math.min(...values)
  const range = Math.max(...values) - least || 1
  return Uint8Array.from(values, (value) => Math.round(((value - least) / range) * 255))
}
