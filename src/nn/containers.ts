// Containers: modules run one after the other; lists and dictionaries of modules and of parameters.
import { fail } from '../base/errors.js'
import type { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type AnyModule, Module } from './module.js'

/**
 * Runs its modules one after the other; their names are their positions, or those of one object: as PyTorch's
 * Sequential of an OrderedDict.
 */
export class Sequential extends Module {
  readonly items: Module[]
  readonly #names: readonly string[]

  constructor(...items: readonly Module[] | readonly [{ readonly [name: string]: Module }]) {
    super()
    const named =
      items.length === 1 && !(items[0] instanceof Module)
        ? Object.entries(items[0])
        : (items as readonly Module[]).map((item, i) => [`${i}`, item] as const)
    this.#names = named.map(([name]) => name)
    this.items = named.map(([, item]) => item)
    for (const name of this.#names) checkName('Sequential', name)
  }

  protected override entries(): (readonly [string, unknown])[] {
    return this.items.map((item, i) => [this.#names[i], item] as const)
  }

  protected override replaceChild(name: string, module: AnyModule): void {
    this.items[this.#names.indexOf(name)] = module as Module
  }

  forward(input: Tensor): Tensor {
    let x = input
    for (const item of this.items) x = item.forward(x)
    return x
  }

  at(position: number): Module {
    const item = this.items.at(position)
    if (item === undefined)
      throw fail(`Sequential: no module ${position} among ${this.items.length}`)
    return item
  }

  get length(): number {
    return this.items.length
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.items[Symbol.iterator]()
  }
}

/** A list of modules, named by their positions; the model that has it runs them. */
export class ModuleList<Item extends AnyModule = Module> extends Module<never> {
  readonly items: Item[]

  constructor(items: Iterable<Item> = []) {
    super()
    this.items = [...items]
  }

  protected override entries(): (readonly [string, unknown])[] {
    return this.items.map((item, i) => [`${i}`, item] as const)
  }

  protected override replaceChild(name: string, module: AnyModule): void {
    this.items[Number(name)] = module as Item
  }

  at(position: number): Item {
    const item = this.items.at(position)
    if (item === undefined)
      throw fail(`ModuleList: no module ${position} among ${this.items.length}`)
    return item
  }

  append(item: Item): this {
    this.items.push(item)
    return this
  }

  get length(): number {
    return this.items.length
  }

  [Symbol.iterator](): Iterator<Item> {
    return this.items[Symbol.iterator]()
  }

  forward(): never {
    return fail('ModuleList: a list has no forward of its own; run its modules, or use Sequential')
  }
}

/** Modules by name; the model that has it runs them. */
export class ModuleDict<Item extends AnyModule = Module> extends Module<never> {
  readonly items: Map<string, Item>

  constructor(items: { readonly [name: string]: Item } | Iterable<readonly [string, Item]> = {}) {
    super()
    this.items = new Map(Symbol.iterator in items ? items : Object.entries(items))
    for (const name of this.items.keys()) checkName('ModuleDict', name)
  }

  protected override entries(): (readonly [string, unknown])[] {
    return [...this.items]
  }

  protected override replaceChild(name: string, module: AnyModule): void {
    this.items.set(name, module as Item)
  }

  /** @throws BurnishError when there is none of this name. */
  get(name: string): Item {
    const item = this.items.get(name)
    if (item === undefined)
      throw fail(`ModuleDict: no module ${name}; there are ${[...this.items.keys()].join(', ')}`)
    return item
  }

  set(name: string, item: Item): this {
    checkName('ModuleDict', name)
    this.items.set(name, item)
    return this
  }

  has(name: string): boolean {
    return this.items.has(name)
  }

  keys(): string[] {
    return [...this.items.keys()]
  }

  get length(): number {
    return this.items.size
  }

  [Symbol.iterator](): Iterator<[string, Item]> {
    return this.items[Symbol.iterator]()
  }

  forward(): never {
    return fail('ModuleDict: it has no forward of its own; run its modules')
  }
}

/** Names are parts of paths: state dicts join them with dots. */
function checkName(where: string, name: string): void {
  if (name === '' || name.includes('.'))
    fail(`${where}: the name '${name}' must not be empty or contain a dot`)
}

/** Parameters named by their positions. */
export class ParameterList extends Module<never> {
  readonly items: Parameter[]

  constructor(items: Iterable<Parameter> = []) {
    super()
    this.items = [...items]
  }

  protected override entries(): (readonly [string, unknown])[] {
    return this.items.map((item, i) => [`${i}`, item] as const)
  }

  at(position: number): Parameter {
    const item = this.items.at(position)
    if (item === undefined)
      throw fail(`ParameterList: no parameter ${position} among ${this.items.length}`)
    return item
  }

  append(item: Parameter): this {
    this.items.push(item)
    return this
  }

  get length(): number {
    return this.items.length
  }

  [Symbol.iterator](): Iterator<Parameter> {
    return this.items[Symbol.iterator]()
  }

  forward(): never {
    return fail('ParameterList: a list has no forward of its own')
  }
}
