// Pictures made ready for a network of small grey images: bright on dark, digits placed as MNIST's are.
import { expect, test } from 'vitest'
import { hostArray } from '../data/array.js'
import { centred, type Grey, inverted, isOnPaper, toGrey } from './prepare.js'

/** Black but for a rectangle. */
function rectangle(size: number, left: number, top: number, wide: number, tall: number): Grey {
  const values = new Uint8Array(size * size)
  for (let y = top; y < top + tall; y++)
    for (let x = left; x < left + wide; x++) values[y * size + x] = 255
  return { values, width: size, height: size }
}

test('grey is luma, and white where nothing is', () => {
  const rgba = hostArray(Uint8Array.of(255, 0, 0, 0, 255, 9, 0, 0, 9, 255, 255, 0), [4, 1, 3])
  expect(Array.from(toGrey(rgba).values)).toEqual([76, 150, 255])
})

test('the border tells paper from slate', () => {
  const slate = rectangle(10, 3, 3, 4, 4)
  expect(isOnPaper(slate)).toBe(false)
  expect(isOnPaper(inverted(slate))).toBe(true)
})

test('ink is cut out, fits the box, and has its centre of mass in the middle', () => {
  const placed = centred(rectangle(200, 120, 10, 30, 60), 28, 20)
  const rows = Array.from({ length: 28 }, (_, y) => placed.values.subarray(y * 28, (y + 1) * 28))
  const used = rows.flatMap((row, y) => (row.some((value) => value > 0) ? [y] : []))
  const columns = Array.from({ length: 28 }, (_, x) => x).filter((x) =>
    rows.some((row) => row[x] > 0),
  )
  expect([used[0], used.at(-1)]).toEqual([4, 23])
  expect([columns[0], columns.at(-1)]).toEqual([9, 18])
})

test('a picture without ink stays empty', () => {
  expect(centred(rectangle(9, 0, 0, 0, 0), 28, 20).values.every((value) => value === 0)).toBe(true)
})
