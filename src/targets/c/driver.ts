// Prints `burnish_run`, which every thread calls: the regions of the program in order, each thread's share of every
// step, and a barrier after each region. The words it shares with main and the other threads, and how steps are shared
// out, are those of WebAssembly (../wasm/control.ts, ../wasm/driver.ts), so a device's queue need not know the tier.
import type { Program, Slot, Step } from '../../compiler/program.js'
import { beginning, ending } from '../repeats.js'
import { control, stampCount } from '../wasm/control.js'
import { scratchStride } from '../wasm/driver.js'

/**
 * The most and the fewest looks at the generation before a thread sleeps, which each thread finds for itself (Note:
 * patience, in ../wasm/driver.ts). Each has a pause in it, of 20 to 140 cycles: 2000 are 20 to 90 µs.
 */
const SPINS = 2000
const FEWEST_SPINS = 100
/** A sleeper looks at the abort word at least this often, in nanoseconds. */
const NAP = 50_000_000

/** Sleep and wake on a word, the barrier, and the clock. */
export const support = `#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
INLINE void sleepOn(u32 *word, u32 value) {
  struct timespec nap = {0, ${NAP}};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &nap, 0, 0);
}
INLINE void wake(u32 *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0); }
#else
INLINE void sleepOn(u32 *word, u32 value) { usleep(50); }
INLINE void wake(u32 *word) {}
#endif
#if defined(__x86_64__) || defined(__i386__)
#define PAUSE __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE __asm__ volatile("yield")
#else
#define PAUSE ((void)0)
#endif
INLINE u32 look(u32 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
INLINE double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}
`

const barrier = `#define WORD(offset) ((u32 *)(control + (offset)))
static struct { int spins; char line[60]; } patience[64];
/* 1 when the run is aborted. */
static int meet(char *control, u32 threads, i32 thread) {
  int *patient = &patience[thread & 63].spins;
  u32 *generation = WORD(${control.generation}), *abort = WORD(${control.abort});
  u32 before = look(generation);
  if (__atomic_add_fetch(WORD(${control.arrived}), 1, __ATOMIC_SEQ_CST) == threads) {
    __atomic_store_n(WORD(${control.arrived}), 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(WORD(${control.agreed}), look(WORD(${control.code})), __ATOMIC_SEQ_CST);
    __atomic_store_n(generation, before + 1, __ATOMIC_SEQ_CST);
    if (look(WORD(${control.sleepers}))) wake(generation);
    return look(abort) != 0;
  }
  for (int spins = *patient + ${FEWEST_SPINS}; spins > 0; spins--) {
    if (look(generation) != before) {
      *patient = *patient < ${SPINS} / 2 ? *patient * 2 + 1 : ${SPINS};
      return look(abort) != 0;
    }
    if (look(abort)) return 1;
    PAUSE;
  }
  *patient /= 2;
  do {
    __atomic_add_fetch(WORD(${control.sleepers}), 1, __ATOMIC_SEQ_CST);
    sleepOn(generation, before);
    __atomic_sub_fetch(WORD(${control.sleepers}), 1, __ATOMIC_SEQ_CST);
    if (look(abort)) return 1;
  } while (look(generation) == before);
  return 0;
}
`

/** `kernels` are the names of the program's kernels, with the types of their buffers. */
export function driverText(
  program: Program,
  kernels: readonly { readonly name: string; readonly types: readonly string[] }[],
): string {
  const slotText = (slot: Slot, type: string) => {
    const parts = slot.space === 'argument' ? ['memory', `args[${slot.index}]`] : [slot.space]
    if (slot.space !== 'argument') parts.push(`${slot.offset}u`)
    if (slot.from) parts.push(`${slot.from}u`)
    for (const { repeat, by, alternates } of slot.moves ?? [])
      parts.push(`(N)(${by}) * (turn${repeat}${alternates ? ' & 1' : ''})`)
    return `(${type})(${parts.join(' + ')})`
  }
  const call = (step: Step) => {
    const { name, types } = kernels[step.kernel]
    const { extent } = program.kernels[step.kernel].parallel
    const share = step.parallel ? [`SHARE(${extent}, 0)`, `SHARE(${extent}, 1)`] : ['0', extent]
    const slots = step.slots.map((slot, i) => slotText(slot, types[i]))
    return `${name}(${[...share, ...slots, 'status'].join(', ')});`
  }
  let number = 0
  let stamps = 0
  const stamp = () => `STAMP(${stamps++})`
  const lines: string[] = [`  ${stamp()}`]
  program.regions.forEach((region, r) => {
    for (const { repeat, turns } of beginning(program, r))
      lines.push(`  for (N turn${repeat} = 0; turn${repeat} < ${turns}; turn${repeat}++) {`)
    const indent = region.commit ? '    ' : '  '
    if (region.commit)
      lines.push(`  if (!(threads == 1 ? *status : (i32)*WORD(${control.agreed}))) {`)
    region.steps.forEach((step, i) => {
      const line = `*step = ${number++}; ${call(step)}`
      lines.push(
        step.parallel ? `${indent}${line}` : `${indent}if (${i} % threads == thread) { ${line} }`,
        `${indent}${stamp()}`,
      )
    })
    if (region.commit) lines.push('  }')
    lines.push(
      '  if (threads > 1 ? meet(control, threads, thread) : ABORTED) return 1;',
      `  ${stamp()}`,
      ...ending(program, r).map(() => '  }'),
    )
  })
  return `${support}
${barrier}
#define SHARE(extent, plus) ((N)(extent) * (thread + (plus)) / threads)
#define ABORTED (look(WORD(${control.abort})) != 0)
#define STAMP(i) if (times) times[i] = now();
/* 1 when aborted. Addresses are offsets from memory. */
__attribute__((visibility("default")))
i32 burnish_run(i32 thread, i32 threads, u32 table, u32 arenaAt, u32 scratchAt, u32 controlAt, char *memory) {
  char *control = memory + controlAt, *arena = memory + arenaAt;
  char *scratch = memory + scratchAt + (N)thread * ${scratchStride(program)};
  const u32 *args = (const u32 *)(memory + table);
  i32 *status = (i32 *)WORD(${control.code});
  volatile i32 *step = (i32 *)WORD(${control.steps} + 64 * thread);
  u32 timesAt = *WORD(${control.profile});
  double *times = timesAt ? (double *)(memory + timesAt) + thread * ${stampCount(program)} : 0;
${lines.join('\n')}
  return 0;
}
`
}
