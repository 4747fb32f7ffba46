// A Keras model's configuration: which layers there are, how they are called, and what goes in and out. Sequential and
// functional models, in the ways Keras 2, Keras 3 and TensorFlow.js write them. Leaves out subclassed models, whose
// topology is Python code.
import { fail } from '../../base/errors.js'
import {
  type Fields,
  fieldsOf,
  isObject,
  type Plain,
  type PlainObject,
  shown,
} from '../tfjs/plain.js'

/** A result of a layer's call: output `tensor` of call `node` of `layer`. */
export interface Reference {
  readonly layer: string
  readonly node: number
  readonly tensor: number
}

/** One call of a layer: the inputs by place, tensors and numbers, and those given by name. */
export interface LayerCall {
  readonly inputs: readonly (Reference | number)[]
  readonly named: ReadonlyMap<string, Reference>
  /** Arguments that were true: `use_causal_mask`. */
  readonly flags: ReadonlySet<string>
  /** What `training` was said to be in this call. */
  readonly training: boolean | undefined
}

export interface LayerDescription {
  readonly className: string
  readonly name: string
  readonly value: Fields
  readonly config: Fields
  readonly calls: readonly LayerCall[]
}

export interface Topology {
  readonly name: string
  readonly layers: readonly LayerDescription[]
  readonly inputs: readonly Reference[]
  readonly outputs: readonly Reference[]
}

const NO_CALL: LayerCall = {
  inputs: [],
  named: new Map(),
  flags: new Set(),
  training: undefined,
}

/** Whether a class of layers is a model. */
export function isModel(className: string): boolean {
  return className === 'Sequential' || className === 'Functional' || className === 'Model'
}

/** The topology of `{ class_name, config }`. */
export function readTopology(value: Fields): Topology {
  const className = value.string('class_name')
  if (!isModel(className))
    fail(
      `${value.where}: the model is a ${className}, whose topology is code; Sequential and Functional models are read: rebuild it as one of those and load its weights`,
    )
  if (className === 'Sequential') return sequential(value)
  return functional(value.object('config'))
}

/** A list of layers, the first perhaps an InputLayer; in old files the configuration is the list itself. */
function sequential(value: Fields): Topology {
  const inner = value.get('config')
  const config = isObject(inner) ? value.object('config') : undefined
  const list = config === undefined ? value.list('config') : config.list('layers')
  const where = value.where
  const name = config?.string('name', 'sequential') ?? 'sequential'
  const layers: LayerDescription[] = []
  let last: Reference | undefined
  for (const item of list) {
    const described = describe(fieldsOf(item, `${where}.layers[${layers.length}]`))
    const isInput = described.className === 'InputLayer'
    if (isInput && layers.length > 0) fail(`${where}: an InputLayer stands behind other layers`)
    if (!isInput && last === undefined) {
      // The shape of what comes in stands in the first layer.
      const shape = inputShape(described.config)
      const input = inputLayer(`${described.name}_input`, shape, described.config)
      layers.push(input)
      last = { layer: input.name, node: 0, tensor: 0 }
    }
    const calls: LayerCall[] = last === undefined ? [NO_CALL] : [{ ...NO_CALL, inputs: [last] }]
    layers.push({ ...described, calls })
    last = { layer: described.name, node: 0, tensor: 0 }
  }
  if (last === undefined) throw fail(`${where}: the model has no layers`)
  return {
    name,
    layers: unique(layers, where),
    inputs: [{ layer: layers[0].name, node: 0, tensor: 0 }],
    outputs: [last],
  }
}

function inputShape(config: Fields): Plain {
  return config.get('batch_input_shape') ?? config.get('batch_shape')
}

function inputLayer(name: string, shape: Plain, of: Fields): LayerDescription {
  const config: PlainObject = { name, batch_input_shape: shape, dtype: of.get('dtype') }
  const value = fieldsOf({ class_name: 'InputLayer', config }, of.where)
  return {
    className: 'InputLayer',
    name,
    value,
    config: value.object('config'),
    calls: [NO_CALL],
  }
}

function describe(value: Fields): LayerDescription {
  const className = value.string('class_name')
  const inner = value.get('config')
  // A Sequential inside of an old file is a list.
  const config = isObject(inner) ? value.object('config') : fieldsOf({}, value.where)
  const name = value.string('name', config.string('name', className.toLowerCase()))
  return { className, name, value, config, calls: [] }
}

function unique(layers: readonly LayerDescription[], where: string): readonly LayerDescription[] {
  const names = new Set<string>()
  for (const { name } of layers) {
    if (names.has(name)) fail(`${where}: two layers are called ${JSON.stringify(name)}`)
    names.add(name)
  }
  return layers
}

function functional(config: Fields): Topology {
  const layers = config.list('layers').map((item, i) => {
    const value = fieldsOf(item, `${config.where}.layers[${i}]`)
    const described = describe(value)
    const nodes = value.has('inbound_nodes') ? value.list('inbound_nodes') : []
    const here = `${config.where}: ${described.name}`
    const calls = nodes.map((node) => readCall(node, here))
    const given = described.className === 'InputLayer' && calls.length === 0
    return {
      ...described,
      calls: given ? [NO_CALL] : calls,
    }
  })
  return {
    name: config.string('name', 'model'),
    layers: unique(layers, config.where),
    inputs: references(config, 'input_layers'),
    outputs: references(config, 'output_layers'),
  }
}

/** `[name, node, tensor]`, or a list of those, or (Keras 3) an object of them. */
function references(config: Fields, key: string): readonly Reference[] {
  const value = config.get(key)
  const found: Reference[] = []
  const visit = (item: Plain) => {
    const reference = asReference(item)
    if (reference !== undefined) found.push(reference)
    else if (Array.isArray(item)) for (const inner of item) visit(inner)
    else if (isObject(item)) for (const inner of Object.values(item)) visit(inner)
    else fail(`${config.where}: ${key} has ${shown(item)}, which is no output of a layer`)
  }
  visit(value)
  if (found.length === 0) fail(`${config.where}: ${key} is empty`)
  return found
}

function asReference(item: Plain): Reference | undefined {
  if (!Array.isArray(item) || item.length < 3) return undefined
  const [layer, node, tensor]: readonly Plain[] = item
  if (typeof layer !== 'string' || typeof node !== 'number' || typeof tensor !== 'number')
    return undefined
  return { layer, node, tensor }
}

/** Keras 2 and TensorFlow.js: a list of `[name, node, tensor, arguments]`. Keras 3: `{ args, kwargs }`. */
function readCall(node: Plain, where: string): LayerCall {
  if (isObject(node)) {
    const fields = fieldsOf(node, where)
    const inputs: (Reference | number)[] = []
    for (const item of fields.list('args')) collect(item, inputs, where)
    const { named, states, flags, training } = readArguments(fields.get('kwargs'), where)
    return { inputs: [...inputs, ...states], named, flags, training }
  }
  if (!Array.isArray(node)) throw fail(`${where}: the call ${shown(node)} is not understood`)
  const inputs: (Reference | number)[] = []
  const named = new Map<string, Reference>()
  const states: Reference[] = []
  const flags = new Set<string>()
  let training: boolean | undefined
  // A single input may stand there without a list around it.
  const items: readonly Plain[] = asReference(node) ? [node] : node
  for (const item of items) {
    const reference = asReference(item)
    if (reference === undefined || !Array.isArray(item))
      throw fail(`${where}: the input ${shown(item)} is not understood`)
    inputs.push(reference)
    const more = readArguments(item[3] ?? null, where)
    for (const [name, value] of more.named) named.set(name, value)
    states.push(...more.states)
    for (const flag of more.flags) flags.add(flag)
    training = more.training ?? training
  }
  return { inputs: [...inputs, ...states], named, flags, training }
}

/** A tensor of Keras 3: `{ class_name: '__keras_tensor__', config: { keras_history } }`. */
function kerasTensor(item: PlainObject): Reference | undefined {
  if (item.class_name !== '__keras_tensor__' || !isObject(item.config)) return undefined
  return asReference(item.config.keras_history ?? null)
}

function collect(item: Plain, into: (Reference | number)[], where: string): void {
  if (typeof item === 'number') into.push(item)
  else if (Array.isArray(item)) for (const inner of item) collect(inner, into, where)
  else if (isObject(item)) {
    const reference = kerasTensor(item)
    if (reference === undefined) fail(`${where}: the argument ${shown(item)} is not understood`)
    else into.push(reference)
  } else if (item !== null) fail(`${where}: the argument ${shown(item)} is not understood`)
}

/** Arguments that may be true. */
const FLAGS = new Set(['use_causal_mask'])

/** Arguments that change nothing when they are null or false. */
function readArguments(value: Plain, where: string) {
  const named = new Map<string, Reference>()
  const states: Reference[] = []
  const flags = new Set<string>()
  let training: boolean | undefined
  if (isObject(value))
    for (const [key, item] of Object.entries(value)) {
      const reference = isObject(item) ? kerasTensor(item) : asReference(item)
      if (key === 'training' && typeof item === 'boolean') training = item
      else if (key === 'initial_state' && item !== null) {
        const list: (Reference | number)[] = []
        for (const inner of Array.isArray(item) && !asReference(item) ? item : [item]) {
          const state = asReference(inner)
          if (state !== undefined) list.push(state)
          else collect(inner, list, where)
        }
        for (const state of list) if (typeof state !== 'number') states.push(state)
      } else if (reference !== undefined) named.set(key, reference)
      else if (item === true && FLAGS.has(key)) flags.add(key)
      else if (item !== null && item !== false)
        fail(`${where}: the argument ${key} = ${shown(item)} is not understood`)
    }
  return { named, states, flags, training }
}
