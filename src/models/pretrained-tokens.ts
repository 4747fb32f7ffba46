// The tokens of the Universal Sentence Encoder Lite: pieces of a SentencePiece unigram vocabulary (Kudo 2018), the most
// likely way to cut a text (Viterbi's algorithm). After the tokenizer that TensorFlow.js's encoder comes with, whose
// choices where pieces do not suffice it keeps: an unknown character costs nothing, and several in a row are one token.
import { fail } from '../base/errors.js'

export interface UnigramPiece {
  readonly text: string
  /** The logarithm of its probability. */
  readonly score: number
}

/** What stands for a space, and in front of every text. */
const SPACE = '\u2581'
/** Pieces that no text is cut into: unknown, beginning, end, and three more. */
const RESERVED = 6
const UNKNOWN = 0

interface Step {
  readonly end: number
  readonly score: number
  readonly token: number
}

export class UnigramTokenizer {
  readonly #pieces: readonly UnigramPiece[]
  readonly #tokens: ReadonlyMap<string, number>
  /** Characters of the longest piece. */
  readonly #longest: number

  constructor(pieces: readonly UnigramPiece[]) {
    this.#pieces = pieces
    // Of two equal pieces the later one counts.
    this.#tokens = new Map(pieces.map(({ text }, i) => [text, i] as const).slice(RESERVED))
    this.#longest = pieces.reduce((most, { text }) => Math.max(most, [...text].length), 1)
  }

  /** What may follow at a position: pieces, shortest first, or the unknown one. */
  #steps(characters: readonly string[], begin: number): Step[] {
    const steps: Step[] = []
    let text = ''
    for (let end = begin + 1; end <= Math.min(characters.length, begin + this.#longest); end++) {
      text += characters[end - 1]
      const token = this.#tokens.get(text)
      if (token !== undefined) steps.push({ end, score: this.#pieces[token].score, token })
    }
    return steps.length > 0 ? steps : [{ end: begin + 1, score: 0, token: UNKNOWN }]
  }

  /** The tokens of a text. An empty one has none. */
  encode(text: string): number[] {
    const normal = text.normalize('NFKC')
    const characters = normal === '' ? [] : [SPACE, ...normal.replaceAll(' ', SPACE)]
    const best = new Float64Array(characters.length + 1)
    const last: (Step & { readonly begin: number })[] = []
    for (let begin = 0; begin < characters.length; begin++)
      for (const step of this.#steps(characters, begin)) {
        const score = best[begin] + step.score
        // Nothing yet is 0 too, as in the original.
        if (best[step.end] !== 0 && score < best[step.end]) continue
        best[step.end] = score
        last[step.end] = { ...step, begin }
      }
    const tokens: number[] = []
    for (let at = characters.length; at > 0; ) {
      const { token, begin } = last[at] ?? { token: UNKNOWN, begin: at - 1 }
      if (token !== UNKNOWN || tokens.at(-1) !== UNKNOWN) tokens.push(token)
      at = begin
    }
    return tokens.reverse()
  }
}

/** The pieces of `[[text, score], …]`, as JSON has them. */
export function readPieces(bytes: Uint8Array, where: string): UnigramPiece[] {
  const found: unknown = JSON.parse(new TextDecoder().decode(bytes))
  if (!Array.isArray(found)) throw fail(`${where}: is no list of pieces`)
  return found.map((piece: unknown, i) => {
    const [text, score]: readonly unknown[] = Array.isArray(piece) ? piece : []
    if (typeof text !== 'string' || (typeof score !== 'number' && score !== null))
      throw fail(`${where}: piece ${i} is not [text, score]`)
    // The vocabulary lost the scores of pieces with a colon; its own tokenizer then takes 0, and so was it used.
    return { text, score: score ?? 0 }
  })
}
