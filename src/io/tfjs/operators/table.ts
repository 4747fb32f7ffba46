// All TensorFlow operators that are covered: docs/tensorflow.md is made from this table.
import type { Operators, OperatorTable } from '../../graph/call.js'
import { elementwise } from './elementwise.js'
import { indices } from './indices.js'
import { neural } from './neural.js'
import { shapes } from './shape.js'

export const operatorGroups: readonly (readonly [title: string, operators: Operators])[] = [
  ['Convolutions, products, normalisation, pools', neural],
  ['Element by element', elementwise],
  ['Shapes, reductions, resizing', shapes],
  ['Indices', indices],
]

export const operatorTable: OperatorTable = new Map(
  operatorGroups.flatMap(([, operators]) => Object.entries(operators)),
)
