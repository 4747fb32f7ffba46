// All operators by name.
import type { OperatorTable } from '../../graph/call.js'
import { control } from './control.js'
import { elementwise } from './elementwise.js'
import { sampling } from './grid-sample.js'
import { indexing } from './indexing.js'
import { neural } from './neural.js'
import { pooling } from './pooling.js'
import { recurrent } from './recurrent.js'
import { reductions } from './reduction.js'
import { resizing } from './resize.js'
import { shape } from './shape.js'

/** By family, as docs/onnx.md lists them. */
export const families = {
  Networks: { ...neural, ...pooling },
  'Recurrent layers': recurrent,
  'Activations and arithmetic': elementwise,
  'Reductions and order': reductions,
  'Shapes and indexing': { ...shape, ...indexing },
  Resizing: { ...resizing, ...sampling },
  'Control flow and quantised values': control,
} as const

export const operators: OperatorTable = new Map(
  Object.values(families).flatMap((family) => Object.entries(family)),
)
