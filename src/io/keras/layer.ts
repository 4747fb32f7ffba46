// A Keras layer as a module: its configuration made into a function once, when it is read, and its weights under
// Keras's names. What each class of layer does is in the table (table.ts); here is what they have in common.
import { fail } from '../../base/errors.js'
import { axisOf, type Shape, sameShape, showShape } from '../../base/shape.js'
import { Module } from '../../nn/module.js'
import { adopt } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import type { Fields } from '../tfjs/plain.js'
import type { HostTensor } from '../values.js'

/** A weight that a layer needs. */
export interface Slot {
  /** `kernel`, or with the part of the layer it belongs to, `query/kernel`. */
  readonly name: string
  /** Where Keras 3's files keep it below the layer: `cell`, `query_dense`; default: at the layer itself. */
  readonly at?: string
  /** Moved by forward passes, not trained. */
  readonly state?: boolean
  /** Files may lack it, or have it in vain. */
  readonly optional?: boolean
  /** Its shape by the configuration, −1 what depends on the input; absent: any. */
  readonly shape?: Shape
}

/** A slot, the layer it belongs to, and where that is below the layer that was asked. */
export interface SlotOf {
  readonly layer: KerasLayer
  readonly slot: Slot
  readonly prefix: string
}

/** What a layer computes from. */
export interface Call {
  readonly inputs: readonly Tensor[]
  /** Further tensors by the name of the argument: `value` and `key` of attention. */
  readonly named: ReadonlyMap<string, Tensor>
  /** Arguments that are true: `use_causal_mask`. */
  readonly flags: ReadonlySet<string>
  /** bool [N, T]: which steps of the first input count; undefined: all. */
  readonly mask: Tensor | undefined
  /** The same of each input, and of the tensors by name. */
  readonly masks: readonly (Tensor | undefined)[]
  readonly namedMasks: ReadonlyMap<string, Tensor | undefined>
  readonly training: boolean
  /** A weight by its slot's name. */
  weight(name: string): Parameter
  /** A weight that may be left out by the configuration. */
  find(name: string): Parameter | undefined
}

/** What a configuration was made into. */
export interface Made {
  readonly slots?: readonly Slot[]
  /** Layers inside, by name. */
  readonly children?: ReadonlyMap<string, KerasLayer>
  run(call: Call): Tensor | readonly Tensor[]
  /** The mask of the result; absent: the input's where `keepsMask`, else none. */
  mask?(call: Call): Tensor | undefined
  /** Whether the result has the steps of the input. */
  readonly keepsMask?: boolean
}

/** What a layer may ask while it is made. */
export interface Making {
  /** 2 or 3: some words changed their meaning between. */
  readonly keras: 2 | 3
  /** A layer or model from `{ class_name, config }`. */
  child(value: Fields): KerasLayer
}

/** A class of layers: reads a configuration, refuses what it cannot do. */
export type LayerKind = (config: Fields, making: Making) => Made

/** A tensor, and which of its steps count. */
export interface Masked {
  readonly tensors: readonly Tensor[]
  readonly mask: Tensor | undefined
}

/** A layer read from a Keras model. Its class in Keras is `className`. */
export class KerasLayer extends Module {
  readonly className: string
  readonly layerName: string
  readonly made: Made
  /** The file says that it is not trained. */
  frozen = false
  readonly #weights = new Map<string, Parameter>()

  constructor(className: string, layerName: string, made: Made) {
    super()
    this.className = className
    this.layerName = layerName
    this.made = made
  }

  protected override entries(): (readonly [name: string, value: unknown])[] {
    return [...this.#weights, ...(this.made.children ?? [])]
  }

  /** With Keras's class in front. */
  override toString(): string {
    return super.toString().replace(/^\w+/, this.className)
  }

  /** Keras's names, letter by letter. */
  protected override stateKey(name: string): string {
    return name
  }

  /** All weights this layer and those inside need, each with the layer it belongs to. */
  slots(): SlotOf[] {
    const own = (this.made.slots ?? []).map((slot) => ({ layer: this, slot, prefix: '' }))
    const inside = [...(this.made.children ?? [])].flatMap(([name, child]) =>
      child.slots().map(({ prefix, ...rest }) => ({
        ...rest,
        prefix: prefix === '' ? name : `${name}/${prefix}`,
      })),
    )
    return [...own, ...inside]
  }

  /**
   * Sets a weight from a file.
   * @throws BurnishError when its shape is not the configuration's, or it is there already with another.
   */
  assign(slot: Slot, { dtype, shape, data }: HostTensor): void {
    const expected = slot.shape
    const fits =
      expected === undefined ||
      (expected.length === shape.length && expected.every((n, i) => n === -1 || n === shape[i]))
    if (!fits)
      fail(
        `${this.className} ${this.layerName}: ${slot.name} is ${showShape(shape)} in the file, but its configuration asks for [${expected.map((n) => (n === -1 ? 'any' : n)).join(', ')}]`,
      )
    const there = this.#weights.get(slot.name)
    const value = adopt(data, shape, dtype)
    if (there !== undefined) {
      if (!sameShape(there.shape, shape))
        fail(
          `${this.className} ${this.layerName}: ${slot.name} is ${showShape(shape)} in the file, but ${showShape(there.shape)} in the model`,
        )
      there.set(value.to(there.dtype))
      return
    }
    const trainable = slot.state !== true && dtype === 'float32'
    const role = trainable ? 'parameter' : 'state'
    this.#weights.set(slot.name, new Parameter(value, { role }))
  }

  /** inputs → outputs, with masks. */
  call(
    inputs: readonly Tensor[],
    mask: Tensor | undefined,
    {
      named = NO_TENSORS,
      flags = NO_FLAGS,
      masks = [mask],
      namedMasks = NO_TENSORS,
    }: Partial<Arguments> = {},
  ): Masked {
    const extra: Extra = { mask, named, flags, masks, namedMasks }
    const result = this.forward(...inputs, extra) as unknown as Tensor | readonly Tensor[]
    const tensors = isList(result) ? result : [result]
    const call = this.#call(inputs, extra)
    const { made } = this
    return { tensors, mask: made.mask ? made.mask(call) : made.keepsMask ? mask : undefined }
  }

  #call(inputs: readonly Tensor[], { mask, named, flags, masks, namedMasks }: Extra): Call {
    const find = (name: string) => this.#weights.get(name)
    return {
      inputs,
      named,
      flags,
      mask,
      masks,
      namedMasks,
      training: this.training,
      find,
      weight: (name) => find(name) ?? fail(`${this.className}: the weight ${name} was not loaded`),
    }
  }

  /** The inputs, and perhaps an object `{ mask, named, flags }` behind them. A layer of several results gives a list. */
  forward(...given: readonly (object | undefined)[]): Tensor {
    const last = given.at(-1)
    const extra = last !== undefined && 'named' in last ? (last as Extra) : undefined
    const inputs = (extra === undefined ? given : given.slice(0, -1)) as readonly Tensor[]
    if (inputs.length === 0) fail(`${this.className}: there is no input`)
    const result = this.made.run(this.#call(inputs, extra ?? NO_EXTRA))
    return result as Tensor
  }
}

/** What a call gives by name. */
export interface Arguments {
  readonly named: ReadonlyMap<string, Tensor>
  readonly flags: ReadonlySet<string>
  /** Which steps count, of each input and of the tensors by name. */
  readonly masks: readonly (Tensor | undefined)[]
  readonly namedMasks: ReadonlyMap<string, Tensor | undefined>
}

interface Extra extends Arguments {
  readonly mask: Tensor | undefined
}

const NO_TENSORS: ReadonlyMap<string, Tensor> = new Map()
const NO_FLAGS: ReadonlySet<string> = new Set()
const NO_EXTRA: Extra = {
  mask: undefined,
  named: NO_TENSORS,
  flags: NO_FLAGS,
  masks: [],
  namedMasks: NO_TENSORS,
}

export function isList(value: Tensor | readonly Tensor[]): value is readonly Tensor[] {
  return Array.isArray(value)
}

/** The only input of a call. */
export function only({ inputs }: Call, what: string): Tensor {
  if (inputs.length !== 1) fail(`${what}: there are ${inputs.length} inputs, it takes one`)
  return inputs[0]
}

/** The input, which must have `rank` dimensions. */
export function ofRank(call: Call, rank: number, what: string): Tensor {
  const x = only(call, what)
  if (x.shape.length !== rank)
    fail(`${what}: the input ${showShape(x.shape)} has ${x.shape.length} dimensions, not ${rank}`)
  return x
}

/** A value for each element of `axes` of x, laid out so that it broadcasts: [C] → [1, 1, C]. */
export function along(value: Tensor, axes: readonly number[], x: Tensor): Tensor {
  return value.reshape(...x.shape.map((n, i) => (axes.includes(i) ? n : 1)))
}

/** Axes counted from the front, −1 the last. */
export function axesOf(axes: readonly number[], rank: number, what: string): number[] {
  return axes.map((axis) => axisOf(axis, rank, what))
}

/** Whether `data_format` puts channels first. */
export function firstChannels(config: Fields): boolean {
  const format = config.string('data_format', 'channels_last')
  if (format !== 'channels_last' && format !== 'channels_first')
    fail(`${config.where}: data_format is ${format}, but must be channels_last or channels_first`)
  return format === 'channels_first'
}
