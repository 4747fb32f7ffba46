// Text of the loop IR and of a program, to read and to paste in a test.
import { showShape } from '../base/shape.js'
import type { Affine, Bound, Expr, Inside, Kernel, Local, Statement, Variable } from './kernel.js'
import type { Program, Slot } from './program.js'

const variable = (v: Variable): string => `${v.name}${v.id}`
const local = (l: Local): string =>
  `${l.type === 'f32' ? 'f' : l.type === 'i32' ? 'i' : 'b'}${l.id}`

export function printAffine(a: Affine): string {
  const parts = a.terms.map(([v, c]) => (c === 1 ? variable(v) : `${c}·${variable(v)}`))
  if (a.offset !== 0 || parts.length === 0) parts.push(String(a.offset))
  return parts.join(' + ').replaceAll('+ -', '− ')
}

function printBound(bound: Bound, side: 'from' | 'to'): string {
  const parts = bound.map(({ affine, divide }) =>
    divide === 1 ? printAffine(affine) : `⌊(${printAffine(affine)})/${divide}⌋`,
  )
  return parts.length === 1 ? parts[0] : `${side === 'from' ? 'max' : 'min'}(${parts.join(', ')})`
}

const printInside = (i: Inside): string => `0 ≤ ${printAffine(i.affine)} < ${i.extent}`

export function printKernel(kernel: Kernel): string {
  const name = (buffer: number): string => kernel.buffers[buffer]?.name ?? `?${buffer}`
  const place = (
    e: {
      readonly buffer: number
      readonly index: Affine
      readonly stride: number
      readonly dynamic?: Expr
    },
    lanes: number,
  ): string => {
    const along = lanes === 1 ? '' : e.stride === 1 ? `:${lanes}` : `:${lanes}·${e.stride}`
    const dynamic = e.dynamic ? ` + ${expr(e.dynamic)}` : ''
    return `${name(e.buffer)}[${printAffine(e.index)}${dynamic}${along}]`
  }
  const expr = (e: Expr): string => {
    switch (e.op) {
      case 'number':
        return e.lanes === 1 ? String(e.value) : `⟨${e.value}⟩`
      case 'local':
        return local(e.local)
      case 'index':
        return e.lanes === 1
          ? `(${printAffine(e.value)})`
          : `⟨${printAffine(e.value)} + ${e.step}·lane⟩`
      case 'load':
        return e.stride === 0 && e.lanes > 1 ? `⟨${place(e, 1)}⟩` : place(e, e.lanes)
      case 'call':
        return `${e.fn}(${e.args.map(expr).join(', ')})`
      case 'splat':
        return `⟨${expr(e.value)}⟩`
      case 'across':
        return `across ${e.fn}(${expr(e.value)})`
      case 'lane':
        return `${expr(e.value)}.${e.lane}`
    }
  }
  const lines: string[] = []
  const body = (statements: readonly Statement[], indent: string): void => {
    for (const s of statements)
      switch (s.op) {
        case 'loop':
          lines.push(
            `${indent}for ${variable(s.variable)} from ${printBound(s.from, 'from')} to ${printBound(s.to, 'to')}${s.step === 1 ? '' : ` by ${s.step}`}`,
          )
          body(s.body, `${indent}  `)
          break
        case 'set':
          lines.push(`${indent}${local(s.local)} = ${expr(s.value)}`)
          break
        case 'store':
          lines.push(`${indent}${place(s, s.value.lanes)} = ${expr(s.value)}`)
          break
        case 'if':
          lines.push(`${indent}if ${s.when.map(printInside).join(' and ')}`)
          body(s.body, `${indent}  `)
          if (s.otherwise.length > 0) {
            lines.push(`${indent}else`)
            body(s.otherwise, `${indent}  `)
          }
          break
        case 'report':
          lines.push(`${indent}report ${s.code} of ${expr(s.value)} when ${expr(s.when)}`)
      }
  }
  const parameters = kernel.buffers.map((b) => `${b.access} ${b.name}: ${b.dtype}`).join(', ')
  const p = kernel.parallel
  lines.push(`kernel ${kernel.name} (${parameters})`)
  lines.push(`  parallel ${variable(p.variable)} < ${p.extent}`)
  body(kernel.body, '    ')
  return lines.join('\n')
}

function printSlot(slot: Slot): string {
  const place = slot.space === 'argument' ? `arg${slot.index}` : `${slot.space}+${slot.offset}`
  const moves = (slot.moves ?? []).map(
    ({ repeat, by, alternates }) => ` + ${by}·turn${repeat}${alternates ? ' mod 2' : ''}`,
  )
  return `${place}${slot.from ? `+${slot.from}` : ''}${moves.join('')}`
}

/** The step list: regions, and in each the steps with their buffers. */
export function printProgram(program: Program): string {
  const lines = program.arguments.map(
    (a, i) => `arg${i} ${a.role} ${a.dtype} ${showShape(a.shape)}`,
  )
  lines.push(`arena ${program.arenaBytes} bytes, scratch ${program.scratchBytes} a thread`)
  program.regions.forEach((region, r) => {
    program.repeats?.forEach(({ first, end, turns }, i) => {
      if (first === r) lines.push(`repeat ${i}: regions ${first} to ${end - 1}, ${turns} times`)
    })
    lines.push(`region ${r}${region.commit ? ' commit' : ''}`)
    for (const step of region.steps)
      lines.push(
        `  k${step.kernel}(${step.slots.map(printSlot).join(', ')}) ${step.label ? `${step.label}: ` : ''}${step.what}${step.parallel ? '' : ' [one thread]'}`,
      )
  })
  return lines.join('\n')
}
