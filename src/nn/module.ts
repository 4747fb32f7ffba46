// Module: a tree of fields with parameters, and the one place every forward passes through.
//
// The constructor wraps the instance's `forward` once. The wrapper knows where in the model it is (a child's
// name is its field in the parent), labels the nodes built inside, runs hooks, adds the path to errors, and
// hands the outermost result to the next step (SEMANTICS rule 4). After torch.nn.Module, without its
// attribute magic: fields are ordinary, and are found by looking.
import { BurnishError, fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { context } from '../tensor/context.js'
import { Parameter } from '../tensor/parameter.js'
import { recompute } from '../tensor/recompute.js'
import { Tensor } from '../tensor/tensor.js'
import { explain } from './diagnose.js'
import { type HostValues, type LoadOptions, type LoadReport, load, type StateDict } from './load.js'

/** A module whatever its results are. */
export type AnyModule = Module<unknown>

/** Sees inputs and output after a forward; a tensor it returns takes the output's place. */
export type ForwardHook = (
  module: AnyModule,
  inputs: readonly unknown[],
  output: unknown,
) => unknown
/** Sees the inputs before a forward; a list of tensors it returns takes their place. */
export type ForwardPreHook = (module: AnyModule, inputs: readonly unknown[]) => unknown

/** `runningMean` → `running_mean`: how PyTorch would call a field. One that begins large, `Mixed_5b`, stays so. */
export function stateName(field: string): string {
  if (/^[A-Z]/.test(field)) return field
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/**
 * The base of layers and models. A subclass has its layers and parameters as fields and defines `forward`:
 *
 *     class Net extends nn.Module {
 *       fc = new nn.Linear(784, 10)
 *       forward(x: Tensor): Tensor {
 *         return this.fc.forward(x)
 *       }
 *     }
 */
export abstract class Module<Output = Tensor> {
  /**
   * Evaluation mode whatever train() says: dropout passes through, running statistics do not move. `freeze` of
   * burnish/finetune sets it for layers that are not trained.
   */
  staysInEval = false
  /** Whether the backward pass computes again what is inside: see `checkpoint`. */
  checkpointed = false
  #training = true
  readonly #hooks: ForwardHook[] = []
  readonly #preHooks: ForwardPreHook[] = []
  /** Paths of the modules below this one, as last looked up. */
  readonly #paths = new Map<AnyModule, string>()

  constructor() {
    const forward = this.forward
    // Not writable: a field called forward would silently replace the wrapper.
    Object.defineProperty(this, 'forward', {
      value: (...inputs: readonly (object | undefined)[]): Output => this.#run(forward, inputs),
    })
  }

  /** Tensors; some layers take lists of them, or options such as masks. */
  abstract forward(...inputs: readonly (object | undefined)[]): Output

  #run(
    forward: (...inputs: readonly (object | undefined)[]) => Output,
    inputs: readonly (object | undefined)[],
  ): Output {
    const outermost = context.depth === 0
    const path = outermost ? '' : pathBelow(context.modules[0].module, this)
    context.enter(this, path)
    try {
      if (context.trace !== undefined) this.#watch()
      let given = inputs
      for (const hook of this.#preHooks) {
        const replaced = hook(this, given)
        if (isTensorList(replaced)) given = replaced
      }
      const run = () => forward.apply(this, [...given])
      let output = this.checkpointed ? recompute(run, given) : run()
      for (const hook of this.#hooks) {
        const replaced = hook(this, given, output)
        // Who replaces a tensor by a tensor keeps the type; other results must stay as they are.
        if (replaced instanceof Tensor && output instanceof Tensor) output = replaced as Output
      }
      if (outermost) {
        context.lastModule = this.constructor.name
        eachTensor(output, (result) => context.forwarded(result))
      }
      return output
    } catch (error) {
      throw located(error, this)
    } finally {
      context.leave()
    }
  }

  /** A compiled function traces again when the mode or a field changes (rule 14). */
  #watch(): void {
    context.watch(() => this.training)
    context.watch(() => this.checkpointed)
    for (const [name, value] of this.entries())
      if (value instanceof Module || value instanceof Parameter)
        context.watch(() => this.entry(name))
  }

  /** Whether dropout drops and batch norm learns: see train() and eval(). */
  get training(): boolean {
    return this.#training && !this.staysInEval
  }
  set training(mode: boolean) {
    this.#training = mode
  }

  /** Fields that may hold parameters and modules, by name; items of lists are named `field.index`. */
  protected entries(): (readonly [name: string, value: unknown])[] {
    return Object.entries(this).flatMap(([name, value]) =>
      Array.isArray(value)
        ? value.map((item: unknown, i) => [`${name}.${i}`, item] as const)
        : [[name, value] as const],
    )
  }

  protected entry(name: string): unknown {
    return this.entries().find(([other]) => other === name)?.[1]
  }

  /** How state dicts call a field: by PyTorch's rule. A module made from a file keeps the file's names. */
  protected stateKey(field: string): string {
    return stateName(field)
  }

  // ---- the tree ----

  /** The modules directly below, by field. */
  namedChildren(): (readonly [string, AnyModule])[] {
    return this.entries().filter(
      (entry): entry is [string, AnyModule] => entry[1] instanceof Module,
    )
  }

  /** This module (path '') and all below, each once, by path: `layer1.0.conv1`. */
  namedModules(): (readonly [string, AnyModule])[] {
    const found = new Map<AnyModule, string>()
    const visit = (module: AnyModule, path: string) => {
      if (found.has(module)) return
      found.set(module, path)
      for (const [name, child] of module.namedChildren()) visit(child, join(path, name))
    }
    visit(this, '')
    return [...found].map(([module, path]) => [path, module] as const)
  }

  children(): AnyModule[] {
    return this.namedChildren().map(([, child]) => child)
  }

  modules(): AnyModule[] {
    return this.namedModules().map(([, module]) => module)
  }

  /** The path of a module below this one: '' when it is not there. */
  pathOf(module: AnyModule): string {
    let path = this.#paths.get(module)
    if (path === undefined) {
      this.#paths.clear()
      for (const [name, below] of this.namedModules()) this.#paths.set(below, name)
      path = this.#paths.get(module) ?? ''
      this.#paths.set(module, path)
    }
    return path
  }

  /**
   * The module at a path such as `layer1.0.conv1`; '' is this one.
   * @throws BurnishError naming the part of the path that is not there, and what is.
   */
  getSubmodule(path: string): AnyModule {
    let module: AnyModule = this
    if (path === '') return module
    const parts = path.split('.')
    // A list's item is one entry named `field.index`.
    for (let i = 0; i < parts.length; i++) {
      const children = new Map(module.namedChildren())
      const plain = children.get(parts[i])
      const item = children.get(`${parts[i]}.${parts[i + 1]}`)
      if (plain === undefined && item !== undefined) i++
      const found = plain ?? item
      if (found === undefined)
        throw fail(
          `${this.constructor.name}: there is no module ${path}; ${parts.slice(0, i).join('.') || 'it'} has ${[...children.keys()].join(', ') || 'none'}`,
        )
      module = found
    }
    return module
  }

  /**
   * Puts a module in the place of the one at `path`, such as a new head. Returns the one that was there.
   * @throws BurnishError when there is none at that path, or the path is this module's own.
   */
  setSubmodule(path: string, module: AnyModule): AnyModule {
    const old = this.getSubmodule(path)
    if (old === this)
      fail(`${this.constructor.name}: setSubmodule wants the path of a module below`)
    for (const parent of this.modules())
      for (const [name, child] of parent.namedChildren())
        if (child === old) parent.replaceChild(name, module)
    for (const above of this.modules()) above.#paths.clear()
    return old
  }

  /** Another module in the place of a child, by its name as `entries` gives it. */
  protected replaceChild(name: string, module: AnyModule): void {
    const [field, position] = name.split('.')
    const fields = this as unknown as { [field: string]: unknown }
    const value = fields[field]
    if (position === undefined) fields[field] = module
    else if (Array.isArray(value)) value[Number(position)] = module
  }

  /** Calls `visit` with every module below, children first, and last with this one. Returns the module. */
  apply(visit: (module: AnyModule) => void): this {
    for (const child of this.children()) child.apply(visit)
    visit(this)
    return this
  }

  // ---- parameters and state ----

  /** Trained tensors by PyTorch's name, each once, in the order of the fields. */
  namedParameters(): (readonly [string, Parameter])[] {
    return this.#named('parameter')
  }

  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter)
  }

  /** State that forward passes set, such as running statistics. */
  namedBuffers(): (readonly [string, Parameter])[] {
    return this.#named('state')
  }

  buffers(): Parameter[] {
    return this.namedBuffers().map(([, buffer]) => buffer)
  }

  #named(role: 'parameter' | 'state'): (readonly [string, Parameter])[] {
    const seen = new Set<Parameter>()
    const named = Object.entries(this.#collect()).filter(([, parameter]) => {
      if (parameter.role !== role || seen.has(parameter)) return false
      seen.add(parameter)
      return true
    })
    for (const [name, parameter] of named) parameter.name = name
    return named
  }

  /** Forgets the gradients of all parameters below. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = undefined
  }

  /** Trains all parameters below, or with `false` freezes them. Returns the module. */
  requiresGrad_(trainable = true): this {
    for (const parameter of this.parameters()) parameter.trainable = trainable
    return this
  }

  /**
   * Parameters and state by PyTorch's names (`layer1.0.conv1.weight`, `running_mean`). A parameter shared by two
   * fields appears under both names. The values are handles: read them with `data()`.
   */
  stateDict(): StateDict {
    return Object.fromEntries(
      Object.entries(this.#collect()).filter(([, parameter]) => parameter.persistent),
    )
  }

  #collect(): StateDict {
    const state: { [name: string]: Parameter } = Object.create(null)
    const visit = (module: AnyModule, path: string) => {
      for (const [name, value] of module.entries())
        if (value instanceof Parameter) state[join(path, module.stateKey(name))] = value
      for (const [name, child] of module.namedChildren())
        visit(child, join(path, module.stateKey(name)))
    }
    visit(this, '')
    return state
  }

  /**
   * Sets parameters and state from values by name. Without `strict` it takes what fits and reports the rest (PyTorch
   * refuses other shapes even then).
   * @throws BurnishError, with `strict` (the default), listing every shape or dtype that differs and every name that
   * is missing or unexpected; then nothing was set.
   */
  loadStateDict(
    values: { readonly [name: string]: Tensor | HostValues },
    options: LoadOptions = {},
  ): LoadReport {
    return load(this.constructor.name, this.stateDict(), values, options)
  }

  // ---- mode and hooks ----

  /**
   * Training mode for this module and all below but the frozen, or with `false` evaluation mode. Returns the module.
   */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Evaluation mode: dropout passes through, batch norm uses its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** The tree of modules, with the shapes of their own parameters: what printing a model shows. */
  toString(): string {
    const own = this.entries()
      .filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter)
      .map(([name, { shape }]) => `${this.stateKey(name)} ${showShape(shape)}`)
    const children = this.namedChildren().map(([name, child]) => `(${name}): ${child}`)
    const lines = [...own, ...children].join('\n').replaceAll('\n', '\n  ')
    if (children.length > 0) return `${this.constructor.name}(\n  ${lines}\n)`
    return `${this.constructor.name}(${own.join(', ')})`
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }

  /** Called with inputs and output after each forward; returns a function that removes it. */
  registerForwardHook(hook: ForwardHook): () => void {
    return registered(this.#hooks, hook)
  }

  /** Called with the inputs before each forward; returns a function that removes it. */
  registerForwardPreHook(hook: ForwardPreHook): () => void {
    return registered(this.#preHooks, hook)
  }
}

function registered<Hook>(hooks: Hook[], hook: Hook): () => void {
  hooks.push(hook)
  return () => {
    const at = hooks.indexOf(hook)
    if (at >= 0) hooks.splice(at, 1)
  }
}

const join = (path: string, name: string) =>
  path === '' ? name : name === '' ? path : `${path}.${name}`

function pathBelow(root: object, module: AnyModule): string {
  return root instanceof Module ? root.pathOf(module) : ''
}

function isTensorList(value: unknown): value is readonly Tensor[] {
  return Array.isArray(value) && value.every((item) => item instanceof Tensor)
}

/** Results may be a tensor, or a list or an object of them. */
function eachTensor(output: unknown, visit: (result: Tensor) => void): void {
  if (output instanceof Tensor) visit(output)
  else if (Array.isArray(output)) for (const item of output) eachTensor(item, visit)
  else if (typeof output === 'object' && output !== null && !(output instanceof Module))
    for (const item of Object.values(output)) if (item instanceof Tensor) visit(item)
}

/** The error with the path of the innermost module in front: `CNNModel.conv2: …`. */
function located(error: unknown, module: AnyModule): unknown {
  if (!(error instanceof BurnishError) || error.located) return error
  const root = context.modules[0]?.module
  const top = root instanceof Module ? root : module
  const where = join(top.constructor.name, top.pathOf(module))
  const message = `${where}: ${explain(error, module, top)}`
  error.stack = error.stack?.replace(error.message, message)
  error.message = message
  error.located = true
  return error
}
