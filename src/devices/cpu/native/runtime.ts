// The C of the native pool: threads that run programs one after the other on the device's memory. Compiled once for
// a machine and kept in the cache like a program.
//
// Main submits without waiting; a waiting call on a thread of libuv tells it that runs are done. The pool keeps the
// protocol of the workers: a run is done when thread 0 leaves it, others may be in its last barrier a moment longer.

import { support } from '../../../targets/c/driver.js'
import { prelude } from '../../../targets/c/prelude.js'
import { control } from '../../../targets/wasm/control.js'

/** Runs the pool can hold: more than the queue of a device ever posts. */
export const RING = 64

/** Looks for the next run before an idle thread sleeps, each of 20 to 140 cycles: some 20 µs. */
const IDLE_SPINS = 500

export const runtimeSource = `${prelude(4, false)}
${support}
#include <pthread.h>
#include <sys/mman.h>
#include <signal.h>
#include <stdlib.h>
#define PUBLIC __attribute__((visibility("default")))
typedef i32 (*Run)(i32, i32, u32, u32, u32, u32, char *);
typedef struct { Run run; u32 args, arena, scratch, control; double milliseconds; } Job;
typedef struct Pool Pool;
typedef struct { Pool *pool; u32 number, left; pthread_t id; } Thread;
struct Pool {
  char *memory;
  u32 threads, submitted, finished, closing;
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  Job ring[${RING}];
  Thread thread[];
};

static void *serve(void *given) {
  Thread *self = given;
  Pool *pool = self->pool;
  for (u32 next = 0;; next++) {
    for (int spins = 0; spins < ${IDLE_SPINS} && look(&pool->submitted) == next && !look(&pool->closing); spins++) PAUSE;
    if (look(&pool->submitted) == next) {
      pthread_mutex_lock(&pool->lock);
      while (look(&pool->submitted) == next && !look(&pool->closing)) pthread_cond_wait(&pool->work, &pool->lock);
      pthread_mutex_unlock(&pool->lock);
    }
    if (look(&pool->closing)) break;
    Job *job = &pool->ring[next % ${RING}];
    double begun = now();
    i32 aborted = job->run(self->number, pool->threads, job->args, job->arena, job->scratch, job->control, pool->memory);
    if (self->number == 0) {
      job->milliseconds = aborted ? -1 : now() - begun;
      pthread_mutex_lock(&pool->lock);
      __atomic_store_n(&pool->finished, next + 1, __ATOMIC_SEQ_CST);
      pthread_cond_broadcast(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
    __atomic_store_n(&self->left, next + 1, __ATOMIC_SEQ_CST);
  }
  return 0;
}

PUBLIC int64_t burnish_address(void *memory) { return (int64_t)memory; }

static void end(Pool *pool) {
  pthread_mutex_lock(&pool->lock);
  __atomic_store_n(&pool->closing, 1, __ATOMIC_SEQ_CST);
  for (u32 i = pool->finished; i != pool->submitted; i++) {
    char *control = pool->memory + pool->ring[i % ${RING}].control;
    __atomic_store_n((u32 *)(control + ${control.abort}), 1, __ATOMIC_SEQ_CST);
    wake((u32 *)(control + ${control.generation}));
  }
  pthread_cond_broadcast(&pool->work);
  pthread_cond_broadcast(&pool->done);
  pthread_mutex_unlock(&pool->lock);
  for (u32 t = 0; t < pool->threads; t++) pthread_join(pool->thread[t].id, 0);
}

/* 0 when there is no memory or no thread to be had. The memory, reserved for so many bytes, is given large pages where
   the system has them: rows far apart then find their pages in the processor's tables. */
PUBLIC int64_t burnish_open(int64_t memory, double used, double reserved, u32 threads) {
#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25
#endif
#ifdef MADV_HUGEPAGE
  madvise((void *)memory, (size_t)reserved, MADV_HUGEPAGE);
#ifdef MADV_COLLAPSE
  madvise((void *)memory, (size_t)used, MADV_COLLAPSE);
#endif
#endif
  Pool *pool = calloc(1, sizeof(Pool) + threads * sizeof(Thread));
  if (!pool) return 0;
  pool->memory = (char *)memory;
  pthread_mutex_init(&pool->lock, 0);
  pthread_cond_init(&pool->work, 0);
  pthread_cond_init(&pool->done, 0);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (u32 t = 0; t < threads; t++) {
    pool->thread[t].pool = pool;
    pool->thread[t].number = t;
    if (pthread_create(&pool->thread[t].id, 0, serve, &pool->thread[t])) break;
    pool->threads = t + 1;
  }
  pthread_sigmask(SIG_SETMASK, &before, 0);
  if (pool->threads == threads) return (int64_t)pool;
  end(pool);
  free(pool);
  return 0;
}

/* The number of the run, from 1. */
PUBLIC u32 burnish_submit(int64_t at, int64_t run, u32 args, u32 arena, u32 scratch, u32 control) {
  Pool *pool = (Pool *)at;
  Job job = {(Run)run, args, arena, scratch, control, 0};
  pool->ring[pool->submitted % ${RING}] = job;
  pthread_mutex_lock(&pool->lock);
  __atomic_store_n(&pool->submitted, pool->submitted + 1, __ATOMIC_SEQ_CST);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  return pool->submitted;
}

/* Blocks until more than \`known\` runs are done, or the pool closes; gives how many are. */
PUBLIC u32 burnish_wait(int64_t at, u32 known) {
  Pool *pool = (Pool *)at;
  pthread_mutex_lock(&pool->lock);
  while (look(&pool->finished) == known && !look(&pool->closing)) pthread_cond_wait(&pool->done, &pool->lock);
  u32 finished = pool->finished;
  pthread_mutex_unlock(&pool->lock);
  return finished;
}

/* Of a finished run, negative when it was aborted. */
PUBLIC double burnish_time(int64_t at, u32 number) {
  return ((Pool *)at)->ring[(number - 1) % ${RING}].milliseconds;
}

/* Returns when no thread is in the code of a finished run. */
PUBLIC void burnish_leave(int64_t at, u32 number) {
  Pool *pool = (Pool *)at;
  for (u32 t = 0; t < pool->threads; t++)
    while ((i32)(look(&pool->thread[t].left) - number) < 0) usleep(20);
}

/* Aborts what runs, at its next barrier, and ends the threads. */
PUBLIC void burnish_end(int64_t at) { end((Pool *)at); }

/* After burnish_end, when nothing waits any more. */
PUBLIC void burnish_free(int64_t at) { free((Pool *)at); }
`
