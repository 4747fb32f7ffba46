// The order of elements in memory, decided on the graph: batch lanes where convolutions gain by them, then a
// contiguous axis for the vectors of every contraction.
import { blockBatch } from './batch.js'
import type { Prepared } from './compile.js'
import { packOperands } from './pack.js'
import type { Machine } from './program.js'

export function arrange({ graph, forced }: Prepared, machine: Machine): Prepared {
  return packOperands({ graph: blockBatch(graph, machine), forced }, machine)
}
