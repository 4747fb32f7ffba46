// Keras's attention layers.
import { fail } from '../../base/errors.js'
import { softmax } from '../../nn/functional/activation.js'
import { dropout } from '../../nn/functional/dropout.js'
import { tensor } from '../../tensor/create.js'
import { einsum } from '../../tensor/products.js'
import { type Tensor, where } from '../../tensor/tensor.js'
import type { Fields } from '../tfjs/plain.js'
import type { Call, LayerKind, Slot } from './layer.js'

const MASKED = -1e9

function argument(call: Call, name: string, position: number): Tensor | undefined {
  return call.named.get(name) ?? call.inputs[position]
}

const causal = (queries: number, keys: number): Tensor =>
  tensor(
    Float32Array.from({ length: queries * keys }, (_, i) =>
      i % keys <= Math.floor(i / keys) ? 1 : 0,
    ),
    { shape: [queries, keys] },
  )

/** Vaswani et al. 2017: projections [D, heads, size] of query, value and key, and back to D. */
export const MultiHeadAttention: LayerKind = (config) => {
  const heads = config.count('num_heads', 1)
  const size = config.count('key_dim', 1)
  const rate = config.number('dropout', 0)
  const bias = config.flag('use_bias', true)
  const part = (name: string, at: string): Slot[] =>
    ['kernel', ...(bias ? ['bias'] : [])].map((weight) => ({ name: `${name}/${weight}`, at }))
  return {
    slots: [
      ...part('query', 'query_dense'),
      ...part('key', 'key_dense'),
      ...part('value', 'value_dense'),
      ...part('attention_output', 'output_dense'),
    ],
    keepsMask: true,
    run(call) {
      const query = call.inputs[0]
      const value = argument(call, 'value', 1)
      if (value === undefined) throw fail(`${config.where}: there is no value`)
      const key = argument(call, 'key', 2) ?? value
      const into = (x: Tensor, name: string) => {
        const y = einsum('btd,dhe->bhte', x, call.weight(`${name}/kernel`))
        const offset = call.find(`${name}/bias`)
        return offset ? y.add(offset.unsqueeze(1)) : y
      }
      const q = into(query, 'query').mul(1 / Math.sqrt(size))
      let scores = q.matmul(into(key, 'key').transpose(2, 3)) // [N, heads, T, S]
      const mask = call.named.get('attention_mask')
      if (mask)
        scores = where((mask.shape.length === 3 ? mask.unsqueeze(1) : mask).bool(), scores, MASKED)
      if (call.flags.has('use_causal_mask'))
        scores = where(causal(query.shape[1], key.shape[1]).bool(), scores, MASKED)
      // Steps of value and key that do not count; those of the query only matter behind.
      for (const [name, position] of [
        ['value', 1],
        ['key', 2],
      ] as const) {
        const counts = call.namedMasks.get(name) ?? call.masks[position]
        if (counts) scores = where(counts.unsqueeze(1).unsqueeze(1), scores, MASKED)
      }
      const weights = dropout(softmax(scores, -1), { p: rate, training: call.training })
      const seen = weights.matmul(into(value, 'value'))
      if (seen.shape[1] !== heads)
        fail(`${config.where}: the weights have ${seen.shape[1]} heads, the configuration ${heads}`)
      const y = einsum('bhte,hed->btd', seen, call.weight('attention_output/kernel'))
      const offset = call.find('attention_output/bias')
      return offset ? y.add(offset) : y
    },
  }
}

function scaleOf(config: Fields): Slot[] {
  return config.flag('use_scale', false) ? [{ name: 'scale' }] : []
}

/** Σ of the values by softmax(scores) [N, T, S]: of those that may be seen, and of queries that count. */
function attend(config: Fields, call: Call, scores: Tensor, value: Tensor): Tensor {
  const [, queries, keys] = scores.shape
  // `causal` is how early files of Keras 2 say it.
  const late = config.flag('causal', false) || call.flags.has('use_causal_mask')
  const [counted, seen] = call.masks
  const allowed = late ? causal(queries, keys).bool() : undefined
  const there = seen?.unsqueeze(1)
  const mask = allowed && there ? allowed.logicalAnd(there) : (allowed ?? there)
  const weights = dropout(softmax(mask ? where(mask, scores, MASKED) : scores, -1), {
    p: config.number('dropout', 0),
    training: call.training,
  })
  const y = weights.matmul(value)
  return counted ? y.mul(counted.unsqueeze(-1).float()) : y
}

/** Dot-product attention without projections (Luong et al. 2015): inputs query, value and perhaps key. */
export const Attention: LayerKind = (config) => {
  const mode = config.string('score_mode', 'dot')
  if (mode !== 'dot') fail(`${config.where}: score_mode ${mode} is not read; dot is`)
  return {
    slots: scaleOf(config),
    keepsMask: true,
    run(call) {
      const [query, value, key = value] = call.inputs
      if (value === undefined) throw fail(`${config.where}: there must be query and value`)
      const product = query.matmul(key.transpose(1, 2))
      const scale = call.find('scale')
      return attend(config, call, scale ? product.mul(scale) : product, value)
    },
  }
}

/** Additive attention (Bahdanau, Cho and Bengio 2014). */
export const AdditiveAttention: LayerKind = (config) => ({
  slots: config.flag('use_scale', true) ? [{ name: 'scale' }] : [],
  keepsMask: true,
  run(call) {
    const [query, value, key = value] = call.inputs
    if (value === undefined) throw fail(`${config.where}: there must be query and value`)
    const sum = query.unsqueeze(2).add(key.unsqueeze(1)).tanh() // [N, T, S, D]
    const scale = call.find('scale')
    return attend(config, call, (scale ? sum.mul(scale) : sum).sum(-1), value)
  },
})
