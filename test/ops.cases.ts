// The table of operations: inputs, what to run, what must come out, what is refused. One line a case, one file a
// family in ops/. ops.test.ts runs it everywhere; docs/operations.md is made from it.
import type { Case, ErrorCase, ReadCase } from './ops/case.js'
import { elementwise } from './ops/elementwise.js'
import { errors } from './ops/errors.js'
import { movements } from './ops/movements.js'
import { functions } from './ops/nn.js'
import { productsAndCreation } from './ops/products.js'
import { reads } from './ops/reads.js'
import { reductions } from './ops/reductions.js'

/** Tensors in, tensors out. */
export const cases: readonly Case[] = [
  ...elementwise,
  ...reductions,
  ...movements,
  ...productsAndCreation,
]
/** The functions of burnish/nn, in the same way. */
export const nnCases: readonly Case[] = functions
export const errorCases: readonly ErrorCase[] = errors
export const readCases: readonly ReadCase[] = reads
