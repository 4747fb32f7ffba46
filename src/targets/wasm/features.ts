// What the engine's WebAssembly can do, found by validating tiny modules.
import { F32, FunctionBuilder, I32, moduleBytes, simd, V128 } from './encode.js'

function validates(shared: boolean, body: (f: FunctionBuilder) => void): boolean {
  const f = new FunctionBuilder([I32])
  body(f)
  return WebAssembly.validate(
    moduleBytes({
      imports: [],
      memory: { shared },
      types: [{ parameters: [I32], results: [] }],
      functions: [{ type: 0, body: f.finish() }],
      exports: [],
    }),
  )
}

/** Relaxed SIMD: a multiply-add in one instruction (Node 22, Chrome 114 and later). */
export function hasRelaxedSimd(): boolean {
  return validates(false, (f) => {
    const v = f.local(V128)
    f.get(v).get(v).get(v).simd(simd.relaxedMadd).set(v)
  })
}

export function hasSimd(): boolean {
  return validates(false, (f) => {
    const x = f.local(F32)
    f.get(x).simd(simd.f32Splat).set(f.local(V128))
  })
}
