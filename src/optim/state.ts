// The state of an optimizer as checkpoints keep it: tensors by name, and plain values; and what is checked of one
// that comes back.
import type { DType, TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { type Shape, sameShape, showShape } from '../base/shape.js'
import { tensor } from '../tensor/create.js'
import type { Parameter } from '../tensor/parameter.js'
import { Tensor } from '../tensor/tensor.js'

/** An option as JSON. */
export type SavedOption = number | boolean | string | null | readonly number[]

/** The part of an optimizer's state that is plain JSON. */
export interface OptimizerValues {
  /** The optimizer's class, such as `AdamW`. */
  readonly kind: string
  readonly groups: readonly {
    readonly options: { readonly [name: string]: SavedOption }
    /** How many there are. */
    readonly parameters: number
  }[]
  /** For each parameter the K of its `count.K`; −1: none. */
  readonly counts: readonly number[]
}

/** What `stateDict()` gives: handles by name (for `encodeState`), and JSON. */
export interface OptimizerState {
  readonly tensors: { readonly [name: string]: Parameter }
  readonly values: OptimizerValues
}

interface HostTensor {
  readonly shape: Shape
  readonly dtype: DType
  readonly data: TypedArray
}

/** What `loadStateDict()` takes: tensors, or values from a file as `decodeState` gives them. */
export interface LoadableState {
  readonly tensors: { readonly [name: string]: Tensor | HostTensor }
  readonly values: OptimizerValues
}

/** The prefix of the tensors that count steps. */
export const COUNT = 'count'

/** The value as a tensor. */
export function stateTensor(value: Tensor | HostTensor): Tensor {
  return value instanceof Tensor
    ? value
    : tensor(value.data, { shape: value.shape, dtype: value.dtype })
}

interface Groups {
  readonly groups: readonly { readonly parameters: readonly Parameter[] }[]
}

/** Throws unless the state belongs to an optimizer with these groups. */
export function checkState(
  { tensors, values }: LoadableState,
  optimizer: Groups,
  parameters: readonly Parameter[],
): void {
  const name = optimizer.constructor.name
  const where = `${name}.loadStateDict`
  if (values.kind !== name) fail(`${where}: the state is that of ${values.kind}`)
  const sizes = values.groups.map((group) => group.parameters)
  const own = optimizer.groups.map((group) => group.parameters.length)
  if (sizes.join() !== own.join())
    fail(
      `${where}: the state has groups of ${sizes.join(', ')} parameters, the optimizer of ${own.join(', ')}: make it with the same groups first`,
    )
  for (const [key, { shape, dtype }] of Object.entries(tensors)) {
    const [at, ...rest] = key.split('.')
    const parameter = parameters[Number(at)]
    if (dtype !== 'float32') fail(`${where}: ${key} is ${dtype}, but must be float32`)
    if (at === COUNT) continue
    if (parameter === undefined || rest.length === 0)
      fail(`${where}: ${key} belongs to none of the ${parameters.length} parameters`)
    if (shape.length > 0 && !sameShape(shape, parameter.shape))
      fail(
        `${where}: ${key} is ${showShape(shape)}, the parameter${parameter.name ? ` ${parameter.name}` : ''} ${showShape(parameter.shape)}`,
      )
  }
  for (const at of values.counts)
    if (at >= 0 && tensors[`${COUNT}.${at}`] === undefined)
      fail(`${where}: ${COUNT}.${at} is missing`)
}
