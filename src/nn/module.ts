// Module: a tree of fields with parameters, and the one place every forward passes through.
//
// The constructor wraps the instance's `forward` once. The wrapper knows where in the model it is (a child's
// name is its field in the parent), labels the nodes built inside, runs hooks, adds the path to errors, and
// hands the outermost result to the next step (SEMANTICS rule 4). After torch.nn.Module, without its
// attribute magic: fields are ordinary, and are found by looking.
import type { DType, TypedArray } from '../base/dtype.js'
import { BurnishError, fail } from '../base/errors.js'
import { type Shape, sameShape, showShape } from '../base/shape.js'
import { context } from '../tensor/context.js'
import { tensor } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import { Tensor } from '../tensor/tensor.js'
import { explain } from './diagnose.js'

/** A module whatever its results are. */
export type AnyModule = Module<unknown>

export type ForwardHook = (module: AnyModule, inputs: readonly unknown[], output: unknown) => void
export type ForwardPreHook = (module: AnyModule, inputs: readonly unknown[]) => void

/** Values by name, as `stateDict()` names them. */
export type StateDict = { readonly [name: string]: Parameter }

/** Values on the host, as files give them. */
export interface HostValues {
  readonly shape: Shape
  readonly dtype: DType
  readonly data: TypedArray
}

export interface LoadReport {
  /** In the model but not in the file, and the other way round. */
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
}

/** `runningMean` → `running_mean`: how PyTorch would call a field. */
export function stateName(field: string): string {
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
  /** Whether dropout drops and batch norm learns: see train() and eval(). */
  training = true
  readonly #hooks: ForwardHook[] = []
  readonly #preHooks: ForwardPreHook[] = []
  /** Paths of the modules below this one, as last looked up. */
  readonly #paths = new Map<AnyModule, string>()

  constructor() {
    const forward = this.forward
    // Not writable: a field called forward would silently replace the wrapper.
    Object.defineProperty(this, 'forward', {
      value: (...inputs: readonly Tensor[]): Output => this.#run(forward, inputs),
    })
  }

  abstract forward(...inputs: readonly Tensor[]): Output

  #run(forward: (...inputs: readonly Tensor[]) => Output, inputs: readonly Tensor[]): Output {
    const outermost = context.depth === 0
    const path = outermost ? '' : pathBelow(context.modules[0].module, this)
    context.enter(this, path)
    try {
      if (context.trace !== undefined) this.#watch()
      for (const hook of this.#preHooks) hook(this, inputs)
      const output = forward.apply(this, [...inputs])
      for (const hook of this.#hooks) hook(this, inputs, output)
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
    for (const [name, value] of this.entries())
      if (value instanceof Module || value instanceof Parameter)
        context.watch(() => this.entry(name))
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
    const named = Object.entries(this.stateDict()).filter(([, parameter]) => {
      if (parameter.role !== role || seen.has(parameter)) return false
      seen.add(parameter)
      return true
    })
    for (const [name, parameter] of named) parameter.name = name
    return named
  }

  /**
   * Parameters and state by PyTorch's names (`layer1.0.conv1.weight`, `running_mean`). A parameter shared by two
   * fields appears under both names. The values are handles: read them with `data()`.
   */
  stateDict(): StateDict {
    const state: { [name: string]: Parameter } = Object.create(null)
    const visit = (module: AnyModule, path: string) => {
      for (const [name, value] of module.entries())
        if (value instanceof Parameter) state[join(path, stateName(name))] = value
      for (const [name, child] of module.namedChildren()) visit(child, join(path, stateName(name)))
    }
    visit(this, '')
    return state
  }

  /**
   * Sets parameters and state from values by name.
   * @throws BurnishError listing every shape that differs, and with `strict` (the default) every name that is
   * missing or unexpected; then nothing was set.
   */
  loadStateDict(
    values: { readonly [name: string]: Tensor | HostValues },
    { strict = true }: { readonly strict?: boolean } = {},
  ): LoadReport {
    const state = this.stateDict()
    const given = (name: string) => Object.hasOwn(values, name)
    // A shared parameter may be stored under either of its names.
    const reached = new Set(
      Object.keys(state)
        .filter(given)
        .map((name) => state[name]),
    )
    const missing = Object.keys(state).filter((name) => !given(name) && !reached.has(state[name]))
    const unexpected = Object.keys(values).filter((name) => state[name] === undefined)
    const problems: string[] = []
    for (const [name, parameter] of Object.entries(state)) {
      if (!given(name)) continue
      const value = values[name]
      if (!sameShape(value.shape, parameter.shape))
        problems.push(
          `${name} is ${showShape(value.shape)}, the model has ${showShape(parameter.shape)}`,
        )
      else if (value.dtype !== parameter.dtype)
        problems.push(`${name} is ${value.dtype}, the model has ${parameter.dtype}`)
    }
    if (strict && missing.length > 0) problems.push(`missing are ${missing.join(', ')}`)
    if (strict && unexpected.length > 0) problems.push(`unexpected are ${unexpected.join(', ')}`)
    if (problems.length > 0)
      fail(
        `${this.constructor.name}.loadStateDict: ${problems.join('; ')}${strict && problems.length > 0 ? '; use { strict: false } to load only what fits by name' : ''}`,
      )
    for (const [name, parameter] of Object.entries(state)) {
      if (!given(name)) continue
      const value = values[name]
      parameter.set(
        value instanceof Tensor
          ? value
          : tensor(value.data, { shape: value.shape, dtype: value.dtype }),
      )
    }
    return { missing, unexpected }
  }

  // ---- mode and hooks ----

  /** Training mode for this module and all below, or with `false` evaluation mode. Returns the module. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Evaluation mode: dropout passes through, batch norm uses its running statistics. */
  eval(): this {
    return this.train(false)
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
