// The scalar functions of the graph in terms of the loop IR's.
import type { DType } from '../base/dtype.js'
import type { ScalarFn } from '../graph/scalar.js'
import { call, num } from './build.js'
import { elementary } from './elementary.js'
import { roundTo } from './half.js'
import type { Expr } from './kernel.js'

type Place = (value: Expr) => Expr
type Lowering = (args: readonly Expr[], place: Place, dtypes: readonly DType[]) => Expr

const float = (value: number) => num('f32', value)
const same =
  (fn: Parameters<typeof call>[0]): Lowering =>
  (args) =>
    call(fn, ...args)
const polynomial =
  (fn: Parameters<typeof elementary>[0]): Lowering =>
  (args, place) =>
    elementary(fn, [...args], place)

const asFloat = (x: Expr) => (x.type === 'f32' ? x : call('toF32', x))

const lowerings: { readonly [F in ScalarFn]: Lowering } = {
  neg: same('neg'),
  abs: same('abs'),
  sign: ([x]) => {
    const zero = num(x.type, 0)
    const positive = call('select', call('lt', zero, x), num(x.type, 1), x)
    return call('select', call('lt', x, zero), num(x.type, -1), positive)
  },
  add: same('add'),
  sub: same('sub'),
  mul: same('mul'),
  div: same('div'),
  mod: ([a, b], place) => {
    if (a.type === 'f32') return call('sub', a, call('mul', call('floor', call('div', a, b)), b))
    const rem = place(call('rem', a, b))
    const zero = num('i32', 0)
    const other = call('lt', call('xor', rem, b), zero)
    return call('select', call('and', call('ne', rem, zero), other), call('add', rem, b), rem)
  },
  pow: polynomial('pow'),
  max: same('max'),
  min: same('min'),
  exp: polynomial('exp'),
  log: polynomial('log'),
  sqrt: same('sqrt'),
  sin: polynomial('sin'),
  cos: polynomial('cos'),
  tanh: polynomial('tanh'),
  sigmoid: polynomial('sigmoid'),
  erf: polynomial('erf'),
  relu: ([x]) => call('max', x, float(0)),
  floor: same('floor'),
  ceil: same('ceil'),
  round: same('nearest'),
  isFinite: ([x]) => call('lt', call('abs', x), float(Infinity)),
  lt: same('lt'),
  le: same('le'),
  eq: (args) => (args[0].type === 'bool' ? call('not', call('xor', ...args)) : call('eq', ...args)),
  ne: (args) => call(args[0].type === 'bool' ? 'xor' : 'ne', ...args),
  and: same('and'),
  or: same('or'),
  not: same('not'),
  bitAnd: same('and'),
  bitOr: same('or'),
  bitXor: same('xor'),
  shl: same('shl'),
  shr: same('shr'),
  where: same('select'),
  toFloat32: ([x]) => asFloat(x),
  toFloat16: ([x], place) => roundTo('float16', asFloat(x), place),
  toBfloat16: ([x], place) => roundTo('bfloat16', asFloat(x), place),
  toInt32: ([x]) => (x.type === 'i32' ? x : call('toI32', x)),
  toUint8: ([x]) => {
    const whole = x.type === 'i32' ? x : call('toI32', x)
    return x.type === 'bool' ? whole : call('and', whole, num('i32', 255))
  },
  toBool: ([x]) => (x.type === 'bool' ? x : call('ne', x, num(x.type, 0))),
}

/** `fn` of values in registers; `place` gives a shared intermediate a local. */
export function applyScalar(
  fn: ScalarFn,
  dtypes: readonly DType[],
  args: readonly Expr[],
  place: Place,
): Expr {
  return place(lowerings[fn](args, place, dtypes))
}
