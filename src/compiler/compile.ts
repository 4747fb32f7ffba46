// Graph → Program: the pipeline as a list, then schedule, memory and assembly.
import { itemSize } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { showShape, sizeOf } from '../base/shape.js'
import { type Graph, type InputNode, type Node, rootsOf, topological, view } from '../graph/node.js'
import { expandComposites, simplify } from '../graph/simplify.js'
import { baseOf } from './access.js'
import { checkProgram } from './check.js'
import { type Fused, fuse } from './fuse.js'
import type { Group } from './group.js'
import type { Kernel } from './kernel.js'
import { layOut as chooseLayouts } from './layout.js'
import { type Home, type LowerContext, type Lowered, lower } from './lower.js'
import { align, type Life, planMemory } from './memory.js'
import { packOperands } from './pack.js'
import { splitPhases } from './phases.js'
import type { Argument, Machine, Program, Region, Report, Slot, Step } from './program.js'

/** Below so many operations a step runs on one thread: waking the others costs more. */
const PARALLEL_WORK = 50_000

export interface Prepared {
  readonly graph: Graph
  /** Views to be copied into memory in their own order. */
  readonly forced: ReadonlySet<Node>
}

type Pass = (prepared: Prepared, machine: Machine) => Prepared
const onGraph =
  (pass: (graph: Graph) => Graph): Pass =>
  ({ graph, forced }) => ({ graph: pass(graph), forced })

/** Passes that only make programs faster can be left out, for tests of what remains. */
export interface CompileOptions {
  readonly simplify?: boolean
  readonly layouts?: boolean
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
  { name: 'pack operands', run: packOperands },
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
  let prepared: Prepared = { graph, forced: new Set() }
  for (const { run, optional } of passes)
    if (optional === undefined || options[optional] !== false) prepared = run(prepared, machine)
  return assemble(prepared, inputs, args, machine)
}

/**
 * An update whose value is itself an argument that another update rewrites (a swap) is read into the arena
 * before anything is written.
 */
function separateUpdates({ graph, forced }: Prepared): Prepared {
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
  return { graph: { ...graph, updates }, forced: more }
}

function assemble(
  { graph, forced }: Prepared,
  inputs: readonly InputNode[],
  args: readonly Argument[],
  machine: Machine,
): Program {
  const argumentOf = new Map<Node, number>()
  inputs.forEach((node, i) => {
    argumentOf.set(node, i)
  })
  const argument = (node: Node): number => {
    const index = argumentOf.get(node)
    invariant(index !== undefined, () => 'an input without an argument')
    return index
  }
  const fused = fuse({
    graph,
    forced,
    argumentOf: argument,
    outputArgument: (k) => inputs.length + k,
  })
  const reports: Report[] = []
  const codes = new Map<Node, number>()
  const code = (node: Node, report: Report): number => {
    const known = codes.get(node)
    if (known !== undefined) return known
    reports.push(report)
    codes.set(node, reports.length)
    return reports.length
  }
  const stored = storedNodes(fused)
  const context: LowerContext = {
    machine,
    inMemory: (base) => base.kind === 'input' || fused.roots.has(base),
    isStored: (base) => base.kind === 'input' || stored.has(base),
    homeOf: (base) => {
      if (base.kind === 'input') return { space: 'argument', index: argument(base) }
      const index = fused.placed.get(base)
      return index === undefined ? { space: 'arena', base } : { space: 'argument', index }
    },
    reportCode: (node) =>
      code(node, {
        kind: 'index',
        label: node.label,
        what: node.kind,
        size: node.kind === 'gather' ? node.args[0].shape[node.axis] : node.shape[node.axis],
      }),
    guardCode: (node) => code(node, { kind: 'guard', label: node.label, what: 'guard', size: 0 }),
  }
  const lowered = new Map<Group, Lowered>()
  for (const group of fused.groups) lowered.set(group, lower(group, context))
  return layOut(fused, lowered, args, argumentOf, machine, reports)
}

/** Bases that need memory: results, and what a group other than their own reads. */
function storedNodes(fused: Fused): Set<Node> {
  const stored = new Set<Node>(fused.placed.keys())
  const owner = ownersOf(fused)
  for (const group of fused.groups) {
    for (const base of readFromMemory(group, fused, owner))
      if (base.kind !== 'input') stored.add(base)
    if (group.kind === 'part' || group.kind === 'scatter') stored.add(group.node)
    if (group.kind === 'contract') stored.add(group.members[0].node)
  }
  return stored
}

/** The group that computes each root. */
function ownersOf(fused: Fused): Map<Node, Group> {
  const owner = new Map<Node, Group>()
  for (const group of fused.groups) for (const { node } of group.members) owner.set(node, group)
  return owner
}

/** Inputs, and roots of other groups, that the group computes from. */
function readFromMemory(
  group: Group,
  fused: Fused,
  owner: ReadonlyMap<Node, Group>,
): ReadonlySet<Node> {
  const found = new Set<Node>()
  const seen = new Set<Node>()
  const visit = (node: Node) => {
    if (seen.has(node)) return
    seen.add(node)
    const base = baseOf(node)
    if (base.kind === 'input' || (fused.roots.has(base) && owner.get(base) !== group)) {
      found.add(base)
      return
    }
    for (const arg of base.args) visit(arg)
  }
  if (group.kind === 'copy' || group.kind === 'guard') visit(group.node)
  else for (const node of computedBy(group)) for (const arg of node.args) visit(arg)
  return found
}

function computedBy(group: Group): readonly Node[] {
  switch (group.kind) {
    case 'rows':
      return group.members.map((m) => m.node)
    case 'contract':
      return group.chain
    case 'part':
    case 'scatter':
      return [group.node]
    case 'copy':
    case 'guard':
      return []
  }
}

/** A group's region: after all it needs; commits after everything else. */
function schedule(groups: readonly Group[]): Group[][] {
  const levels = new Map<Group, number>()
  const level = (group: Group): number => {
    const known = levels.get(group)
    if (known !== undefined) return known
    let at = 0
    for (const need of group.needs)
      if (need.commit === group.commit) at = Math.max(at, level(need) + 1)
      else invariant(group.commit, () => 'a commit is needed before the commits')
    levels.set(group, at)
    return at
  }
  const gather = (list: readonly Group[]): Group[][] => {
    const out: Group[][] = []
    for (const group of list) {
      const at = level(group)
      while (out.length <= at) out.push([])
      out[at].push(group)
    }
    return out
  }
  return [
    ...gather(groups.filter((g) => !g.commit)),
    ...gather(groups.filter((g) => g.commit)),
  ].filter((list) => list.length > 0)
}

function layOut(
  fused: Fused,
  lowered: ReadonlyMap<Group, Lowered>,
  args: readonly Argument[],
  argumentOf: ReadonlyMap<Node, number>,
  machine: Machine,
  reports: readonly Report[],
): Program {
  const regions = schedule(fused.groups)
  const bases: Node[] = []
  const lives: { bytes: number; first: number; last: number }[] = []
  const known = new Map<Node, number>()
  let scratchBytes = 0
  const of = (group: Group): Lowered => {
    const result = lowered.get(group)
    invariant(result !== undefined, () => 'a group was not lowered')
    return result
  }
  regions.forEach((groups, region) => {
    for (const group of groups) {
      let scratch = 0
      for (const home of of(group).homes) {
        if (home.space === 'scratch') scratch += align(home.bytes)
        if (home.space !== 'arena') continue
        const at = known.get(home.base)
        if (at === undefined) {
          known.set(home.base, bases.length)
          bases.push(home.base)
          lives.push({
            bytes: sizeOf(home.base.shape) * itemSize[home.base.dtype],
            first: region,
            last: region,
          })
        } else lives[at].last = region
      }
      scratchBytes = Math.max(scratchBytes, scratch)
    }
  })
  const memory = planMemory(lives satisfies readonly Life[])
  const slotsOf = (homes: readonly Home[]): Slot[] => {
    let scratch = 0
    return homes.map((home): Slot => {
      if (home.space === 'argument') return { space: 'argument', index: home.index }
      if (home.space === 'scratch') {
        const offset = scratch
        scratch += align(home.bytes)
        return { space: 'scratch', offset }
      }
      const at = known.get(home.base)
      invariant(at !== undefined, () => 'an intermediate without a place')
      return { space: 'arena', offset: memory.offsets[at] }
    })
  }
  const kernels: Kernel[] = []
  const stepOf = (group: Group): Step => {
    const { kernel, homes, flops, bytes, nodes } = of(group)
    kernels.push(kernel)
    return {
      kernel: kernels.length - 1,
      slots: slotsOf(homes),
      label: labelOf(nodes),
      what: `${kernel.name} ${showShape(nodes[nodes.length - 1].shape)}`,
      flops,
      bytes,
      parallel: kernel.parallel.extent > 1 && flops + bytes / 4 >= PARALLEL_WORK,
    }
  }
  const program: Program = {
    machine,
    arguments: args,
    kernels,
    regions: regions.map(
      (groups): Region => ({ steps: groups.map(stepOf), commit: groups[0].commit }),
    ),
    arenaBytes: memory.bytes,
    scratchBytes,
    reports,
  }
  const owner = ownersOf(fused)
  checkProgram(program, lives, memory, (region, step) => {
    const read = new Set<number>()
    for (const base of readFromMemory(regions[region][step], fused, owner)) {
      const index = argumentOf.get(base)
      if (index !== undefined) read.add(index)
    }
    return read
  })
  return program
}

function labelOf(nodes: readonly Node[]): string {
  return [...new Set(nodes.map((n) => n.label).filter((label) => label !== ''))].join(' ')
}
