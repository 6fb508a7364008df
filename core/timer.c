/* core/timer.c: timers in a 4-ary heap per P.
 *
 * Invariants, under heap->lock: e[i].when >= e[(i-1)/4].when; e[i].tm->at == i+1; first is e[0].when, or
 * INT64_MAX. An entry of a plain sleep names the goroutine itself (tagged): nobody takes it out early, so it needs no
 * timer, and moving it in the heap touches nothing but the heap, where a timer would cost a miss of the cache and of
 * the page tables each time (a million sleepers have a million stacks). Stopping takes the timer out at once (its storage is the caller's), which is cheap
 * where it matters: what was added last lies at the end.
 *
 * Locks: one heap at a time, except go_tm_move_, which nobody else can meet. fn is called without locks.
 */
#include <stdlib.h>
#include <string.h>

#include "core/poll.h"
#include "core/sched.h"

#define SLEEPER 1u /* tag: the rest of the pointer is a go_g_ */

static bool is_sleeper(go_tm_entry_ e) { return ((uintptr_t)e.tm & SLEEPER) != 0; }

static inline void place(go_tm_heap_ *h, uint32_t i, go_tm_entry_ e) {
  h->e[i] = e;
  if (!is_sleeper(e)) {
    e.tm->at = i + 1;
  }
}

static void sift_up(go_tm_heap_ *h, uint32_t i, go_tm_entry_ e) {
  while (i > 0) {
    uint32_t up = (i - 1) / 4;
    if (h->e[up].when <= e.when) {
      break;
    }
    place(h, i, h->e[up]);
    i = up;
  }
  place(h, i, e);
}

static uint32_t least_child(const go_tm_heap_ *h, uint32_t i) {
  uint32_t first = i * 4 + 1;
  uint32_t end = first + 4 < h->n ? first + 4 : h->n;
  uint32_t least = first;
  for (uint32_t c = first + 1; c < end; c++) {
    if (h->e[c].when < h->e[least].when) {
      least = c;
    }
  }
  return least;
}

static void sift_down(go_tm_heap_ *h, uint32_t i, go_tm_entry_ e) {
  while (i * 4 + 1 < h->n) {
    uint32_t c = least_child(h, i);
    if (h->e[c].when >= e.when) {
      break;
    }
    place(h, i, h->e[c]);
    i = c;
  }
  place(h, i, e);
}

static void note_first(go_tm_heap_ *h) {
  int64_t first = h->n > 0 ? h->e[0].when : INT64_MAX;
  if ((int64_t)go_ld_rlx(&h->first) != first) {
    go_st_sc(&h->first, (uint64_t)first); /* pairs with go_tm_first_ after a P was given up */
  }
}

static void remove_at(go_tm_heap_ *h, uint32_t i) {
  if (!is_sleeper(h->e[i])) {
    h->e[i].tm->at = 0;
  }
  go_tm_entry_ last = h->e[--h->n];
  if (i < h->n) {
    if (i > 0 && h->e[(i - 1) / 4].when > last.when) {
      sift_up(h, i, last);
    } else {
      sift_down(h, i, last);
    }
  }
  note_first(h);
}

/* The children of one entry share a cache line: e[1] stands at the start of one. */
#define LINE_ENTRIES (GO_CACHE_LINE_ / sizeof(go_tm_entry_))

static int room(go_tm_heap_ *h, uint32_t more) {
  if (h->n + more <= h->cap) {
    return 0;
  }
  size_t cap = h->cap == 0 ? 16 : h->cap;
  while (cap < h->n + more) {
    cap *= 2;
  }
  go_tm_entry_ *raw = aligned_alloc(GO_CACHE_LINE_, (cap + LINE_ENTRIES) * sizeof *raw);
  if (raw == NULL || cap > UINT32_MAX) {
    free(raw);
    return GO_ENOMEM;
  }
  go_tm_entry_ *e = raw + LINE_ENTRIES - 1;
  if (h->n > 0) {
    memcpy(e, h->e, h->n * sizeof *e);
  }
  go_tm_heap_free_(h);
  h->e = e;
  h->cap = (uint32_t)cap;
  return 0;
}

void go_tm_heap_free_(go_tm_heap_ *h) {
  if (h->e != NULL) {
    free(h->e - (LINE_ENTRIES - 1));
  }
}

/* A sleeping M must look again when its deadline has moved forward; when nobody sleeps with a
 * deadline but Ps are idle, somebody has to start to. */
static void wake_for(int64_t when) {
  if (go_ld_sc(&GO_S->poller) != 0) {
    if ((int64_t)go_ld_sc(&GO_S->poll_until) > when) {
      go_poll_break_();
    }
  } else if (go_ld_sc(&GO_S->idle.np) != 0) {
    go_wake_();
  }
}

static go_p_ *some_p(go_m_ *m) {
  if (m->p != NULL) {
    return m->p;
  }
  return GO_S->all_p[0]; /* always there, and others run its timers too */
}

static int add(go_m_ *m, int64_t when, go_tm_ *tm, go_aptr *heap_of) {
  go_tm_heap_ *h = &some_p(m)->tm;
  go_lock_(&h->lock);
  int r = room(h, 1);
  if (r != 0) {
    go_unlock_(&h->lock);
    return r;
  }
  if (heap_of != NULL) {
    go_st_rlx(heap_of, (void *)h);
  }
  sift_up(h, h->n++, (go_tm_entry_){when, tm});
  bool first = h->e[0].tm == tm;
  note_first(h);
  go_unlock_(&h->lock); /* from here on it may fire, and tm be gone */
  if (first) {
    wake_for(when);
  }
  return 0;
}

int go_tm_add_(go_m_ *m, go_tm_ *tm) { return add(m, tm->when, tm, &tm->heap); }

int go_tm_sleep_(go_m_ *m, go_g_ *g, int64_t when) {
  return add(m, when, (go_tm_ *)(void *)((uintptr_t)g | SLEEPER), NULL);
}

/* The heap that tm is in may change while we look (go_tm_move_). */
static go_tm_heap_ *lock_heap_of(go_tm_ *tm) {
  for (;;) {
    go_tm_heap_ *h = go_ld_rlx(&tm->heap);
    if (h == NULL) {
      return NULL;
    }
    go_lock_(&h->lock);
    if (go_ld_rlx(&tm->heap) == h) {
      return h;
    }
    go_unlock_(&h->lock);
  }
}

bool go_tm_del_(go_tm_ *tm) {
  go_tm_heap_ *h = lock_heap_of(tm);
  if (h == NULL) {
    return false;
  }
  bool was_in = tm->at != 0;
  if (was_in) {
    remove_at(h, tm->at - 1);
  }
  go_unlock_(&h->lock);
  return was_in;
}

/* h->lock held; released. */
static void fire_first(go_m_ *m, go_tm_heap_ *h) {
  go_tm_entry_ e = h->e[0];
  if (is_sleeper(e)) {
    remove_at(h, 0);
    go_unlock_(&h->lock);
    go_ready_(m, (go_g_ *)((uintptr_t)e.tm - SLEEPER));
    return;
  }
  go_tm_fn_ fn = e.tm->fn;
  void *arg = e.tm->arg;
  uint32_t seq = e.tm->seq;
  remove_at(h, 0);
  go_unlock_(&h->lock); /* the timer is its owner's again: it may be gone */
  fn(m, arg, seq);
}

bool go_tm_run_(go_m_ *m, go_p_ *p, int64_t now) {
  go_tm_heap_ *h = &p->tm;
  bool ran = false;
  while ((int64_t)go_ld_acq(&h->first) <= now) {
    go_lock_(&h->lock);
    if (h->n == 0 || h->e[0].when > now) {
      go_unlock_(&h->lock);
      break;
    }
    fire_first(m, h);
    ran = true;
  }
  return ran;
}

int64_t go_tm_first_(void) {
  int64_t first = INT64_MAX;
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    int64_t when = (int64_t)go_ld_sc(&GO_S->all_p[i]->tm.first); /* pairs with note_first */
    first = when < first ? when : first;
  }
  return first;
}

int go_tm_move_(go_p_ *from, go_p_ *to) {
  go_tm_heap_ *a = &from->tm, *b = &to->tm;
  go_lock_(&a->lock); /* before b: only here are two held, and calls are serialised by go_procs_ */
  go_lock_(&b->lock);
  int r = room(b, a->n);
  if (r == 0) {
    for (uint32_t i = 0; i < a->n; i++) {
      if (!is_sleeper(a->e[i])) {
        go_st_rlx(&a->e[i].tm->heap, (void *)b);
      }
      sift_up(b, b->n++, a->e[i]);
    }
    a->n = 0;
    note_first(a);
    note_first(b);
  }
  go_unlock_(&b->lock);
  go_unlock_(&a->lock);
  return r;
}
