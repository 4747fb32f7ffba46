// Models go back as Hugging Face folders that transformers reads: config.json and model.safetensors under its names,
// and the files of the tokenizer and the preprocessing as they came. One file of weights, without shards.
import { writeFolder } from '#folder'
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type { Repository } from '../io/hub.js'
import { writeSafetensors } from '../io/safetensors.js'
import { encode, type StoredTensor } from '../io/values.js'
import type { AnyModule } from '../nn/module.js'
import type { Parameter } from '../tensor/parameter.js'
import type { Config } from './huggingface-config.js'
import { type Described, type Family, families } from './huggingface-families.js'

export interface SaveHuggingFaceOptions {
  /**
   * What the model came from, as loadHuggingFace gave it: fields of config.json that say nothing of the model are kept.
   */
  readonly from?: {
    readonly config: Config
    readonly repository: Repository
    readonly labels?: readonly string[] | undefined
  }
  /** What the classes are called. Default: those of `from`, where there are as many. */
  readonly labels?: readonly string[]
}

/** Files that are taken over as they are. */
const COMPANIONS = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.txt',
  'vocab.json',
  'merges.txt',
  'preprocessor_config.json',
  'generation_config.json',
]

/**
 * Writes a model as a folder that transformers reads; see loadHuggingFace for the way back.
 * @throws BurnishError when transformers has no such model, or a layer was put in that it does not know.
 */
export async function saveHuggingFace(
  folder: string,
  model: AnyModule,
  options: SaveHuggingFaceOptions = {},
): Promise<void> {
  await writeFolder(folder, await huggingFaceFiles(model, options))
}

/** The same files in memory, by name: for a page to hand out. */
export async function huggingFaceFiles(
  model: AnyModule,
  { from, labels }: SaveHuggingFaceOptions = {},
): Promise<ReadonlyMap<string, Uint8Array>> {
  const [family, described] = describe(model)
  const names = namesOf(described, labels ?? from?.labels, labels !== undefined)
  const { num_labels: _, id2label: __, label2id: ___, ...kept } = from?.config ?? {}
  if (kept.model_type !== undefined && kept.model_type !== family.type)
    fail(`saveHuggingFace: the model is a ${family.type}, what it came from a ${kept.model_type}`)
  const config = {
    ...kept,
    ...described.config,
    model_type: family.type,
    architectures: [described.architecture],
    torch_dtype: 'float32',
    ...(names && {
      id2label: Object.fromEntries(names.map((name, i) => [i, name])),
      label2id: Object.fromEntries(names.map((name, i) => [name, i])),
    }),
  }
  const files = new Map<string, Uint8Array>()
  files.set('config.json', new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`))
  files.set('model.safetensors', await weightsOf(model, family, described))
  for (const name of COMPANIONS)
    if (from?.repository.has(name)) files.set(name, await from.repository.bytes(name))
  return files
}

function describe(model: AnyModule): readonly [Family, Described] {
  for (const family of families) {
    const found = family.describe(model)
    if (found) return [family, found]
  }
  throw fail(
    `saveHuggingFace: ${model.constructor.name} is no model of transformers; encodeState of burnish/io saves any model`,
  )
}

function namesOf({ classes }: Described, labels: readonly string[] | undefined, given: boolean) {
  if (classes === undefined) return undefined
  if (labels?.length === classes) return labels
  if (given) fail(`saveHuggingFace: ${labels?.length} labels for ${classes} classes`)
  return Array.from({ length: classes }, (_, i) => `LABEL_${i}`)
}

async function weightsOf(model: AnyModule, family: Family, described: Described) {
  // A model without head has names without prefix.
  const bare = /Model$/.test(described.architecture) && !/LMHead/.test(described.architecture)
  const once = new Map<Parameter, string>()
  for (const [entry, parameter] of Object.entries(model.stateDict()))
    if (!once.has(parameter)) once.set(parameter, entry)
  const written = [...once].map(async ([parameter, entry]) => {
    const names = family.names(entry)
    if (names === undefined)
      throw fail(`saveHuggingFace: transformers has no name for ${entry}: was a layer put in?`)
    const { dtype, shape, fileDtype } = parameter
    const host = { dtype, shape, data: await parameter.data() }
    const whole = fileDtype === 'I64' ? encode(host, 'I64') : encode(host)
    return parted(
      whole,
      names.map((name) => (bare ? name.slice(family.prefix.length) : name)),
    )
  })
  const tensors = new Map((await Promise.all(written)).flat())
  return writeSafetensors(tensors, new Map([['format', 'pt']]))
}

/** The parts of a tensor along its first axis. */
function parted(whole: StoredTensor, names: readonly string[]): [string, StoredTensor][] {
  const rows = (whole.shape[0] ?? 1) / names.length
  const length = whole.bytes.length / names.length
  if (names.length === 1) return [[names[0], whole]]
  const shape = [rows, ...whole.shape.slice(1)]
  if (!Number.isInteger(rows) || sizeOf(shape) === 0) fail('saveHuggingFace: internal: odd parts')
  return names.map((name, i) => [
    name,
    { dtype: whole.dtype, shape, bytes: whole.bytes.slice(i * length, (i + 1) * length) },
  ])
}
