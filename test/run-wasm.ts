// Runs a program's WebAssembly on this thread, in a memory of its own: for tests of the printer alone.
import type { Program } from '../src/compiler/program.js'
import { RESERVED } from '../src/targets/wasm/addresses.js'
import { control, controlBytes } from '../src/targets/wasm/control.js'
import { scratchStride } from '../src/targets/wasm/driver.js'
import { emitWasm } from '../src/targets/wasm/emit.js'

/** As `runJs`: reads and writes `args` in place, gives the status words. */
export function runWasm(
  program: Program,
  args: readonly Uint8Array[],
  options = { shared: false, relaxed: false },
): { readonly code: number; readonly value: number } {
  let end = RESERVED
  const take = (bytes: number) => {
    const at = end
    end += Math.ceil(bytes / 64) * 64
    return at
  }
  const block = take(controlBytes(1))
  const table = take(4 * args.length)
  const arena = take(program.arenaBytes)
  const scratch = take(scratchStride(program))
  const places = args.map((bytes) => take(bytes.byteLength))
  const pages = Math.ceil(end / 65536)
  const memory = new WebAssembly.Memory({
    initial: pages,
    ...(options.shared ? { maximum: pages, shared: true } : {}),
  })
  const module = new WebAssembly.Module(emitWasm(program, options).bytes)
  const instance = new WebAssembly.Instance(module, { env: { memory, now: () => 0 } })
  new Int32Array(memory.buffer, table, args.length).set(places)
  const bytes = new Uint8Array(memory.buffer)
  for (const [i, content] of args.entries()) bytes.set(content, places[i])
  const { run } = instance.exports
  if (typeof run !== 'function') throw new Error('the module exports no run')
  run(0, 1, table, arena, scratch, block)
  for (const [i, content] of args.entries())
    content.set(bytes.subarray(places[i], places[i] + content.byteLength))
  const words = new Int32Array(memory.buffer, block, controlBytes(1) / 4)
  return { code: words[control.code / 4], value: words[control.value / 4] }
}
