// Containers: modules run one after the other, and lists of modules.
import { fail } from '../base/errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { type AnyModule, Module } from './module.js'

/** Runs its modules one after the other; their names are their positions. */
export class Sequential extends Module {
  readonly items: readonly Module[]

  constructor(...items: readonly Module[]) {
    super()
    this.items = items
  }

  protected override entries(): (readonly [string, unknown])[] {
    return this.items.map((item, i) => [`${i}`, item] as const)
  }

  forward(input: Tensor): Tensor {
    let x = input
    for (const item of this.items) x = item.forward(x)
    return x
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
