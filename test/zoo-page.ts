// docs/zoo.md from what the zoo says of itself, the measured sizes of scripts/zoo.json, and the results of experiments:
// `node scripts/zoo.mjs` writes it; zoo.test.ts fails when it is stale.
import type { Facts } from '../src/models/index.js'

/** What scripts/zoo.mjs measures of a network; null where it does not apply. */
export interface Measured {
  /** Of one input of the size in its facts, in evaluation mode. */
  readonly multiplyAdds: number | null
  /** The smallest height and width it takes. */
  readonly smallest: number | null
}

export type Sizes = { readonly [name: string]: Measured }

/** The parts of experiments/results/*.json that are shown: see experiments/support.ts. */
export interface Experiment {
  readonly name: string
  readonly title: string
  readonly command: string
  readonly commit: string
  readonly date: string
  readonly minutes: number
  readonly processorMinutes: number
  readonly device: { readonly name: string; readonly tier: string; readonly threads: number }
  readonly machine: { readonly processor: string; readonly cores: number; readonly node: string }
  readonly settings: { readonly [name: string]: unknown }
  readonly figures: { readonly [name: string]: unknown }
}

const table = (heading: readonly string[], align: readonly string[], rows: readonly string[][]) =>
  [heading, align, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

const KINDS: { readonly [kind in Facts['kind']]: string } = {
  classification: 'Image classification',
  segmentation: 'Segmentation',
  detection: 'Detection',
  text: 'Text',
}

function networks(facts: readonly (Facts & { readonly name: string })[], sizes: Sizes): string {
  const kinds = Object.keys(KINDS) as Facts['kind'][]
  return kinds
    .map((kind) => {
      const image = kind !== 'text'
      const heading = ['name', 'paper', 'parameters', 'input', 'multiply-adds']
      const rows = facts
        .filter((one) => one.kind === kind)
        .map(({ name, paper, parameters, input }) => {
          const { multiplyAdds, smallest } = sizes[name] ?? { multiplyAdds: null, smallest: null }
          const adds = multiplyAdds === null ? '–' : large(multiplyAdds)
          const row = [`\`${name}\``, paper, large(parameters), input.join('×'), adds]
          return image ? [...row, smallest === null ? '–' : `${smallest}×${smallest}`] : row
        })
      const align = ['---', '---', '--:', '--:', '--:', ...(image ? ['--:'] : [])]
      return `### ${KINDS[kind]}\n\n${table(image ? [...heading, 'smallest'] : heading, align, rows)}`
    })
    .join('\n\n')
}

/** 4,111,514,624 → 4.11 G */
function large(value: number): string {
  if (value >= 1e12) return `${(value / 1e12).toPrecision(3)} T`
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`
  return `${(value / 1e3).toPrecision(3)} k`
}

/** `mapAt50` → `map at 50` */
const words = (name: string) =>
  name.replace(/([a-z])([A-Z0-9])|([0-9])([a-zA-Z])/g, (_, a, b, c, d) =>
    `${a ?? c} ${b ?? d}`.toLowerCase(),
  )

function experiments(results: readonly Experiment[]): string {
  if (results.length === 0) return 'None yet: `npm run experiment -- NAME`.'
  return results
    .map((result) => {
      const { device, machine } = result
      const numbers = Object.entries(result.figures).filter(
        ([, value]) => typeof value === 'number' || typeof value === 'boolean',
      )
      const samples = Object.entries(result.figures).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      )
      const settings = Object.entries(result.settings)
        .filter(([, value]) => value !== '')
        .map(([name, value]) => `${words(name)} ${value}`)
      return [
        `### ${result.name}`,
        `${result.title}.`,
        table(
          ['figure', 'value'],
          ['---', '--:'],
          numbers.map(([name, value]) => [words(name), shown(value)]),
        ),
        ...samples.map(([name, text]) => `${words(name)}:\n\n${indented(text)}`),
        `\`${result.command}\`: ${settings.join(', ')}; ${result.minutes} minutes by the clock, ${result.processorMinutes} of processors, ${device.name} ${device.tier} on ${device.threads} threads of ${machine.processor} (${machine.cores} cores), Node ${machine.node}; ${result.date}, commit ${result.commit}.`,
      ].join('\n\n')
    })
    .join('\n\n')
}

const shown = (value: unknown): string =>
  Number.isInteger(value)
    ? Number(value).toLocaleString('en')
    : Number(value).toLocaleString('en', { maximumSignificantDigits: 4 })

const indented = (text: string) =>
  text
    .split('\n')
    .map((line) => `    ${line}`.trimEnd())
    .join('\n')

export function zooPage(
  facts: readonly (Facts & { readonly name: string })[],
  sizes: Sizes,
  results: readonly Experiment[],
): string {
  return `# The zoo

Made by \`node scripts/zoo.mjs\` from \`list()\` of \`burnish/models\`, \`scripts/zoo.json\` and \`experiments/results\`; a test
fails when it is stale.

    import { create, list } from 'burnish/models'
    const model = create('resnet18', { numClasses: 10, inChannels: 1 })

## Networks

Parameters are those with as many classes as the paper has, auxiliary heads included. Multiply-adds are of one input of
the size shown, in evaluation mode: those of convolutions, matrix products and attention. \`smallest\` is the least height
and width that a forward in training takes (Inception v3 takes 75×75 without its auxiliary head). Names of parameters are those of torchvision, of Hugging Face, or of the YOLOX repository.

${networks(facts, sizes)}

## What was learned

Each is a script of \`experiments/\`, run as its line says, and what it wrote. A \`+\` behind a commit: there were files that
it does not have.

${experiments(results)}
`
}
