// Reading an HDF5 file's bytes: numbers of any width, addresses, texts, each checked to lie in the file.
import { fail } from '../base/errors.js'

/** Bytes of an address and of a length, as the superblock says. */
export interface Sizes {
  readonly offset: number
  readonly length: number
}

export class Cursor {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly sizes: Sizes
  readonly where: string

  constructor(bytes: Uint8Array, sizes: Sizes, where: string) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.sizes = sizes
    this.where = where
    for (const size of [sizes.offset, sizes.length])
      if (![2, 4, 8].includes(size))
        fail(`${where}: has addresses of ${size} bytes: it is damaged or cut short`)
  }

  /** That `size` bytes lie at a position. */
  check(at: number, size: number): void {
    if (!(at >= 0 && size >= 0 && at + size <= this.bytes.length))
      fail(
        `${this.where}: something points to ${size} bytes at ${at}, but the file has ${this.bytes.length}: it is damaged or cut short`,
      )
  }

  byte(at: number): number {
    this.check(at, 1)
    return this.bytes[at]
  }

  /** A whole number, little-endian, of 1, 2, 4 or 8 bytes. */
  number(at: number, size: number): number {
    this.check(at, size)
    if (size === 1) return this.bytes[at]
    if (size === 2) return this.view.getUint16(at, true)
    if (size === 4) return this.view.getUint32(at, true)
    return Number(this.view.getBigUint64(at, true))
  }

  /** An address in the file. */
  address(at: number): number {
    const address = this.number(at, this.sizes.offset)
    this.check(address, 1)
    return address
  }

  /** Whether an address says that there is nothing. */
  isUndefined(at: number): boolean {
    this.check(at, this.sizes.offset)
    return this.bytes.subarray(at, at + this.sizes.offset).every((byte) => byte === 0xff)
  }

  length(at: number, size = this.sizes.length): number {
    return this.number(at, size)
  }

  is(at: number, signature: string): boolean {
    this.check(at, signature.length)
    return Array.from(signature).every((c, i) => this.bytes[at + i] === c.charCodeAt(0))
  }

  expect(at: number, signature: string): void {
    if (!this.is(at, signature))
      fail(`${this.where}: there is no ${signature} at ${at}: the file is damaged`)
  }

  /** Text of a fixed size, up to the first zero. */
  text(at: number, size: number): string {
    this.check(at, size)
    const part = this.bytes.subarray(at, at + size)
    const end = part.indexOf(0)
    return new TextDecoder().decode(end < 0 ? part : part.subarray(0, end))
  }

  /** Text that ends with a zero. */
  untilZero(at: number): string {
    this.check(at, 1)
    const end = this.bytes.indexOf(0, at)
    return this.text(at, (end < 0 ? this.bytes.length : end) - at)
  }
}
