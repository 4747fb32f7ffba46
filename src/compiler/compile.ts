// Graph → Program: the pipeline as a list, then schedule, memory and assembly.
import { itemSize } from '../base/dtype.js'
import { sizeOf } from '../base/shape.js'
import { type Graph, type InputNode, type Node, rootsOf, topological, view } from '../graph/node.js'
import { expandComposites, type Stays, simplify } from '../graph/simplify.js'
import { baseOf } from './access.js'
import { assemble } from './assemble.js'
import { isBlocked } from './attention.js'
import { layOut as chooseLayouts } from './layout.js'
import { packOperands } from './pack.js'
import { splitPhases } from './phases.js'
import { planProgram } from './plan.js'
import type { Argument, Machine, Program } from './program.js'
import { type Fixed, prepareBodies } from './repeat.js'
import { transformConvolutions } from './winograd.js'

export interface Prepared {
  readonly graph: Graph
  /** Views to be copied into memory in their own order. */
  readonly forced: ReadonlySet<Node>
  /** In a scan's body: inputs that are the same in every step. */
  readonly fixed?: Fixed
}

type Pass = (prepared: Prepared, machine: Machine, options: CompileOptions) => Prepared
const onGraph =
  (pass: (graph: Graph, stays: Stays) => Graph): Pass =>
  (prepared, machine, options) => ({
    ...prepared,
    graph: pass(prepared.graph, (node) => options.attention !== false && isBlocked(node, machine)),
  })

/** Passes that only make programs faster can be left out, for tests of what remains. */
export interface CompileOptions {
  readonly simplify?: boolean
  readonly layouts?: boolean
  readonly winograd?: boolean
  readonly attention?: boolean
}

interface NamedPass {
  readonly name: string
  readonly run: Pass
  readonly optional?: keyof CompileOptions
}

/** What happens to a graph before it is fused, in order. */
export const passes: readonly NamedPass[] = [
  { name: 'expand composites', run: onGraph(expandComposites) },
  { name: 'simplify', run: onGraph(simplify), optional: 'simplify' },
  { name: 'split phases', run: onGraph(splitPhases) },
  { name: 'simplify again', run: onGraph(simplify), optional: 'simplify' },
  { name: 'choose layouts', run: chooseLayouts, optional: 'layouts' },
  { name: 'transform convolutions', run: transformConvolutions, optional: 'winograd' },
  { name: 'pack operands', run: packOperands },
  {
    name: 'prepare bodies',
    run: (prepared, machine, options) =>
      prepareBodies(prepared, (body) => runPasses(body, machine, options)),
  },
  { name: 'guard updates', run: separateUpdates },
]

/** The distinct inputs in the order of a program's arguments: as first reached, then targets not reached. */
export function inputsOf(graph: Graph): InputNode[] {
  const out: InputNode[] = []
  const seen = new Set<Node>()
  const add = (node: Node) => {
    if (node.kind !== 'input' || seen.has(node)) return
    seen.add(node)
    out.push(node)
  }
  for (const node of topological(rootsOf(graph))) add(node)
  for (const { target } of graph.updates) add(target)
  return out
}

export function argumentsOf(graph: Graph, inputs: readonly InputNode[]): Argument[] {
  const targets = new Set<Node>(graph.updates.map(({ target }) => target))
  const describe = (node: Node, role: Argument['role']): Argument => ({
    role,
    dtype: node.dtype,
    shape: node.shape,
    bytes: sizeOf(node.shape) * itemSize[node.dtype],
  })
  return [
    ...inputs.map((node) => describe(node, targets.has(node) ? 'update' : 'in')),
    ...graph.outputs.map((node) => describe(node, 'out')),
  ]
}

/** Compiles a graph for a machine. Pure: the same graph gives the same program. */
export function compileGraph(
  graph: Graph,
  machine: Machine,
  inputs: readonly InputNode[] = inputsOf(graph),
  options: CompileOptions = {},
): Program {
  const args = argumentsOf(graph, inputs)
  const prepared = runPasses({ graph, forced: new Set() }, machine, options)
  return assemble(planProgram(prepared, inputs, machine), args, machine)
}

function runPasses(given: Prepared, machine: Machine, options: CompileOptions): Prepared {
  return passes.reduce(
    (prepared, { run, optional }) =>
      optional === undefined || options[optional] !== false
        ? run(prepared, machine, options)
        : prepared,
    given,
  )
}

/**
 * An update whose value is itself an argument that another update rewrites (a swap) is read into the arena
 * before anything is written.
 */
function separateUpdates(prepared: Prepared): Prepared {
  const { graph, forced } = prepared
  const targets = new Set<Node>(graph.updates.map(({ target }) => target))
  const more = new Set(forced)
  const updates = graph.updates.map(({ target, value }) => {
    const base = baseOf(value)
    if (base === target || !targets.has(base)) return { target, value }
    const none = value.shape.map(() => 0)
    const copy = view({ type: 'pad', low: none, high: none, value: 0 }, value)
    more.add(copy)
    return { target, value: copy }
  })
  return { ...prepared, graph: { ...graph, updates }, forced: more }
}
