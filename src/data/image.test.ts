// Pictures: both decoders on files made here, whole and broken; sizes; folders of classes.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jpeg from 'jpeg-js'
import { PNG } from 'pngjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hostArray } from './array.js'
import { imageFolder } from './folder.js'
import { decodeImage, readImage, resizeImage } from './image.js'
import { DataLoader } from './loader.js'

const WIDTH = 20
const HEIGHT = 12
/** Red grows to the right, green downwards, blue is constant, opacity 200. */
const pixels = Buffer.from(
  Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => {
    const [x, y] = [(i >> 2) % WIDTH, Math.floor((i >> 2) / WIDTH)]
    return [x * 10, y * 20, 77, 200][i % 4]
  }),
)

function png(colorType: 0 | 2 | 6 = 6): Uint8Array {
  const picture = new PNG({ width: WIDTH, height: HEIGHT })
  picture.data = Buffer.from(pixels)
  if (colorType !== 6) for (let i = 3; i < pixels.length; i += 4) picture.data[i] = 255
  return PNG.sync.write(picture, { colorType })
}
const jpg = (data: Buffer = pixels) =>
  new Uint8Array(jpeg.encode({ data, width: WIDTH, height: HEIGHT }, 95).data)

describe.each(['pure', 'sharp'] as const)('decoder %s', (decoder) => {
  test('PNG: every byte', async () => {
    const { data, shape, dtype } = await decodeImage(png(), { decoder, channels: 4 })
    expect([shape, dtype]).toEqual([[4, HEIGHT, WIDTH], 'uint8'])
    const at = (c: number, y: number, x: number) => data[(c * HEIGHT + y) * WIDTH + x]
    expect([at(0, 3, 7), at(1, 3, 7), at(2, 3, 7), at(3, 3, 7)]).toEqual([70, 60, 77, 200])
    const grey = await decodeImage(png(2), { decoder, channels: 1 })
    expect(grey.shape).toEqual([1, HEIGHT, WIDTH])
    expect(grey.data[3 * WIDTH + 7]).toBe(Math.round(0.299 * 70 + 0.587 * 60 + 0.114 * 77))
    expect((await decodeImage(png(0), { decoder })).shape).toEqual([3, HEIGHT, WIDTH])
  })

  test('JPEG: nearly every byte', async () => {
    const { data, shape } = await decodeImage(jpg(), { decoder })
    expect(shape).toEqual([3, HEIGHT, WIDTH])
    const wrong = Array.from({ length: HEIGHT * WIDTH }, (_, i) =>
      Math.abs(data[i] - pixels[4 * i]),
    )
    expect(Math.max(...wrong)).toBeLessThan(24)
  })

  test('says what is broken', async () => {
    const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)
    await expect(decodeImage(half(png()), { decoder }, 'a.png')).rejects.toThrow(
      /^a.png: is no whole PNG file \(.*truncated or damaged/s,
    )
    await expect(decodeImage(half(jpg()), { decoder }, 'a.jpg')).rejects.toThrow(
      /^a.jpg: is no whole JPEG file/,
    )
    await expect(decodeImage(Buffer.from('GIF89a'), { decoder }, 'a.gif')).rejects.toThrow(
      /a.gif: is neither PNG nor JPEG: it begins with bytes 71 73 70 56/,
    )
  })
})

describe('resizeImage', () => {
  test('keeps what is even, halves by means, doubles by interpolation', () => {
    const even = hostArray(new Uint8Array(3 * 35).fill(9), [3, 5, 7])
    expect(new Set(resizeImage(even, 11, 3).data)).toEqual(new Set([9]))
    const ramp = hostArray(Uint8Array.from([0, 100]), [1, 1, 2])
    // As torchvision's resize with antialias: 0, 25, 75, 100.
    expect([...resizeImage(ramp, 1, 4).data]).toEqual([0, 25, 75, 100])
    const wide = hostArray(Uint8Array.from([0, 80, 160, 240]), [1, 1, 4])
    expect([...resizeImage(wide, 1, 2).data]).toEqual([57, 183])
    expect(resizeImage(wide, 1, 4).data).toEqual(wide.data)
    expect(() => resizeImage(wide, 0, 4)).toThrow(/0 is no size/)
  })
})

describe('imageFolder', () => {
  let root = ''
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'burnish-pictures-'))
    for (const name of ['pets/dog', 'pets/cat', 'bare', 'empty/cat', 'broken/cat'])
      await mkdir(join(root, name), { recursive: true })
    await writeFile(join(root, 'pets/dog/1.png'), png())
    await writeFile(join(root, 'pets/cat/2.JPG'), jpg())
    await writeFile(join(root, 'pets/cat/1.png'), png())
    await writeFile(join(root, 'pets/cat/notes.txt'), 'mine')
    await writeFile(join(root, 'broken/cat/1.png'), 'text')
  })
  afterAll(() => rm(root, { recursive: true }))

  test('classes by folder, files by name, values scaled, batches', async () => {
    const pets = await imageFolder(join(root, 'pets'), { mean: [0, 0.5, 0], std: 0.5 })
    expect([pets.classes, pets.length]).toEqual([['cat', 'dog'], 3])
    expect(pets.files.map(({ path, label }) => [path.slice(root.length + 6), label])).toEqual([
      ['cat/1.png', 0],
      ['cat/2.JPG', 0],
      ['dog/1.png', 1],
    ])
    const [image, label] = await pets.get(2)
    expect([image.shape, label]).toEqual([[3, HEIGHT, WIDTH], 1])
    const data = await image.data()
    expect(data[7]).toBeCloseTo(70 / 255 / 0.5, 6)
    expect(data[HEIGHT * WIDTH]).toBeCloseTo(-1, 6)
    const small = await imageFolder(join(root, 'pets'), { size: [6, 6], channels: 1 })
    for await (const [x, y] of new DataLoader(small, { batchSize: 3, prefetch: 1 }))
      expect([x.shape, Array.from(await y.data())]).toEqual([
        [3, 1, 6, 6],
        [0, 0, 1],
      ])
  })

  test('says what is missing', async () => {
    const fails = (name: string) => expect(imageFolder(join(root, name))).rejects
    await fails('nowhere').toThrow(/nowhere is no folder/)
    await fails('bare').toThrow(/bare has no folders in it: put the pictures of each class/)
    await fails('empty').toThrow(/cat has no pictures/)
    const broken = await imageFolder(join(root, 'broken'))
    await expect(broken.get(0)).rejects.toThrow(/1.png: is neither PNG nor JPEG/)
    await expect(readImage(join(root, 'x.png'))).rejects.toThrow(/no such file/)
    await expect(imageFolder(join(root, 'pets'), { mean: [1, 2] })).rejects.toThrow(
      /2 values of mean for 3 channels/,
    )
  })
})
