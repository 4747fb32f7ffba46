// Networks with trained weights: from their name to a module, wherever the files of the package are (io/packages.ts).
import { fail } from '../base/errors.js'
import type { PackageOptions } from '../io/packages.js'
import type { PretrainedImages } from './pretrained-images.js'
import type { PretrainedSound, PretrainedText } from './pretrained-others.js'
import {
  type PretrainedFacts,
  type PretrainedName,
  pretrainedFacts,
  pretrainedNames,
  weightBytes,
} from './pretrained-table.js'

export interface PretrainedOptions extends PackageOptions {
  /** A new head, a linear layer on the features for so many classes, in the place of the original one. */
  readonly numClasses?: number
}

/** The class of a network by its name. */
export interface PretrainedNetworks {
  readonly mobilenetv4_detypify: PretrainedImages
  readonly mobilenetv3_centernet: PretrainedImages
  readonly mobilenetv2_nsfw: PretrainedImages
  readonly speech_embedding: PretrainedSound
  readonly use_lite: PretrainedText
}

/** What is known of a network with trained weights without getting it. */
export interface PretrainedListed extends PretrainedFacts {
  readonly name: PretrainedName
  /** Bytes of the files that are kept; `package.size` are those of the archive they come in. */
  readonly bytes: number
}

/** The networks whose weights a package has: package, version, hashes, licence, how data must be. */
export function listPretrained(): PretrainedListed[] {
  return pretrainedNames.map((name) => {
    const facts = pretrainedFacts[name]
    return { name, bytes: weightBytes(facts), ...facts }
  })
}

/**
 * A network with trained weights, in evaluation mode, all of it trainable. `features` are what it has learnt to see,
 * `forward` the original classes, or those of a new head; `preprocess` makes its input of images from 0 to 1, of
 * samples, or of texts.
 *
 *     const model = await pretrained('mobilenetv4_detypify', { numClasses: 10 })
 *     model.train()
 *     const loss = crossEntropy(model.forward(model.preprocess(digits)), labels)
 *
 * The files are looked for in the cache, in node_modules, and at last in the npm registry; each must have the hash that
 * is pinned here. The licences are those of `listPretrained()`.
 * @throws BurnishError when there is no such network, or its files cannot be had: see `packageFiles`.
 */
export async function pretrained<Name extends PretrainedName>(
  name: Name,
  { numClasses, ...options }: PretrainedOptions = {},
): Promise<PretrainedNetworks[Name]> {
  checkName(name)
  if (numClasses !== undefined && !(Number.isInteger(numClasses) && numClasses >= 1))
    fail(`pretrained ${name}: numClasses is ${numClasses}, but must be a whole number from 1`)
  const facts = pretrainedFacts[name]
  const { packageFiles } = await import('../io/packages.js')
  const files = await packageFiles(facts.package, options)
  const file = (path: string): Promise<Uint8Array> => {
    const found = files.get(path)
    if (found === undefined)
      throw fail(`${facts.package.name}: ${path} is not a file of the network`)
    return found.bytes()
  }
  const make = makers[name]
  return make(file, facts, numClasses)
}

type Maker<Network> = (
  file: (path: string) => Promise<Uint8Array>,
  facts: PretrainedFacts,
  numClasses: number | undefined,
) => Promise<Network>

/** Readers of files are loaded with the first network that needs them. */
const images =
  (which: 'detypify' | 'centernet' | 'nsfw'): Maker<PretrainedImages> =>
  async (file, facts, numClasses) => {
    const module = await import('./pretrained-images.js')
    return new module.PretrainedImages(facts, await module[which](file), numClasses)
  }

const makers: { readonly [Name in PretrainedName]: Maker<PretrainedNetworks[Name]> } = {
  mobilenetv4_detypify: images('detypify'),
  mobilenetv3_centernet: images('centernet'),
  mobilenetv2_nsfw: images('nsfw'),
  speech_embedding: async (...given) =>
    (await import('./pretrained-others.js')).speechEmbedding(...given),
  use_lite: async (...given) => (await import('./pretrained-others.js')).sentenceEncoder(...given),
}

/** @throws BurnishError naming those that there are. */
export function checkName(name: string): asserts name is PretrainedName {
  if (!Object.hasOwn(pretrainedFacts, name))
    fail(
      `no package has trained weights of ${name}: there are ${pretrainedNames.join(', ')}; weights of other networks are loaded with loadState or from a hub, see burnish/io`,
    )
}
