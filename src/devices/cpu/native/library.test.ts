// Without koffi the reason says how to get it.
import { expect, test, vi } from 'vitest'

test('a missing package is named, with the remedy', async () => {
  vi.doMock('koffi', () => {
    throw new Error("Cannot find package 'koffi'")
  })
  const { openLibrary } = await import('./library.js')
  await expect(openLibrary()).rejects.toThrow(
    /^the package koffi does not load \(npm install koffi\): /,
  )
})
