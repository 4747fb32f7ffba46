// burnish/text: texts and tokens.
export type { Files, HubOptions, Repository } from '../io/hub.js'
export { loadTokenizer } from './load.js'
export {
  type BatchOptions,
  type DecodeOptions,
  type Encoded,
  type EncodeOptions,
  type Text,
  type TextBatch,
  Tokenizer,
  type TokenizerSettings,
} from './tokenizer.js'
