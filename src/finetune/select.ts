// Which parameters and modules of a model are meant: by glob over their names, by predicate, or given as modules.
//
// Names are those of `stateDict()`, dots between their parts. In a glob `*` and `?` stand within one part, `**` for any
// number of parts, `{a,b}` for one of several. A glob that names a module means everything in it.
import { fail } from '../base/errors.js'
import { type AnyModule, Module, stateName } from '../nn/module.js'
import type { Parameter } from '../tensor/parameter.js'

/** Says of each parameter whether it is meant. */
export type Predicate = (name: string, parameter: Parameter) => boolean

/**
 * A glob, a predicate, a module, or a list of them. In a list a glob that begins with `!` takes out again what those
 * before it selected: `['features', '!features.8']`.
 */
export type Selector = string | Predicate | AnyModule | readonly Selector[]

/** What a selector means in a model. */
export interface Selection {
  /** By name, in the model's order. */
  readonly parameters: ReadonlyMap<string, Parameter>
  /** The modules that were named themselves, with or without parameters. */
  readonly modules: ReadonlySet<AnyModule>
}

/** All modules below, each with its path as `stateDict()` spells it; the model itself is ''. */
export function statePaths(model: AnyModule): Map<AnyModule, string> {
  const paths = new Map<AnyModule, string>()
  const visit = (module: AnyModule, path: string) => {
    if (paths.has(module)) return
    paths.set(module, path)
    for (const [name, child] of module.namedChildren())
      visit(child, path === '' ? stateName(name) : `${path}.${stateName(name)}`)
  }
  visit(model, '')
  return paths
}

/** The parameters a module has itself, not its children. */
export function ownParameters(module: AnyModule): readonly Parameter[] {
  const below = new Set(module.children().flatMap((child) => child.parameters()))
  return module.parameters().filter((parameter) => !below.has(parameter))
}

const SPECIAL = /[.+^$()|[\]\\]/g

/** The expression a glob stands for, over whole names. */
export function globToRegExp(glob: string): RegExp {
  let source = ''
  let braces = 0
  for (let i = 0; i < glob.length; i++) {
    const character = glob[i]
    if (character === '*' && glob[i + 1] === '*') {
      source += '.*'
      i++
    } else if (character === '*') source += '[^.]*'
    else if (character === '?') source += '[^.]'
    else if (character === '{') {
      source += '(?:'
      braces++
    } else if (character === '}' && braces > 0) {
      source += ')'
      braces--
    } else if (character === ',' && braces > 0) source += '|'
    else source += character.replace(SPECIAL, '\\$&')
  }
  if (braces > 0) fail(`the glob ${glob} has a { without }`)
  return new RegExp(`^(?:${source})$`)
}

/** Whether a glob means this name: itself, or a module it lies in. */
export function matches(glob: RegExp, name: string): boolean {
  for (let end = name.length; end > 0; end = name.lastIndexOf('.', end - 1))
    if (glob.test(name.slice(0, end))) return true
  return false
}

/**
 * The parameters and modules a selector means.
 * @throws BurnishError when a glob means nothing, naming what there is; or a module is not one of the model's.
 */
export function select(model: AnyModule, selector: Selector, where = 'select'): Selection {
  const all = new Map(model.namedParameters())
  const paths = statePaths(model)
  const parameters = new Set<string>()
  const modules = new Set<AnyModule>()
  const each = (part: Selector): void => {
    if (typeof part === 'string') byGlob(part)
    else if (typeof part === 'function') {
      for (const [name, parameter] of all) if (part(name, parameter)) parameters.add(name)
    } else if (part instanceof Module) {
      if (!paths.has(part))
        fail(
          `${where}: a ${part.constructor.name} that is given is no module of this ${model.constructor.name}`,
        )
      modules.add(part)
      const own = new Set(part.parameters())
      for (const [name, parameter] of all) if (own.has(parameter)) parameters.add(name)
    } else for (const item of part as readonly Selector[]) each(item)
  }
  const byGlob = (given: string): void => {
    const out = given.startsWith('!')
    const glob = globToRegExp(out ? given.slice(1) : given)
    let found = false
    for (const name of all.keys()) {
      if (!matches(glob, name)) continue
      found = true
      if (out) parameters.delete(name)
      else parameters.add(name)
    }
    for (const [module, path] of paths) {
      if (path === '') continue
      if (out && matches(glob, path)) modules.delete(module)
      else if (!out && glob.test(path)) modules.add(module)
      else continue
      found = true
    }
    if (!found)
      fail(
        `${where}: ${given} means no parameter and no module of ${model.constructor.name}; it has ${tops(model)}`,
      )
  }
  each(selector)
  return {
    parameters: new Map([...all].filter(([name]) => parameters.has(name))),
    modules,
  }
}

const MOST_SHOWN = 12

/** The names at the top of a model, as errors list them. */
function tops(model: AnyModule): string {
  const names = model.namedChildren().map(([name]) => stateName(name))
  const own = model
    .namedParameters()
    .map(([name]) => name)
    .filter((name) => !name.includes('.'))
  const shown = [...own, ...names]
  const rest = shown.length - MOST_SHOWN
  return `${shown.slice(0, MOST_SHOWN).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}
