// Prints a kernel as one C function: (begin, end, buffers…, status) → nothing. Names are numbers, so that kernels that
// differ only in what they are called have one text.
import { invariant } from '../../base/errors.js'
import type { Bound, Kernel, Local, Statement, Type } from '../../compiler/kernel.js'
import {
  addressText,
  bufferName,
  conditionText,
  expressionText,
  localName,
  quotientText,
  stored,
  variableName,
} from './expressions.js'

/** C's types of elements. */
export const elementTypes = {
  float32: 'float',
  float16: 'uint16_t',
  bfloat16: 'uint16_t',
  int32: 'i32',
  uint16: 'uint16_t',
  uint8: 'uint8_t',
  bool: 'uint8_t',
} as const

const scalarTypes: { readonly [T in Type]: string } = { f32: 'float', i32: 'i32', bool: 'i32' }
const vectorTypes: { readonly [T in Type]: string } = { f32: 'F', i32: 'I', bool: 'B' }

/** The parameters in parentheses; what follows the function's name. */
export function parametersText(kernel: Kernel): string {
  const buffers = kernel.buffers.map(
    ({ dtype, access }, i) =>
      `${access === 'read' ? 'const ' : ''}${elementTypes[stored(dtype)]} *${bufferName(i)}`,
  )
  return `(${['N begin', 'N end', ...buffers, 'i32 *status'].join(', ')})`
}

/** Everything after the function's name. */
export function kernelText(kernel: Kernel): string {
  const variable = variableName(kernel.parallel.variable)
  const locals = [...localsOf(kernel.body).values()].sort((a, b) => a.id - b.id)
  const lines = [
    `${parametersText(kernel)} {`,
    ...declarations(locals),
    `  for (N ${variable} = begin; ${variable} < end; ${variable}++) {`,
    ...kernel.body.flatMap((statement) => statementLines(kernel, statement, '    ')),
    '  }',
    '}',
  ]
  return lines.join('\n')
}

function declarations(locals: readonly Local[]): string[] {
  const byType = new Map<string, string[]>()
  for (const local of locals) {
    const type = (local.lanes > 1 ? vectorTypes : scalarTypes)[local.type]
    const names = byType.get(type)
    if (names === undefined) byType.set(type, [localName(local)])
    else names.push(localName(local))
  }
  return [...byType].map(([type, names]) => `  ${type} ${names.join(', ')};`)
}

function localsOf(body: readonly Statement[], found: Map<number, Local> = new Map()) {
  for (const statement of body) {
    if (statement.op === 'loop') localsOf(statement.body, found)
    else if (statement.op === 'if') {
      localsOf(statement.body, found)
      localsOf(statement.otherwise, found)
    } else if (statement.op === 'set') found.set(statement.local.id, statement.local)
  }
  return found
}

function boundText(bound: Bound, side: 'from' | 'to'): string {
  return bound
    .map(quotientText)
    .reduce((a, b) => `${side === 'from' ? 'greatest' : 'least'}(${a}, ${b})`)
}

function statementLines(kernel: Kernel, statement: Statement, indent: string): string[] {
  const block = (body: readonly Statement[]) =>
    body.flatMap((inner) => statementLines(kernel, inner, `${indent}  `))
  switch (statement.op) {
    case 'loop': {
      const name = variableName(statement.variable)
      const end = `e${statement.variable.id}`
      const from = boundText(statement.from, 'from')
      const to = boundText(statement.to, 'to')
      return [
        `${indent}for (N ${name} = ${from}, ${end} = ${to}; ${name} < ${end}; ${name} += ${statement.step}) {`,
        ...block(statement.body),
        `${indent}}`,
      ]
    }
    case 'set':
      return [
        `${indent}${localName(statement.local)} = ${expressionText(kernel, statement.value)};`,
      ]
    case 'store': {
      const { value, stride } = statement
      const dtype = stored(kernel.buffers[statement.buffer].dtype)
      const address = addressText(kernel, statement)
      const text = expressionText(kernel, value)
      if (value.lanes === 1) return [`${indent}*(${address}) = ${text};`]
      invariant(stride !== 0, () => 'a vector store of stride 0')
      if (stride === 1) return [`${indent}store_${dtype}(${address}, ${text});`]
      return [`${indent}scatter_${dtype}(${address}, ${stride}, ${text});`]
    }
    case 'if': {
      const test = statement.when.map(conditionText).join(' && ') || '1'
      const otherwise = statement.otherwise.length > 0 ? block(statement.otherwise) : undefined
      return [
        `${indent}if (${test}) {`,
        ...block(statement.body),
        ...(otherwise === undefined ? [] : [`${indent}} else {`, ...otherwise]),
        `${indent}}`,
      ]
    }
    case 'report': {
      const value = expressionText(kernel, statement.value)
      return [
        `${indent}if (${expressionText(kernel, statement.when)}) report(status, ${statement.code}, ${value});`,
      ]
    }
  }
}
