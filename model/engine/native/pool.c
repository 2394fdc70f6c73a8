/* Threads claim items one by one: one that the machine has put to sleep holds up no more than the item it has claimed.
   An idle thread spins for a moment, for the next loop comes within microseconds, and then sleeps. */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

/* Looks at the counter before an idle thread sleeps, about 50 microseconds. */
enum { SPINS = 3000, MOST_THREADS = 256 };

struct pool {
  int threads;
  pthread_t members[MOST_THREADS];
  loop_body body;
  void* context;
  /* Number of the loop << 32 | items not yet claimed. */
  _Atomic uint64_t open;
  _Atomic int done;
  _Atomic int sleepers;
  _Atomic int closing;
  pthread_mutex_t lock;
  pthread_cond_t wake;
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Claim and run items until none is open; says whether there was one. */
static int work(pool* p) {
  int worked = 0;
  for (;;) {
    uint64_t seen = atomic_load(&p->open);
    if (!(uint32_t)seen) return worked;
    if (!atomic_compare_exchange_weak(&p->open, &seen, seen - 1)) continue;
    /* The claim holds the loop open, so body and context are its own. */
    p->body(p->context, (int)(uint32_t)seen - 1);
    atomic_fetch_add(&p->done, 1);
    worked = 1;
  }
}

static void sleep_until_open(pool* p) {
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->sleepers, 1);
  while (!(uint32_t)atomic_load(&p->open) && !atomic_load(&p->closing)) pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->lock);
}

static void* member(void* given) {
  pool* p = given;
  int idle = 0;
  while (!atomic_load(&p->closing)) {
    if (work(p)) {
      idle = 0;
    } else if (++idle < SPINS) {
      relax();
    } else {
      sleep_until_open(p);
      idle = 0;
    }
  }
  return 0;
}

pool* pool_open(int threads) {
  pool* p = calloc(1, sizeof *p);
  if (!p) return 0;
  pthread_mutex_init(&p->lock, 0);
  pthread_cond_init(&p->wake, 0);
  p->threads = 1;
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  /* Where the system gives no more threads, those that there are do the work. */
  while (p->threads < threads && !pthread_create(&p->members[p->threads], 0, member, p)) p->threads++;
  return p;
}

static void wake_all(pool* p) {
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

void pool_close(pool* p) {
  atomic_store(&p->closing, 1);
  wake_all(p);
  for (int i = 1; i < p->threads; i++) pthread_join(p->members[i], 0);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->wake);
  free(p);
}

int pool_threads(const pool* p) { return p->threads; }

void pool_run(pool* p, loop_body body, void* context, int items) {
  if (p->threads == 1 || items < 2) {
    for (int item = 0; item < items; item++) body(context, item);
    return;
  }
  p->body = body;
  p->context = context;
  atomic_store(&p->done, 0);
  uint64_t number = (atomic_load(&p->open) >> 32) + 1;
  atomic_store(&p->open, number << 32 | (uint32_t)items);
  if (atomic_load(&p->sleepers)) wake_all(p);
  work(p);
  for (int spins = 0; atomic_load(&p->done) < items; spins++) {
    if (spins < SPINS)
      relax();
    else
      sched_yield();
  }
}
