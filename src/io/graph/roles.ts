// Which constants of a graph are weights. A file does not say: its constants are weights and biases, running
// statistics, but also ε, masks, grids and shapes.
//
// A float constant of at least one dimension is a parameter where an operator takes it as a weight (Conv, Gemm, MatMul,
// normalisations, recurrent layers, the table of Gather), directly or through operators that only move it (Transpose,
// Reshape). In plain arithmetic it is one, a bias or a scale, where the other operand depends on parameters: so the
// mean and deviation that prepare an image are not trained. Nor are values that no training leaves behind: infinite or
// huge ones, which mask, and tables of whole and half numbers, which are positions and strides (all 0 and all 1 are
// fresh weights).
import type { HostTensor, StoredTensor } from '../values.js'
import type { OperatorTable } from './call.js'
import { knownConstant } from './host.js'
import { everyNode, type PlainGraph, readsOf } from './plain.js'

export type Role = 'parameter' | 'state'
type Constant = StoredTensor | HostTensor

/** Adding −10⁴ or less is masking. */
const HUGE = 1e4

/** Of any width, in memory or in a file. */
export const isFloatConstant = ({ dtype }: Constant): boolean => /^(F|BF|float|bfloat)/.test(dtype)

/** Whether these could be weights by their values. */
function looksTrained(constant: Constant, name: string): boolean {
  const { data } = knownConstant(constant, name)
  if (data.some((x) => !(Math.abs(x) < HUGE))) return false
  const [first] = data
  if ((first === 0 || first === 1) && data.every((x) => x === first)) return true
  return !data.every((x) => Number.isInteger(2 * x))
}

/** The roles of constants that are weights, by name; `constants` are those of the graph and of all graphs inside. */
export function rolesOf(
  graph: PlainGraph,
  constants: ReadonlyMap<string, Constant>,
  table: OperatorTable,
): Map<string, Role> {
  const roles = new Map<string, Role>()
  const nodes = everyNode(graph)
  const mark = (name: string, role: Role) => {
    // What is both a weight and a statistic is a weight.
    if (roles.get(name) !== 'parameter') roles.set(name, role)
  }
  // Backwards, so that what passes through is asked for before.
  for (const { op, inputs, outputs } of nodes.toReversed()) {
    const { weights = [], state = [], passes = [] } = table.get(op) ?? {}
    for (const i of weights) if (inputs[i]) mark(inputs[i], 'parameter')
    for (const i of state) if (inputs[i]) mark(inputs[i], 'state')
    const asked = outputs.map((name) => roles.get(name)).find((role) => role !== undefined)
    if (asked !== undefined) for (const i of passes) if (inputs[i]) mark(inputs[i], asked)
  }
  const found = new Map<string, Role>()
  for (const [name, role] of roles) {
    const constant = constants.get(name)
    if (constant !== undefined && constant.shape.length > 0 && isFloatConstant(constant))
      found.set(name, role)
  }
  // Forwards: what depends on parameters so far.
  const trained = new Set(found.keys())
  for (const node of nodes) {
    const { operands = [] } = table.get(node.op) ?? {}
    const read = readsOf(node)
    if (operands.length > 0 && read.some((name) => trained.has(name)))
      for (const name of operands.map((i) => node.inputs[i])) {
        const constant = name ? constants.get(name) : undefined
        if (constant === undefined || found.has(name) || constant.shape.length === 0) continue
        if (!isFloatConstant(constant) || !looksTrained(constant, name)) continue
        found.set(name, 'parameter')
        trained.add(name)
      }
    if (read.some((name) => trained.has(name))) for (const name of node.outputs) trained.add(name)
  }
  return found
}
