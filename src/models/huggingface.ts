// Hugging Face folders become trainable models: config.json says what is built, the weights are held to it name by
// name, and tokenizer and preprocessing come along. Back again: huggingface-save.ts.
import { fail } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import { type Files, type HubOptions, openRepository, type Repository } from '../io/hub.js'
import { decode, type HostTensor } from '../io/values.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../tensor/parameter.js'
import { loadTokenizer, tokenizerFile } from '../text/load.js'
import type { Tokenizer } from '../text/tokenizer.js'
import type { Bert } from './bert.js'
import type {
  BertForMaskedLM,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
} from './bert-heads.js'
import type { GPT2, GPT2Model } from './gpt2.js'
import { type Config, Fields } from './huggingface-config.js'
import { type Choice, type Family, families, type Task } from './huggingface-families.js'
import { type Preprocess, readPreprocess } from './huggingface-preprocess.js'
import { openWeights, stacked, type Weight } from './huggingface-weights.js'
import type { ResNet } from './resnet.js'
import type { VisionTransformer, ViTFeatures } from './vit.js'

/** The model of each task. */
export interface ModelOfTask {
  readonly 'feature-extraction': Bert | GPT2Model | ViTFeatures
  readonly 'fill-mask': BertForMaskedLM
  readonly 'text-classification': BertForSequenceClassification
  readonly 'token-classification': BertForTokenClassification
  readonly 'question-answering': BertForQuestionAnswering
  readonly 'text-generation': GPT2
  readonly 'image-classification': VisionTransformer | ResNet
}

export interface HuggingFaceOptions<T extends Task = Task> extends HubOptions {
  /** What the model is for. Default: what `architectures` in config.json says. */
  readonly task?: T
  /** Classes of the head. With another number than the checkpoint's the head is made anew, and the report says so. */
  readonly numClasses?: number
  /** What they are called; as many as there are classes. */
  readonly labels?: readonly string[]
  /** Whether the body must fit in every name and shape, and the head too unless it is new. Default true. */
  readonly strict?: boolean
}

/** How weights and model fit. Names are transformers'. */
export interface HuggingFaceReport {
  readonly files: readonly string[]
  readonly matched: readonly string[]
  /** In the model, but not in the files: they keep their beginning. */
  readonly missing: readonly string[]
  /** In the files, but not in the model's body. */
  readonly unexpected: readonly string[]
  readonly mismatched: readonly {
    readonly name: string
    readonly given: string
    readonly expected: string
  }[]
  /** In the files for another head, or not needed: masks, positions. */
  readonly unused: readonly string[]
  /** What a user should know: a head that is new, a file that may be old. */
  readonly notes: readonly string[]
}

export interface HuggingFaceModel<M extends Module<unknown> = Module<unknown>> {
  readonly model: M
  /** As config.json has it. */
  readonly config: Config
  readonly architecture: string
  /** Names of the classes, where it has classes. */
  readonly labels: readonly string[] | undefined
  readonly tokenizer: Tokenizer | undefined
  readonly preprocess: Preprocess | undefined
  readonly report: HuggingFaceReport
  readonly repository: Repository
}

const CLASSES = new Set<Task>([
  'text-classification',
  'token-classification',
  'image-classification',
])

/** The family of a config.json. */
export function familyOf(config: Fields): Family {
  const type = config.text('model_type', '')
  const family = families.find((each) => each.type === type)
  if (family === undefined)
    throw config.wrong('model_type', type, `one of ${families.map((each) => each.type).join(', ')}`)
  config.only('quantization_config', undefined, 'quantised weights are not read')
  config.only('pruned_heads', undefined, 'all heads are there')
  return family
}

/**
 * A model from a folder, files, or a repository of the hub (`org/name` or its URL), with its weights, in evaluation
 * mode.
 *
 *     const { model, tokenizer, report } = await loadHuggingFace('org/name', { numClasses: 3 })
 *
 * @throws BurnishError when a file is missing or not well formed, when config.json asks for what is not built, and when
 * weights do not fit: then nothing is loaded by halves.
 */
export async function loadHuggingFace<T extends Task = Task>(
  where: string | Files | Repository,
  options: HuggingFaceOptions<T> = {},
): Promise<HuggingFaceModel<ModelOfTask[T]>> {
  const repository = await openRepository(where, options)
  const at = `${repository.name}: config.json`
  const config = Fields.parse(await repository.bytes('config.json'), at)
  const family = familyOf(config)
  const architecture = chosen(family, config, options.task)
  const { make, task } = family.architectures[architecture]
  const classes = CLASSES.has(task) ? classesOf(config, options) : undefined
  const weights = await openWeights(repository)
  try {
    const given = new Map(
      [...weights.tensors].map(([name, weight]) => [canonical(family, name), weight]),
    )
    for (const [name, shape] of family.landmarks(config)) {
      const found = given.get(name)
      if (found === undefined)
        throw fail(`${repository.name}: config.json and weights do not belong together: no ${name}`)
      if (shape && !sameShape(found.shape, shape))
        throw fail(
          `${repository.name}: ${name} is ${showShape(found.shape)}, by config.json ${showShape(shape)}: they do not belong together`,
        )
    }
    const choice: Choice = {
      numClasses: classes?.names.length ?? 0,
      has: (name) => given.has(name),
    }
    const model = make(config, choice)
    const said = config.get('architectures')
    const other = Array.isArray(said) && said.length > 0 && said[0] !== architecture
    const rename = other && family.architectures[String(said[0])]?.task === task
    const fit = await take(repository, family, model, given, {
      strict: options.strict ?? true,
      newHead: classes?.changed ?? false,
      otherHead: other && !rename,
    })
    return {
      // The architecture was chosen by its task, and a family has one class for each.
      model: model.eval() as ModelOfTask[T],
      config: config.config,
      architecture,
      labels: classes?.names,
      tokenizer: tokenizerFile(repository) ? await loadTokenizer(repository) : undefined,
      preprocess: repository.has('preprocessor_config.json')
        ? readPreprocess(
            Fields.parse(
              await repository.bytes('preprocessor_config.json'),
              `${repository.name}: preprocessor_config.json`,
            ),
          )
        : undefined,
      report: { files: weights.files, ...fit, notes: [...repository.notes, ...fit.notes] },
      repository,
    }
  } finally {
    await weights.close()
  }
}

/** The architecture for a task, or the one config.json names. */
function chosen(family: Family, config: Fields, task: Task | undefined): string {
  const known = Object.keys(family.architectures)
  if (task !== undefined) {
    const found = known.find((name) => family.architectures[name].task === task)
    if (found !== undefined) return found
    const tasks = known.map((name) => family.architectures[name].task)
    throw fail(
      `loadHuggingFace: ${family.type} has no model for ${task}; it has ${[...new Set(tasks)].join(', ')}`,
    )
  }
  const named = config.get('architectures')
  const first: unknown = Array.isArray(named) ? named[0] : undefined
  if (typeof first !== 'string' || !Object.hasOwn(family.architectures, first))
    throw config.wrong('architectures', named, `one of ${known.join(', ')}; or give a task`)
  return first
}

function classesOf(config: Fields, { numClasses, labels }: HuggingFaceOptions) {
  const stored = config.labels()
  const count = numClasses ?? labels?.length ?? stored.length
  if (!Number.isInteger(count) || count < 1)
    fail(`loadHuggingFace: numClasses is ${count}, but must be a whole number from 1 on`)
  if (labels !== undefined && labels.length !== count)
    fail(`loadHuggingFace: ${labels.length} labels for ${count} classes`)
  const changed = count !== stored.length
  const plain = Array.from({ length: count }, (_, i) => `LABEL_${i}`)
  return { names: labels ?? (changed ? plain : stored), changed }
}

/** Names of earlier versions, and of checkpoints without a head, in today's words. */
function canonical({ prefix, heads }: Family, name: string): string {
  const today = name
    .replace(/LayerNorm\.gamma$/, 'LayerNorm.weight')
    .replace(/LayerNorm\.beta$/, 'LayerNorm.bias')
  return today.startsWith(prefix) || heads.test(today) ? today : prefix + today
}

interface Fit {
  readonly strict: boolean
  /** The head has other classes than the checkpoint's. */
  readonly newHead: boolean
  /** The checkpoint was made with another head. */
  readonly otherHead: boolean
}

/** Sets the model's state from weights, or says in one error all that does not fit. */
async function take(
  repository: Repository,
  family: Family,
  model: Module<unknown>,
  given: ReadonlyMap<string, Weight>,
  { strict, newHead, otherHead }: Fit,
) {
  // A parameter with two names is there when one of them is.
  const entries = new Map<
    Parameter,
    { readonly entry: string; readonly names: readonly string[] }[]
  >()
  for (const [entry, parameter] of Object.entries(model.stateDict())) {
    const names = family.names(entry)
    if (names === undefined) throw fail(`internal: ${entry} has no name in transformers`)
    entries.set(parameter, [...(entries.get(parameter) ?? []), { entry, names }])
  }
  const matched: string[] = []
  const missing: string[] = []
  const mismatched: { name: string; given: string; expected: string }[] = []
  const used = new Set<string>()
  const plan: { readonly entry: string; readonly names: readonly string[] }[] = []
  for (const [parameter, ways] of entries) {
    for (const { names } of ways) for (const name of names) used.add(name)
    const way = ways.find(({ names }) => names.every((name) => given.has(name)))
    if (way === undefined) {
      const lost = ways[0].names.filter((name) => !given.has(name))
      if (!ways[0].entry.endsWith('num_batches_tracked')) missing.push(...lost)
      continue
    }
    const shapes = way.names.map((name) => given.get(name)?.shape ?? [])
    const rows = parameter.shape[0] / way.names.length
    const expected = way.names.length === 1 ? parameter.shape : [rows, ...parameter.shape.slice(1)]
    const wrong = way.names.filter((_, i) => !sameShape(shapes[i], expected))
    for (const name of wrong)
      mismatched.push({
        name,
        given: showShape(given.get(name)?.shape ?? []),
        expected: showShape(expected),
      })
    if (wrong.length > 0) continue
    matched.push(...way.names)
    plan.push(way)
  }
  const ofHead = (name: string) => family.heads.test(name)
  const extra = [...given.keys()].filter((name) => !used.has(name))
  const poolerLeft = (name: string) => /pooler\.dense\.(weight|bias)$/.test(name)
  const isUnused = (name: string) => ofHead(name) || family.ignored.test(name) || poolerLeft(name)
  const unexpected = extra.filter((name) => !isUnused(name))
  const may = (name: string) => ofHead(name) && (newHead || otherHead)
  // A head that was never trained has no pooler below it either.
  const mayMiss = (name: string) => may(name) || (otherHead && poolerLeft(name))
  const wrongShapes = mismatched.filter(({ name }) => !may(name))
  const lost = missing.filter((name) => !mayMiss(name))
  if (strict && wrongShapes.length + lost.length + unexpected.length > 0) {
    const some = (names: readonly string[]) =>
      names.slice(0, 8).join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '')
    const problems = [
      ...wrongShapes.map((each) => `${each.name} is ${each.given}, the model has ${each.expected}`),
      ...(lost.length > 0 ? [`missing are ${some(lost)}`] : []),
      ...(unexpected.length > 0 ? [`unexpected are ${some(unexpected)}`] : []),
    ]
    throw fail(
      `${repository.name}: the weights do not fit: ${problems.slice(0, 8).join('; ')}; use { strict: false } to load what fits and get a report`,
    )
  }
  const values: { [entry: string]: HostTensor } = Object.create(null)
  for (const { entry, names } of plan) {
    const parts = []
    for (const name of names) {
      const part = await given.get(name)?.read()
      if (part) parts.push(part)
    }
    const where = `${repository.name}: ${names.join(', ')}`
    values[entry] = decode(stacked(parts, where), where)
  }
  const kinds = model.loadStateDict(values, { strict: false }).mismatched
  if (kinds.length > 0)
    throw fail(
      `${repository.name}: the types of weights differ: ${kinds.map((each) => `${each.name} is ${each.given}, the model has ${each.expected}`).join('; ')}`,
    )
  const fresh = [...mismatched.map(({ name }) => name), ...missing]
  const notes = fresh.length > 0 ? [`made new, not from the checkpoint: ${fresh.join(', ')}`] : []
  return { matched, missing, unexpected, mismatched, unused: extra.filter(isUnused), notes }
}
