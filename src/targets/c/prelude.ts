// The C every printed file begins with: vector types of a number of lanes and one inline function for each thing the
// loop IR can say that C has no operator for.
//
// After GCC's vector extensions, which clang has too. Masks of comparisons are written plainly: gcc 12 makes compares and
// blends of them (looked at in its assembly), and there is no `?:` on vectors in C. Booleans are 0 and 1 as scalars, masks
// of 0 and −1 as vectors. Integers are added as unsigned numbers, because they wrap.
//
// Note: lane loops. At -O3 gcc 12 makes one instruction of `EACH r[j] = __builtin_sqrtf(x[j])`, but by a pass that gives
// up in large functions, so what products of matrices need is said outright: the multiply-add by its builtin, and the
// load of a splat in assembler. gcc's own splat of x[k] is a load of a whole vector, wherever it can show that it may
// read that far, and a permutation: loads that cross cache lines. 8×2 tiles of 16 lanes: 113 GFLOP/s, then 4×2: 66.

/** Types, memory and functions of vectors of `lanes`; `fused`: multiply-adds are rounded once. */
export function prelude(lanes: number, fused: boolean): string {
  return `#include <stdint.h>
#define L ${lanes}
#define INLINE static inline __attribute__((always_inline))
typedef int64_t N;
typedef int32_t i32;
typedef uint32_t u32;
typedef float F __attribute__((vector_size(4 * L)));
typedef i32 I __attribute__((vector_size(4 * L)));
typedef u32 U __attribute__((vector_size(4 * L)));
typedef I B;
typedef uint8_t Q __attribute__((vector_size(L)));
typedef uint16_t H __attribute__((vector_size(2 * L)));
typedef float Fat __attribute__((vector_size(4 * L), aligned(4), may_alias));
typedef i32 Iat __attribute__((vector_size(4 * L), aligned(4), may_alias));
typedef uint16_t Hat __attribute__((vector_size(2 * L), aligned(2), may_alias));
typedef uint8_t Qat __attribute__((vector_size(L), aligned(1), may_alias));
#define EACH for (int j = 0; j < L; j++)
#if defined(__clang__)
#define TURN(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
#else
#define TURN(x, ...) __builtin_shuffle(x, (I){__VA_ARGS__})
#endif

${memory(lanes)}
${scalars(fused)}
${vectors(fused)}
${acrossFunctions(lanes)}
INLINE N floorDivide(N x, N d) { return x >= 0 ? x / d : -((d - 1 - x) / d); }
INLINE N least(N x, N y) { return x < y ? x : y; }
INLINE N greatest(N x, N y) { return x > y ? x : y; }
INLINE void report(i32 *status, i32 code, i32 value) {
  i32 none = 0;
  if (__atomic_compare_exchange_n(status, &none, code, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) status[1] = value;
}
`
}

function memory(lanes: number): string {
  const same = `{${Array(lanes).fill('x').join(', ')}}`
  return `INLINE F splat_f(float x) { return (F)${same}; }
INLINE I splat_i(i32 x) { return (I)${same}; }
INLINE B splat_b(i32 x) { return splat_i(-x); }
INLINE I lanes_i(i32 x, i32 step) { I r; EACH r[j] = (i32)((u32)x + (u32)step * (u32)j); return r; }
INLINE F broadcast_float32(const float *p) {
#if defined(__AVX512VL__) || L == 16 && defined(__AVX512F__)
  F r;
  __asm__("vbroadcastss %1, %0" : "=v"(r) : "m"(*p));
  return r;
#elif defined(__AVX__) && L <= 8
  F r;
  __asm__("vbroadcastss %1, %0" : "=x"(r) : "m"(*p));
  return r;
#else
  return splat_f(*p);
#endif
}
INLINE I broadcast_int32(const i32 *p) { return splat_i(*p); }
INLINE I broadcast_uint16(const uint16_t *p) { return splat_i(*p); }
INLINE I broadcast_uint8(const uint8_t *p) { return splat_i(*p); }
INLINE B broadcast_bool(const uint8_t *p) { return splat_b(*p != 0); }
INLINE F load_float32(const float *p) { return *(const Fat *)p; }
INLINE I load_int32(const i32 *p) { return *(const Iat *)p; }
INLINE I load_uint16(const uint16_t *p) { return __builtin_convertvector(*(const Hat *)p, I); }
INLINE I load_uint8(const uint8_t *p) { return __builtin_convertvector(*(const Qat *)p, I); }
INLINE B load_bool(const uint8_t *p) { return load_uint8(p) != 0; }
INLINE F strided_float32(const float *p, N s) { F r; EACH r[j] = p[j * s]; return r; }
INLINE I strided_int32(const i32 *p, N s) { I r; EACH r[j] = p[j * s]; return r; }
INLINE I strided_uint16(const uint16_t *p, N s) { I r; EACH r[j] = p[j * s]; return r; }
INLINE I strided_uint8(const uint8_t *p, N s) { I r; EACH r[j] = p[j * s]; return r; }
INLINE B strided_bool(const uint8_t *p, N s) { return strided_uint8(p, s) != 0; }
INLINE void store_float32(float *p, F x) { *(Fat *)p = x; }
INLINE void store_int32(i32 *p, I x) { *(Iat *)p = x; }
INLINE void store_uint16(uint16_t *p, I x) { *(Hat *)p = __builtin_convertvector(x, H); }
INLINE void store_uint8(uint8_t *p, I x) { *(Qat *)p = __builtin_convertvector(x, Q); }
INLINE void store_bool(uint8_t *p, B x) { store_uint8(p, x & 1); }
INLINE void scatter_float32(float *p, N s, F x) { EACH p[j * s] = x[j]; }
INLINE void scatter_int32(i32 *p, N s, I x) { EACH p[j * s] = x[j]; }
INLINE void scatter_uint16(uint16_t *p, N s, I x) { EACH p[j * s] = (uint16_t)x[j]; }
INLINE void scatter_uint8(uint8_t *p, N s, I x) { EACH p[j * s] = (uint8_t)x[j]; }
INLINE void scatter_bool(uint8_t *p, N s, B x) { EACH p[j * s] = x[j] & 1; }
INLINE float lane_f(F x, int j) { return x[j]; }
INLINE i32 lane_i(I x, int j) { return x[j]; }
INLINE i32 lane_b(B x, int j) { return x[j] & 1; }
`
}

/** Functions of scalars; the text of those named after an operator is in expressions.ts. */
function scalars(fused: boolean): string {
  return `INLINE i32 bits_i(float x) { i32 r; __builtin_memcpy(&r, &x, 4); return r; }
INLINE float bits_f(i32 x) { float r; __builtin_memcpy(&r, &x, 4); return r; }
INLINE float fma_f(float a, float b, float c) { return ${fused ? '__builtin_fmaf(a, b, c)' : 'a * b + c'}; }
INLINE float max_f(float a, float b) { return a == b ? bits_f(bits_i(a) & bits_i(b)) : a > b || a != a ? a : b; }
INLINE float min_f(float a, float b) { return a == b ? bits_f(bits_i(a) | bits_i(b)) : a < b || a != a ? a : b; }
INLINE float atLeast_f(float x, float c) { return x < c ? c : x; }
INLINE float atMost_f(float x, float c) { return c < x ? c : x; }
INLINE float nearest_f(float x) { return __builtin_rintf(x); }
INLINE i32 toI32_f(float x) {
  return x != x ? 0 : x >= 2147483648.0f ? 2147483647 : x < -2147483648.0f ? -2147483647 - 1 : (i32)x;
}
INLINE i32 add_i(i32 a, i32 b) { return (i32)((u32)a + (u32)b); }
INLINE i32 sub_i(i32 a, i32 b) { return (i32)((u32)a - (u32)b); }
INLINE i32 mul_i(i32 a, i32 b) { return (i32)((u32)a * (u32)b); }
INLINE i32 neg_i(i32 a) { return (i32)(0u - (u32)a); }
INLINE i32 abs_i(i32 a) { return a < 0 ? neg_i(a) : a; }
INLINE i32 max_i(i32 a, i32 b) { return a > b ? a : b; }
INLINE i32 min_i(i32 a, i32 b) { return a < b ? a : b; }
INLINE i32 div_i(i32 a, i32 b) { return b == 0 ? 0 : b == -1 ? neg_i(a) : a / b; }
INLINE i32 rem_i(i32 a, i32 b) { return b == 0 || b == -1 ? 0 : a % b; }
INLINE i32 shl_i(i32 a, i32 n) { return (i32)((u32)a << (n & 31)); }
INLINE i32 shr_i(i32 a, i32 n) { return (i32)((u32)a >> (n & 31)); }
INLINE i32 sar_i(i32 a, i32 n) { return a >> (n & 31); }
`
}

// See Note: lane loops.
const fusedMultiplyAdd = `INLINE F fma_F(F a, F b, F c) {
#if defined(__clang__)
  return __builtin_elementwise_fma(a, b, c);
#elif L == 16 && defined(__AVX512F__)
  return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
#elif L == 8 && defined(__FMA__)
  return __builtin_ia32_vfmaddps256(a, b, c);
#elif L == 4 && defined(__FMA__)
  return __builtin_ia32_vfmaddps(a, b, c);
#else
  F r;
  EACH r[j] = __builtin_fmaf(a[j], b[j], c[j]);
  return r;
#endif
}`

function vectors(fused: boolean): string {
  const lanewise = (name: string, builtin: string) =>
    `INLINE F ${name}_F(F x) { F r; EACH r[j] = __builtin_${builtin}(x[j]); return r; }`
  return `INLINE F select_F(B m, F a, F b) { return (F)(((I)a & m) | ((I)b & ~m)); }
INLINE I select_I(B m, I a, I b) { return (a & m) | (b & ~m); }
${fused ? fusedMultiplyAdd : 'INLINE F fma_F(F a, F b, F c) { return a * b + c; }'}
INLINE F max_F(F a, F b) { return select_F(a == b, (F)((I)a & (I)b), select_F((a > b) | (a != a), a, b)); }
INLINE F min_F(F a, F b) { return select_F(a == b, (F)((I)a | (I)b), select_F((a < b) | (a != a), a, b)); }
INLINE F atLeast_F(F x, F c) { return select_F(x < c, c, x); }
INLINE F atMost_F(F x, F c) { return select_F(c < x, c, x); }
INLINE F abs_F(F x) { return (F)((I)x & splat_i(2147483647)); }
${lanewise('sqrt', 'sqrtf')}
${lanewise('floor', 'floorf')}
${lanewise('ceil', 'ceilf')}
${lanewise('trunc', 'truncf')}
${lanewise('nearest', 'rintf')}
INLINE F toF32_I(I x) { return __builtin_convertvector(x, F); }
INLINE F toF32_B(B m) { return (F)((I)splat_f(1) & m); }
INLINE I toI32_F(F x) {
  B high = x >= splat_f(2147483648.0f), low = x < splat_f(-2147483648.0f), number = x == x;
  I r = __builtin_convertvector(select_F(high | low, splat_f(0), x), I);
  return select_I(high, splat_i(2147483647), select_I(low, splat_i(-2147483647 - 1), r)) & number;
}
INLINE I toI32_B(B m) { return m & 1; }
INLINE I add_I(I a, I b) { return (I)((U)a + (U)b); }
INLINE I sub_I(I a, I b) { return (I)((U)a - (U)b); }
INLINE I mul_I(I a, I b) { return (I)((U)a * (U)b); }
INLINE I neg_I(I a) { return (I)(-(U)a); }
INLINE I abs_I(I a) { return select_I(a < 0, neg_I(a), a); }
INLINE I max_I(I a, I b) { return select_I(a > b, a, b); }
INLINE I min_I(I a, I b) { return select_I(a < b, a, b); }
INLINE I div_I(I a, I b) { I r; EACH r[j] = div_i(a[j], b[j]); return r; }
INLINE I rem_I(I a, I b) { I r; EACH r[j] = rem_i(a[j], b[j]); return r; }
INLINE I shl_I(I a, i32 n) { return (I)((U)a << (u32)(n & 31)); }
INLINE I shr_I(I a, i32 n) { return (I)((U)a >> (u32)(n & 31)); }
INLINE I sar_I(I a, i32 n) { return a >> (n & 31); }
`
}

/** Halves of a vector on each other until one lane is left: ((l0∘l2)∘(l1∘l3)) for four. */
function acrossFunctions(lanes: number): string {
  const lines: string[] = []
  const folds = {
    add: { F: (y: string) => `x + ${y}`, I: (y: string) => `add_I(x, ${y})` },
    mul: { F: (y: string) => `x * ${y}`, I: (y: string) => `mul_I(x, ${y})` },
    max: { F: (y: string) => `max_F(x, ${y})`, I: (y: string) => `max_I(x, ${y})` },
    min: { F: (y: string) => `min_F(x, ${y})`, I: (y: string) => `min_I(x, ${y})` },
  }
  for (const [name, by] of Object.entries(folds))
    for (const [vector, scalar] of [
      ['F', 'float'],
      ['I', 'i32'],
    ] as const) {
      const turns: string[] = []
      for (let half = lanes / 2; half >= 1; half /= 2) {
        const order = Array.from({ length: lanes }, (_, j) => (j + half) % lanes)
        turns.push(`x = ${by[vector](`TURN(x, ${order.join(', ')})`)};`)
      }
      lines.push(
        `INLINE ${scalar} across_${name}_${vector}(${vector} x) { ${turns.join(' ')} return x[0]; }`,
      )
    }
  return lines.join('\n')
}
