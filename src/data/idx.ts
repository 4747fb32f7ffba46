// IDX, the format of MNIST's files: two zero bytes, a type byte, the number of dimensions, each size as a
// big-endian word, then the values. Unsigned bytes only. Source: Y. LeCun's page of the data set.
import { fail } from '../base/errors.js'
import { showShape, sizeOf } from '../base/shape.js'
import { type HostArray, hostArray } from './array.js'

const UNSIGNED_BYTE = 0x08
const MAXIMUM_RANK = 4

/** The array in an IDX file's bytes. Throws, naming `where`, when the bytes are not such a file, whole. */
export function readIdx(bytes: Uint8Array, where: string): HostArray {
  if (bytes.length < 4)
    fail(`${where}: ${bytes.length} bytes are too few for an IDX file, the file is truncated`)
  const [zero, zeroToo, type, rank] = bytes
  if (zero !== 0 || zeroToo !== 0)
    fail(
      `${where}: begins with bytes ${zero} ${zeroToo}, an IDX file begins with 0 0; this is another kind of file`,
    )
  if (type !== UNSIGNED_BYTE)
    fail(`${where}: holds values of IDX type ${type}, only unsigned bytes (type 8) are read`)
  if (rank < 1 || rank > MAXIMUM_RANK)
    fail(`${where}: has ${rank} dimensions, an IDX file here has 1 to ${MAXIMUM_RANK}`)
  const header = 4 + 4 * rank
  if (bytes.length < header)
    fail(`${where}: ends after ${bytes.length} bytes inside its header of ${header}: truncated`)
  const words = new DataView(bytes.buffer, bytes.byteOffset, header)
  const shape = Array.from({ length: rank }, (_, i) => words.getUint32(4 + 4 * i))
  const expected = header + sizeOf(shape)
  if (bytes.length < expected)
    fail(
      `${where}: has ${bytes.length} bytes, its header ${showShape(shape)} asks for ${expected}: truncated, fetch it again`,
    )
  if (bytes.length > expected)
    fail(
      `${where}: has ${bytes.length} bytes, its header ${showShape(shape)} asks for ${expected}: ${bytes.length - expected} bytes too many`,
    )
  return hostArray(bytes.subarray(header), shape)
}
