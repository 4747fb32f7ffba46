// Tokenizers from files: tokenizer.json; else vocab.txt (WordPiece, as BERT's), or vocab.json with merges.txt
// (byte-level BPE, as GPT-2's), from which the same JSON is made.
import { BurnishError, fail } from '../base/errors.js'
import { type Files, type HubOptions, openRepository, type Repository } from '../io/hub.js'
import { Tokenizer, type TokenizerSettings } from './tokenizer.js'

type Fields = { readonly [field: string]: unknown }

const LARGEST_ID = 2 ** 24
const ROLES = ['pad', 'unk', 'cls', 'sep', 'mask', 'bos', 'eos'] as const

/**
 * The tokenizer of a folder, files, or a repository of the hub (`org/name` or its URL).
 *
 *     const tokenizer = await loadTokenizer('org/name')
 *     const batch = tokenizer.batch(['one', 'two words'], { truncation: true })
 *
 * @throws BurnishError when it is none, or its files are not well formed.
 */
export async function loadTokenizer(
  where: string | Files | Repository,
  options: HubOptions = {},
): Promise<Tokenizer> {
  const repository = await openRepository(where, options)
  const read = async (name: string): Promise<Fields | undefined> =>
    repository.has(name)
      ? json(await repository.bytes(name), `${repository.name}: ${name}`)
      : undefined
  const config = (await read('tokenizer_config.json')) ?? {}
  const map = (await read('special_tokens_map.json')) ?? {}
  const [made, special, file] = await definition(repository, config, read)
  check(made, `${repository.name}: ${file}`)
  const { Tokenizer: Engine } = await import('@huggingface/tokenizers')
  try {
    const engine = new Engine(made, config)
    return new Tokenizer(engine, settings(config, map, special))
  } catch (error) {
    if (error instanceof BurnishError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw fail(`${repository.name}: ${file} is no tokenizer that can be read: ${reason}`)
  }
}

/** The file that tells of a folder's tokenizer; undefined where it has none. */
export function tokenizerFile(repository: Repository): string | undefined {
  return ['tokenizer.json', 'vocab.txt', 'merges.txt'].find((name) => repository.has(name))
}

type Special = TokenizerSettings['special']
type Read = (name: string) => Promise<Fields | undefined>

async function definition(
  repository: Repository,
  config: Fields,
  read: Read,
): Promise<readonly [Fields, Special, string]> {
  const whole = await read('tokenizer.json')
  if (whole) return [whole, usual(whole), 'tokenizer.json']
  const text = async (name: string) => new TextDecoder().decode(await repository.bytes(name))
  if (repository.has('vocab.txt')) {
    const made = wordPiece(await text('vocab.txt'), config)
    return [made, usual(made), 'vocab.txt']
  }
  const vocab = await read('vocab.json')
  if (vocab && repository.has('merges.txt')) {
    const made = byteLevel(vocab, await text('merges.txt'))
    return [made, usual(made), 'vocab.json']
  }
  throw fail(
    `${repository.name}: no tokenizer: it must have tokenizer.json, vocab.txt, or vocab.json and merges.txt; it has ${repository.names.slice(0, 20).join(', ')}`,
  )
}

function json(bytes: Uint8Array, where: string): Fields {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    if (isFields(parsed)) return parsed
  } catch (error) {
    throw fail(`${where}: not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  throw fail(`${where}: not a JSON object`)
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Ids are what arrays are indexed by: they must be small. */
function check(definition: Fields, where: string): void {
  const id = (value: unknown, token: string) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > LARGEST_ID)
      fail(`${where}: the token ${JSON.stringify(token)} has the id ${JSON.stringify(value)}`)
  }
  const { model, added_tokens = [] } = definition
  if (!isFields(model)) throw fail(`${where}: no model`)
  const { vocab } = model
  if (isFields(vocab)) for (const [token, value] of Object.entries(vocab)) id(value, token)
  else if (!Array.isArray(vocab)) fail(`${where}: no vocabulary`)
  if (!Array.isArray(added_tokens)) throw fail(`${where}: added_tokens is no list`)
  for (const token of added_tokens as readonly unknown[]) {
    if (!isFields(token) || typeof token.content !== 'string' || token.content === '')
      throw fail(`${where}: an added token without content`)
    id(token.id, token.content)
  }
}

function settings(config: Fields, map: Fields, usual: Special): TokenizerSettings {
  const side = (name: string) => (config[name] === 'left' ? 'left' : 'right')
  const token = (role: string): string | undefined => {
    const value = config[`${role}_token`] ?? map[`${role}_token`]
    const content = isFields(value) ? value.content : value
    return typeof content === 'string' ? content : usual[role]
  }
  const most = config.model_max_length
  return {
    // transformers writes 1e30 where there is no limit.
    maxLength: typeof most === 'number' && most >= 1 ? most : Infinity,
    paddingSide: side('padding_side'),
    truncationSide: side('truncation_side'),
    special: Object.fromEntries(ROLES.map((role) => [role, token(role)])),
  }
}

/** What the special tokens of BERT and GPT-2 are called, of those that are there. */
function usual({ added_tokens }: Fields): Special {
  const there = new Set(
    (Array.isArray(added_tokens) ? added_tokens : []).map((token: unknown) =>
      isFields(token) ? token.content : undefined,
    ),
  )
  const names = { pad: '[PAD]', unk: '[UNK]', cls: '[CLS]', sep: '[SEP]', mask: '[MASK]' }
  const end = { bos: '<|endoftext|>', eos: '<|endoftext|>' }
  return Object.fromEntries(
    Object.entries({ ...names, ...end }).filter(([, token]) => there.has(token)),
  )
}

const added = (id: number, content: string) => ({
  id,
  content,
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
})

/** BERT's (Devlin et al. 2018): a token a line, `##` before what goes on with a word. */
function wordPiece(lines: string, config: Fields): Fields {
  const tokens = lines.replace(/\r/g, '').replace(/\n$/, '').split('\n')
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  const id = (token: string) => {
    if (!Object.hasOwn(vocab, token)) throw fail(`vocab.txt: it lacks ${token}`)
    return vocab[token]
  }
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].filter((token) =>
    Object.hasOwn(vocab, token),
  )
  const piece = (token: string, type_id: number) => ({ SpecialToken: { id: token, type_id } })
  const sequence = (name: string, type_id: number) => ({ Sequence: { id: name, type_id } })
  const single = [piece('[CLS]', 0), sequence('A', 0), piece('[SEP]', 0)]
  const entry = (token: string) => [token, { id: token, ids: [id(token)], tokens: [token] }]
  return {
    added_tokens: special.map((token) => added(id(token), token)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: typeof config.strip_accents === 'boolean' ? config.strip_accents : null,
      lowercase: config.do_lower_case !== false,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, sequence('B', 1), piece('[SEP]', 1)],
      special_tokens: Object.fromEntries([entry('[CLS]'), entry('[SEP]')]),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  }
}

/** GPT-2's (Radford et al. 2019): bytes written as letters, merged in the order of the lines. */
function byteLevel(vocab: Fields, lines: string): Fields {
  const merges = lines
    .replace(/\r/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#version'))
  const end = vocab['<|endoftext|>']
  return {
    added_tokens: typeof end === 'number' ? [added(end, '<|endoftext|>')] : [],
    normalizer: null,
    pre_tokenizer: {
      type: 'ByteLevel',
      add_prefix_space: false,
      trim_offsets: true,
      use_regex: true,
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
    model: { type: 'BPE', unk_token: null, vocab, merges },
  }
}
