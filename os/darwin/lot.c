/* os/darwin/lot.c: waiting on a word, where the system has no call for it: macOS before 14.4.
 *
 * A parking lot: threads that wait are in one of some lists, by the address that they wait on. Invariant: a waiter
 * is in a list from when it found the value unchanged, under the list's lock, until a waker, or its own time-out,
 * takes it out, under that lock. A waker has changed the value before it calls. So if it takes the lock before
 * the waiter, the waiter sees the new value; if after, the waiter is in the list.
 *
 * Who is taken out is woken while the lock is held: its condition variable lies on its stack, and stays until it gets the
 * lock itself. Wakers do not look at the word, which may be gone (core/note.h). Oldest first.
 *
 * Plain POSIX but for one call, so that tests can run it elsewhere. Not async-signal-safe, which core does not need.
 */
#include "darwin.h"

#include <time.h>

#include "core/atomic.h"

enum { LISTS_LOG2 = 6, LISTS = 1 << LISTS_LOG2 };

typedef struct waiter {
  struct waiter *next;
  const uint32_t *addr; /* NULL: taken out by a waker */
  pthread_cond_t wake;
} waiter;

typedef struct list {
  _Alignas(128) pthread_mutex_t lock;
  waiter *first, **end; /* end NULL: as if &first */
} list;

#define FOUR(x) x, x, x, x
#define EMPTY \
  { .lock = PTHREAD_MUTEX_INITIALIZER }
static list lists[LISTS] = {FOUR(FOUR(FOUR(EMPTY)))};

/* Words lie 4 bytes apart at least; the products' upper bits are the best mixed. */
static list *list_of(const uint32_t *addr) {
  return &lists[((uintptr_t)addr >> 2) * 0x9e3779b97f4a7c15u >> (64 - LISTS_LOG2)];
}

/* Locks held in these. */
static void append(list *l, waiter *w) {
  w->next = NULL;
  if (l->first == NULL) l->end = &l->first;
  *l->end = w;
  l->end = &w->next;
}

static void take_out(list *l, waiter **at) {
  waiter *w = *at;
  *at = w->next;
  if (l->end == &w->next) l->end = at;
  w->addr = NULL;
}

static void remove_waiter(list *l, waiter *w) {
  waiter **at = &l->first;
  while (*at != w) at = &(*at)->next;
  take_out(l, at);
}

/* ---- with a time-out, by the clock of go_os_now_ ---- */

#if defined(__APPLE__)

static void init_wake(pthread_cond_t *c) { pthread_cond_init(c, NULL); }

static void wait_for(pthread_cond_t *c, pthread_mutex_t *lock, int64_t until) {
  int64_t ns = until - go_os_now_();
  struct timespec left = {.tv_sec = ns / GO_NS_PER_S_, .tv_nsec = ns % GO_NS_PER_S_};
  if (ns > 0) pthread_cond_timedwait_relative_np(c, lock, &left);
}

#else

static void init_wake(pthread_cond_t *c) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(c, &attr);
  pthread_condattr_destroy(&attr);
}

static void wait_for(pthread_cond_t *c, pthread_mutex_t *lock, int64_t until) {
  struct timespec at = {.tv_sec = until / GO_NS_PER_S_, .tv_nsec = until % GO_NS_PER_S_};
  pthread_cond_timedwait(c, lock, &at);
}

#endif

/* Lock held. Until it is taken out, or `until` (INT64_MAX: never), when it takes itself out. */
static int sleep_on(list *l, waiter *w, int64_t until) {
  while (w->addr != NULL) {
    if (until == INT64_MAX) {
      pthread_cond_wait(&w->wake, &l->lock);
    } else if (go_os_now_() < until) {
      wait_for(&w->wake, &l->lock, until);
    } else {
      remove_waiter(l, w);
      return -ETIMEDOUT;
    }
  }
  return 0;
}

int go_lot_wait_(uint32_t *addr, uint32_t val, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  int64_t now = ns >= 0 ? go_os_now_() : 0;
  int64_t until = ns < 0 || ns > INT64_MAX - now ? INT64_MAX : now + ns;
  list *l = list_of(addr);
  waiter w = {.addr = addr};
  int r = 0;
  pthread_mutex_lock(&l->lock);
  if (__atomic_load_n(addr, __ATOMIC_RELAXED) == val) { /* the lock orders it: see above */
    init_wake(&w.wake);
    append(l, &w);
    r = sleep_on(l, &w, until);
    pthread_cond_destroy(&w.wake);
  }
  pthread_mutex_unlock(&l->lock);
  GO_KEEP_ERRNO_END();
  return r;
}

void go_lot_wake_(uint32_t *addr, int n) {
  GO_KEEP_ERRNO_BEGIN();
  list *l = list_of(addr);
  pthread_mutex_lock(&l->lock);
  for (waiter **at = &l->first; *at != NULL && n > 0;) {
    waiter *w = *at;
    if (w->addr == addr) {
      take_out(l, at);
      pthread_cond_signal(&w->wake);
      n--;
    } else {
      at = &w->next;
    }
  }
  pthread_mutex_unlock(&l->lock);
  GO_KEEP_ERRNO_END();
}

void go_lot_forked_(void) {
  static const list empty = EMPTY;
  for (int i = 0; i < LISTS; i++) lists[i] = empty;
}
