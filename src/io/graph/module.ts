// A plain graph as a Module: its weights are parameters under their own names, its nodes are modules below, so that
// labels, errors, hooks and profiles name them as the file does.
//
// Control flow is run while tracing, where what it depends on is known: see the operators with inner graphs.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { type AnyModule, Module } from '../../nn/module.js'
import { Parameter } from '../../tensor/parameter.js'
import { Tensor } from '../../tensor/tensor.js'
import type { Operator, OperatorTable } from './call.js'
import { freshTensor, knownConstant, tensorOfConstant, type Value } from './host.js'
import { type PlainGraph, type PlainInput, type PlainNode, readsOf, subgraphs } from './plain.js'
import { type GraphOptions, prepared } from './prepare.js'
import { type Body, runOperator } from './run.js'

/** Tensors by the names of a graph's inputs or outputs. */
export interface Named {
  readonly [name: string]: Tensor
}

type Scope = Map<string, Value>

/** A node, and the entry that computes it. */
interface Step {
  readonly plain: PlainNode
  readonly name: string
}

/** The result of a module that took a node's place. */
function replacement(
  module: Parameter | AnyModule | undefined,
  inputs: readonly string[],
  scope: Scope,
): readonly Value[] {
  const given = inputs
    .map((name) => scope.get(name))
    .filter((value) => value instanceof Tensor && !(value instanceof Parameter))
  const result = module instanceof Module ? module.forward(...given) : undefined
  if (!(result instanceof Tensor)) throw fail('a module in the place of a node must give a tensor')
  return [result]
}

/** One node: a module without parameters, whose forward takes and gives the values of its edges. */
export class GraphNode extends Module<readonly (Value | undefined)[]> {
  readonly plain: PlainNode
  readonly #operator: Operator
  readonly #version: number
  readonly #bodies: ReadonlyMap<string, Body>

  constructor(
    plain: PlainNode,
    operator: Operator,
    version: number,
    bodies: ReadonlyMap<string, Body>,
  ) {
    super()
    this.plain = plain
    this.#operator = operator
    this.#version = version
    this.#bodies = bodies
  }

  override entries(): (readonly [string, unknown])[] {
    return []
  }

  forward(...inputs: readonly (object | undefined)[]): readonly (Value | undefined)[] {
    return runOperator(this.plain, this.#operator, inputs as readonly (Value | undefined)[], {
      version: this.#version,
      training: this.training,
      bodies: this.#bodies,
    })
  }

  override toString(): string {
    return `${this.plain.op}(${this.plain.inputs.join(', ')})`
  }
}

/**
 * A graph read from a file, trainable: `stateDict()` has its weights under their names in the file. It is made in
 * evaluation mode, so that it computes what its file's runtime computes; `train()` before fine-tuning.
 *
 * forward(x, …) takes tensors in the order of the graph's inputs, and gives the only output; run({ name: x })
 * takes and gives them by name.
 */
export class GraphModule extends Module<Tensor> {
  readonly inputs: readonly PlainInput[]
  readonly outputs: readonly string[]
  readonly #where: string
  readonly #known: ReadonlySet<string>
  readonly #entries = new Map<string, Parameter | AnyModule>()
  /** The next number to try for a name that several nodes want. */
  readonly #taken = new Map<string, number>()
  /** Values that are there before anything runs. */
  readonly #constants: Scope = new Map()
  readonly #nodes: readonly Step[]
  #scope: Scope = new Map()

  /**
   * @throws BurnishError naming every node whose operator is not in the table, and where the graph is not well formed.
   */
  constructor(graph: PlainGraph, table: OperatorTable, options: GraphOptions) {
    super()
    const { where, version } = options
    this.#where = where
    this.#known = new Set(options.known)
    const made = prepared(graph, table, options)
    this.inputs = graph.inputs
    this.outputs = made.graph.outputs
    for (const [name, { constant, role }] of made.weights) {
      const parameter = new Parameter(tensorOfConstant(constant, `${where}: ${name}`), { role })
      this.#entries.set(name, parameter)
      this.#constants.set(name, parameter)
    }
    for (const [name, value] of made.known) this.#constants.set(name, value)
    this.#nodes = made.graph.nodes.map((node) => this.#nodeOf(node, table, version))
    this.eval()
  }

  #nodeOf(plain: PlainNode, table: OperatorTable, version: number): Step {
    const operator = table.get(plain.op) ?? fail(`${this.#where}: there is no operator ${plain.op}`)
    const bodies = new Map<string, Body>()
    for (const [attribute, graph] of subgraphs(plain)) {
      const nodes = graph.nodes.map((node) => this.#nodeOf(node, table, version))
      bodies.set(attribute, (inputs) => this.#runBody(graph, nodes, inputs))
    }
    const node = new GraphNode(plain, operator, version, bodies)
    const wanted = plain.name === '' ? plain.op : plain.name
    let name = wanted
    // Nodes without a name are many: each goes on where the last one of its kind stopped.
    for (let i = this.#taken.get(wanted) ?? 1; this.#entries.has(name); i++) {
      name = `${wanted}_${i}`
      this.#taken.set(wanted, i + 1)
    }
    this.#entries.set(name, node)
    return { plain, name }
  }

  protected override entries(): (readonly [string, Parameter | AnyModule])[] {
    return [...this.#entries]
  }
  protected override entry(name: string): unknown {
    return this.#entries.get(name)
  }
  /**
   * A module in the place of a node, such as a new head: it is given the node's inputs but its weights, and gives its
   * first output. Weights that no node reads any more are dropped.
   */
  protected override replaceChild(name: string, module: AnyModule): void {
    const replaced = this.#entries.get(name)
    this.#entries.set(name, module)
    if (!(replaced instanceof GraphNode)) return
    const others = [...this.#entries.values()].filter((entry) => entry instanceof GraphNode)
    const read = new Set(others.flatMap(({ plain }) => readsOf(plain)))
    for (const weight of replaced.plain.inputs)
      if (this.#entries.get(weight) instanceof Parameter && !read.has(weight))
        this.#entries.delete(weight)
  }
  /** Names in state dicts are the file's, letter by letter. */
  protected override stateKey(name: string): string {
    return name
  }

  /**
   * The outputs by name, of tensors for all inputs by name. `float32` inputs for floats of any width, `int32` for
   * integers; sizes as the graph declares them, of which names stand for any size, and so does the batch (dimension 0).
   * @throws BurnishError for inputs that are missing, unknown, or of another dtype or shape; and naming the node that
   * cannot take its inputs.
   */
  run(inputs: Named): Named {
    return this.forward(inputs)
  }

  override forward(...inputs: readonly Tensor[]): Tensor
  override forward(inputs: Named): Named
  override forward(...inputs: readonly (Tensor | Named)[]): Tensor | Named {
    const [first] = inputs
    if (first !== undefined && !(first instanceof Tensor)) return this.#evaluate(first)
    if (this.outputs.length !== 1)
      fail(
        `the graph has ${this.outputs.length} outputs: ${this.outputs.join(', ')}; use run({ ${this.inputs.map(({ name }) => name).join(', ')} }), which gives them by name`,
      )
    if (inputs.length !== this.inputs.length)
      fail(
        `forward was given ${inputs.length} tensors, but the graph has ${this.inputs.length} inputs: ${this.inputs.map(({ name }) => name).join(', ')}`,
      )
    const named = this.inputs.map(({ name }, i) => [name, inputs[i]] as const)
    const results = this.#evaluate(Object.fromEntries(named) as Named)
    return results[this.outputs[0]]
  }

  #evaluate(inputs: Named): Named {
    const scope: Scope = new Map(this.#constants)
    const known = new Set(this.inputs.map(({ name }) => name))
    for (const name of Object.keys(inputs))
      if (!known.has(name))
        fail(`there is no input ${name}; the graph has ${[...known].join(', ') || 'none'}`)
    const sizes = new Map<string, number>()
    for (const declared of this.inputs) {
      const { name } = declared
      if (!Object.hasOwn(inputs, name))
        fail(`the input ${name} is missing; run takes ${[...known].join(', ')}`)
      checkInput(declared, inputs[name], sizes)
      scope.set(name, this.#known.has(name) ? numbersOf(name, inputs[name]) : inputs[name])
    }
    this.#runNodes(this.#nodes, scope)
    return Object.fromEntries(
      this.outputs.map((name) => {
        const value = scope.get(name) ?? fail(`nothing computed the output ${name}`)
        return [name, value instanceof Tensor ? value : freshTensor(value)]
      }),
    )
  }

  #runNodes(nodes: readonly Step[], scope: Scope): void {
    const outer = this.#scope
    for (const { plain, name: place } of nodes) {
      this.#scope = scope
      const { inputs, outputs } = plain
      const module = this.#entries.get(place)
      const results =
        module instanceof GraphNode
          ? module.forward(...inputs.map((name) => scope.get(name)))
          : replacement(module, inputs, scope)
      outputs.forEach((name, i) => {
        const value = results[i]
        if (name === '') return
        if (value === undefined)
          fail(`${plain.op} ${plain.name}: its output ${i} (${name}) is not computed`)
        scope.set(name, value)
      })
    }
    this.#scope = outer
  }

  #runBody(graph: PlainGraph, nodes: readonly Step[], inputs: readonly Value[]): Value[] {
    const scope: Scope = new Map(this.#scope)
    graph.inputs.forEach(({ name }, i) => {
      const value = inputs[i]
      if (value !== undefined) scope.set(name, value)
    })
    this.#runNodes(nodes, scope)
    return graph.outputs.map(
      (name) => scope.get(name) ?? fail(`nothing computed ${name}, a result of ${graph.name}`),
    )
  }
}

/** What a tensor made of numbers holds. */
function numbersOf(name: string, given: Tensor): Value {
  const data = given.value?.host
  if (data === undefined)
    throw fail(
      `the input ${name} decides about shapes, so its numbers must be known: give a tensor made of numbers, tensor([…]), not one that is computed`,
    )
  return knownConstant({ dtype: given.dtype, shape: given.shape, data }, name)
}

function checkInput(declared: PlainInput, given: Tensor, sizes: Map<string, number>): void {
  const { name, dtype, shape } = declared
  if (!(given instanceof Tensor)) fail(`the input ${name} must be a tensor`)
  const wanted = dtype ?? given.dtype
  const both = /^(float|bfloat)/.test(wanted) && /^(float|bfloat)/.test(given.dtype)
  if (!both && wanted !== given.dtype)
    fail(
      `the input ${name} is ${given.dtype}, but the graph takes ${wanted}; cast it with to('${wanted}')`,
    )
  if (shape === undefined) return
  const fits =
    shape.length === given.shape.length &&
    shape.every((size, i) => {
      if (typeof size === 'string') {
        const other = sizes.get(size) ?? given.shape[i]
        sizes.set(size, other)
        return other === given.shape[i]
      }
      return i === 0 || size === undefined || size === given.shape[i]
    })
  if (!fits)
    fail(
      `the input ${name} has shape ${showShape(given.shape)}, but the graph takes [${shape.map((size) => size ?? '?').join(', ')}]${[...sizes].map(([symbol, size]) => `, ${symbol} = ${size}`).join('')}`,
    )
}
