// JSON with the numbers it lacks: NaN and the infinities, written as { "number": "NaN" }.

export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json }

/** Text of a value; properties that are undefined are left out. */
export function jsonText(value: Json): string {
  return JSON.stringify(
    value,
    (_, item: unknown) =>
      typeof item === 'number' && !Number.isFinite(item) ? { number: String(item) } : item,
    2,
  )
}

/** The value of such a text. Throws where it is not JSON. */
export function parsedJson(text: string): Json {
  return JSON.parse(text, (_, item: unknown) => {
    if (typeof item !== 'object' || item === null || !('number' in item)) return item
    return Object.keys(item).length === 1 ? Number(item.number) : item
  }) as Json
}
