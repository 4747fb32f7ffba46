// Program → C: a function for each kernel, and `burnish_run`, which drives them (c/driver.ts). The text comes in parts, so
// that kernels can be compiled side by side: a file is `prelude`, the declarations, and some of the kernels' functions.
//
// Compile without -ffast-math and with -ffp-contract=off: multiply-adds are fused where the IR says `fma`, for machines
// that have it, and nowhere else.
import type { Kernel } from '../compiler/kernel.js'
import type { Program, Target } from '../compiler/program.js'
import { elementTypes, kernelText, parametersText } from './c/body.js'
import { driverText } from './c/driver.js'
import { stored } from './c/expressions.js'
import { prelude } from './c/prelude.js'

export interface CFunction {
  /** `void name(…);` */
  readonly declaration: string
  readonly text: string
}

export interface CCode {
  readonly prelude: string
  /** One for each different kernel of the program. */
  readonly kernels: readonly CFunction[]
  /** The function `burnish_run`, which needs all declarations before it. */
  readonly driver: string
}

export function emitC(program: Program): CCode {
  const names = new Map<string, string>()
  const kernels: CFunction[] = []
  const nameOf = (kernel: Kernel): string => {
    const text = kernelText(kernel)
    const known = names.get(text)
    if (known !== undefined) return known
    const name = `k${names.size}_${kernel.name.replace(/\W+/g, '_')}`
    names.set(text, name)
    kernels.push({
      declaration: `void ${name}${parametersText(kernel)};`,
      text: `void ${name}${text}`,
    })
    return name
  }
  const calls = program.kernels.map((kernel) => ({
    name: nameOf(kernel),
    types: kernel.buffers.map(({ dtype }) => `${elementTypes[stored(dtype)]} *`),
  }))
  const { lanes, fma } = program.machine
  return { prelude: prelude(lanes, fma), kernels, driver: driverText(program, calls) }
}

/** All of it as one file. */
export function cSource({ prelude: head, kernels, driver }: CCode): string {
  return [head, ...kernels.map(({ text }) => text), driver].join('\n')
}

export const cTarget: Target<CCode> = { name: 'c', emit: emitC }
