// Prints a Program as readable JavaScript over typed arrays, for debugging and to check the other printers.
// Vectors are unrolled: the lane j of local 3 is `v3_j`. Every float operation is rounded to float32, so
// results have the bits of WebAssembly without relaxed multiply-add. Slow, and on one thread.
import { itemSize, typedView } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import type {
  Affine,
  Bound,
  Expr,
  Inside,
  Kernel,
  KernelBuffer,
  KernelFn,
  Local,
  Statement,
  Type,
} from '../compiler/kernel.js'
import type { Program, Region, Target } from '../compiler/program.js'
import { distance, ending } from './repeats.js'

export interface JsCode {
  /** One function a kernel: (begin, end, buffers, report). */
  readonly kernels: readonly string[]
}

const HELPERS = `const { fround, imul } = Math
const word = new DataView(new ArrayBuffer(4))
const bitsToF32 = (x) => (word.setInt32(0, x), word.getFloat32(0))
const bitsToI32 = (x) => (word.setFloat32(0, x), word.getInt32(0))
const nearest = (x) => { const r = Math.round(x); return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r }
const toI32 = (x) => (x !== x ? 0 : x >= 2147483647 ? 2147483647 : x <= -2147483648 ? -2147483648 : Math.trunc(x))
const floorDivide = (x, d) => Math.floor(x / d)
`

const affineText = (affine: Affine): string => {
  const parts = affine.terms.map(([v, c]) => (c === 1 ? nameOf(v) : `${c} * ${nameOf(v)}`))
  if (affine.offset !== 0 || parts.length === 0) parts.push(String(affine.offset))
  return parts.join(' + ').replaceAll('+ -', '- ')
}

const nameOf = (v: { readonly id: number; readonly name: string }): string =>
  `${v.name.replace(/\W/g, '_')}_${v.id}`

const laneName = (local: Local, lane: number): string =>
  local.lanes === 1 ? `v${local.id}` : `v${local.id}_${lane}`

function boundText(bound: Bound, side: 'from' | 'to'): string {
  const parts = bound.map(({ affine, divide }) =>
    divide === 1 ? affineText(affine) : `floorDivide(${affineText(affine)}, ${divide})`,
  )
  return parts.length === 1
    ? parts[0]
    : `Math.${side === 'from' ? 'max' : 'min'}(${parts.join(', ')})`
}

type Rule = (type: Type, ...args: string[]) => string
const rounded = (type: Type, text: string): string =>
  type === 'f32' ? `fround(${text})` : `(${text} | 0)`
const compare =
  (sign: string): Rule =>
  (_, a, b) =>
    `(${a} ${sign} ${b} ? 1 : 0)`
const bits =
  (sign: string): Rule =>
  (_, a, b) =>
    `(${a} ${sign} ${b})`

const rules: { readonly [F in KernelFn]: Rule } = {
  add: (type, a, b) => rounded(type, `${a} + ${b}`),
  sub: (type, a, b) => rounded(type, `${a} - ${b}`),
  mul: (type, a, b) => (type === 'f32' ? `fround(${a} * ${b})` : `imul(${a}, ${b})`),
  div: (type, a, b) => rounded(type, `${a} / ${b}`),
  neg: (type, a) => (type === 'f32' ? `(-${a})` : `(-${a} | 0)`),
  abs: (type, a) => rounded(type, `Math.abs(${a})`),
  max: (type, a, b) => rounded(type, `Math.max(${a}, ${b})`),
  min: (type, a, b) => rounded(type, `Math.min(${a}, ${b})`),
  fma: (_, a, b, c) => `fround(fround(${a} * ${b}) + ${c})`,
  sqrt: (_, a) => `fround(Math.sqrt(${a}))`,
  floor: (_, a) => `Math.floor(${a})`,
  ceil: (_, a) => `Math.ceil(${a})`,
  nearest: (_, a) => `nearest(${a})`,
  trunc: (_, a) => `Math.trunc(${a})`,
  rem: (_, a, b) => `(${a} % ${b} | 0)`,
  lt: compare('<'),
  le: compare('<='),
  eq: compare('==='),
  ne: compare('!=='),
  and: bits('&'),
  or: bits('|'),
  xor: bits('^'),
  not: (_, a) => `(${a} ^ 1)`,
  shl: bits('<<'),
  shr: (_, a, b) => `(${a} >>> ${b} | 0)`,
  sar: bits('>>'),
  select: (_, a, b, c) => `(${a} ? ${b} : ${c})`,
  toF32: (_, a) => `fround(${a})`,
  toI32: (type, a) => (type === 'f32' ? `toI32(${a})` : a),
  bitsToF32: (_, a) => `bitsToF32(${a})`,
  bitsToI32: (_, a) => `bitsToI32(${a})`,
}

/** The value of one lane of an expression; scalars are the same in every lane. */
function laneText(kernel: Kernel, expr: Expr, lane: number): string {
  const of = (part: Expr, at = lane) => laneText(kernel, part, at)
  switch (expr.op) {
    case 'number':
      if (expr.type === 'bool') return expr.value === 0 ? '0' : '1'
      if (expr.type === 'i32') return expr.value < 0 ? `(${expr.value | 0})` : `${expr.value | 0}`
      return numberText(Math.fround(expr.value))
    case 'local':
      return laneName(expr.local, lane)
    case 'index': {
      const text = affineText(expr.value)
      return expr.lanes === 1 ? `(${text} | 0)` : `(${text} + ${lane * expr.step} | 0)`
    }
    case 'load':
      return `${bufferName(kernel.buffers[expr.buffer], expr.buffer)}[${place(kernel, expr, lane)}]`
    case 'call': {
      const operand = expr.fn === 'select' ? expr.args[1] : expr.args[0]
      const bounded = boundedText(kernel, expr, lane)
      return bounded ?? rules[expr.fn](operand.type, ...expr.args.map((a) => of(a)))
    }
    case 'splat':
      return of(expr.value, 0)
    case 'across': {
      let parts = Array.from({ length: expr.value.lanes }, (_, j) => of(expr.value, j))
      while (parts.length > 1) {
        const half = parts.length / 2
        parts = parts.slice(0, half).map((a, i) => rules[expr.fn](expr.type, a, parts[i + half]))
      }
      return parts[0]
    }
    case 'lane':
      return of(expr.value, expr.lane)
  }
}

/** max and min with a constant keep the first operand's zero, as the vector instructions do. */
function boundedText(kernel: Kernel, expr: Extract<Expr, { op: 'call' }>, lane: number) {
  if ((expr.fn !== 'max' && expr.fn !== 'min') || expr.type !== 'f32') return undefined
  const [a, b] = expr.args
  const [x, c] = a.op === 'number' ? [b, a] : [a, b]
  if (c.op !== 'number' || Number.isNaN(c.value)) return undefined
  const [left, right] = [laneText(kernel, x, lane), laneText(kernel, c, lane)]
  return expr.fn === 'max'
    ? `(${left} < ${right} ? ${right} : ${left})`
    : `(${right} < ${left} ? ${right} : ${left})`
}

function numberText(value: number): string {
  if (Object.is(value, -0)) return '(-0)'
  return value < 0 ? `(${value})` : String(value)
}

function bufferName(buffer: KernelBuffer, index: number): string {
  return `${buffer.name.replace(/\W/g, '_')}_b${index}`
}

function place(
  kernel: Kernel,
  access: { readonly index: Affine; readonly stride: number; readonly dynamic?: Expr },
  lane: number,
): string {
  const text = affineText({ ...access.index, offset: access.index.offset + lane * access.stride })
  return access.dynamic === undefined ? text : `${text} + ${laneText(kernel, access.dynamic, 0)}`
}

const condition = ({ affine, extent }: Inside): string =>
  `${affineText(affine)} >= 0 && ${affineText(affine)} < ${extent}`

function statementLines(kernel: Kernel, statement: Statement, indent: string): string[] {
  const block = (body: readonly Statement[]) =>
    body.flatMap((s) => statementLines(kernel, s, `${indent}  `))
  switch (statement.op) {
    case 'loop': {
      const name = nameOf(statement.variable)
      const from = boundText(statement.from, 'from')
      const to = boundText(statement.to, 'to')
      const next = statement.step === 1 ? `${name}++` : `${name} += ${statement.step}`
      return [
        `${indent}for (let ${name} = ${from}, ${name}_end = ${to}; ${name} < ${name}_end; ${next}) {`,
        ...block(statement.body),
        `${indent}}`,
      ]
    }
    case 'set': {
      const { local, value } = statement
      const lanes = Array.from({ length: local.lanes }, (_, j) => j)
      const names = lanes.map((j) => laneName(local, j))
      const values = lanes.map((j) => laneText(kernel, value, j))
      // All lanes at once: the value may read other lanes of the local.
      return local.lanes === 1
        ? [`${indent}${names[0]} = ${values[0]}`]
        : [`${indent};[${names.join(', ')}] = [${values.join(', ')}]`]
    }
    case 'store': {
      const { value } = statement
      const name = bufferName(kernel.buffers[statement.buffer], statement.buffer)
      return Array.from(
        { length: value.lanes },
        (_, j) =>
          `${indent}${name}[${place(kernel, statement, j)}] = ${laneText(kernel, value, j)}`,
      )
    }
    case 'if': {
      const test = statement.when.map(condition).join(' && ') || 'true'
      const lines = [`${indent}if (${test}) {`, ...block(statement.body)]
      if (statement.otherwise.length > 0)
        lines.push(`${indent}} else {`, ...block(statement.otherwise))
      return [...lines, `${indent}}`]
    }
    case 'report': {
      const { when, code, value } = statement
      const args = `${code}, ${laneText(kernel, value, 0)}`
      return [`${indent}if (${laneText(kernel, when, 0)}) report(${args})`]
    }
  }
}

function localsOf(body: readonly Statement[], found: Map<string, Local> = new Map()) {
  for (const statement of body) {
    if (statement.op === 'loop') localsOf(statement.body, found)
    else if (statement.op === 'if') {
      localsOf(statement.body, found)
      localsOf(statement.otherwise, found)
    } else if (statement.op === 'set')
      for (let j = 0; j < statement.local.lanes; j++)
        found.set(laneName(statement.local, j), statement.local)
  }
  return found
}

/** The source of a function (begin, end, [buffers], report). */
export function kernelSource(kernel: Kernel): string {
  const variable = nameOf(kernel.parallel.variable)
  const buffers = kernel.buffers.map(bufferName).join(', ')
  const locals = [...localsOf(kernel.body).keys()]
  return [
    `function kernel_${kernel.name.replace(/\W/g, '_')}(begin, end, [${buffers}], report) {`,
    ...(locals.length > 0 ? [`  let ${locals.join(', ')}`] : []),
    `  for (let ${variable} = begin; ${variable} < end; ${variable}++) {`,
    ...kernel.body.flatMap((s) => statementLines(kernel, s, '    ')),
    '  }',
    '}',
  ].join('\n')
}

export const jsTarget: Target<JsCode> = {
  name: 'js',
  emit: (program) => ({ kernels: program.kernels.map(kernelSource) }),
}

/** Runs a program; `args` are the bytes of its arguments, read and written in place. */
export function runJs(
  program: Program,
  args: readonly Uint8Array[],
): { readonly code: number; readonly value: number } {
  invariant(args.length === program.arguments.length, () => `${args.length} arguments`)
  const compiled = jsTarget
    .emit(program)
    .kernels.map((source) => new Function(`${HELPERS}return ${source}`)())
  const arena = new Uint8Array(Math.ceil(program.arenaBytes / 8) * 8)
  const scratch = new Uint8Array(Math.ceil(program.scratchBytes / 8) * 8)
  const status = { code: 0, value: 0 }
  const report = (code: number, value: number) => {
    if (status.code === 0) Object.assign(status, { code, value })
  }
  const turns = (program.repeats ?? []).map(() => 0)
  const runRegion = (region: Region) => {
    if (region.commit && status.code !== 0) return
    for (const step of region.steps) {
      const kernel = program.kernels[step.kernel]
      const views = kernel.buffers.map(({ dtype }, i) => {
        const slot = step.slots[i]
        const bytes =
          slot.space === 'argument' ? args[slot.index] : slot.space === 'arena' ? arena : scratch
        const place = slot.space === 'argument' ? 0 : slot.offset
        const offset = bytes.byteOffset + place + distance(slot, (repeat) => turns[repeat])
        const rest = bytes.byteOffset + bytes.byteLength - offset
        return typedView(dtype, bytes.buffer, offset, Math.floor(rest / itemSize[dtype]))
      })
      compiled[step.kernel](0, kernel.parallel.extent, views, report)
    }
  }
  for (let r = 0; r < program.regions.length; r++) {
    runRegion(program.regions[r])
    for (const { repeat, turns: count } of ending(program, r)) {
      turns[repeat]++
      if (turns[repeat] < count) {
        r = (program.repeats?.[repeat].first ?? 0) - 1
        break
      }
      turns[repeat] = 0
    }
  }
  return status
}
