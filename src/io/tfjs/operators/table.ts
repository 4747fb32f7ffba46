// All TensorFlow operators that are covered: docs/tensorflow.md is made from this table.
import type { Operator, OperatorTable } from '../../graph/call.js'
import { elementwise } from './elementwise.js'
import { indices } from './index.js'
import { neural } from './neural.js'
import { shapes } from './shape.js'

export const operatorGroups: readonly (readonly [
  title: string,
  operators: { readonly [op: string]: Operator },
])[] = [
  ['Convolutions, products, normalisation, pools', neural],
  ['Element by element', elementwise],
  ['Shapes, reductions, resizing', shapes],
  ['Indices', indices],
]

export const operatorTable: OperatorTable = new Map(
  operatorGroups.flatMap(([, operators]) => Object.entries(operators)),
)
