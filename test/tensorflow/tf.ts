// TensorFlow.js as the oracle: models built and saved by it in memory, graphs written by hand, and what both give for
// the same numbers. From bench/peers; its cpu backend computes in plain JavaScript.
import { tensor } from '../../src/index.js'
import type { GraphModule } from '../../src/io/graph/module.js'
import type { KerasModel } from '../../src/io/keras/model.js'
import { loadTfjs } from '../../src/io/tfjs/load.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import { peer } from '../peers.js'
import { uniform } from '../support.js'

export interface TfTensor {
  readonly shape: readonly number[]
  readonly dtype: string
  data(): Promise<ArrayLike<number>>
  dispose(): void
}

export interface TfArtifacts {
  readonly modelTopology: object
  readonly format?: string
  readonly weightSpecs?: readonly object[]
  readonly weightData?: ArrayBuffer
}

export interface TfModel {
  readonly layers: readonly TfLayer[]
  predict(inputs: TfTensor | readonly TfTensor[]): TfTensor | TfTensor[]
  save(handler: object): Promise<unknown>
}

export interface TfLayer {
  readonly name: string
  getWeights(): readonly TfTensor[]
  setWeights(weights: readonly TfTensor[]): void
  apply(inputs: unknown): unknown
}

export interface TfGraphModel {
  execute(inputs: object, outputs: readonly string[]): TfTensor | TfTensor[]
}

/** What of TensorFlow.js the tests call. */
export interface Tf {
  setBackend(name: string): Promise<boolean>
  tensor(values: ArrayLike<number>, shape: readonly number[], dtype?: string): TfTensor
  input(config: object): unknown
  model(config: object): TfModel
  sequential(config: object): TfModel
  loadGraphModel(handler: object): Promise<TfGraphModel>
  readonly layers: { readonly [factory: string]: (config: object) => TfLayer }
  readonly io: {
    withSaveHandler(save: (artifacts: TfArtifacts) => Promise<object>): object
  }
}

/** TensorFlow.js with its cpu backend, or undefined, with the reason printed. */
export async function tensorflow(): Promise<Tf | undefined> {
  const tf = peer('@tensorflow/tfjs') as Tf | undefined
  await tf?.setBackend('cpu')
  return tf
}

/** Numbers in [-1, 1) for a weight; those of a variance are positive. */
export function randomWeight(name: string, shape: readonly number[]): Float32Array {
  const values = uniform(name, shape)
  return name.includes('variance') ? values.map((x) => 1 + x / 2) : values
}

/** A saved model's files: model.json, and the one shard. */
export interface Saved {
  readonly json: Uint8Array
  readonly shard: Uint8Array
}

export function files(manifest: object, shard: Uint8Array): Saved {
  return { json: new TextEncoder().encode(JSON.stringify(manifest)), shard }
}

export async function saved(tf: Tf, model: TfModel): Promise<Saved> {
  let found: TfArtifacts | undefined
  const handler = tf.io.withSaveHandler(async (artifacts) => {
    found = artifacts
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } }
  })
  await model.save(handler)
  if (found === undefined) throw new Error('nothing was saved')
  const { modelTopology, weightSpecs = [], weightData = new ArrayBuffer(0) } = found
  const manifest = {
    format: 'layers-model',
    modelTopology,
    weightsManifest: [{ paths: ['group1-shard1of1.bin'], weights: weightSpecs }],
  }
  return files(manifest, new Uint8Array(weightData))
}

export function load({ json, shard }: Saved): Promise<KerasModel | GraphModule> {
  return loadTfjs(json, { shard: () => shard })
}

export interface Given {
  readonly shape: readonly number[]
  readonly dtype?: 'float32' | 'int32' | 'bool'
  readonly values?: readonly number[]
}

export function valuesOf(name: string, { shape, values, dtype }: Given): ArrayLike<number> {
  const numbers = values ?? uniform(name, shape)
  return dtype === 'int32'
    ? Int32Array.from(numbers)
    : dtype === 'bool'
      ? Uint8Array.from(numbers)
      : Float32Array.from(numbers)
}

export function ourTensor(name: string, given: Given): Tensor {
  const dtype = given.dtype ?? 'float32'
  return tensor(Array.from(valuesOf(name, given)), { shape: given.shape, dtype })
}

export function theirTensor(tf: Tf, name: string, given: Given): TfTensor {
  return tf.tensor(valuesOf(name, given), given.shape, given.dtype ?? 'float32')
}

// ---- graphs written by hand ----

export interface NodeJson {
  readonly name: string
  readonly op: string
  readonly input?: readonly string[]
  readonly attr?: { readonly [name: string]: object }
}

const types = { float32: 'DT_FLOAT', int32: 'DT_INT32', bool: 'DT_BOOL' }

/** Attributes as GraphDef's JSON writes them. */
export const attr = {
  int: (i: number) => ({ i: String(i) }),
  float: (f: number) => ({ f }),
  flag: (b: boolean) => ({ b }),
  text: (s: string) => ({ s: Buffer.from(s).toString('base64') }),
  ints: (...i: readonly number[]) => ({ list: { i: i.map(String) } }),
  texts: (...s: readonly string[]) => ({
    list: { s: s.map((t) => Buffer.from(t).toString('base64')) },
  }),
  type: (dtype: keyof typeof types) => ({ type: types[dtype] }),
}

export interface GraphCase {
  readonly inputs?: { readonly [name: string]: Given }
  readonly constants?: { readonly [name: string]: Given }
  readonly nodes: readonly NodeJson[]
  readonly outputs: readonly string[]
}

/** model.json of a graph model, and its shard. */
export function graphFiles({ inputs = {}, constants = {}, nodes, outputs }: GraphCase): Saved {
  const node: NodeJson[] = []
  for (const [name, { shape, dtype = 'float32' }] of Object.entries(inputs)) {
    const dim = shape.map((n) => ({ size: String(n) }))
    const attributes = { dtype: { type: types[dtype] }, shape: { shape: { dim } } }
    node.push({ name, op: 'Placeholder', attr: attributes })
  }
  const weights: object[] = []
  const parts: Buffer[] = []
  for (const [name, given] of Object.entries(constants)) {
    const { shape, dtype = 'float32' } = given
    const data = valuesOf(name, given)
    const array = data as Float32Array
    const tensorShape = { dim: shape.map((n) => ({ size: String(n) })) }
    node.push({
      name,
      op: 'Const',
      attr: {
        dtype: { type: types[dtype] },
        value: { tensor: { dtype: types[dtype], tensorShape } },
      },
    })
    weights.push({ name, shape, dtype })
    parts.push(Buffer.from(array.buffer, array.byteOffset, array.byteLength))
  }
  node.push(...nodes)
  const manifest = {
    format: 'graph-model',
    modelTopology: { node, library: {}, versions: { producer: 1 } },
    weightsManifest: [{ paths: ['group1-shard1of1.bin'], weights }],
    signature: {
      outputs: Object.fromEntries(
        outputs.map((name) => [name, { name: /:\d+$/.test(name) ? name : `${name}:0` }]),
      ),
    },
  }
  return files(manifest, new Uint8Array(Buffer.concat(parts)))
}

/** The same files in TensorFlow.js. */
export async function theirGraph(tf: Tf, { json, shard }: Saved): Promise<TfGraphModel> {
  const { modelTopology, signature, weightsManifest } = JSON.parse(new TextDecoder().decode(json))
  const weightData = shard.buffer.slice(shard.byteOffset, shard.byteOffset + shard.byteLength)
  const load = async () => ({
    modelTopology,
    signature,
    weightSpecs: weightsManifest[0].weights,
    weightData,
  })
  return tf.loadGraphModel({ load })
}
