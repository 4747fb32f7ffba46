// One operator on its inputs: what is known stays known.
import { fail } from '../../base/errors.js'
import { Tensor } from '../../tensor/tensor.js'
import { Call, type Operator, type Results } from './call.js'
import { freshTensor, isKnown, known, tensorOf, type Value } from './host.js'
import type { PlainNode } from './plain.js'

/** Runs an inner graph on values for its inputs. */
export type Body = (inputs: readonly Value[]) => readonly Value[]

export interface RunOptions {
  readonly version: number
  readonly training: boolean
  readonly bodies?: ReadonlyMap<string, Body>
  /** How many numbers are computed beforehand at most. */
  readonly most?: number
}

const NO_BODIES: ReadonlyMap<string, Body> = new Map()

/** Runs an operator; of known inputs the results are known. */
export function runOperator(
  node: PlainNode,
  operator: Operator,
  inputs: readonly (Value | undefined)[],
  { version, training, bodies = NO_BODIES, most }: RunOptions,
): readonly (Value | undefined)[] {
  const body = (name: string, values: readonly Value[]) => {
    const run = bodies.get(name)
    return run === undefined ? fail(`${node.op}: it has no graph ${name}`) : run(values)
  }
  const fixed =
    bodies.size === 0 &&
    operator.random !== true &&
    inputs.every((value) => value === undefined || isKnown(value))
  if (!fixed) return listOf(operator.run(new Call(node, inputs, version, training, body, tensorOf)))
  const call = new Call(node, inputs, version, training, body, freshTensor)
  const host = operator.host?.(call)
  if (host !== undefined) return [host]
  const results = listOf(operator.run(call))
  const tensors = results.filter((value): value is Tensor => value instanceof Tensor)
  const values = known(tensors, most)
  if (values === undefined) return results
  let at = 0
  return results.map((value) => (value instanceof Tensor ? values[at++] : value))
}

function listOf(results: Results): readonly (Value | undefined)[] {
  return isList(results) ? results : [results]
}

function isList(results: Results): results is readonly (Value | undefined)[] {
  return Array.isArray(results)
}
