// BURNISH_DEBUG=graph|kernels|program: prints what is compiled, as text, on standard error. Loaded only when asked for.
import { printKernel, printProgram } from '../compiler/print.js'
import type { Program } from '../compiler/program.js'
import type { Graph } from '../graph/node.js'
import { printGraph } from '../graph/print.js'

/** Prints what the words of BURNISH_DEBUG ask for. */
export function debug(words: string, graph: Graph, program?: Program): void {
  if (words.includes('graph')) console.error(printGraph(graph))
  if (program === undefined) return
  if (words.includes('kernels'))
    for (const kernel of program.kernels) console.error(printKernel(kernel))
  if (words.includes('program')) console.error(printProgram(program))
}
