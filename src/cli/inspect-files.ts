// Opening what inspect and convert are given, by its content: files of tensors, and models whose weights are tensors
// too: ONNX, TensorFlow.js (model.json), Keras (.keras, .h5).
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { BurnishError, fail } from '../base/errors.js'
import type { PlainGraph } from '../io/graph/plain.js'
import { type LoadStateOptions, openTensors, type TensorFile } from '../io/load.js'
import { fileSource, plainBytes } from '../io/source.js'
import { encode, type HostTensor, type StoredTensor } from '../io/values.js'
import { openZip } from '../io/zip.js'
import type { Parameter } from '../tensor/parameter.js'

export interface GraphSummary {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly nodes: number
  /** How often each operator is there. */
  readonly operators: { readonly [name: string]: number }
}

export interface AnyFile extends TensorFile {
  readonly graph?: GraphSummary
}

const HEAD = 4096

/** @throws BurnishError when it is of no format that is known, or damaged. */
export async function openAny(path: string, options: LoadStateOptions = {}): Promise<AnyFile> {
  switch (await kindOf(path)) {
    case 'onnx':
      return onnxFile(path)
    case 'tfjs': {
      const { loadTfjs } = await import('../io/tfjs/load.js')
      return modelFile('TensorFlow.js', (await loadTfjs(path)).stateDict())
    }
    case 'hdf5': {
      const { Hdf5File } = await import('../io/hdf5.js')
      const file = new Hdf5File(plainBytes(await readFile(path)), path)
      if (file.text('', 'model_config') !== undefined)
        try {
          const { loadKeras } = await import('../io/keras/load.js')
          return await modelFile('Keras', (await loadKeras(path)).stateDict())
        } catch (error) {
          if (!(error instanceof BurnishError)) throw error
        }
      // Weights alone, or of a model with layers that are not covered: under the names the file has for them.
      const weights = file.datasets().map((name) => [name, encode(file.tensor(name))] as const)
      return held('HDF5', new Map(weights))
    }
    case 'keras': {
      const { loadKeras } = await import('../io/keras/load.js')
      return modelFile('Keras', (await loadKeras(path)).stateDict())
    }
    default:
      return openTensors(path, options)
  }
}

async function kindOf(path: string): Promise<'onnx' | 'tfjs' | 'keras' | 'hdf5' | 'tensors'> {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return 'tensors'
  const source = await fileSource(path)
  try {
    const head = await source.read(0, Math.min(HEAD, source.size))
    if (head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0)) return 'tensors'
    if ([0x89, 0x48, 0x44, 0x46].every((byte, i) => head[i] === byte)) return 'hdf5'
    if (head[0] === 0x50 && head[1] === 0x4b)
      return (await openZip(source)).has('config.json') ? 'keras' : 'tensors'
    if (/^\s*\{/.test(new TextDecoder('latin1').decode(head.subarray(0, 64)))) {
      const text = new TextDecoder().decode(await source.read(0, source.size))
      return text.includes('"weightsManifest"') ? 'tfjs' : 'tensors'
    }
    // A model's first field is its ir_version, a small number.
    return head[0] === 0x08 && head[1] < 32 ? 'onnx' : 'tensors'
  } finally {
    await source.close()
  }
}

async function onnxFile(path: string): Promise<AnyFile> {
  const { decodeModel } = await import('../io/onnx/wire.js')
  const { readModel } = await import('../io/onnx/read.js')
  const { filesBeside } = await import('../io/onnx/load.js')
  const model = decodeModel(plainBytes(await readFile(path)), path)
  const { graph, version } = readModel(model, path, await filesBeside(path))
  const tensors = new Map<string, StoredTensor>()
  for (const [name, tensor] of graph.constants) tensors.set(name, stored(tensor))
  return { ...held(`ONNX, opset ${version}`, tensors), graph: summary(graph) }
}

function stored(tensor: StoredTensor | HostTensor): StoredTensor {
  return 'bytes' in tensor ? tensor : encode(tensor)
}

function summary({ inputs, outputs, nodes }: PlainGraph): GraphSummary {
  const operators: { [name: string]: number } = Object.create(null)
  for (const { op } of nodes) operators[op] = (operators[op] ?? 0) + 1
  const shown = inputs.map(
    ({ name, dtype = '', shape }) =>
      `${name} ${dtype}${shape === undefined ? '' : ` [${shape.map((n) => n ?? '?').join(', ')}]`}`,
  )
  return { inputs: shown, outputs, nodes: nodes.length, operators }
}

async function modelFile(
  format: string,
  state: { readonly [name: string]: Parameter },
): Promise<AnyFile> {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, parameter] of Object.entries(state)) {
    const { dtype, shape } = parameter
    tensors.set(name, encode({ dtype, shape, data: await parameter.data() }))
  }
  return held(format, tensors)
}

function held(format: string, tensors: ReadonlyMap<string, StoredTensor>): TensorFile {
  return {
    format,
    tensors,
    metadata: new Map(),
    read: async (name) => tensors.get(name) ?? fail(`there is no tensor ${JSON.stringify(name)}`),
    close: async () => {},
  }
}
