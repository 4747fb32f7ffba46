// Pictures in a terminal: two rows of pixels a line, in colour and without.
import { expect, test } from 'vitest'
import { drawPictures } from './draw.js'

const picture = {
  pixels: Uint8Array.from([0, 255, 255, 0, 255, 255]),
  width: 2,
  height: 3,
  caption: 'is 4, said 9',
}

test('half blocks carry the upper pixel before and the lower behind', () => {
  const [first, second] = drawPictures([picture], { columns: 80, colour: true }).split('\n')
  expect(first).toBe(
    '\x1b[38;2;0;0;0m\x1b[48;2;255;255;255m▀\x1b[38;2;255;255;255m\x1b[48;2;0;0;0m▀\x1b[0m',
  )
  expect(second).toBe('\x1b[38;2;255;255;255m\x1b[48;2;0;0;0m▀▀\x1b[0m')
})

test('without colour a ramp of characters, without escapes', () => {
  expect(drawPictures([picture], { columns: 80, colour: false }).split('\n').slice(0, 2)).toEqual([
    '++',
    '++',
  ])
})

test('pictures stand side by side as far as the columns go', () => {
  const drawn = drawPictures([picture, picture, picture], { columns: 6, colour: false })
  expect(drawn.split('\n')).toEqual(['++  ++', '++  ++', 'is  is', '++', '++', 'is'])
})
