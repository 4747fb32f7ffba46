// `burnish predict`: what a trained run sees in pictures: each drawn small as the network gets it, with the class
// probabilities as bars.
import { type HostArray, readImage } from '../data/index.js'
import { tensor } from '../tensor/create.js'
import { probabilities } from './classify.js'
import { drawPicture } from './draw.js'
import { centred, inverted, isOnPaper, resize, toGrey } from './prepare.js'
import { openRun } from './run.js'
import { hasColour, type MachineOptions, onDevice } from './setup.js'
import { percent } from './values.js'

export interface PredictOptions extends MachineOptions {
  /** Dark on bright or bright on dark; by default the border tells. */
  readonly background: 'auto' | 'light' | 'dark'
  /** Digits are placed as MNIST's are; `whole` takes the picture as it is. */
  readonly place: 'auto' | 'centre' | 'whole'
  readonly json: boolean
}

/** MNIST's digits fit a box of 20 pixels of 28. */
const BOX = 20 / 28
const BAR = 30
const SPACE = 3

export async function predict(
  folder: string,
  paths: readonly string[],
  options: PredictOptions,
  signal: AbortSignal,
): Promise<void> {
  const { known, dataset, scaling, model } = await openRun(folder, undefined)
  const { classes } = dataset
  const [, height, width] = known.input
  await onDevice(options, false, async () => {
    for (const path of paths) {
      signal.throwIfAborted()
      const digits = dataset.classes[0] === '0'
      const picture = await readImage(path, { channels: 4 })
      const grey = prepared(picture, options, digits, width, height)
      const pixels = Float32Array.from(grey, (byte) => (byte / 255 - scaling.mean) / scaling.std)
      const logits = await model.forward(tensor(pixels, { shape: [1, ...known.input] })).data()
      const shares = probabilities(logits)
      const said = shares.indexOf(Math.max(...shares))
      if (options.json) {
        const probability = Object.fromEntries(classes.map((name, i) => [name, shares[i]]))
        const line = { image: path, class: classes[said], probability }
        process.stdout.write(`${JSON.stringify(line)}\n`)
        continue
      }
      const colour = hasColour(process.stdout)
      const drawn = drawPicture({ pixels: grey, width, height, caption: '' }, colour)
      const bars = barLines(classes, shares, said)
      const above = Math.floor((drawn.length - bars.length) / 2)
      const lines = drawn.map((line, i) => {
        const bar = bars[i - above]
        return bar === undefined ? line : `${line}${' '.repeat(SPACE)}${bar}`
      })
      process.stdout.write(
        `${path}: ${classes[said]} (${percent(shares[said], 1)})\n${lines.map((line) => line.trimEnd()).join('\n')}\n`,
      )
    }
  })
}

/** Brightness of the network's input, as bytes. */
function prepared(
  picture: HostArray,
  options: PredictOptions,
  digits: boolean,
  width: number,
  height: number,
): Uint8Array {
  const { background, place } = options
  const grey = toGrey(picture)
  const light = background === 'auto' ? isOnPaper(grey) : background === 'light'
  const bright = light ? inverted(grey) : grey
  const fits = bright.width === width && bright.height === height
  const centre = place === 'auto' ? digits && !fits : place === 'centre'
  const image = centre
    ? centred(bright, width, Math.round(width * BOX))
    : fits
      ? bright
      : resize(bright, width, height)
  return image.values
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar of `share` of `length` cells, in eighths of a cell. */
export function bar(share: number, length: number): string {
  const eighths = Math.round(share * length * 8)
  return '█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]
}

function barLines(classes: readonly string[], shares: readonly number[], said: number): string[] {
  const wide = Math.max(...classes.map((name) => name.length))
  return classes.map(
    (name, i) =>
      `${i === said ? '▸' : ' '} ${name.padEnd(wide)} ${bar(shares[i], BAR).padEnd(BAR)} ${percent(shares[i], 1)}`,
  )
}
