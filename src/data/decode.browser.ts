// The decoder of pictures in a page: the browser's own. Chosen by the condition of `#images` in package.json.
import { fail } from '../base/errors.js'
import type { Decode } from './decode.node.js'

export async function decoderOf(wanted: 'auto' | 'sharp' | 'pure'): Promise<Decode> {
  if (wanted !== 'auto') fail(`the decoder ${wanted} is of Node; a page decodes by itself`)
  return async (bytes, format) => {
    const blob = new Blob([bytes.slice()], { type: `image/${format}` })
    const bitmap = await createImageBitmap(blob, {
      imageOrientation: 'none',
      premultiplyAlpha: 'none',
      colorSpaceConversion: 'none',
    })
    const { width, height } = bitmap
    const canvas = new OffscreenCanvas(width, height).getContext('2d')
    if (canvas === null) throw fail('this page has no canvas to decode pictures with')
    canvas.drawImage(bitmap, 0, 0)
    bitmap.close()
    return { width, height, data: canvas.getImageData(0, 0, width, height).data }
  }
}
