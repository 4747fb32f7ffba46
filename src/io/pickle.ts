// Reading pickles without running them. A pickle is a program for a small stack machine, one of whose instructions calls
// any function of Python; here a file may name only what the caller lists, and what is listed is a function of ours. After
// Python's pickle.py and torch/_weights_only_unpickler.py. Opcodes of protocol 2, and those of 4 that mean the same;
// leaves out text protocols, persistent ids as text, extension codes, buffers and instances of classes.
//
// The machine is a loop without recursion, its steps are bounded by the file's length, and what it made is bounded at the
// end: no cycles, not too deep, and not too many elements once shared parts are counted where they are used.
import { BurnishError, fail } from '../base/errors.js'
import { checkSize, extentOf, isPlain, shownValue } from './pickle-size.js'

export { shownValue } from './pickle-size.js'

/** What a function of ours may make of a call; and the functions themselves, while they lie on the stack. */
export abstract class PickleObject {
  /** Tells them from other objects, to the compiler too. */
  protected readonly ofPickle = true
}

/** A value of a pickle: dicts are Maps, lists and tuples arrays, integers beyond 2^53 bigint. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleObject
  | readonly PickleValue[]
  | ReadonlyMap<PickleValue, PickleValue>
  | ReadonlySet<PickleValue>

/** A name that a pickle may use. */
export class PickleGlobal extends PickleObject {
  readonly name: string
  /** What calling it gives; undefined: it is not called. */
  readonly call: ((args: readonly PickleValue[]) => PickleValue) | undefined
  /** What setting the state of something it made does; undefined: that is refused. */
  readonly build: ((made: PickleValue, state: PickleValue) => void) | undefined

  constructor(
    name: string,
    call?: (args: readonly PickleValue[]) => PickleValue,
    build?: (made: PickleValue, state: PickleValue) => void,
  ) {
    super()
    this.name = name
    this.call = call
    this.build = build
  }
}

/** What a pickle may use from outside. */
export interface PickleWorld {
  /** By `module.name`; a string stands for itself, as `torch.float32`. */
  readonly globals: ReadonlyMap<string, PickleGlobal | string>
  /** Refuses a name that is not listed. */
  refuse(name: string): never
  /** What a persistent id means: PyTorch's storages. */
  persistent?(id: PickleValue): PickleValue
}

/** The bytes end before the pickle does: more of them may help. */
export class PickleEnd extends BurnishError {}

/** Elements and characters that calls are given, beyond as many as the file has bytes. */
const MOST_GIVEN = 1_000_000
const NEWEST_PROTOCOL = 5

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Begins a group of values on the stack. */
class Mark extends PickleObject {}

/**
 * The value of the pickle that begins at `start`, and where it ends.
 * @throws BurnishError naming `where`, the rule and the place; PickleEnd where the bytes end too soon.
 */
export function unpickle(
  bytes: Uint8Array,
  world: PickleWorld,
  where: string,
  start = 0,
): { readonly value: PickleValue; readonly end: number } {
  const machine = new Machine(bytes, world, where, start)
  const value = machine.run()
  checkSize(value, where)
  return { value, end: machine.at }
}

class Machine {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #world: PickleWorld
  readonly #where: string
  readonly #stack: PickleValue[] = []
  readonly #memo = new Map<number, PickleValue>()
  readonly #mark = new Mark()
  /** Which global made an object, for BUILD. */
  readonly #makers = new Map<PickleValue, PickleGlobal>()
  at: number
  /** Elements and characters that calls were given. */
  #spent = 0

  constructor(bytes: Uint8Array, world: PickleWorld, where: string, start: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#world = world
    this.#where = where
    this.at = start
  }

  wrong(what: string): never {
    return fail(`${this.#where}: ${what}, at byte ${this.at} of its pickle`)
  }

  /** Where the next `length` bytes begin. */
  take(length: number): number {
    const begin = this.at
    if (begin + length > this.#bytes.length)
      throw new PickleEnd(
        `${this.#where}: its pickle ends at byte ${this.#bytes.length}, inside a value of ${length} bytes: it is truncated`,
      )
    this.at = begin + length
    return begin
  }

  byte(): number {
    return this.#bytes[this.take(1)]
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true)
  }

  /** A length of 8 bytes. */
  u64(): number {
    const length = Number(this.#view.getBigUint64(this.take(8), true))
    return Number.isSafeInteger(length) ? length : this.wrong(`a length of ${length} bytes`)
  }

  float(): number {
    return this.#view.getFloat64(this.take(8))
  }

  raw(length: number): Uint8Array {
    const begin = this.take(length)
    return this.#bytes.subarray(begin, this.at)
  }

  text(length: number): string {
    const raw = this.raw(length)
    try {
      return utf8.decode(raw)
    } catch {
      return this.wrong('a text that is not UTF-8')
    }
  }

  /** A text of Python 2, which did not tell texts from bytes. */
  oldText(length: number): string | Uint8Array {
    const raw = this.raw(length)
    try {
      return utf8.decode(raw)
    } catch {
      return raw.slice()
    }
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at)
    if (end < 0) this.take(this.#bytes.length + 1)
    const text = this.text(end - this.at)
    this.at++
    return text
  }

  /** An integer in two's complement, of up to 255 bytes. */
  long(length: number): number | bigint {
    const raw = this.raw(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i])
    value = BigInt.asIntN(8 * length, value)
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }

  pop(): PickleValue {
    const value = this.#stack.pop()
    if (value === undefined || value === this.#mark) this.wrong('a value is missing')
    return value
  }

  top(): PickleValue {
    const value = this.#stack.at(-1)
    if (value === undefined || value === this.#mark) this.wrong('a value is missing')
    return value
  }

  /** The values since the last mark. */
  group(): PickleValue[] {
    const at = this.#stack.lastIndexOf(this.#mark)
    if (at < 0) this.wrong('the beginning of a group is missing')
    const values = this.#stack.splice(at)
    return values.slice(1)
  }

  tuple(count: number): readonly PickleValue[] {
    const items: PickleValue[] = []
    for (let i = 0; i < count; i++) items.unshift(this.pop())
    return Object.freeze(items)
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top())
  }

  recall(index: number): PickleValue {
    const value = this.#memo.get(index)
    return value === undefined ? this.wrong(`value ${index} is used before it is there`) : value
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top()
    if (!Array.isArray(list) || Object.isFrozen(list))
      this.wrong('items are added to what is no list')
    for (const item of items) list.push(item)
  }

  put(pairs: readonly PickleValue[]): void {
    const dict = this.top()
    if (!(dict instanceof Map)) this.wrong('an item is set in what is no dict')
    if (pairs.length % 2 !== 0) this.wrong('a key has no value')
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i]
      if (dict.has(key))
        this.wrong(
          isPlain(key)
            ? `the key ${JSON.stringify(shownValue(key))} is there twice`
            : 'a key is there twice',
        )
      dict.set(key, pairs[i + 1])
    }
  }

  add(items: readonly PickleValue[]): void {
    const set = this.top()
    if (!(set instanceof Set)) this.wrong('items are added to what is no set')
    for (const item of items) set.add(item)
  }

  global(module: PickleValue, name: PickleValue): PickleGlobal | string {
    if (typeof module !== 'string' || typeof name !== 'string') this.wrong('a name is no text')
    const whole = `${module}.${name}`
    return this.#world.globals.get(whole) ?? this.#world.refuse(whole)
  }

  stackGlobal(): PickleGlobal | string {
    const name = this.pop()
    return this.global(this.pop(), name)
  }

  /** Calls copy what they are given, which costs a file few bytes where it gives the same again. */
  #spend(args: readonly PickleValue[]): void {
    for (const value of args) this.#spent += extentOf(value)
    if (this.#spent > MOST_GIVEN + this.#bytes.length)
      this.wrong(`its calls take ${this.#spent} values, more than the file holds, as a bomb does`)
  }

  call(): PickleValue {
    const args = this.pop()
    const called = this.pop()
    if (!(called instanceof PickleGlobal) || called.call === undefined)
      this.wrong(
        called instanceof PickleGlobal
          ? `${called.name} is called`
          : 'a value is called, not a function',
      )
    if (!Array.isArray(args)) this.wrong(`${called.name} is called without a list of arguments`)
    this.#spend(args)
    const made = called.call(args)
    if (typeof made === 'object' && made !== null) this.#makers.set(made, called)
    return made
  }

  build(): void {
    const state = this.pop()
    const made = this.top()
    const maker = this.#makers.get(made)
    if (maker?.build === undefined)
      this.wrong(`a state is set on ${maker === undefined ? 'a plain value' : maker.name}`)
    this.#spend([state])
    maker.build(made, state)
  }

  persistent(): PickleValue {
    const id = this.pop()
    return this.#world.persistent?.(id) ?? this.wrong('there are no values outside of this pickle')
  }

  run(): PickleValue {
    for (;;) {
      const code = this.byte()
      if (code === STOP) break
      const value = values.get(code)
      const action = actions.get(code)
      if (value !== undefined) this.#stack.push(value(this))
      else if (action !== undefined) action(this)
      else this.wrong(`the instruction 0x${code.toString(16)} is none that checkpoints need`)
    }
    const value = this.pop()
    if (this.#stack.length > 0) this.wrong(`${this.#stack.length} values are left over`)
    return value
  }

  mark(): void {
    this.#stack.push(this.#mark)
  }

  protocol(): void {
    const protocol = this.byte()
    if (protocol > NEWEST_PROTOCOL)
      this.wrong(`it is of protocol ${protocol}, ${NEWEST_PROTOCOL} is the newest read`)
  }
}

const STOP = 0x2e

/** Instructions that push a value. */
const values: ReadonlyMap<number, (machine: Machine) => PickleValue> = new Map([
  // NONE, NEWTRUE, NEWFALSE, BININT, BININT1, BININT2, LONG1, BINFLOAT.
  entry(0x4e, () => null),
  entry(0x88, () => true),
  entry(0x89, () => false),
  entry(0x4a, (machine) => machine.u32() | 0),
  entry(0x4b, (machine) => machine.byte()),
  entry(0x4d, (machine) => machine.byte() + 256 * machine.byte()),
  entry(0x8a, (machine) => machine.long(machine.byte())),
  entry(0x47, (machine) => machine.float()),
  // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING, BINBYTES, SHORT_BINBYTES, BINBYTES8.
  entry(0x58, (machine) => machine.text(machine.u32())),
  entry(0x8c, (machine) => machine.text(machine.byte())),
  entry(0x8d, (machine) => machine.text(machine.u64())),
  entry(0x55, (machine) => machine.oldText(machine.byte())),
  entry(0x54, (machine) => machine.oldText(machine.u32())),
  entry(0x42, (machine) => machine.raw(machine.u32()).slice()),
  entry(0x43, (machine) => machine.raw(machine.byte()).slice()),
  entry(0x8e, (machine) => machine.raw(machine.u64()).slice()),
  // EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3, EMPTY_LIST, EMPTY_DICT, EMPTY_SET.
  entry(0x29, (machine) => machine.tuple(0)),
  entry(0x74, (machine) => Object.freeze(machine.group())),
  entry(0x85, (machine) => machine.tuple(1)),
  entry(0x86, (machine) => machine.tuple(2)),
  entry(0x87, (machine) => machine.tuple(3)),
  entry(0x5d, () => []),
  entry(0x7d, () => new Map()),
  entry(0x8f, () => new Set()),
  // BINGET, LONG_BINGET, GLOBAL, STACK_GLOBAL, REDUCE, NEWOBJ, BINPERSID.
  entry(0x68, (machine) => machine.recall(machine.byte())),
  entry(0x6a, (machine) => machine.recall(machine.u32())),
  entry(0x63, (machine) => machine.global(machine.line(), machine.line())),
  entry(0x93, (machine) => machine.stackGlobal()),
  entry(0x52, (machine) => machine.call()),
  entry(0x81, (machine) => machine.call()),
  entry(0x51, (machine) => machine.persistent()),
])

/** The others. */
const actions: ReadonlyMap<number, (machine: Machine) => void> = new Map([
  // PROTO, FRAME, MARK.
  [0x80, (machine: Machine) => machine.protocol()],
  [0x95, (machine: Machine) => machine.take(8)],
  [0x28, (machine: Machine) => machine.mark()],
  // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS, BUILD.
  [0x61, (machine: Machine) => machine.append([machine.pop()])],
  [0x65, (machine: Machine) => machine.append(machine.group())],
  [0x73, (machine: Machine) => machine.put(machine.tuple(2))],
  [0x75, (machine: Machine) => machine.put(machine.group())],
  [0x90, (machine: Machine) => machine.add(machine.group())],
  [0x62, (machine: Machine) => machine.build()],
  // BINPUT, LONG_BINPUT, MEMOIZE.
  [0x71, (machine: Machine) => machine.remember(machine.byte())],
  [0x72, (machine: Machine) => machine.remember(machine.u32())],
  [0x94, (machine: Machine) => machine.remember()],
])

function entry(
  code: number,
  step: (machine: Machine) => PickleValue,
): readonly [number, (machine: Machine) => PickleValue] {
  return [code, step]
}
