// Tokenizers: WordPiece from vocab.txt, byte-level BPE from vocab.json and merges.txt, tokenizer.json; batches; damage.
import { expect, test } from 'vitest'
import {
  BertForSequenceClassification,
  huggingFaceFiles,
  loadHuggingFace,
} from '../src/models/index.js'
import { loadTokenizer, type Tokenizer } from '../src/text/index.js'
import { fuzz } from './fuzz.js'

const utf8 = (text: string) => new TextEncoder().encode(text)
const json = (value: unknown) => utf8(JSON.stringify(value))

const WORDS = [
  ...['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'],
  ...['the', 'un', '##aff', '##able', 'cafe', '!', 'a', '##b', '東', '京'],
]
const bert = (config: object = {}) =>
  loadTokenizer({
    'vocab.txt': utf8(`${WORDS.join('\n')}\n`),
    'tokenizer_config.json': json({ model_max_length: 12, ...config }),
  })
const tokens = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text).tokens

test('WordPiece: words, pieces, accents, unknown words, letters that are words', async () => {
  const tokenizer = await bert()
  expect(tokens(tokenizer, 'The unaffable CAFÉ!')).toEqual([
    '[CLS]',
    'the',
    'un',
    '##aff',
    '##able',
    'cafe',
    '!',
    '[SEP]',
  ])
  expect(tokenizer.encode('東京 xyz').ids).toEqual([2, 13, 14, 1, 3])
  expect(tokenizer.encode('the [MASK]').ids).toEqual([2, 5, 4, 3])
  expect(tokenizer.encode('the', { addSpecialTokens: false }).ids).toEqual([5])
  expect(tokenizer.encode(['the', 'a ab']).tokenTypeIds).toEqual([0, 0, 0, 1, 1, 1, 1])
  expect(tokenizer.decode([2, 5, 6, 7, 8, 3])).toBe('the unaffable')
  expect(tokenizer.decode([])).toBe('')
  expect([tokenizer.special('mask'), tokenizer.special('eos'), tokenizer.tokenOf(5)]).toEqual([
    4,
    undefined,
    'the',
  ])
  expect(tokens(await bert({ do_lower_case: false }), 'The')).toEqual(['[CLS]', '[UNK]', '[SEP]'])
})

test('batches: filled up, cut, on either side', async () => {
  const tokenizer = await bert()
  const batch = tokenizer.batch(['the', ['the the', 'a']], { padToMultipleOf: 4 })
  expect(batch.inputIds.shape).toEqual([2, 8])
  expect([...(await batch.inputIds.data())]).toEqual([
    2, 5, 3, 0, 0, 0, 0, 0, 2, 5, 5, 3, 11, 3, 0, 0,
  ])
  expect([...(await batch.attentionMask.data())].join('')).toBe('1110000011111100')
  expect([...(await batch.tokenTypeIds.data())].join('')).toBe('0000000000001100')
  expect(batch.inputIds.dtype).toBe('int32')
  const left = await bert({ padding_side: 'left', truncation_side: 'left' })
  expect([...(await left.batch(['the', 'a the']).inputIds.data())]).toEqual([
    0, 2, 5, 3, 2, 11, 5, 3,
  ])
  const long = 'a '.repeat(20)
  expect(() => tokenizer.encode(long)).toThrow(
    'a text has 22 tokens, at most are 12: use { truncation: true } to cut it',
  )
  expect(tokenizer.encode(long, { truncation: true }).ids.length).toBe(12)
  expect(tokenizer.encode(['the', long], { truncation: true, maxLength: 6 }).tokens).toEqual([
    '[CLS]',
    'the',
    '[SEP]',
    'a',
    'a',
    '[SEP]',
  ])
  expect(left.encode('the a', { truncation: true, maxLength: 3 }).tokens).toEqual([
    '[CLS]',
    'a',
    '[SEP]',
  ])
  expect(() => tokenizer.encode(['a', 'a'], { truncation: 'first', maxLength: 2 })).toThrow(
    'cannot be cut',
  )
})

/** GPT-2's bytes: letters stand for themselves, a blank is Ġ. */
const VOCAB = Object.fromEntries(
  ['l', 'o', 'w', 'e', 'r', 'Ġ', 'lo', 'low', 'Ġlow', 'er', '<|endoftext|>', 'Ã', '©', '.'].map(
    (token, id) => [token, id],
  ),
)
const gpt2 = () =>
  loadTokenizer({
    'vocab.json': json(VOCAB),
    'merges.txt': utf8('#version: 0.2\nl o\nlo w\nĠ low\ne r\n'),
  })

test('byte-level BPE: merges in order, blanks, bytes of letters', async () => {
  const tokenizer = await gpt2()
  expect(tokens(tokenizer, 'low lower')).toEqual(['low', 'Ġlow', 'er'])
  expect(tokenizer.encode('é').ids).toEqual([11, 12])
  const text = 'low lower é<|endoftext|>'
  const { ids } = tokenizer.encode(text)
  expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text)
  expect(tokenizer.decode(ids)).toBe('low lower é')
  const spaced = tokenizer.encode('low .').ids
  expect(tokenizer.decode(spaced, { cleanUp: false })).toBe('low .')
  expect(tokenizer.decode(spaced)).toBe('low.')
  expect(() => tokenizer.batch(['low', 'lower'])).toThrow('no token that fills up: give padToken')
  const batch = tokenizer.batch(['low', 'lower'], { padToken: '<|endoftext|>' })
  expect([...(await batch.inputIds.data())]).toEqual([7, 10, 7, 9])
  expect([...(await batch.attentionMask.data())]).toEqual([1, 0, 1, 1])
})

const definition = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [
    {
      id: 0,
      content: '[UNK]',
      special: true,
      normalized: false,
      lstrip: false,
      rstrip: false,
      single_word: false,
    },
  ],
  normalizer: { type: 'Lowercase' },
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: { '[UNK]': 0, hello: 1, world: 2, ['__proto__']: 3 },
  },
}

test('tokenizer.json comes first; what is none is refused', async () => {
  const tokenizer = await loadTokenizer({
    'tokenizer.json': json(definition),
    'vocab.txt': utf8('x'),
  })
  expect(tokenizer.encode('Hello world __proto__ x').ids).toEqual([1, 2, 3, 0])
  for (const [files, message] of [
    [{}, 'no tokenizer: it must have tokenizer.json, vocab.txt, or vocab.json and merges.txt'],
    [{ 'tokenizer.json': utf8('{') }, 'tokenizer.json: not JSON'],
    [{ 'tokenizer.json': utf8('[]') }, 'tokenizer.json: not a JSON object'],
    [{ 'tokenizer.json': json({}) }, 'no model'],
    [
      { 'tokenizer.json': json({ ...definition, normalizer: { type: 'Odd' } }) },
      'that can be read',
    ],
    [
      {
        'tokenizer.json': json({
          ...definition,
          model: { ...definition.model, vocab: { a: 1e12 } },
        }),
      },
      'the token "a" has the id 1000000000000',
    ],
    [{ 'vocab.txt': utf8('a\nb') }, 'vocab.txt: it lacks [CLS]'],
  ] as const)
    await expect(loadTokenizer(files)).rejects.toThrow(message)
})

test('damaged tokenizer.json', async () => {
  await fuzz('tokenizer.json', [json(definition)], async (bytes) => {
    const tokenizer = await loadTokenizer({ 'tokenizer.json': bytes })
    return tokenizer.encode('Hello world').ids.length
  })
}, 60_000)

test('damaged config.json', async () => {
  const sizes = { vocabSize: 7, hiddenSize: 4, numHiddenLayers: 1, numAttentionHeads: 2 }
  const more = { intermediateSize: 4, maxPositionEmbeddings: 4, numClasses: 2 }
  const files = await huggingFaceFiles(new BertForSequenceClassification({ ...sizes, ...more }))
  const weights = files.get('model.safetensors') ?? new Uint8Array()
  await fuzz('config.json', [files.get('config.json') ?? new Uint8Array()], async (bytes) => {
    const { model } = await loadHuggingFace({
      'config.json': bytes,
      'model.safetensors': weights,
    })
    return Object.keys(model.stateDict()).length
  })
}, 60_000)
