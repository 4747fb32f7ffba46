// The small decoder of transformer layers (Radford et al. 2019) as the peer's script defines it: its head is not tied.
import { arange } from 'burnish'
import {
  Embedding,
  gelu,
  LayerNorm,
  Linear,
  Module,
  Sequential,
  scaledDotProductAttention,
} from 'burnish/nn'

class Block extends Module {
  constructor(width, heads) {
    super()
    this.heads = heads
    this.norm1 = new LayerNorm(width)
    this.qkv = new Linear(width, 3 * width)
    this.out = new Linear(width, width)
    this.norm2 = new LayerNorm(width)
    this.linear1 = new Linear(width, 4 * width)
    this.linear2 = new Linear(4 * width, width)
  }

  forward(x) {
    const [n, length, width] = x.shape
    const [q, k, v] = this.qkv
      .forward(this.norm1.forward(x))
      .chunk(3, -1)
      .map((part) => part.reshape(n, length, this.heads, width / this.heads).transpose(1, 2))
    const seen = scaledDotProductAttention(q, k, v, { isCausal: true }) // [n, heads, length, width / heads]
    const h = x.add(this.out.forward(seen.transpose(1, 2).reshape(n, length, width)))
    return h.add(this.linear2.forward(gelu(this.linear1.forward(this.norm2.forward(h)))))
  }
}

/** Tokens [N, length] → logits [N·length, vocabulary] of what comes next. */
export class GPT extends Module {
  constructor({ vocabulary = 256, length = 128, width = 256, heads = 8, layers = 4 } = {}) {
    super()
    this.vocabulary = vocabulary
    this.tokens = new Embedding(vocabulary, width)
    this.positions = new Embedding(length, width)
    this.blocks = new Sequential(...Array.from({ length: layers }, () => new Block(width, heads)))
    this.norm = new LayerNorm(width)
    this.out = new Linear(width, vocabulary)
  }

  forward(tokens) {
    const positions = this.positions.forward(arange(tokens.shape[1]))
    const h = this.blocks.forward(this.tokens.forward(tokens).add(positions))
    return this.out.forward(this.norm.forward(h)).reshape(-1, this.vocabulary)
  }
}
