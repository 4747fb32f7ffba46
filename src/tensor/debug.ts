// BURNISH_DEBUG=graph|kernels|program: prints what is compiled, as text, on standard error.
import { printKernel, printProgram } from '../compiler/print.js'
import type { Program } from '../compiler/program.js'
import type { Graph } from '../graph/node.js'
import { printGraph } from '../graph/print.js'

/** The words of BURNISH_DEBUG; none where there is no environment, as in a browser. */
function asked(): readonly string[] {
  const environment = globalThis.process?.env
  return environment?.BURNISH_DEBUG?.split(/[,|\s]+/) ?? []
}

export function debug(graph: Graph, program?: Program): void {
  const words = asked()
  if (words.includes('graph')) console.error(printGraph(graph))
  if (program === undefined) return
  if (words.includes('kernels'))
    for (const kernel of program.kernels) console.error(printKernel(kernel))
  if (words.includes('program')) console.error(printProgram(program))
}
