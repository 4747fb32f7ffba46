// The order of elements in memory, decided on the graph: batch lanes where few channels meet a large batch,
// channels last where there are many. (pack.ts then gives every contraction a contiguous axis for its vectors.)
import { blockBatch } from './batch.js'
import { channelsLast } from './channels.js'
import type { Prepared } from './compile.js'
import type { Machine } from './program.js'

export function layOut(prepared: Prepared, machine: Machine): Prepared {
  const { graph } = prepared
  const laid = blockBatch(graph, machine) ?? channelsLast(graph, machine) ?? graph
  return { ...prepared, graph: laid }
}
