// Planned regions → Program: memory, slots, steps, and the check of it all.
import { itemSize } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { showShape, sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { checkProgram } from './check.js'
import { alternates } from './group.js'
import type { Kernel } from './kernel.js'
import type { Home } from './lower.js'
import { align, type Life, planMemory } from './memory.js'
import type { Plan, PlannedStep } from './plan.js'
import type { Argument, Machine, Program, Region, Slot, Step } from './program.js'

/** Below so many operations a step runs on one thread: waking the others costs more. */
const PARALLEL_WORK = 50_000

export function assemble(plan: Plan, args: readonly Argument[], machine: Machine): Program {
  const { regions, repeats, reports } = plan
  const known = new Map<Node, number>()
  const lives: { bytes: number; first: number; last: number }[] = []
  let scratchBytes = 0
  regions.forEach(({ steps }, region) => {
    const around = repeats.filter(({ first, end }) => first <= region && region < end)
    for (const { lowered } of steps) {
      let scratch = 0
      for (const home of lowered.homes) {
        if (home.space === 'scratch') scratch += align(home.bytes)
        if (home.space !== 'arena') continue
        // What is not made anew in each turn lives through all of them.
        const through = around[plan.depths.get(home.base) ?? 0]
        const first = through ? through.first : region
        const last = through ? through.end - 1 : region
        const at = known.get(home.base)
        if (at === undefined) {
          known.set(home.base, lives.length)
          lives.push({ bytes: bytesOf(home.base), first, last })
        } else {
          lives[at].first = Math.min(lives[at].first, first)
          lives[at].last = Math.max(lives[at].last, last)
        }
      }
      scratchBytes = Math.max(scratchBytes, scratch)
    }
  })
  const memory = planMemory(lives satisfies readonly Life[])
  const numbers = new Map(repeats.map(({ turns }, i) => [turns, i]))
  const place = (home: Home, scratch: number): Slot => {
    if (home.space === 'argument') return { space: 'argument', index: home.index }
    if (home.space === 'scratch') return { space: 'scratch', offset: scratch }
    const at = known.get(home.base)
    invariant(at !== undefined, () => 'an intermediate without a place')
    return { space: 'arena', offset: memory.offsets[at] }
  }
  const slotsOf = (homes: readonly Home[]): Slot[] => {
    let scratch = 0
    return homes.map((home): Slot => {
      const slot = place(home, scratch)
      if (home.space === 'scratch') scratch += align(home.bytes)
      const moves = home.moves?.map(({ turns, by, alternates }) => {
        const repeat = numbers.get(turns)
        invariant(repeat !== undefined, () => 'a place moves in no repeat')
        return { repeat, by, alternates }
      })
      return {
        ...slot,
        ...(home.from ? { from: home.from } : {}),
        ...(moves ? { moves } : {}),
      }
    })
  }
  const kernels: Kernel[] = []
  const stepOf = ({ lowered }: PlannedStep): Step => {
    const { kernel, homes, flops, bytes, nodes } = lowered
    kernels.push(kernel)
    return {
      kernel: kernels.length - 1,
      slots: slotsOf(homes),
      label: labelOf(nodes),
      what: `${kernel.name} ${showShape(nodes[nodes.length - 1].shape)}`,
      flops,
      bytes,
      parallel: kernel.parallel.extent > 1 && flops + bytes / 4 >= PARALLEL_WORK,
    }
  }
  const program: Program = {
    machine,
    arguments: args,
    kernels,
    regions: regions.map(({ steps, commit }): Region => ({ steps: steps.map(stepOf), commit })),
    ...(repeats.length > 0
      ? { repeats: repeats.map(({ first, end, turns }) => ({ first, end, turns: turns.count })) }
      : {}),
    arenaBytes: memory.bytes,
    scratchBytes,
    reports,
  }
  checkProgram(program, lives, memory, (region, step) => regions[region].steps[step].reads)
  return program
}

function bytesOf(base: Node): number {
  return sizeOf(base.shape) * itemSize[base.dtype] * (alternates(base) ? 2 : 1)
}

function labelOf(nodes: readonly Node[]): string {
  return [...new Set(nodes.map((n) => n.label).filter((label) => label !== ''))].join(' ')
}
