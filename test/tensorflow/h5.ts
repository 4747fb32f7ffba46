// Keras's files, written by h5wasm as Keras lays them out: whole models and weights in HDF5, and `.keras` archives.
import h5wasm from 'h5wasm'
import { writeZip } from '../../src/io/zip-write.js'

export interface Weight {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

type Group = InstanceType<typeof h5wasm.Group>

async function written(fill: (file: Group) => void): Promise<Uint8Array> {
  const { FS } = await h5wasm.ready
  const file = new h5wasm.File('/made.h5', 'w')
  fill(file)
  file.close()
  const bytes: Uint8Array = FS.readFile('/made.h5')
  FS.unlink('/made.h5')
  return bytes.slice()
}

/** The group at a path, made where it is not there. */
function groupAt(root: Group, path: readonly string[]): Group {
  let at = root
  for (const part of path)
    at = at.keys().includes(part) ? (at.get(part) as Group) : at.create_group(part)
  return at
}

function put(root: Group, path: string, { shape, data }: Weight): void {
  const parts = path.split('/')
  const group = groupAt(root, parts.slice(0, -1))
  group.create_dataset({ name: parts.at(-1) ?? '', data, shape: [...shape] })
}

/** Keras 2: `model_config` and `model_weights`, a group a layer, with the names of its weights in order. */
export function legacyFile(
  config: object | undefined,
  layers: readonly (readonly [name: string, weights: readonly Weight[]])[],
  kerasVersion = '2.10.0',
): Promise<Uint8Array> {
  return written((file) => {
    if (config !== undefined) {
      file.create_attribute('keras_version', kerasVersion)
      file.create_attribute('model_config', JSON.stringify(config))
    }
    const root = config === undefined ? file : file.create_group('model_weights')
    root.create_attribute(
      'layer_names',
      layers.map(([name]) => name),
    )
    for (const [name, weights] of layers) {
      const group = groupAt(root, [name])
      if (weights.length === 0) continue
      group.create_attribute(
        'weight_names',
        weights.map((weight) => weight.name),
      )
      for (const weight of weights) put(group, weight.name, weight)
    }
  })
}

/** Keras 3's weights: paths such as `layers/dense/vars/0`. */
export function treeFile(weights: readonly Weight[]): Promise<Uint8Array> {
  return written((file) => {
    for (const weight of weights) put(file, weight.name, weight)
  })
}

/** A `.keras` archive. */
export async function kerasArchive(
  config: object,
  weights: readonly Weight[],
): Promise<Uint8Array> {
  const text = (value: object) => new TextEncoder().encode(JSON.stringify(value))
  return writeZip(
    new Map([
      ['metadata.json', text({ keras_version: '3.5.0', date_saved: '2024-01-01@00:00:00' })],
      ['config.json', text(config)],
      ['model.weights.h5', await treeFile(weights)],
    ]),
  )
}
