// One submission: a graph captured now, its inputs bound to storage, its run queued, its results delivered.
//
// Everything the user could change afterwards (numbers, random counters, versions, host data) is taken
// synchronously in `submit`; what needs the device happens in the job, at once when the device is there.
import { allocate, itemSize, storedNumber, type TypedArray, typedView } from '../base/dtype.js'
import { BurnishError, fail, invariant, OutOfMemoryError } from '../base/errors.js'
import { showShape, sizeOf } from '../base/shape.js'
import type { Device, RunReport } from '../compiler/program.js'
import { keyOf } from '../graph/key.js'
import type { Graph, InputNode, Node } from '../graph/node.js'
import { context } from './context.js'
import { currentRunner } from './devices.js'
import { collectDropped, countDropped } from './pressure.js'
import { keyWord } from './random.js'
import type { Loaded, Runner } from './runner.js'
import {
  Cell,
  cellOf,
  Held,
  Placeholder,
  RandomKey,
  results,
  Scalar,
  StepValue,
  Value,
  Version,
} from './value.js'

/** Results up to this size come back by value when the run is done; larger ones stay on the device. */
const MOST_BYTES_BY_VALUE = 64 * 1024

// Note: ballast. Large results are given back by finalizers, and a loop that only awaits may run none: the
// collector neither sees device memory nor gets a turn to call back. So each such result carries weight that
// the collector does see, and while much is held a submission is done only after a macrotask.
const MOST_RESULT_BYTES = 128 * 2 ** 20

const macrotask = () => new Promise<void>((resolve) => setTimeout(resolve, 0))

export interface Output {
  readonly node: Node
  readonly value: Value
  /** 'size': by value up to 64 kB. */
  readonly deliver: 'value' | 'storage' | 'size'
}

export interface Request {
  readonly outputs: readonly Output[]
  readonly updates: readonly (readonly [Cell, Node])[]
  readonly guard?: Node
  /** Who replaces the updated parameters' values: `step()`. */
  readonly by: string
  /** Values of a compiled function's tensor arguments, and the counter of its first random draw. */
  readonly call?: { readonly args: readonly Value[]; readonly firstDraw: number }
  /** Turns a failed guard into the error that names a layer. */
  readonly explain?: () => Promise<Error>
}

/**
 * What an argument is filled from: a number, or data at rest as it was when submitted. The run may begin later, when
 * the value has been disposed of.
 */
type Binding = number | Taken

interface Taken {
  readonly value: Value
  readonly held: Held | undefined
  /** Forgotten as soon as it is on the device for good. */
  host: TypedArray | undefined
  readonly fill: number | undefined
}

function take(value: Value): Taken {
  if (value.disposed)
    fail(`a tensor ${showShape(value.shape)} was disposed of before this use of it`)
  value.observed = true
  const { held, fill } = value
  return { value, held, fill, host: fill === undefined ? value.host : undefined }
}

// Note: shortage. A run begins, as long as there is room for what it reads and writes, in the turn it was submitted.
// Else its job is held back, and all later ones behind it, while the device lets finalizers and queued runs give
// memory back; so the order of submission stays (rule 2). Then it fails, with the largest owners named.
const MOST_RELIEFS = 8

/** The graph captured with its key: reusable, as compiled functions do. */
export interface Captured {
  readonly graph: Graph
  readonly key: string
  readonly inputs: readonly InputNode[]
}

export function capture(request: Request): Captured {
  const { outputs, updates, guard } = request
  const graph: Graph = {
    outputs: outputs.map((output) => output.node),
    updates: updates.map(([cell, value]) => ({ target: targetOf(cell, request), value })),
    guard,
  }
  const { key, inputs } = keyOf(graph)
  return { graph, key, inputs }
}

function targetOf(cell: Cell, request: Request): InputNode {
  return request.call === undefined ? cell.current : cell.live
}

/** Thrown when a graph reads a version that was overwritten: rule 3. */
export function staleError(version: Version, what: string): BurnishError {
  return new BurnishError(
    `${replaced(version, what)}: read it before ${version.replacedBy ?? 'a step'}, or keep(t) it; a gradient needs zeroGrad() before backward()`,
  )
}

/** The same of a gradient that `where` would add to or step with. */
export function staleGradient(version: Version, cell: Cell, where: string): BurnishError {
  const what = `${where}: the gradient of ${cell.name || 'a parameter'}`
  return new BurnishError(
    `${replaced(version, what)}: call zeroGrad() before each backward(); where two optimizers step one loss, use one optimizer with two groups, or compile() both steps in one function`,
  )
}

function replaced(version: Version, what: string): string {
  const name = version.cell.name === '' ? '' : ` (${version.cell.name})`
  const kind = version.cell.role === 'state' ? 'running statistics' : 'weights'
  return `${what} was computed with ${kind}${name} that ${version.replacedBy ?? 'a step'} has replaced`
}

/** The overwritten version among a graph's inputs, if there is one. */
export function staleInput(inputs: readonly InputNode[]): Version | undefined {
  for (const { source } of inputs)
    if (source instanceof Version && source.replacedBy !== undefined) return source
  return undefined
}

function bind({ source }: InputNode, request: Request): Value | number {
  if (source instanceof Version) return source.cell.value
  if (source instanceof Cell) return source.value
  if (source instanceof Value) return source
  if (source instanceof Scalar) return source.read()
  const { call } = request
  if (source instanceof RandomKey) {
    const first = source.seed === undefined ? (call?.firstDraw ?? 0) : 0
    return keyWord(source.seed ?? context.generator.seed, first + source.draw, source.word)
  }
  if (source instanceof Placeholder && call !== undefined) return call.args[source.index]
  if (source instanceof StepValue)
    return fail(
      'scan: a tensor of one step was read or used outside of it: return it from the step, and use what scan returns',
    )
  return fail(
    'a tensor of a compiled function was used after its trace: return it from the function, and use what the call returns',
  )
}

/** Queues a graph. The promise settles when the run is done. Parameters it updates have their next version at once. */
export function submit(request: Request, captured: Captured = capture(request)): Promise<void> {
  const { inputs } = captured
  const bindings = inputs.map((node) => {
    const bound = bind(node, request)
    return typeof bound === 'number' ? bound : take(bound)
  })
  const taken = bindings.flatMap((b) => (typeof b === 'number' || !b.held ? [] : [b.held]))
  for (const held of taken) held.retain()
  const giveBack = () => {
    for (const held of taken) held.drop()
  }
  const done = new Promise<void>((resolve, reject) => {
    const runner = currentRunner()
    runner.submit({
      start: (device) => {
        run({ device, runner, request, captured, bindings }).finally(giveBack).then(resolve, reject)
      },
      fail: (error) => {
        giveBack()
        reject(error)
      },
    })
  })
  for (const { value } of request.outputs) {
    value.ready = done
    done.catch((error: unknown) => {
      value.error = asError(error)
    })
  }
  for (const [cell] of request.updates) cell.advance(request.by)
  return done
}

/** Milliseconds a failed submission waits for someone to read one of its results. */
const GRACE = 1000

/**
 * Reports the error of a submission nobody awaits: through the results that are read, else as an unhandled rejection.
 */
export function surface(done: Promise<void>, outputs: readonly Output[]): void {
  done.catch(async (error: unknown) => {
    await new Promise((resolve) => setTimeout(resolve, outputs.length > 0 ? GRACE : 0))
    if (!outputs.some(({ value }) => value.observed)) throw error
  })
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new BurnishError(String(error))
}

interface Run {
  readonly device: Device
  readonly runner: Runner
  readonly request: Request
  readonly captured: Captured
  readonly bindings: readonly Binding[]
}

interface Begun {
  readonly report: Promise<RunReport>
  readonly used: readonly Held[]
}

async function run(wanted: Run): Promise<void> {
  const { device, runner, request, captured, bindings } = wanted
  const loaded = runner.load(captured.key, captured.graph, captured.inputs)
  let used: readonly Held[] = []
  loaded.runs++
  try {
    const begun = beginNow(wanted, loaded) ?? (await runner.hold(() => beginLater(wanted, loaded)))
    used = begun.used
    const report = await begun.report
    if (report.code !== 0) throw await describe(report, loaded, request)
    for (const binding of bindings)
      if (typeof binding !== 'number' && binding.value.error !== undefined)
        throw binding.value.error
    deliver(device, request.outputs)
    const ran = report.program ?? loaded.program
    if (ran !== undefined) for (const observer of runner.observers) observer(ran, report)
    if (results.bytes > MOST_RESULT_BYTES) await macrotask()
  } catch (error) {
    for (const { value } of request.outputs) {
      value.error = asError(error)
      value.release()
    }
    throw error
  } finally {
    loaded.runs--
    for (const held of used) held.drop()
  }
}

/** Undefined when memory is short. */
function beginNow(wanted: Run, loaded: Loaded): Begun | undefined {
  try {
    return begin(wanted, loaded)
  } catch (error) {
    if (error instanceof OutOfMemoryError && wanted.device.relieve !== undefined) return undefined
    throw error
  }
}

/** See Note: shortage. */
async function beginLater(wanted: Run, loaded: Loaded): Promise<Begun> {
  try {
    for (let reliefs = 0; reliefs < MOST_RELIEFS; reliefs++) {
      await wanted.device.relieve?.()
      const begun = beginNow(wanted, loaded)
      if (begun !== undefined) return begun
    }
    return begin(wanted, loaded)
  } catch (error) {
    // Before the jobs behind it begin, which may read its results.
    for (const { value } of wanted.request.outputs) value.error = asError(error)
    throw error
  }
}

/** Finds room for all that the run reads and writes, and queues it; or leaves nothing behind, and throws. */
function begin({ device, runner, request, captured, bindings }: Run, loaded: Loaded): Begun {
  const used: Held[] = []
  const use = (held: Held) => {
    held.retain()
    used.push(held)
    return held.storage
  }
  try {
    const storages = bindings.map((binding, i) => {
      const updated = loaded.arguments[i].role === 'update'
      const held = heldOf(device, captured.inputs[i], binding, updated)
      const storage = use(held.held)
      if (held.temporary) held.held.release()
      return storage
    })
    for (const { node, value } of request.outputs) {
      const bytes = sizeOf(node.shape) * itemSize[node.dtype]
      const held = new Held(device, device.alloc(bytes, node.label || 'results'))
      value.expect(held)
      storages.push(use(held))
    }
    collectDropped()
    return { used, report: loaded.executable.run(storages, { profile: runner.observers.size > 0 }) }
  } catch (error) {
    for (const { value } of request.outputs) value.release()
    for (const held of used) held.drop()
    throw error
  }
}

function numberData(dtype: InputNode['dtype'], value: number): TypedArray {
  return dtype === 'float32' ? Float32Array.of(value) : Int32Array.of(value)
}

/** Elements written at a time where all are the same. */
const FILLED = 1 << 16

function uploadFilled(device: Device, { shape, dtype }: Value, fill: number, owner: string): Held {
  const size = sizeOf(shape)
  const data = allocate(dtype, Math.min(size, FILLED)).fill(storedNumber(dtype, fill))
  const storage = device.alloc(size * itemSize[dtype], owner)
  for (let at = 0; at < size; at += FILLED) {
    const part = data.subarray(0, Math.min(FILLED, size - at))
    const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
    device.write(storage, bytes, at * itemSize[dtype])
  }
  return new Held(device, storage)
}

function upload(device: Device, data: TypedArray, owner: string): Held {
  const storage = device.alloc(data.byteLength, owner)
  device.write(storage, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return new Held(device, storage)
}

/** Where an argument is on the device. Parameters stay there; numbers and host data are copied for this run only. */
function heldOf(
  device: Device,
  node: InputNode,
  binding: Binding,
  updated: boolean,
): { readonly held: Held; readonly temporary: boolean } {
  if (typeof binding === 'number')
    return { held: upload(device, numberData(node.dtype, binding), 'numbers'), temporary: true }
  const { value } = binding
  const held = binding.held ?? value.held
  if (held !== undefined) {
    if (held.device !== device)
      fail(
        `a tensor ${showShape(value.shape)} is on device ${held.device.name}, this computation on ${device.name}: read it with data() and make it again`,
      )
    return { held, temporary: false }
  }
  const fill = value.fill ?? binding.fill
  const host = fill === undefined ? (value.host ?? binding.host) : undefined
  const cell = cellOf(node)
  const owner = cell === undefined ? 'inputs' : cell.name || 'parameters'
  let copy: Held
  if (fill !== undefined) copy = uploadFilled(device, value, fill, owner)
  else if (host !== undefined) copy = upload(device, host, owner)
  else throw value.error ?? new BurnishError('internal: a value without data')
  if (!updated && cell === undefined) return { held: copy, temporary: true }
  value.hold(copy)
  value.host = undefined
  binding.host = undefined
  if (host !== undefined) countDropped(host.byteLength)
  return { held: copy, temporary: false }
}

function deliver(device: Device, outputs: readonly Output[]): void {
  for (const { value, deliver } of outputs) {
    value.ready = undefined
    const { held } = value
    if (held === undefined) continue // disposed of while it was computed
    const bytes = sizeOf(value.shape) * itemSize[value.dtype]
    if (deliver === 'storage' || (deliver === 'size' && bytes > MOST_BYTES_BY_VALUE)) {
      value.hold(held)
      if (deliver === 'size') value.settle(bytes)
      continue
    }
    value.host = hostCopy(device, value, held)
    value.release()
  }
}

/** The data now: only after the runs that write it. */
export function hostCopy(device: Device, value: Value, held: Held): TypedArray {
  const size = sizeOf(value.shape)
  const bytes = device.peek(held.storage).slice(0, size * itemSize[value.dtype])
  return typedView(value.dtype, bytes.buffer, bytes.byteOffset, size)
}

async function describe(report: RunReport, loaded: Loaded, request: Request): Promise<Error> {
  const meaning = loaded.report(report.code, report.program)
  invariant(meaning !== undefined, () => `status code ${report.code} has no meaning`)
  if (meaning.kind === 'guard')
    return request.explain === undefined
      ? new BurnishError('the guard was false: no update was applied')
      : request.explain()
  const where = meaning.label === '' ? meaning.what : `${meaning.label}: ${meaning.what}`
  return new BurnishError(
    `${where}: index ${report.value} is out of range 0 … ${meaning.size - 1}; no update of this program was applied`,
  )
}
