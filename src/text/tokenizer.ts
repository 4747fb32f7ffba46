// Texts ↔ token ids, by @huggingface/tokenizers, which reads tokenizer.json. Here are cutting to a length, filling up
// and batches, which it leaves to its callers; the words are transformers', in camelCase.
import { fail } from '../base/errors.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'

/** A text, or two that belong together, such as a question and where its answer is. */
export type Text = string | readonly [first: string, second: string]

export interface EncodeOptions {
  /** Adds what the model was trained with, such as [CLS] and [SEP]. Default true. */
  readonly addSpecialTokens?: boolean
  /** The most tokens. Default: what the tokenizer's files say. */
  readonly maxLength?: number
  /** Cuts what is longer: of a pair the longer text first, or only one of them. By default it is an error. */
  readonly truncation?: boolean | 'first' | 'second'
}

export interface BatchOptions extends EncodeOptions {
  /** Fills up to the longest text (default), or to `maxLength`, so that all batches have one shape. */
  readonly padding?: 'longest' | 'maxLength'
  /** Lengths become multiples of it. */
  readonly padToMultipleOf?: number
  /** Which token fills up, where the tokenizer has none for it. */
  readonly padToken?: string
}

export interface DecodeOptions {
  /** Default true. */
  readonly skipSpecialTokens?: boolean
  /** Takes blanks before marks away (` .` → `.`). Default: as tokenizer_config.json says, else true. */
  readonly cleanUp?: boolean
}

export interface Encoded {
  readonly ids: readonly number[]
  /** 0 in the first text, 1 in the second. */
  readonly tokenTypeIds: readonly number[]
  readonly tokens: readonly string[]
}

/** Several texts: each int32 [N, T]. `model.forward(batch.inputIds, batch)` is how BERT takes it. */
export interface TextBatch {
  readonly inputIds: Tensor
  /** 1 at tokens, 0 at what fills up. */
  readonly attentionMask: Tensor
  readonly tokenTypeIds: Tensor
}

/** What tokenizer_config.json may say. */
export interface TokenizerSettings {
  readonly maxLength: number
  readonly paddingSide: 'left' | 'right'
  readonly truncationSide: 'left' | 'right'
  /** Special tokens by role: pad, unk, cls, sep, mask, bos, eos. */
  readonly special: { readonly [role: string]: string | undefined }
}

/**
 * What is used of a Tokenizer of @huggingface/tokenizers, whose own declarations TypeScript's `nodenext` does not read.
 */
export interface Engine {
  readonly normalizer: ((text: string) => string) | null
  readonly model: { readonly unk_token_id?: number } | null
  readonly post_processor:
    | ((
        tokens: string[],
        pair: string[] | null,
        special: boolean,
      ) => { readonly tokens: string[]; readonly token_type_ids?: number[] })
    | null
  get_added_tokens_decoder(): ReadonlyMap<
    number,
    { readonly content: string; readonly normalized: boolean }
  >
  token_to_id(token: string): number | undefined
  id_to_token(id: number): string | undefined
  tokenize(text: string): string[]
  decode(
    ids: number[],
    options: {
      readonly skip_special_tokens: boolean
      readonly clean_up_tokenization_spaces?: boolean
    },
  ): string
}

/** Made by loadTokenizer. */
export class Tokenizer {
  readonly settings: TokenizerSettings
  readonly #engine: Engine
  readonly #added = new Map<string, number>()

  constructor(engine: Engine, settings: TokenizerSettings) {
    this.#engine = engine
    this.settings = settings
    for (const [id, token] of engine.get_added_tokens_decoder()) {
      this.#added.set(token.content, id)
      const { normalizer } = engine
      if (token.normalized && normalizer) this.#added.set(normalizer(token.content), id)
    }
  }

  /** The id of a token; undefined when it has none. */
  idOf(token: string): number | undefined {
    return this.#added.get(token) ?? this.#engine.token_to_id(token)
  }

  tokenOf(id: number): string | undefined {
    return this.#engine.id_to_token(id)
  }

  /** The id of a special token by its role: `special('mask')`. */
  special(role: 'pad' | 'unk' | 'cls' | 'sep' | 'mask' | 'bos' | 'eos'): number | undefined {
    const token = this.settings.special[role]
    return token === undefined ? undefined : this.idOf(token)
  }

  /** @throws BurnishError when it is longer than `maxLength` and `truncation` does not say to cut. */
  encode(text: Text, options: EncodeOptions = {}): Encoded {
    const { addSpecialTokens = true, truncation = false } = options
    const most = options.maxLength ?? this.settings.maxLength
    if (!(most >= 1)) fail(`Tokenizer: maxLength is ${most}, but must be at least 1`)
    const parts = (typeof text === 'string' ? [text] : text).map((part) =>
      guarded('encode', () => this.#engine.tokenize(part)),
    )
    let whole = this.#joined(parts, addSpecialTokens)
    const over = whole.tokens.length - most
    if (over > 0) {
      if (truncation === false)
        fail(
          `Tokenizer: a text has ${whole.tokens.length} tokens, at most are ${most}: use { truncation: true } to cut it`,
        )
      whole = this.#joined(this.#cut(parts, over, truncation), addSpecialTokens)
    }
    const ids = whole.tokens.map(
      (token) => this.idOf(token) ?? this.#engine.model?.unk_token_id ?? this.#unknown(token),
    )
    return { ids, tokens: whole.tokens, tokenTypeIds: whole.types }
  }

  #joined(
    parts: readonly (readonly string[])[],
    special: boolean,
  ): { readonly tokens: readonly string[]; readonly types: readonly number[] } {
    const [first, second] = parts
    const { post_processor } = this.#engine
    const plain = { tokens: parts.flat(), token_type_ids: parts.flatMap((p, i) => p.map(() => i)) }
    const { tokens, token_type_ids } = post_processor
      ? guarded('encode', () =>
          post_processor([...first], second === undefined ? null : [...second], special),
        )
      : plain
    return { tokens, types: token_type_ids ?? tokens.map(() => 0) }
  }

  /** Takes `over` tokens away. */
  #cut(parts: readonly (readonly string[])[], over: number, which: true | 'first' | 'second') {
    const lengths = parts.map(({ length }) => length)
    for (let i = 0; i < over; i++) {
      const longer = lengths.length > 1 && lengths[1] >= lengths[0] ? 1 : 0
      const from = which === true ? longer : which === 'first' ? 0 : 1
      if (!(lengths[from] > 0)) fail('Tokenizer: the text cannot be cut to maxLength tokens')
      lengths[from]--
    }
    const left = this.settings.truncationSide === 'left'
    return parts.map((part, i) =>
      left ? part.slice(part.length - lengths[i]) : part.slice(0, lengths[i]),
    )
  }

  #unknown(token: string): never {
    return fail(
      `Tokenizer: ${JSON.stringify(token)} has no id, and there is no token for unknown ones`,
    )
  }

  /** Texts as tensors of one length. */
  batch(texts: readonly Text[], options: BatchOptions = {}): TextBatch {
    if (texts.length === 0) fail('Tokenizer: a batch of no texts')
    const rows = texts.map((text) => this.encode(text, options))
    const { padding = 'longest', padToMultipleOf: multiple = 1, padToken } = options
    const most = options.maxLength ?? this.settings.maxLength
    const longest = Math.max(1, ...rows.map(({ ids }) => ids.length))
    const wanted = padding === 'maxLength' ? most : longest
    const length = Math.ceil(wanted / multiple) * multiple
    if (!Number.isSafeInteger(length) || length > 2 ** 24)
      fail(`Tokenizer: rows of ${length} tokens: give maxLength`)
    const pad = padToken === undefined ? this.special('pad') : this.idOf(padToken)
    if (pad === undefined && rows.some(({ ids }) => ids.length < length))
      throw fail('Tokenizer: it has no token that fills up: give padToken, such as that of the end')
    const left = this.settings.paddingSide === 'left'
    const filled = (values: (row: Encoded) => readonly number[], filling: number) => {
      const data = new Int32Array(rows.length * length).fill(filling)
      rows.forEach((row, i) => {
        data.set(values(row), i * length + (left ? length - row.ids.length : 0))
      })
      return tensor(data, { shape: [rows.length, length] })
    }
    return {
      inputIds: filled(({ ids }) => ids, pad ?? 0),
      attentionMask: filled(({ ids }) => ids.map(() => 1), 0),
      tokenTypeIds: filled(({ tokenTypeIds }) => tokenTypeIds, 0),
    }
  }

  /** The text of ids. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    if (ids.length === 0) return ''
    const { skipSpecialTokens = true, cleanUp } = options
    return guarded('decode', () =>
      this.#engine.decode(Array.from(ids), {
        skip_special_tokens: skipSpecialTokens,
        ...(cleanUp !== undefined && { clean_up_tokenization_spaces: cleanUp }),
      }),
    )
  }
}

/** Faults of a tokenizer.json may show only when it is used. */
export function guarded<T>(what: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw fail(
      `tokenizer.json cannot ${what}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
