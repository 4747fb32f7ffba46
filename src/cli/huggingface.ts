// `burnish info MODEL`: what a Hugging Face folder or a repository of the hub holds, and whether Burnish can load it.
// Of a repository only the small files are fetched; of a folder the headers of the weights are read too.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { openRepository, type Repository } from '../io/hub.js'
import { familyOf } from '../models/huggingface.js'
import { Fields } from '../models/huggingface-config.js'
import { openWeights } from '../models/huggingface-weights.js'
import { tokenizerFile } from '../text/load.js'
import { printable, table } from './inspect.js'
import { progressLine } from './progress.js'

export async function showRepository(
  where: string,
  options: { readonly json: boolean; readonly revision?: string },
  signal: AbortSignal,
): Promise<void> {
  const line = progressLine(process.stderr)
  let text: string
  try {
    const repository = await openRepository(where, {
      revision: options.revision,
      signal,
      onProgress: ({ file, ...progress }) => line.show(file, progress),
    })
    text = await shown(repository, options.json)
  } finally {
    line.end()
  }
  process.stdout.write(text)
}

async function shown(repository: Repository, json: boolean): Promise<string> {
  if (!repository.has('config.json'))
    fail(
      `${repository.name}: no config.json, so it is no model of Hugging Face; burnish inspect shows single files`,
    )
  const config = Fields.parse(
    await repository.bytes('config.json'),
    `${repository.name}: config.json`,
  )
  const named = config.get('architectures')
  const architecture = Array.isArray(named) ? String(named[0]) : undefined
  let task: string | undefined
  let problem: string | undefined
  try {
    const family = familyOf(config)
    family.landmarks(config)
    const known = Object.keys(family.architectures)
    if (architecture !== undefined && Object.hasOwn(family.architectures, architecture))
      task = family.architectures[architecture].task
    else
      problem = `${architecture ?? 'no architecture'} is not built; with a task, ${known.join(', ')}`
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error)
  }
  const weights = repository.kind === 'folder' ? await openWeights(repository) : undefined
  const shapes = [...(weights?.tensors.values() ?? [])].map(({ shape }) => shape)
  await weights?.close()
  const numbers = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0)
  const labels = config.get('id2label') === undefined ? undefined : config.labels()
  const tokenizer = tokenizerFile(repository)
  if (json) {
    const facts = {
      name: repository.name,
      commit: repository.commit ?? null,
      model_type: config.get('model_type') ?? null,
      architecture: architecture ?? null,
      task: task ?? null,
      problem: problem ?? null,
      labels: labels ?? null,
      tokenizer: tokenizer ?? null,
      ...(weights && { tensors: shapes.length, numbers }),
      files: repository.names,
      notes: repository.notes,
    }
    return `${JSON.stringify(facts)}\n`
  }
  const rows = [
    ['model', repository.name],
    ...(repository.commit ? [['commit', repository.commit]] : []),
    ['architecture', `${architecture ?? 'none'} (${String(config.get('model_type'))})`],
    ['loads as', task ?? `not: ${problem}`],
    ...(labels ? [['classes', short(labels)]] : []),
    ...(weights
      ? [['weights', `${shapes.length} tensors, ${numbers.toLocaleString('en')} numbers`]]
      : []),
    ['tokenizer', tokenizer ?? 'none'],
    ['files', short(repository.names)],
    ...repository.notes.map((note) => ['note', note]),
  ]
  return `${table(
    rows.map((row) => row.map(printable)),
    2,
  )}\n`
}

const short = (names: readonly string[]) =>
  names.slice(0, 12).join(', ') + (names.length > 12 ? `, … (${names.length})` : '')
