// The cache of compiled objects: private, whole or absent, and checked before use.
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openCache } from './cache.js'

const folders: string[] = []
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'burnish-cache-'))
  folders.push(folder)
  return join(folder, 'burnish')
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const content = (text: string) => (path: string) => writeFile(path, text)
const modeOf = (path: string) => statSync(path).mode & 0o777

test('what is added is found, in a folder for the user alone', async () => {
  const folder = temporary()
  const cache = await openCache(folder)
  expect(modeOf(folder)).toBe(0o700)
  expect(await cache.find('a')).toBeUndefined()
  const path = await cache.add('a', content('object'))
  expect(await cache.find('a')).toBe(path)
  expect(await (await openCache(folder)).find('a')).toBe(path)
  expect(modeOf(dirname(path))).toBe(0o700)
  expect(readdirSync(folder)).toEqual(['a'])
})

test('an object that is not what was written is removed and made again', async () => {
  const folder = temporary()
  const cache = await openCache(folder)
  const path = await cache.add('a', content('object'))
  writeFileSync(path, 'objecT')
  expect(await cache.find('a')).toBeUndefined()
  expect(readdirSync(folder)).toEqual([])
  await cache.add('a', content('object'))
  rmSync(join(dirname(path), 'program.sha256'))
  expect(await cache.find('a')).toBeUndefined()
  await cache.add('a', content('object'))
  expect(await cache.find('a')).toBe(path)
})

test('an object that others may write is not used', async () => {
  const cache = await openCache(temporary())
  const path = await cache.add('a', content('object'))
  chmodSync(path, 0o666)
  expect(await cache.find('a')).toBeUndefined()
})

test('a folder open to others is refused, with the remedy', async () => {
  const folder = temporary()
  mkdirSync(folder)
  chmodSync(folder, 0o755)
  await expect(openCache(folder)).rejects.toThrow(
    `${folder} is open to others: chmod 700 ${folder}`,
  )
})

test('a folder that cannot be made is an error', async () => {
  await expect(openCache('/dev/null/burnish')).rejects.toThrow('/dev/null')
})

test('of two that make one entry, both get a whole one', async () => {
  const folder = temporary()
  const caches = [await openCache(folder), await openCache(folder)]
  const paths = await Promise.all(caches.map((cache) => cache.add('a', content('object'))))
  expect(paths[0]).toBe(paths[1])
  expect(readdirSync(folder)).toEqual(['a'])
})

test('a failure leaves nothing behind', async () => {
  const folder = temporary()
  const cache = await openCache(folder)
  const failing = cache.add('a', async () => {
    throw new Error('no compiler')
  })
  await expect(failing).rejects.toThrow('no compiler')
  expect(readdirSync(folder)).toEqual([])
})
