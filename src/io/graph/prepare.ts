// From a file's graph to one that is ready to run: inner graphs' constants lifted out, operators that are missing named
// all at once, quantised weights made floats, roles given, and what depends on constants alone computed.
import { fail } from '../../base/errors.js'
import type { Shape } from '../../base/shape.js'
import type { HostTensor, StoredTensor } from '../values.js'
import type { OperatorTable } from './call.js'
import { type HostValue, isKnown, knownConstant, type Value } from './host.js'
import {
  type Attribute,
  everyNode,
  ordered,
  type PlainGraph,
  type PlainNode,
  showNode,
  subgraphs,
} from './plain.js'
import { isFloatConstant, type Role, rolesOf } from './roles.js'
import { runOperator } from './run.js'

type Constant = StoredTensor | HostTensor

export interface GraphOptions {
  /** What the graph is called in errors, such as the file's name. */
  readonly where: string
  /** The version of the operators: ONNX's opset. */
  readonly version: number
  /** The outputs to compute, of any values in the graph; default: its own. */
  readonly outputs?: readonly string[]
  /** Whether a float constant is trained; undefined leaves it to the rule of roles.ts. */
  readonly parameters?: (name: string, shape: Shape) => boolean | undefined
  /** Inputs whose numbers decide about shapes: they must be made of numbers, and each run is made for theirs. */
  readonly known?: readonly string[]
  /** Ends the error about operators that are not in the table: where to read which are. */
  readonly hint: string
}

export interface Prepared {
  /** The nodes that are left to run. */
  readonly graph: PlainGraph
  /** Parameters and state, by name. */
  readonly weights: ReadonlyMap<string, { readonly constant: Constant; readonly role: Role }>
  /** All other values that are there before anything runs. */
  readonly known: ReadonlyMap<string, HostValue>
}

/** More of a constant expression than this is computed when the graph runs. */
const MOST_FOLDED = 1 << 20

/** @throws BurnishError naming every node that cannot run, and where the graph is not well formed. */
export function prepared(graph: PlainGraph, table: OperatorTable, options: GraphOptions): Prepared {
  const { where, version } = options
  const { graph: lifted, constants } = lift(ordered(graph, options.outputs))
  refuse(lifted, table, options)
  const folded = fold(lifted, constants, table, options)
  const roles = rolesOf(folded, constants, table)
  const weights = new Map<string, { constant: Constant; role: Role }>()
  const known = new Map<string, HostValue>()
  for (const [name, constant] of constants) {
    const role = chosen(name, constant, roles.get(name), options)
    if (role !== undefined) weights.set(name, { constant, role })
    else known.set(name, knownConstant(constant, `${where}: ${name}`))
  }
  const nodes = folded.nodes.filter((node) => {
    if (subgraphs(node).length > 0 || node.inputs.length === 0) return true
    if (!node.inputs.every((name) => name === '' || known.has(name))) return true
    return !computed(node, known, table, version, where)
  })
  return { graph: { ...folded, nodes, constants: new Map() }, weights, known }
}

/** The role of a constant: what the caller says of floats, else what the rule says. */
function chosen(
  name: string,
  constant: Constant,
  role: Role | undefined,
  { parameters }: GraphOptions,
): Role | undefined {
  if (role === 'state' || parameters === undefined || !isFloatConstant(constant)) return role
  const wanted = parameters(name, constant.shape)
  if (wanted === undefined) return role
  return wanted ? 'parameter' : undefined
}

/** Adds a node's results to what is known, if that can be computed now. */
function computed(
  node: PlainNode,
  known: Map<string, HostValue>,
  table: OperatorTable,
  version: number,
  where: string,
): boolean {
  const operator = table.get(node.op)
  if (operator === undefined || operator.random) return false
  const inputs = node.inputs.map((name): Value | undefined => known.get(name))
  const run = { version, training: false, most: MOST_FOLDED }
  const results = located(node, where, () => runOperator(node, operator, inputs, run))
  const values = node.outputs.map((_, i) => results[i])
  if (!node.outputs.every((name, i) => name === '' || isKnown(values[i]))) return false
  node.outputs.forEach((name, i) => {
    const value = values[i]
    if (name !== '' && isKnown(value)) known.set(name, value)
  })
  return true
}

/** Runs something of a node before any module is there: the error's place is put in front here. */
function located<T>(node: PlainNode, where: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof Error) error.message = `${where}: ${showNode(node)}: ${error.message}`
    throw error
  }
}

/** Nodes marked `fold` whose inputs are constants become constants. */
function fold(
  graph: PlainGraph,
  constants: Map<string, Constant>,
  table: OperatorTable,
  { where, version }: GraphOptions,
): PlainGraph {
  const nodes = graph.nodes.filter((node) => {
    const operator = table.get(node.op)
    if (operator?.fold !== true || node.outputs.length !== 1) return true
    const given = node.inputs.map((name) => constants.get(name))
    if (!node.inputs.every((name, i) => name === '' || given[i] !== undefined)) return true
    const inputs = given.map((constant, i) =>
      constant === undefined ? undefined : knownConstant(constant, `${where}: ${node.inputs[i]}`),
    )
    const run = { version, training: false, most: Infinity }
    const [value] = located(node, where, () => runOperator(node, operator, inputs, run))
    if (!isKnown(value)) return true
    const { dtype, shape, data } = value
    if (dtype !== 'float32') return true
    constants.set(node.outputs[0], { dtype, shape, data: Float32Array.from(data) })
    return false
  })
  return { ...graph, nodes }
}

const MOST_NAMED = 8

function refuse(graph: PlainGraph, table: OperatorTable, options: GraphOptions): void {
  const problems = new Map<string, string[]>()
  for (const node of everyNode(graph)) {
    const operator = table.get(node.op)
    const problem =
      operator === undefined ? 'is not supported' : operator.refuse?.(node, options.version)
    if (problem === undefined) continue
    const text = `${node.op} ${problem}`
    const name = node.name === '' ? node.outputs.join(', ') : node.name
    problems.set(text, [...(problems.get(text) ?? []), name])
  }
  if (problems.size === 0) return
  const listed = [...problems].map(([text, names]) => {
    const rest = names.length > MOST_NAMED ? `, and ${names.length - MOST_NAMED} more` : ''
    return `${text} (${names.length === 1 ? 'node' : 'nodes'} ${names.slice(0, MOST_NAMED).join(', ')}${rest})`
  })
  fail(`${options.where}: ${listed.join('; ')}; ${options.hint}`)
}

/** The constants of a graph and of the graphs inside, under names that are all different. */
function lift(graph: PlainGraph): { graph: PlainGraph; constants: Map<string, Constant> } {
  const constants = new Map(graph.constants)
  const taken = new Set(graph.constants.keys())
  for (const node of everyNode(graph)) for (const name of node.outputs) taken.add(name)
  const tried = new Map<string, number>()
  const inside = (body: PlainGraph, prefix: string): PlainGraph => {
    const renamed = new Map<string, string>()
    for (const [name, constant] of body.constants) {
      let free = name
      const wanted = `${prefix}.${name}`
      for (let i = tried.get(wanted) ?? 0; taken.has(free); i++) {
        free = `${wanted}${i === 0 ? '' : `_${i}`}`
        tried.set(wanted, i + 1)
      }
      taken.add(free)
      constants.set(free, constant)
      if (free !== name) renamed.set(name, free)
    }
    const fresh = renamed.size === 0 ? body : withNames(body, renamed)
    return { ...fresh, constants: new Map(), nodes: fresh.nodes.map((node) => inner(node)) }
  }
  const inner = (node: PlainNode): PlainNode => {
    if (subgraphs(node).length === 0) return node
    const attributes = new Map<string, Attribute>(node.attributes)
    for (const [name, body] of subgraphs(node))
      attributes.set(name, inside(body, `${node.name || node.op}.${name}`))
    return { ...node, attributes }
  }
  return { graph: { ...graph, nodes: graph.nodes.map(inner) }, constants }
}

/** The graph with other names for some values it reads. */
function withNames(graph: PlainGraph, names: ReadonlyMap<string, string>): PlainGraph {
  const renamed = (name: string) => names.get(name) ?? name
  const nodes = graph.nodes.map((node) => {
    const attributes = new Map<string, Attribute>(node.attributes)
    for (const [attribute, body] of subgraphs(node))
      attributes.set(attribute, withNames(body, names))
    return { ...node, inputs: node.inputs.map(renamed), attributes }
  })
  return { ...graph, nodes, outputs: graph.outputs.map(renamed) }
}
