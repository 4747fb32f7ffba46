// What inspect finds in a file's bytes, and what it refuses to look into.
import { expect, test } from 'vitest'
import { writeNpy, writeNpz } from '../io/npy.js'
import { writeSafetensors } from '../io/safetensors.js'
import type { StoredTensor } from '../io/values.js'
import { writeZip } from '../io/zip.js'
import { contentOf, printable, table } from './inspect.js'

const one: StoredTensor = { dtype: 'U8', shape: [2], bytes: Uint8Array.of(1, 2) }

test('the format is told by the content', () => {
  const named = new Map([['a', one]])
  expect(contentOf(writeSafetensors(named), 'x')).toMatchObject({ format: 'safetensors' })
  expect(contentOf(writeNpy(one), 'x')).toMatchObject({ format: 'npy' })
  const npz = contentOf(writeNpz(named), 'x')
  expect(npz.format).toBe('npz')
  expect([...npz.tensors]).toEqual([['a', one]])
})

test('programs are refused', () => {
  const zip = writeZip(new Map([['archive/data.pkl', Uint8Array.of(0x80, 2)]]))
  expect(() => contentOf(zip, 'm.pt')).toThrow(
    /^m\.pt: is a PyTorch checkpoint, which holds a pickle/,
  )
  expect(() => contentOf(Uint8Array.of(0x80, 2, 0x7d), 'm.pkl')).toThrow(/^m\.pkl: is a pickle/)
})

test('names cannot steer the terminal', () => {
  expect(printable('a\x1b[31mb\u202e\n')).toBe('a\\u{1b}[31mb\\u{202e}\\u{a}')
  expect(printable('größe.0')).toBe('größe.0')
})

test('columns are as wide as they must be', () => {
  expect(
    table(
      [
        ['name', 'n'],
        ['a', '10'],
      ],
      1,
    ),
  ).toBe('name   n\na     10')
})
