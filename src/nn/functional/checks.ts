// What the functions check of their arguments, and say when it is wrong: where, rule, both values, fix.
import { isFloat } from '../../base/dtype.js'
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { building, type Node } from '../../graph/node.js'
import { cast } from '../../tensor/arithmetic.js'
import type { Tensor } from '../../tensor/tensor.js'

/** The node of a float tensor; halves become float32, in which all arithmetic is done. */
export function floatNode(x: Tensor, where: string, what = 'input'): Node {
  if (!isFloat(x.dtype))
    fail(`${where}: the ${what} is ${x.dtype}, but must be float32; use ${what}.float()`)
  return cast(x.node, 'float32')
}

/** The node of an index or labels: int32, or uint8 widened. */
export function indexNode(x: Tensor, where: string, what: string): Node {
  if (isFloat(x.dtype) || x.dtype === 'bool')
    fail(`${where}: the ${what} is ${x.dtype}, but must be int32; use ${what}.int()`)
  return x.dtype === 'int32' ? x.node : x.int().node
}

/** The numbers of a list, or of a tensor of integers whose data is on the host; of another, none. */
export function knownIntegers(given: Tensor | readonly number[]): readonly number[] {
  if (!('node' in given)) return given
  return isFloat(given.dtype) ? [] : Array.from(given.value?.host ?? [])
}

/** One whole number for each of `rank` dimensions; one number stands for all. */
export function perDimension(
  value: number | readonly number[],
  rank: number,
  least: number,
  where: string,
): readonly number[] {
  const list = typeof value === 'number' ? new Array<number>(rank).fill(value) : value
  if (list.length !== rank)
    fail(`${where} ${showShape(list)} has ${list.length} numbers; give one, or ${rank}`)
  for (const n of list)
    if (!Number.isInteger(n) || n < least)
      fail(
        `${where} is ${typeof value === 'number' ? n : showShape(list)}, but must be whole numbers from ${least}`,
      )
  return list
}

/** `5×5` */
export const by = (sizes: readonly number[]): string => sizes.join('×')

/** Labels what is built outside of modules with the function's name, for errors and for the list of kernels. */
export function named<T>(name: string, build: () => T): T {
  if (building.label !== '') return build()
  building.label = name
  try {
    return build()
  } finally {
    building.label = ''
  }
}
