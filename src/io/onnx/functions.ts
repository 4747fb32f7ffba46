// Functions a model defines itself: each call is replaced by the function's nodes, under names of their own.
import { fail } from '../../base/errors.js'
import type { Attribute, Graph, Function as ModelFunction, Node } from './wire.js'

/** Nodes that calls may become in all: functions that call each other grow fast. */
const MOST_NODES = 1 << 16
const MOST_DEPTH = 16

/** Functions of one name may differ in what they are overloaded for. */
const keyOf = (domain = '', name = '', overload = '') => JSON.stringify([domain, name, overload])

/** The graph without calls of its model's functions, inner graphs too. */
export function inlined(graph: Graph, functions: readonly ModelFunction[], where: string): Graph {
  if (functions.length === 0) return graph
  const known = new Map(functions.map((f) => [keyOf(f.domain, f.name, f.overload), f]))
  let made = 0
  const expand = (node: Node, depth: number): readonly Node[] => {
    const attribute = node.attribute?.map((a) => (a.g ? { ...a, g: inside(a.g, depth) } : a))
    const own = attribute === undefined ? node : { ...node, attribute }
    const called = known.get(keyOf(node.domain, node.opType, node.overload))
    if (called === undefined) return [own]
    if (depth > MOST_DEPTH) fail(`${where}: the function ${called.name} calls itself`)
    made += called.node?.length ?? 0
    if (made > MOST_NODES) fail(`${where}: its functions become more than ${MOST_NODES} nodes`)
    return body(called, own, where).flatMap((inner) => expand(inner, depth + 1))
  }
  const inside = (part: Graph, depth: number): Graph => {
    if (depth > MOST_DEPTH) fail(`${where}: graphs are nested more than ${MOST_DEPTH} deep`)
    return { ...part, node: (part.node ?? []).flatMap((node) => expand(node, depth + 1)) }
  }
  return inside(graph, 0)
}

/** A function's nodes with the call's names and attributes. */
function body(called: ModelFunction, call: Node, where: string): readonly Node[] {
  const prefix = `${call.name || (call.output ?? [])[0] || called.name}/`
  const names = new Map<string, string>([['', '']])
  ;(called.input ?? []).forEach((name, i) => {
    names.set(name, call.input?.[i] ?? '')
  })
  ;(called.output ?? []).forEach((name, i) => {
    const outer = call.output?.[i] ?? ''
    if (outer !== '') names.set(name, outer)
  })
  const given = new Map<string, Attribute>()
  for (const attribute of called.attributeProto ?? []) given.set(attribute.name ?? '', attribute)
  for (const attribute of call.attribute ?? []) given.set(attribute.name ?? '', attribute)
  const renamed = (name: string) => names.get(name) ?? prefix + name
  return (called.node ?? []).map((node) => {
    if (node.attribute?.some(({ g }) => g !== undefined))
      fail(`${where}: the function ${called.name} has inner graphs, which is not supported`)
    const attribute = (node.attribute ?? []).flatMap((own): Attribute[] => {
      if (!own.refAttrName) return [own]
      const value = given.get(own.refAttrName)
      return value === undefined ? [] : [{ ...value, name: own.name ?? '' }]
    })
    return {
      ...node,
      name: prefix + (node.name || node.opType),
      input: (node.input ?? []).map(renamed),
      output: (node.output ?? []).map(renamed),
      attribute,
    }
  })
}
