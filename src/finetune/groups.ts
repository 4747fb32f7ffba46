// A network's layers in order, from the stem to the head, and groups of parameters for the optimizer made of them:
// smaller rates for earlier layers, no weight decay where it harms.
//
// Early layers hold what is general (edges, strokes, words) and need little change; the head begins from nothing.
// Layer-wise decay after BEiT and timm (`param_groups_layer_decay`): a layer's rate is lr · decay^(layers above it).
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { ModuleDict, ModuleList, Sequential } from '../nn/containers.js'
import type { AnyModule } from '../nn/module.js'
import type { Parameter } from '../tensor/parameter.js'
import { ownParameters, type Selector, select, statePaths } from './select.js'

/** Parameters that lie at one depth of a network. */
export interface LayerGroup {
  /** The path of its first layer, as in `stateDict()`. */
  readonly name: string
  readonly parameters: ReadonlyMap<string, Parameter>
}

/**
 * The layers of a model in order, from its stem to its head, each with the parameters it is first to use: of a ResNet
 * the stem, each block, and `fc`; of a transformer the embeddings, each layer, and the head. Layers with nothing but
 * vectors, such as a norm after a convolution, and parameters between layers, such as a class token, belong to the
 * layer before them. With `groups` given, a list of selectors in order, those, and whatever they leave out joins the
 * first.
 *
 * @throws BurnishError when a selector of `groups` means nothing, or two mean the same parameter.
 */
export function layerGroups(model: AnyModule, groups?: readonly Selector[]): LayerGroup[] {
  const found = groups === undefined ? byStructure(model) : bySelectors(model, groups)
  return found.filter(({ parameters }) => parameters.size > 0)
}

function bySelectors(model: AnyModule, groups: readonly Selector[]): LayerGroup[] {
  const taken = new Map<Parameter, number>()
  const chosen = groups.map((selector, i) => {
    const { parameters } = select(model, selector, `layerGroups: group ${i}`)
    for (const [name, parameter] of parameters) {
      const before = taken.get(parameter)
      if (before !== undefined)
        fail(`layerGroups: ${name} is in group ${before} and in group ${i}; each parameter has one`)
      taken.set(parameter, i)
    }
    return parameters
  })
  const rest = model.namedParameters().filter(([, parameter]) => !taken.has(parameter))
  return chosen.map((parameters, i) => {
    const all = new Map(i === 0 ? [...rest, ...parameters] : parameters)
    return { name: [...parameters.keys()][0] ?? `group ${i}`, parameters: all }
  })
}

function byStructure(model: AnyModule): LayerGroup[] {
  const names = new Map(model.namedParameters().map(([name, parameter]) => [parameter, name]))
  const paths = statePaths(model)
  const taken = new Set<Parameter>()
  const found: { name: string; parameters: Map<string, Parameter> }[] = []
  let loose: readonly Parameter[] = []
  const add = (name: string, parameters: readonly Parameter[], free = false) => {
    const own = [...loose, ...parameters].filter((parameter) => !taken.has(parameter))
    loose = free && found.length === 0 ? own : []
    if (own.length === 0 || loose.length > 0) return
    for (const parameter of own) taken.add(parameter)
    const vectors = own.every((parameter) => parameter.shape.length <= 1)
    const last = found.at(-1)
    const into = (vectors || free) && last ? last.parameters : new Map<string, Parameter>()
    for (const parameter of own) into.set(names.get(parameter) ?? '', parameter)
    if (into !== last?.parameters) found.push({ name, parameters: into })
  }
  const most = valuesIn(model) / 2
  const visit = (module: AnyModule) => {
    add(paths.get(module) ?? '', ownParameters(module), true)
    for (const child of module.children())
      if (opens(child, module, most)) visit(child)
      else add(paths.get(child) ?? '', child.parameters())
  }
  visit(model)
  return found
}

const isList = (module: AnyModule) =>
  module.constructor === Sequential || module instanceof ModuleList || module instanceof ModuleDict

/** What has parameters besides vectors: lists and blocks, not norms. */
const heavy = (module: AnyModule) =>
  module.parameters().some((parameter) => parameter.shape.length > 1)

/**
 * Whether a module is a row of layers, or the way to one: what holds most of the model, or has one list and norms
 * around it, as a transformer's encoder. Blocks in a list stay whole.
 */
function opens(module: AnyModule, parent: AnyModule, most: number): boolean {
  if (isList(module)) return true
  if (isList(parent)) return false
  const [only, ...others] = module.children().filter(heavy)
  return valuesIn(module) > most || (only !== undefined && others.length === 0 && isList(only))
}

const valuesIn = (module: AnyModule) =>
  module.parameters().reduce((sum, { shape }) => sum + sizeOf(shape), 0)

/** Rates and decay of the groups `parameterGroups` makes. */
export interface ParameterGroupOptions {
  /** The head's learning rate. */
  readonly lr: number
  /** The rate of all layers but the last; by default the head's. Its own decay begins at the layer below the head. */
  readonly backboneLr?: number
  /**
   * A layer's rate is that of the one after it times this; 1 (default): all the same; 0.75 is usual for transformers.
   */
  readonly layerDecay?: number
  /** Of parameters with two or more dimensions. Default 0.01. */
  readonly weightDecay?: number
  /** More that has no weight decay, besides vectors, biases, embeddings of positions and class tokens. */
  readonly noDecay?: Selector
  /** The layers in order, where those that `layerGroups` finds are not the right ones. */
  readonly groups?: readonly Selector[]
}

/** A group as optimizers take it. */
export interface ParameterGroup {
  readonly parameters: readonly Parameter[]
  readonly lr: number
  readonly weightDecay: number
}

/** Tensors of more dimensions that are nevertheless no weights of a sum. */
const NEVER_DECAYED =
  /(^|\.)(bias|class_token|cls_token|pos_embedding|position_embeddings?|pos_embed|wpe|layer_scale)(\.|$)/

/**
 * Groups for an optimizer: `new AdamW(parameterGroups(model, { lr: 1e-3, layerDecay: 0.75 }))`. Frozen parameters are
 * in them too: an optimizer has neither gradient nor state for those, and unfreezing later needs no new group.
 */
export function parameterGroups(
  model: AnyModule,
  options: ParameterGroupOptions,
): ParameterGroup[] {
  const { lr, backboneLr = lr, layerDecay = 1, weightDecay = 0.01, noDecay, groups } = options
  if (!(layerDecay > 0 && layerDecay <= 1))
    fail(`parameterGroups: layerDecay is ${layerDecay}, but must be above 0 and at most 1`)
  const layers = layerGroups(model, groups)
  const without = new Set(
    noDecay === undefined
      ? []
      : select(model, noDecay, 'parameterGroups: noDecay').parameters.values(),
  )
  const made = new Map<string, { parameters: Parameter[]; lr: number; weightDecay: number }>()
  layers.forEach(({ parameters }, depth) => {
    const above = layers.length - 1 - depth
    const rate = above === 0 ? lr : backboneLr * layerDecay ** above
    for (const [name, parameter] of parameters) {
      const plain =
        parameter.shape.length <= 1 || NEVER_DECAYED.test(name) || without.has(parameter)
      const decay = plain ? 0 : weightDecay
      const key = `${rate} ${decay}`
      const group = made.get(key) ?? { parameters: [], lr: rate, weightDecay: decay }
      group.parameters.push(parameter)
      made.set(key, group)
    }
  })
  return [...made.values()]
}
