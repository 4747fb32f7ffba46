// The WebAssembly binary format, as far as kernels need it: LEB128, opcodes, function bodies, sections.
// After the core specification 2.0 with SIMD, relaxed SIMD and threads.
import { invariant } from '../../base/errors.js'

export type ValueType = 0x7f | 0x7d | 0x7c | 0x7b
export const I32: ValueType = 0x7f
export const F32: ValueType = 0x7d
export const F64: ValueType = 0x7c
export const V128: ValueType = 0x7b

/** Plain opcodes. */
export const op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Load: 0x28,
  f32Load: 0x2a,
  i32Load8U: 0x2d,
  i32Load16U: 0x2f,
  i32Store: 0x36,
  f32Store: 0x38,
  f64Store: 0x39,
  i32Store8: 0x3a,
  i32Store16: 0x3b,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtS: 0x4a,
  i32GtU: 0x4b,
  i32LeS: 0x4c,
  i32GeS: 0x4e,
  f32Eq: 0x5b,
  f32Ne: 0x5c,
  f32Lt: 0x5d,
  f32Le: 0x5f,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32DivS: 0x6d,
  i32DivU: 0x6e,
  i32RemS: 0x6f,
  i32RemU: 0x70,
  i32And: 0x71,
  i32Or: 0x72,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrS: 0x75,
  i32ShrU: 0x76,
  i64Mul: 0x7e,
  i64DivU: 0x80,
  f32Abs: 0x8b,
  f32Neg: 0x8c,
  f32Ceil: 0x8d,
  f32Floor: 0x8e,
  f32Trunc: 0x8f,
  f32Nearest: 0x90,
  f32Sqrt: 0x91,
  f32Add: 0x92,
  f32Sub: 0x93,
  f32Mul: 0x94,
  f32Div: 0x95,
  f32Min: 0x96,
  f32Max: 0x97,
  i32WrapI64: 0xa7,
  i64ExtendI32U: 0xad,
  f32ConvertI32S: 0xb2,
  i32ReinterpretF32: 0xbc,
  f32ReinterpretI32: 0xbe,
} as const

/** Opcodes behind the SIMD prefix. */
export const simd = {
  load: 0,
  load8Splat: 7,
  load32Splat: 9,
  store: 11,
  const: 12,
  shuffle: 13,
  i32Splat: 17,
  f32Splat: 19,
  i32Extract: 27,
  i32Replace: 28,
  f32Extract: 31,
  i32Eq: 55,
  i32Ne: 56,
  i32Lt: 57,
  i32Le: 61,
  f32Eq: 65,
  f32Ne: 66,
  f32Lt: 67,
  f32Le: 69,
  not: 77,
  and: 78,
  or: 80,
  xor: 81,
  bitselect: 82,
  load8Lane: 84,
  load16Lane: 85,
  load32Lane: 86,
  store8Lane: 88,
  store16Lane: 89,
  store32Lane: 90,
  store64Lane: 91,
  load32Zero: 92,
  load64Zero: 93,
  f32Ceil: 103,
  f32Floor: 104,
  f32Trunc: 105,
  f32Nearest: 106,
  i16ExtendLowU: 137,
  i32Abs: 160,
  i32Neg: 161,
  i32ExtendLowU: 169,
  i32Shl: 171,
  i32ShrS: 172,
  i32ShrU: 173,
  i32Add: 174,
  i32Sub: 177,
  i32Mul: 181,
  i32Min: 182,
  i32Max: 184,
  f32Abs: 224,
  f32Neg: 225,
  f32Sqrt: 227,
  f32Add: 228,
  f32Sub: 229,
  f32Mul: 230,
  f32Div: 231,
  f32Min: 232,
  f32Max: 233,
  f32PMin: 234,
  f32PMax: 235,
  i32TruncSat: 248,
  f32Convert: 250,
  relaxedMadd: 0x105,
} as const

/** Opcodes behind the threads prefix. */
export const atomic = {
  notify: 0x00,
  wait32: 0x01,
  i32Load: 0x10,
  i32Store: 0x17,
  i32Add: 0x1e,
  i32CompareExchange: 0x48,
} as const

export function unsigned(out: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    out.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  out.push(rest)
}

export function signed(out: number[], value: number): void {
  let rest = value
  for (;;) {
    const low = rest & 127
    rest = Math.floor((rest - low) / 128)
    if ((rest === 0 && low < 64) || (rest === -1 && low >= 64)) {
      out.push(low)
      return
    }
    out.push(low | 128)
  }
}

const scratch = new DataView(new ArrayBuffer(8))

/** One function's code and locals; indices of locals follow the parameters. */
export class FunctionBuilder {
  readonly parameters: readonly ValueType[]
  readonly code: number[] = []
  private readonly locals: ValueType[] = []

  constructor(parameters: readonly ValueType[]) {
    this.parameters = parameters
  }

  local(type: ValueType): number {
    this.locals.push(type)
    return this.parameters.length + this.locals.length - 1
  }

  op(...opcodes: readonly number[]): this {
    for (const code of opcodes) this.code.push(code)
    return this
  }

  get(local: number): this {
    this.code.push(op.localGet)
    unsigned(this.code, local)
    return this
  }

  set(local: number): this {
    this.code.push(op.localSet)
    unsigned(this.code, local)
    return this
  }

  tee(local: number): this {
    this.code.push(op.localTee)
    unsigned(this.code, local)
    return this
  }

  i32(value: number): this {
    this.code.push(op.i32Const)
    signed(this.code, value | 0)
    return this
  }

  i64(value: number): this {
    this.code.push(op.i64Const)
    signed(this.code, value)
    return this
  }

  f32(value: number): this {
    scratch.setFloat32(0, value, true)
    this.code.push(op.f32Const)
    for (let i = 0; i < 4; i++) this.code.push(scratch.getUint8(i))
    return this
  }

  simd(opcode: number): this {
    this.code.push(0xfd)
    unsigned(this.code, opcode)
    return this
  }

  /** A vector constant of four 32-bit words. */
  words(values: readonly number[]): this {
    this.simd(simd.const)
    for (const value of values) {
      scratch.setInt32(0, value | 0, true)
      for (let i = 0; i < 4; i++) this.code.push(scratch.getUint8(i))
    }
    return this
  }

  atomic(opcode: number, offset = 0): this {
    this.code.push(0xfe, opcode)
    return this.memory(2, offset)
  }

  /** The memory argument of a load or store: log2 of the alignment, and the constant offset. */
  memory(alignment: number, offset: number): this {
    invariant(offset >= 0, () => `a memory access at the constant offset ${offset}`)
    unsigned(this.code, alignment)
    unsigned(this.code, offset)
    return this
  }

  call(index: number): this {
    this.code.push(op.call)
    unsigned(this.code, index)
    return this
  }

  branch(opcode: number, depth: number): this {
    this.code.push(opcode)
    unsigned(this.code, depth)
    return this
  }

  /** The body with its size, as the code section holds it. */
  finish(): Uint8Array {
    const body: number[] = []
    const runs: [number, ValueType][] = []
    for (const type of this.locals) {
      const last = runs.at(-1)
      if (last !== undefined && last[1] === type) last[0]++
      else runs.push([1, type])
    }
    unsigned(body, runs.length)
    for (const [count, type] of runs) {
      unsigned(body, count)
      body.push(type)
    }
    const size: number[] = []
    unsigned(size, body.length + this.code.length + 1)
    return Uint8Array.from(size.concat(body, this.code, [op.end]))
  }
}

export interface ModuleParts {
  readonly imports: readonly {
    readonly name: string
    readonly type: number
  }[]
  readonly memory: { readonly shared: boolean }
  readonly types: readonly {
    readonly parameters: readonly ValueType[]
    readonly results: readonly ValueType[]
  }[]
  readonly functions: readonly { readonly type: number; readonly body: Uint8Array }[]
  /** First values of the mutable i32 globals of each instance. */
  readonly globals?: readonly number[]
  readonly exports: readonly { readonly name: string; readonly index: number }[]
}

const MAXIMUM_PAGES = 65536

function text(out: number[], value: string): void {
  const bytes = new TextEncoder().encode(value)
  unsigned(out, bytes.length)
  for (const byte of bytes) out.push(byte)
}

/** The whole module; imported functions and the memory come from the import module `env`. */
export function moduleBytes(parts: ModuleParts): Uint8Array<ArrayBuffer> {
  const sections: (number[] | Uint8Array)[] = []
  const section = (id: number, count: number, fill: (out: number[]) => void) => {
    const content: number[] = []
    unsigned(content, count)
    fill(content)
    const head = [id]
    unsigned(head, content.length)
    sections.push(head, content)
  }
  section(1, parts.types.length, (out) => {
    for (const { parameters, results } of parts.types) {
      out.push(0x60)
      unsigned(out, parameters.length)
      for (const type of parameters) out.push(type)
      unsigned(out, results.length)
      for (const type of results) out.push(type)
    }
  })
  section(2, parts.imports.length + 1, (out) => {
    text(out, 'env')
    text(out, 'memory')
    out.push(0x02, parts.memory.shared ? 0x03 : 0x00, 1)
    if (parts.memory.shared) unsigned(out, MAXIMUM_PAGES)
    for (const { name, type } of parts.imports) {
      text(out, 'env')
      text(out, name)
      out.push(0x00)
      unsigned(out, type)
    }
  })
  section(3, parts.functions.length, (out) => {
    for (const { type } of parts.functions) unsigned(out, type)
  })
  const globals = parts.globals ?? []
  if (globals.length > 0)
    section(6, globals.length, (out) => {
      for (const value of globals) {
        out.push(I32, 1, op.i32Const)
        signed(out, value)
        out.push(op.end)
      }
    })
  section(7, parts.exports.length, (out) => {
    for (const { name, index } of parts.exports) {
      text(out, name)
      out.push(0x00)
      unsigned(out, index)
    }
  })
  const count: number[] = []
  unsigned(count, parts.functions.length)
  const head = [10]
  unsigned(
    head,
    parts.functions.reduce((sum, { body }) => sum + body.length, count.length),
  )
  sections.push(head, count, ...parts.functions.map(({ body }) => body))
  const size = 8 + sections.reduce((sum, s) => sum + s.length, 0)
  const bytes = new Uint8Array(size)
  bytes.set([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00])
  let at = 8
  for (const part of sections) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
