// CRC-32 as zip, gzip and PNG use it, of the reflected polynomial 0xEDB88320; four bytes a turn, after Intel's
// slicing-by-8.

/** SLICES[k][b]: the sum of byte b with k zeros behind it. */
const SLICES: readonly Uint32Array[] = slices()

function slices(): Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, i) => {
    let value = i
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
    return value
  })
  const tables = [first]
  for (let k = 1; k < 4; k++)
    tables.push(tables[k - 1].map((value) => (value >>> 8) ^ first[value & 0xff]))
  return tables
}

/** The sum of `bytes`; continue one with the sum of what lies before. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [one, two, three, four] = SLICES
  let value = ~before
  let at = 0
  for (const end = bytes.length - 3; at < end; at += 4) {
    const word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    value ^= word
    value =
      four[value & 0xff] ^
      three[(value >>> 8) & 0xff] ^
      two[(value >>> 16) & 0xff] ^
      one[value >>> 24]
  }
  for (; at < bytes.length; at++) value = (value >>> 8) ^ one[(value ^ bytes[at]) & 0xff]
  return ~value >>> 0
}
