// Finding the state dict in what a checkpoint holds: people save it by itself, or beside an epoch and an optimizer, under
// one of a few usual names.
import { fail } from '../base/errors.js'
import { PytorchTensor, type PytorchValue } from './pytorch.js'

/** How a state dict is found in a checkpoint, and how its names are taken. */
export interface StateDictOptions {
  /** Where it is: the keys on the way, joined by dots, as `generator` or `models.student`. */
  readonly key?: string
  /** A prefix that is taken off every name that has it: `module.` of DataParallel, `_orig_mod.` of torch.compile. */
  readonly strip?: string
}

/** The usual names, the first that is there counts. */
const USUAL = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'weights',
  'params',
]
const DEEPEST = 3

type Dict = ReadonlyMap<PytorchValue, PytorchValue>

const isDict = (value: PytorchValue | undefined): value is Dict => value instanceof Map
const tensorCount = (dict: Dict) =>
  [...dict.values()].filter((value) => value instanceof PytorchTensor).length
/** Mostly tensors: modules may put an `_extra_state` between them. */
const isState = (dict: Dict) => dict.size > 0 && 2 * tensorCount(dict) > dict.size

/**
 * The tensors of a state dict by name, found in a checkpoint's value: the value itself, or what is under `state_dict`,
 * `model_state_dict`, `model`, … (up to three levels), or the only dict of tensors there is, or the one at `key`. Other
 * values between the tensors are left out.
 * @throws BurnishError when there is none, or several and none with a usual name: then it lists them.
 */
export function stateDictOf(
  value: PytorchValue,
  options: StateDictOptions = {},
  where = 'stateDictOf',
): ReadonlyMap<string, PytorchTensor> {
  const { key, strip = '' } = options
  const dict = key === undefined ? search(value, where) : at(value, key, where)
  const tensors = new Map<string, PytorchTensor>()
  for (const [name, item] of dict) {
    if (!(item instanceof PytorchTensor)) continue
    const whole = String(name)
    const short = whole.startsWith(strip) ? whole.slice(strip.length) : whole
    if (tensors.has(short))
      fail(`${where}: without ${JSON.stringify(strip)} two tensors are called ${short}`)
    tensors.set(short, item)
  }
  return tensors
}

/**
 * What a checkpoint holds at keys, one below the other: `valueAt(checkpoint, 'optimizer', 'param_groups', 0, 'lr')`.
 * Undefined where there is nothing.
 */
export function valueAt(
  value: PytorchValue,
  ...keys: readonly (string | number)[]
): PytorchValue | undefined {
  let part: PytorchValue | undefined = value
  for (const key of keys) {
    if (part instanceof Map) part = part.get(key)
    else if (Array.isArray(part) && typeof key === 'number') part = part[key]
    else return undefined
  }
  return part
}

function at(value: PytorchValue, key: string, where: string): Dict {
  let part: PytorchValue | undefined = value
  let rest = key
  while (isDict(part) && rest !== '') {
    // Keys may have dots in them: the longest that is there.
    const keys: string[] = [...part.keys()].map(String)
    const found = keys
      .filter((name) => rest === name || rest.startsWith(`${name}.`))
      .sort((a, b) => b.length - a.length)[0]
    if (found === undefined)
      throw fail(`${where}: there is no ${key}; there are ${keys.slice(0, 20).join(', ')}`)
    const dict: Dict = part
    part = [...dict].find(([name]) => String(name) === found)?.[1]
    rest = rest.slice(found.length + 1)
  }
  return isDict(part) && tensorCount(part) > 0
    ? part
    : fail(`${where}: what is at ${key} is no dict of tensors`)
}

function search(value: PytorchValue, where: string): Dict {
  if (!isDict(value))
    throw fail(
      `${where}: holds ${described(value)}, not a state dict; in Python, torch.save(model.state_dict(), path)`,
    )
  if (isState(value)) return value
  let part: Dict = value
  for (let depth = 0; depth < DEEPEST; depth++) {
    const dict = part
    const usual = USUAL.map((name) => dict.get(name)).find(isDict)
    if (usual === undefined) break
    if (isState(usual)) return usual
    part = usual
  }
  const all = dictsIn(value)
  if (all.length === 1) return all[0][1]
  if (all.length > 1)
    fail(
      `${where}: holds several dicts of tensors: ${all.map(([path]) => path).join(', ')}; choose one with { key: '${all[0][0]}' }`,
    )
  if (tensorCount(value) > 0) return value
  return fail(
    `${where}: holds no dict of tensors; its keys are ${[...value.keys()].map(String).slice(0, 20).join(', ') || 'none'}`,
  )
}

/** The dicts of tensors inside, by their paths; not those of an optimizer, whose keys are numbers. */
function dictsIn(value: Dict): (readonly [string, Dict])[] {
  const found: (readonly [string, Dict])[] = []
  const visit = (dict: Dict, path: string, depth: number) => {
    for (const [name, item] of dict) {
      if (!isDict(item) || typeof name !== 'string') continue
      const here = path === '' ? name : `${path}.${name}`
      if (isState(item)) found.push([here, item])
      else if (depth < DEEPEST) visit(item, here, depth + 1)
    }
  }
  visit(value, '', 0)
  return found
}

function described(value: PytorchValue): string {
  if (value instanceof PytorchTensor) return 'one tensor'
  if (Array.isArray(value)) return `a list of ${value.length}`
  return value === null ? 'None' : `a ${typeof value}`
}
