// Other runtimes as oracles: what bench/peers/node_modules has (its own lock; `npm --prefix bench/peers ci
// --ignore-scripts`), and Debian's Python with PyTorch. A test that needs one skips, with a printed reason, where it is
// absent; with BURNISH_REQUIRE=all it fails instead.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { requireAll } from './support.js'

const fromPeers = createRequire(new URL('../bench/peers/package.json', import.meta.url))

function absent(reason: string): undefined {
  if (requireAll) throw new Error(reason)
  console.warn(reason)
  return undefined
}

/** The module of a package of bench/peers, or undefined, with the reason printed, where it is not installed. */
export function peer(name: string): unknown {
  let path: string
  try {
    path = fromPeers.resolve(name)
  } catch {
    return absent(
      `${name} skipped: it is not in bench/peers; npm --prefix bench/peers ci --ignore-scripts`,
    )
  }
  return fromPeers(path)
}

const found = new Map<string, string | undefined>()

/** A Python that imports the modules (`torch`), or undefined, with the reason printed. */
export function python(...modules: readonly string[]): string | undefined {
  const key = modules.join()
  if (!found.has(key)) {
    const code = modules.map((name) => `import ${name}`).join('\n')
    const works = (path: string) => spawnSync(path, ['-c', code], { stdio: 'ignore' }).status === 0
    found.set(key, ['/usr/bin/python3', 'python3'].find(works))
  }
  return found.get(key) ?? absent(`Python skipped: there is no python3 that imports ${key}`)
}

/** Runs a Python program with arguments; its output, or an error with what it said. */
export function runPython(path: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(path, ['-c', program, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`python failed:\n${stderr}`)
  return stdout
}

// ---- onnxruntime-node ----

export interface OrtTensor {
  readonly type: string
  readonly data: ArrayLike<number | bigint>
  readonly dims: readonly number[]
}

export interface OrtSession {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  run(feeds: {
    readonly [name: string]: OrtTensor
  }): Promise<{ readonly [name: string]: OrtTensor }>
  release(): Promise<void>
}

export interface Ort {
  readonly InferenceSession: {
    create(model: Uint8Array | string, options?: object): Promise<OrtSession>
  }
  readonly Tensor: new (
    type: string,
    data: Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array | Float64Array,
    dims: readonly number[],
  ) => OrtTensor
}

/** onnxruntime-node, or undefined, with the reason printed. */
export function onnxruntime(): Ort | undefined {
  return peer('onnxruntime-node') as Ort | undefined
}

/** A silent session with one thread and, unless told otherwise, basic optimisations. */
export function ortSession(
  ort: Ort,
  model: Uint8Array | string,
  options = {},
): Promise<OrtSession> {
  return ort.InferenceSession.create(model, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'basic',
    logSeverityLevel: 4,
    ...options,
  })
}
