// A Keras model as a module: layers called as its topology says, each found under its name in Keras.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { type AnyModule, Module } from '../../nn/module.js'
import { full } from '../../tensor/create.js'
import { Tensor } from '../../tensor/tensor.js'
import type { Fields } from '../tfjs/plain.js'
import { type Call, KerasLayer, type Making, type SlotOf } from './layer.js'
import { layerTable, refusedLayers } from './table.js'
import { isModel, type LayerCall, type Reference, readTopology, type Topology } from './topology.js'

/** What a model is given: sizes are undefined where they may be any. */
export interface KerasInput {
  readonly name: string
  readonly shape: readonly (number | undefined)[] | undefined
  readonly dtype: string
}

interface Value {
  readonly tensor: Tensor
  readonly mask: Tensor | undefined
}

/** Models in models nest no deeper. */
const DEEPEST = 16

/**
 * A model read from a Keras or TensorFlow.js layers file, trainable. Tensors go in and come out as Keras has them,
 * images as [N, H, W, C]. Weights are under Keras's names: `conv2d.kernel`. It is made in evaluation mode; `train()` it
 * before fine-tuning. Layers that the file says are not trainable are frozen, and stay in evaluation mode.
 *
 * forward(x, …) takes tensors in the order of `inputs`, and gives the only output; run({ name: x }) takes and gives
 * them by the names of the layers they belong to.
 */
export class KerasModel extends Module<Tensor> {
  readonly name: string
  readonly inputs: readonly KerasInput[]
  /** The names of outputs: of the layers that give them, with their position where a layer gives several. */
  readonly outputs: readonly string[]
  readonly #topology: Topology
  readonly #layers = new Map<string, AnyModule>()

  constructor(topology: Topology, layers: ReadonlyMap<string, KerasLayer>, anySize = false) {
    super()
    this.name = topology.name
    this.#topology = topology
    for (const [name, layer] of layers) this.#layers.set(name, layer)
    this.inputs = topology.inputs.map(({ layer }) => inputOf(topology, layer, anySize))
    const counts = new Map<string, number>()
    for (const { layer } of topology.outputs) counts.set(layer, (counts.get(layer) ?? 0) + 1)
    this.outputs = topology.outputs.map(({ layer, node, tensor }) =>
      counts.get(layer) === 1 ? layer : `${layer}:${node}:${tensor}`,
    )
    checkReferences(topology)
  }

  protected override entries(): (readonly [name: string, value: unknown])[] {
    return [...this.#layers]
  }
  protected override entry(name: string): unknown {
    return this.#layers.get(name)
  }
  protected override stateKey(name: string): string {
    return name
  }
  protected override replaceChild(name: string, module: AnyModule): void {
    this.#layers.set(name, module)
  }

  /** The layers by name, in the file's order, those of models inside not among them. */
  get layers(): ReadonlyMap<string, AnyModule> {
    return this.#layers
  }

  /**
   * The outputs by name, of tensors for all inputs by name.
   * @throws BurnishError for inputs that are missing, unknown or of another shape.
   */
  run(inputs: { readonly [name: string]: Tensor }): { readonly [name: string]: Tensor } {
    return this.forward(inputs)
  }

  override forward(...inputs: readonly Tensor[]): Tensor
  override forward(inputs: { readonly [name: string]: Tensor }): { readonly [name: string]: Tensor }
  override forward(
    ...given: readonly (Tensor | { readonly [name: string]: Tensor })[]
  ): Tensor | { readonly [name: string]: Tensor } {
    const [first] = given
    if (first !== undefined && !(first instanceof Tensor)) {
      const results = this.evaluate(this.#byName(first))
      return Object.fromEntries(this.outputs.map((name, i) => [name, results[i].tensor]))
    }
    if (this.outputs.length !== 1)
      fail(
        `the model has ${this.outputs.length} outputs: ${this.outputs.join(', ')}; use run({ ${this.inputs.map(({ name }) => name).join(', ')} }), which gives them by name`,
      )
    const tensors = given.filter((x): x is Tensor => x instanceof Tensor)
    return this.evaluate(tensors)[0].tensor
  }

  #byName(inputs: { readonly [name: string]: Tensor }): Tensor[] {
    const names = this.inputs.map(({ name }) => name)
    for (const name of Object.keys(inputs))
      if (!names.includes(name))
        fail(`there is no input ${name}; the model has ${names.join(', ')}`)
    return names.map((name) =>
      Object.hasOwn(inputs, name)
        ? inputs[name]
        : fail(`the input ${name} is missing; run takes ${names.join(', ')}`),
    )
  }

  /** The outputs of tensors for all inputs, and masks of those that have one. */
  evaluate(
    inputs: readonly Tensor[],
    masks: readonly (Tensor | undefined)[] = [],
  ): readonly Value[] {
    if (inputs.length !== this.inputs.length)
      fail(
        `there are ${inputs.length} tensors for the ${this.inputs.length} inputs ${this.inputs.map(({ name }) => name).join(', ')}`,
      )
    const values = new Map<string, readonly Value[]>()
    const key = (layer: string, node: number) => `${node}:${layer}`
    inputs.forEach((tensor, i) => {
      checkInput(this.inputs[i], tensor)
      const { layer, node } = this.#topology.inputs[i]
      values.set(key(layer, node), [{ tensor, mask: masks[i] }])
    })
    const get = ({ layer, node, tensor }: Reference): Value | undefined =>
      values.get(key(layer, node))?.[tensor]
    // Files list layers in an order of their own: calls wait until what they read is there.
    let waiting = this.#topology.layers.flatMap(({ name, calls }) =>
      calls.map((call, node) => ({ name, call, node })),
    )
    while (waiting.length > 0) {
      const rest = waiting.filter(({ name, call, node }) => {
        if (values.has(key(name, node))) return false
        const sources = [...call.inputs, ...call.named.values()]
        if (sources.some((source) => typeof source !== 'number' && get(source) === undefined))
          return true
        if (sources.length === 0) return true
        values.set(key(name, node), this.#call(name, call, get))
        return false
      })
      if (rest.length === waiting.length) break
      waiting = rest
    }
    return this.#topology.outputs.map(
      (output) =>
        get(output) ??
        fail(`the output ${output.layer} cannot be computed: its inputs are not the model's`),
    )
  }

  #call(
    name: string,
    call: LayerCall,
    get: (reference: Reference) => Value | undefined,
  ): readonly Value[] {
    const known = (reference: Reference): Value =>
      get(reference) ?? fail(`${name}: nothing computed ${reference.layer}`)
    const first = call.inputs.find((source) => typeof source !== 'number')
    const like = first === undefined ? undefined : known(first)
    const inputs = call.inputs.map((source) =>
      typeof source === 'number' ? full([], source) : known(source).tensor,
    )
    const named = new Map([...call.named].map(([key, source]) => [key, known(source).tensor]))
    const masks = call.inputs.map((source) =>
      typeof source === 'number' ? undefined : known(source).mask,
    )
    const namedMasks = new Map([...call.named].map(([key, source]) => [key, known(source).mask]))
    const layer = this.#layers.get(name) ?? fail(`there is no layer ${name}`)
    if (layer instanceof KerasLayer) {
      const { tensors, mask } = layer.call(inputs, like?.mask, {
        named,
        flags: call.flags,
        masks,
        namedMasks,
      })
      return tensors.map((tensor) => ({ tensor, mask }))
    }
    // A module of the user's in the place of a layer.
    const result = layer.forward(...inputs)
    if (!(result instanceof Tensor)) throw fail(`${name}: the module must give one tensor`)
    return [{ tensor: result, mask: undefined }]
  }
}

function inputOf(topology: Topology, name: string, anySize: boolean): KerasInput {
  const layer = topology.layers.find((described) => described.name === name)
  const shape = layer?.config.get('batch_input_shape') ?? layer?.config.get('batch_shape') ?? null
  const sizes = Array.isArray(shape)
    ? shape.map((n: unknown) => (typeof n === 'number' && !anySize ? n : undefined))
    : undefined
  const dtype = layer?.config.get('dtype')
  return { name, shape: sizes, dtype: typeof dtype === 'string' ? dtype : 'float32' }
}

function checkReferences({ layers, inputs, outputs, name }: Topology): void {
  const calls = new Map(layers.map((layer) => [layer.name, layer.calls.length]))
  const all = layers.flatMap(({ calls: list }) =>
    list.flatMap((call) => [...call.inputs, ...call.named.values()]),
  )
  for (const reference of [...inputs, ...outputs, ...all]) {
    if (typeof reference === 'number') continue
    const count = calls.get(reference.layer)
    if (count === undefined)
      fail(`the model ${name}: something reads ${reference.layer}, which is no layer of it`)
    else if (!(reference.node >= 0 && reference.node < count))
      fail(
        `the model ${name}: something reads call ${reference.node} of ${reference.layer}, which is called ${count} times`,
      )
  }
}

function checkInput({ name, shape }: KerasInput, given: Tensor): void {
  if (!(given instanceof Tensor)) fail(`the input ${name} must be a tensor`)
  if (shape === undefined) return
  const fits =
    shape.length === given.shape.length &&
    shape.every((size, i) => i === 0 || size === undefined || size === given.shape[i])
  if (!fits)
    fail(
      `the input ${name} has shape ${showShape(given.shape)}, but the model takes [${shape.map((size, i) => (i === 0 ? 'N' : (size ?? '?'))).join(', ')}]`,
    )
}

/** A model inside of a model: a layer whose weights are those of its layers. */
class NestedModel extends KerasLayer {
  readonly model: KerasModel

  constructor(className: string, name: string, model: KerasModel) {
    // The mask of the result is that of the layer inside which gives it; it is asked for right after the run.
    let mask: Tensor | undefined
    const run = (call: Call) => {
      const values = model.evaluate(call.inputs, call.masks)
      mask = values[0]?.mask
      return single(values.map(({ tensor }) => tensor))
    }
    super(className, name, { run, mask: () => mask })
    this.model = model
  }

  override slots(): SlotOf[] {
    return storedNames(this.model).flatMap(([name, layer]) =>
      layer.slots().map(({ prefix, ...rest }) => ({
        ...rest,
        prefix: `layers/${name}${prefix === '' ? '' : `/${prefix}`}`,
      })),
    )
  }

  protected override entries(): (readonly [name: string, value: unknown])[] {
    return [...this.model.layers]
  }
  protected override replaceChild(name: string, module: AnyModule): void {
    this.model.setSubmodule(name, module)
  }
}

const single = (tensors: readonly Tensor[]) => (tensors.length === 1 ? tensors[0] : tensors)

/** `GlobalAveragePooling2D` → `global_average_pooling2d`, as Keras 3 calls what it keeps. */
function snakeName(className: string): string {
  return className
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
}

/** A model's layers as Keras 3 keeps them: by their classes, numbered. */
export function storedNames(model: KerasModel): [name: string, layer: KerasLayer][] {
  const counts = new Map<string, number>()
  return [...model.layers.values()].flatMap((layer): [string, KerasLayer][] => {
    if (!(layer instanceof KerasLayer)) return []
    const name = snakeName(layer.className === 'Model' ? 'Functional' : layer.className)
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    return [[count === 0 ? name : `${name}_${count}`, layer]]
  })
}

/** The model inside of a layer, if it is one. */
export function modelOf(layer: AnyModule): KerasModel | undefined {
  return layer instanceof NestedModel ? layer.model : undefined
}

/** How buildModel makes a model. */
export interface BuildOptions {
  /** How many models this one lies in. */
  readonly depth?: number
  /** The layers to give as outputs, by name; default: the model's own. */
  readonly outputs?: readonly string[]
  /** Inputs may have other sizes than the file says. */
  readonly anySize?: boolean
}

/**
 * The module of a topology, without weights.
 * @throws BurnishError naming every layer whose class is not in the table.
 */
export function buildModel(
  value: Fields,
  keras: 2 | 3,
  { depth = 0, outputs, anySize = false }: BuildOptions = {},
): KerasModel {
  if (depth > DEEPEST) fail(`${value.where}: models are nested more than ${DEEPEST} deep`)
  const whole = readTopology(value)
  const topology = outputs === undefined ? whole : withOutputs(whole, outputs)
  const problems = new Map<string, string[]>()
  for (const { className, name } of topology.layers) {
    if (className === 'InputLayer' || isModel(className)) continue
    if (Object.hasOwn(layerTable, className)) continue
    problems.set(className, [...(problems.get(className) ?? []), name])
  }
  if (problems.size > 0)
    fail(
      `${value.where}: ${[...problems].map(([className, names]) => `${className} is not read (layer ${names.slice(0, 8).join(', ')})${Object.hasOwn(refusedLayers, className) ? `: ${refusedLayers[className]}` : ''}`).join('; ')}; docs/tensorflow.md lists the layers that are`,
    )
  const making: Making = {
    keras,
    child: (fields) => makeLayer(fields, making, depth),
  }
  const layers = new Map<string, KerasLayer>()
  for (const { className, name, value: fields, calls } of topology.layers) {
    if (className === 'InputLayer') continue
    const layer = makeLayer(fields, making, depth, name)
    if (calls.length > 0 && calls.every(({ training }) => training === false))
      layer.apply((module) => {
        module.staysInEval = true
      })
    layers.set(name, layer)
  }
  return new KerasModel(topology, layers, anySize)
}

/** The topology with the results of other layers as outputs: their last call's first. */
function withOutputs(topology: Topology, outputs: readonly string[]): Topology {
  const names = topology.layers.map(({ name }) => name)
  return {
    ...topology,
    outputs: outputs.map((layer) => {
      const found = topology.layers.find(({ name }) => name === layer)
      if (found === undefined)
        throw fail(
          `the model ${topology.name}: there is no layer ${layer} to give an output; it has ${names.slice(-12).join(', ')}${names.length > 12 ? ' and others before' : ''}`,
        )
      return { layer, node: found.calls.length - 1, tensor: 0 }
    }),
  }
}

function makeLayer(fields: Fields, making: Making, depth: number, given?: string): KerasLayer {
  const className = fields.string('class_name')
  if (isModel(className)) {
    const model = buildModel(fields, making.keras, { depth: depth + 1 })
    return new NestedModel(className, given ?? model.name, model)
  }
  const kind = Object.hasOwn(layerTable, className) ? layerTable[className] : undefined
  if (kind === undefined)
    throw fail(
      `${fields.where}: ${className} is not read${Object.hasOwn(refusedLayers, className) ? `: ${refusedLayers[className]}` : ''}; docs/tensorflow.md lists the layers that are`,
    )
  const config = fields.object('config')
  const name = given ?? config.string('name', className.toLowerCase())
  if (depth > DEEPEST) fail(`${fields.where}: layers are nested more than ${DEEPEST} deep`)
  const inner: Making = {
    keras: making.keras,
    child: (value) => makeLayer(value, making, depth + 1),
  }
  const layer = new KerasLayer(className, name, kind(named(config, name, className), inner))
  if (!config.flag('trainable', true)) layer.frozen = true
  return layer
}

/** Errors of a layer name it. */
function named(config: Fields, name: string, className: string): Fields {
  return config.at(`${className} ${name}`)
}

/** Freezes what the file says is not trainable: parameters, and running statistics with them. */
export function freezeAsWritten(model: Module<unknown>): void {
  for (const module of model.modules())
    if (module instanceof KerasLayer && module.frozen)
      module.apply((below) => {
        below.staysInEval = true
        below.requiresGrad_(false)
      })
}
