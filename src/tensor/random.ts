// Random tensors: maps over positions and a key, computed where the graph runs (rule 10).
//
// A draw is (seed, counter). The host mixes both into two 32-bit words, which are int32 arguments of the
// program; each element mixes its position with them through murmur3's finalizer, twice. The same draw
// gives the same bits in the imperative and in the compiled loop.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import { broadcastTo, constant, input, iota, map, type Node, reshape } from '../graph/node.js'
import { binary } from './arithmetic.js'
import { context } from './context.js'
import { checkedShape } from './create.js'
import { fromNode, type Tensor } from './tensor.js'
import { RandomKey } from './value.js'

/** Restarts the random numbers: the same seed gives the same draws. After `torch.manual_seed`. */
export function manualSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) fail(`manualSeed(${seed}): the seed is a whole number`)
  context.generator.seed = seed
  context.generator.counter = 0
}

/** A host stream of random numbers that is one draw of the generator: for shuffles and initial values. */
export function hostRandom(): Random {
  const { generator } = context
  return new Random(generator.seed, generator.counter++)
}

function finalize(word: number): number {
  let x = word | 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/** The key of a draw: what a RandomKey argument holds. */
export function keyWord(seed: number, counter: number, word: 0 | 1): number {
  const high = Math.floor(seed / 2 ** 32)
  const base = finalize(finalize(finalize(seed | 0) ^ high) + Math.imul(counter, 0x9e3779b1))
  return finalize(base + word * 0x7f4a7c15)
}

function keyInput(word: 0 | 1, draw: number): Node {
  const { trace, generator } = context
  const source = new RandomKey(trace === undefined ? generator.seed : undefined, draw, word)
  return input(source, [], 'int32')
}

/** murmur3's finalizer over int32 nodes. */
function finalizeNode(word: Node): Node {
  const c = (value: number) => broadcastTo(constant(value | 0, 'int32'), word.shape)
  let x = map('bitXor', word, map('shr', word, c(16)))
  x = map('mul', x, c(0x85ebca6b))
  x = map('bitXor', x, map('shr', x, c(13)))
  x = map('mul', x, c(0xc2b2ae35))
  return map('bitXor', x, map('shr', x, c(16)))
}

/** float32 in [0, 1): multiples of 2⁻²⁴, from the next draw. */
function uniform(shape: Shape): Node {
  const { trace, generator } = context
  const draw = trace === undefined ? generator.counter++ : trace.draws++
  const size = sizeOf(shape)
  const position = iota([size], 0)
  const wide = (x: Node) => broadcastTo(x, [size])
  const first = finalizeNode(map('add', position, wide(keyInput(0, draw))))
  const bits = finalizeNode(map('bitXor', first, wide(keyInput(1, draw))))
  const top = map('toFloat32', map('shr', bits, wide(constant(8, 'int32'))))
  return reshape(map('mul', top, wide(constant(2 ** -24))), shape)
}

/** Evenly distributed in [0, 1). */
export function rand(shape: Shape): Tensor {
  return fromNode(uniform(checkedShape(shape, 'rand')))
}

/** Normally distributed with mean 0 and variance 1 (Box and Muller). */
export function randn(shape: Shape): Tensor {
  const wide = checkedShape(shape, 'randn')
  const radius = map(
    'sqrt',
    binary('mul', map('log', binary('sub', 1, uniform(wide), 'randn')), constant(-2), 'randn'),
  )
  const angle = binary('mul', uniform(wide), constant(2 * Math.PI), 'randn')
  return fromNode(map('mul', radius, map('cos', angle)))
}

/** float32 of another tensor's shape. */
export function randLike(input: Tensor): Tensor {
  return rand(input.shape)
}
export function randnLike(input: Tensor): Tensor {
  return randn(input.shape)
}

/** int32, evenly distributed in low … high − 1. */
export function randint(low: number, high: number, shape: Shape): Tensor {
  if (!Number.isInteger(low) || !Number.isInteger(high) || high <= low || high - low > 2 ** 24)
    fail(`randint(${low}, ${high}): whole numbers with low < high, at most 2^24 apart`)
  const scaled = binary('mul', uniform(checkedShape(shape, 'randint')), high - low, 'randint')
  return fromNode(binary('add', map('toInt32', map('floor', scaled)), low, 'randint', 'int32'))
}

/** int32: 0 … n − 1 in random order, by sorting random numbers. */
export function randperm(n: number): Tensor {
  return rand(checkedShape([n], 'randperm')).argsort()
}

/** 1 with the probability that each element names, else 0; float32. */
export function bernoulli(probabilities: Tensor): Tensor {
  return rand(probabilities.shape).lt(probabilities.detach()).float()
}

/**
 * int32 [.., count]: positions drawn with probabilities in proportion to the weights [.., n]; without replacement
 * unless said (then by the Gumbel trick: the largest of log weight + noise). After `torch.multinomial`.
 */
export function multinomial(
  weights: Tensor,
  count: number,
  { replacement = false }: { readonly replacement?: boolean } = {},
): Tensor {
  const { shape } = weights
  const n = shape.at(-1)
  const rank = shape.length
  if (n === undefined || rank > 2 || n === 0)
    fail(`multinomial of ${showShape(shape)}: weights are [n] or [rows, n]`)
  if (!Number.isInteger(count) || count < 1 || (!replacement && count > n))
    fail(
      `multinomial: ${count} draws of ${n}${replacement ? '' : ' without replacement'}; a whole number from 1${replacement ? '' : ` to ${n}`}`,
    )
  const w = weights.float().detach()
  if (!replacement) {
    const noise = rand(shape).maximum(1e-12).log().neg().log().neg()
    return w.log().add(noise).topk(count, -1).indices
  }
  const total = w.sum(-1, { keepdim: true })
  const ends = w.cumsum(-1).div(total).unsqueeze(-2)
  const draws = rand([...shape.slice(0, -1), count]).unsqueeze(-1)
  return ends
    .le(draws)
    .sum(-1)
    .clamp(0, n - 1)
}
