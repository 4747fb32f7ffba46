// The IDX reader takes whole files and refuses every broken one by name.
import { expect, test } from 'vitest'
import { readIdx } from './idx.js'

const file = (...bytes: number[]) => Uint8Array.from(bytes)
const header = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]

test('reads shape and values, from the middle of a buffer too', () => {
  const bytes = Uint8Array.from([9, ...header, 1, 2, 3, 4, 5, 6]).subarray(1)
  expect(readIdx(bytes, 'x')).toMatchObject({ shape: [2, 3], dtype: 'uint8' })
  expect([...readIdx(bytes, 'x').data]).toEqual([1, 2, 3, 4, 5, 6])
})

test.each([
  ['nothing', file(), /^f: 0 bytes are too few .* truncated/],
  ['another magic', file(31, 139, 8, 0), /^f: begins with bytes 31 139/],
  ['another type', file(0, 0, 13, 1, 0, 0, 0, 0), /^f: holds values of IDX type 13/],
  ['no dimensions', file(0, 0, 8, 0), /^f: has 0 dimensions/],
  ['many dimensions', file(0, 0, 8, 9), /^f: has 9 dimensions/],
  ['half a header', file(...header.slice(0, 9)), /^f: ends after 9 bytes inside its header of 12/],
  [
    'few values',
    file(...header, 1, 2, 3),
    /^f: has 15 bytes, its header \[2, 3\] asks for 18: truncated/,
  ],
  ['many values', file(...header, 1, 2, 3, 4, 5, 6, 7), /1 bytes too many/],
])('refuses %s', (_, bytes, message) => {
  expect(() => readIdx(bytes, 'f')).toThrow(message)
})
