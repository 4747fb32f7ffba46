// The order of elements in memory, decided on the graph: batch lanes where few channels meet a large batch,
// channels last where there are many, then a contiguous axis for the vectors of every contraction.
import { blockBatch } from './batch.js'
import { channelsLast } from './channels.js'
import type { Prepared } from './compile.js'
import { packOperands } from './pack.js'
import type { Machine } from './program.js'

export function arrange({ graph, forced }: Prepared, machine: Machine): Prepared {
  const laid = blockBatch(graph, machine) ?? channelsLast(graph, machine) ?? graph
  return packOperands({ graph: laid, forced }, machine)
}
