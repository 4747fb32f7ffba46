// Where repeats begin and end in a program's list of regions, and how far a slot is from its place in a turn.
import type { Program, Slot } from '../compiler/program.js'

export interface Turning {
  /** Index into `Program.repeats`. */
  readonly repeat: number
  readonly turns: number
}

/** The repeats whose first region this is, outer ones first. */
export function beginning(program: Program, region: number): Turning[] {
  return (program.repeats ?? []).flatMap(({ first, turns }, repeat) =>
    first === region ? [{ repeat, turns }] : [],
  )
}

/** The repeats whose last region this is, inner ones first. */
export function ending(program: Program, region: number): Turning[] {
  return (program.repeats ?? [])
    .flatMap(({ end, turns }, repeat) => (end === region + 1 ? [{ repeat, turns }] : []))
    .reverse()
}

/** Bytes from the slot's place, given the turn each repeat is in. */
export function distance(slot: Slot, turnOf: (repeat: number) => number): number {
  let bytes = slot.from ?? 0
  for (const { repeat, by, alternates } of slot.moves ?? [])
    bytes += by * (alternates ? turnOf(repeat) & 1 : turnOf(repeat))
  return bytes
}
