// What several formats do with bytes: joining parts, elements in another order, hexadecimal digits, hashes.
import { fail } from '../base/errors.js'
import { type Shape, sizeOf } from '../base/shape.js'
import type { Algorithm } from './place.js'

/** The parts as one array. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Elements of `item` bytes each, with their bytes in the opposite order. */
export function swapBytes(bytes: Uint8Array, item: number): Uint8Array {
  const result = new Uint8Array(bytes.length)
  for (let at = 0; at < bytes.length; at += item)
    for (let byte = 0; byte < item; byte++) result[at + byte] = bytes[at + item - 1 - byte]
  return result
}

/** Elements of `item` bytes each that lie from byte `begin` on with `strides` in elements, in row-major order. */
export function gathered(
  bytes: Uint8Array,
  begin: number,
  shape: Shape,
  strides: readonly number[],
  item: number,
): Uint8Array {
  const result = new Uint8Array(sizeOf(shape) * item)
  const index = new Array<number>(shape.length).fill(0)
  let from = begin
  for (let to = 0; to < result.length; to += item) {
    for (let byte = 0; byte < item; byte++) result[to + byte] = bytes[from + byte]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis] * item
      if (++index[axis] < shape[axis]) break
      from -= strides[axis] * item * shape[axis]
      index[axis] = 0
    }
  }
  return result
}

/** Two hexadecimal digits a byte. */
function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The hash that `sha512-…` says, in hexadecimal digits; undefined for any other text. */
export function hexOfIntegrity(text: string): string | undefined {
  const base64 = /^sha512-([A-Za-z0-9+/]{86}==)$/.exec(text)?.[1]
  return base64 && hexOf(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)))
}

const NAMES: { readonly [A in Algorithm]: string } = {
  sha256: 'SHA-256',
  sha512: 'SHA-512',
  sha1: 'SHA-1',
}

/**
 * The hash of bytes, in hexadecimal digits.
 * @throws BurnishError in a page that is not secure: browsers compute no hashes there.
 */
export async function digestOf(algorithm: Algorithm, bytes: Uint8Array): Promise<string> {
  const { subtle } = globalThis.crypto
  if (!subtle) throw fail('a page that is not secure cannot check hashes: serve it by https')
  const hash = await subtle.digest(NAMES[algorithm], bytes as Uint8Array<ArrayBuffer>)
  return hexOf(new Uint8Array(hash))
}
