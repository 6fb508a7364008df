/* core/timer.c: timers in a 4-ary heap per P.
 *
 * Invariants, under heap->lock: e[i].when >= e[(i-1)/4].when; e[i].tm->at == i+1; first is not later than any
 * `when`, and exact, or INT64_MAX, while `early` is 0. An entry of a plain sleep names the goroutine itself (tagged): nobody takes it out early, so it needs no
 * timer, and moving it in the heap touches nothing but the heap, where a timer would cost a miss of the cache and of
 * the page tables each time (a million sleepers have a million stacks). Stopping takes the timer out at once (its storage is the caller's), which is cheap
 * where it matters: what was added last lies at the end.
 *
 * Adding a timer does not fail, as those who reset one could not be told: without memory for an entry it goes into
 * a list, which is walked through when something in it is due, and emptied when there is room.
 *
 * Locks: one heap at a time, except go_tm_move_, which nobody else can meet. fn is called without locks. Who may
 * touch a timer, and when: core/tm_home.h.
 */
#include <stdlib.h>
#include <string.h>

#include "core/poll.h"
#include "core/timer.h"

#define SLEEPER 1u /* tag: the rest of the pointer is a go_g_ */

#define SPILLED (UINT32_MAX - 1) /* tm->at: in the list */

/* Goroutines that one go_tm_run_ starts, at most, and none when the queue of those that have not run yet is full: a
 * burst of timers does not become a burst of goroutines, however slowly the others run. What is due after them in the
 * same heap waits, as it would behind their goroutines. */
#define STARTS_MAX 64

/* There was no memory to start a goroutine: when to try again. */
#define START_AGAIN GO_MS

/* A heap that a burst has left larger is made smaller: see trim. */
#define CAP_KEPT 4096u

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

/* e belongs where i is, or higher, or lower. */
static void sift(go_tm_heap_ *h, uint32_t i, go_tm_entry_ e) {
  if (i > 0 && h->e[(i - 1) / 4].when > e.when) {
    sift_up(h, i, e);
  } else {
    sift_down(h, i, e);
  }
}

static int64_t first_of(const go_tm_heap_ *h) {
  int64_t first = h->n > 0 ? h->e[0].when : INT64_MAX;
  return GO_UNLIKELY_(h->nspilled != 0) && h->spill_when < first ? h->spill_when : first;
}

/* After something came in, or moved: whether it is the first now. When it is not, that costs nothing; and so
 * starting and stopping one timer after another does not either. */
static inline bool note_sooner(go_tm_heap_ *h, int64_t when) {
  if (when >= (int64_t)go_ld_rlx(&h->first)) {
    return false;
  }
  go_st_sc(&h->first, (uint64_t)when); /* pairs with go_tm_first_ after a P was given up */
  return true;
}

/* After the first was stopped: `first` is too early now. Until somebody needs to know (exact_first), nobody does. */
static inline void note_later(go_tm_heap_ *h) {
  if (GO_UNLIKELY_(go_ld_rlx(&h->early) == 0) && first_of(h) != (int64_t)go_ld_rlx(&h->first)) {
    go_st_rel(&h->early, 1u);
  }
}

/* After something fired. */
static inline void note_first(go_tm_heap_ *h) {
  go_st_rel(&h->first, (uint64_t)first_of(h));
  if (GO_UNLIKELY_(go_ld_rlx(&h->early) != 0)) {
    go_st_rel(&h->early, 0u);
  }
}

/* ---- room for entries ---- */

/* The children of one entry share a cache line: e[1] stands at the start of one. */
#define LINE_ENTRIES (GO_CACHE_LINE_ / sizeof(go_tm_entry_))

static int resize(go_tm_heap_ *h, size_t cap) {
  if (cap > UINT32_MAX / 2) {
    return GO_ENOMEM;
  }
  go_tm_entry_ *raw = go_os_alloc_(GO_CACHE_LINE_, (cap + LINE_ENTRIES) * sizeof *raw);
  if (raw == NULL) {
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

static inline int room(go_tm_heap_ *h, uint32_t more) {
  if (GO_LIKELY_(h->n + more <= h->cap)) {
    return 0;
  }
  size_t cap = h->cap == 0 ? 16 : h->cap;
  while (cap < (size_t)h->n + more) {
    cap *= 2;
  }
  return resize(h, cap);
}

/* At an eighth of the room the half is given back, so that it takes as many changes again until the next time. */
static inline void trim(go_tm_heap_ *h) {
  if (GO_UNLIKELY_(h->cap > CAP_KEPT && h->n <= h->cap / 8)) {
    (void)resize(h, h->cap / 2);
  }
}

void go_tm_heap_free_(go_tm_heap_ *h) {
  if (h->e != NULL) {
    go_os_free_(h->e - (LINE_ENTRIES - 1));
  }
}

static void remove_at(go_tm_heap_ *h, uint32_t i) {
  if (!is_sleeper(h->e[i])) {
    h->e[i].tm->at = 0;
  }
  go_tm_entry_ last = h->e[--h->n];
  if (i < h->n) {
    sift(h, i, last);
  }
  trim(h);
}

/* ---- without room: the list ---- */

static __attribute__((noinline)) void spill(go_tm_heap_ *h, go_tm_ *tm) {
  tm->at = SPILLED;
  tm->prev = NULL;
  tm->next = h->spilled;
  if (tm->next != NULL) {
    tm->next->prev = tm;
  }
  h->spilled = tm;
  if (h->nspilled++ == 0 || tm->when < h->spill_when) {
    h->spill_when = tm->when;
  }
}

static void unspill(go_tm_heap_ *h, go_tm_ *tm) {
  if (tm->prev != NULL) {
    tm->prev->next = tm->next;
  } else {
    h->spilled = tm->next;
  }
  if (tm->next != NULL) {
    tm->next->prev = tm->prev;
  }
  h->nspilled--;
}

/* Moves as many as there is room for into the heap. Returns one of the others if it is due, else NULL. */
static __attribute__((noinline)) go_tm_ *look_spilled(go_tm_heap_ *h, int64_t now) {
  go_tm_ *due = NULL;
  int64_t least = INT64_MAX;
  (void)(room(h, h->nspilled) == 0 || room(h, 1) == 0);
  for (go_tm_ *tm = h->spilled, *next; tm != NULL; tm = next) {
    next = tm->next;
    if (h->n < h->cap) {
      unspill(h, tm);
      sift_up(h, h->n++, (go_tm_entry_){tm->when, tm});
      continue;
    }
    least = tm->when < least ? tm->when : least;
    if (tm->when <= now) {
      due = tm;
    }
  }
  h->spill_when = least;
  note_first(h);
  return due;
}

/* ---- what core/tm_home.h asks for: lock held ---- */

static inline bool go_tm_put_(go_tm_heap_ *h, go_tm_ *tm, int64_t when) {
  tm->when = when;
  if (GO_LIKELY_(room(h, 1) == 0)) {
    sift_up(h, h->n++, (go_tm_entry_){when, tm});
  } else {
    spill(h, tm);
  }
  return note_sooner(h, when);
}

static bool go_tm_shift_(go_tm_heap_ *h, go_tm_ *tm, int64_t when) {
  tm->when = when;
  if (tm->at != SPILLED) {
    sift(h, tm->at - 1, (go_tm_entry_){when, tm});
  } else if (when < h->spill_when) {
    h->spill_when = when;
  }
  note_later(h);
  return note_sooner(h, when);
}

static inline void go_tm_take_(go_tm_heap_ *h, go_tm_ *tm) {
  if (tm->at != SPILLED) {
    remove_at(h, tm->at - 1);
  } else {
    unspill(h, tm);
  }
  note_later(h);
}

static bool go_tm_fill_(go_tm_ *tm, const void *what) {
  if (what == NULL) {
    return tm->run != NULL;
  }
  go_timer_fill_(tm, what);
  return true;
}

static go_tm_heap_ go_tm_never_; /* home of timers that never fire; nothing is in it */
#include "core/tm_home.h"

/* ---- adding and deleting ---- */

/* A sleeping M must look again when its deadline has moved forward; when nobody sleeps with a
 * deadline but Ps are idle, somebody has to start to. */
void go_tm_wake_(int64_t when) {
  if (!go_nobody_polls_()) {
    if ((int64_t)go_ld_sc(&GO_S->poll_until) > when) {
      go_poll_break_();
    }
  } else if (go_ld_sc(&GO_S->idle.np) != 0) {
    go_wake_();
  }
}

/* Within go_hold_: a P that goes takes its timers along. */
static go_tm_heap_ *some_heap(go_m_ *m) {
  return m->p != NULL ? &m->p->tm
                      : &GO_S->all_p[0]->tm; /* always there, and others run its timers too */
}

bool go_tm_put_in_(go_m_ *m, go_tm_ *tm) {
  uint32_t was = go_hold_(m);
  go_tm_heap_ *h = some_heap(m);
  int64_t when = tm->when;
  go_lock_(&h->lock);
  go_st_rel(&tm->heap, (void *)h); /* pairs with go_tm_home_lock_ */
  bool first = go_tm_put_(h, tm, when);
  go_unlock_(&h->lock); /* from here on it may fire, and tm be gone */
  go_unhold_(m, was);
  return first;
}

int go_tm_add_(go_m_ *m, go_tm_ *tm) {
  int64_t when = tm->when;
  if (go_tm_put_in_(m, tm)) {
    go_tm_wake_(when);
  }
  return 0;
}

int go_tm_sleep_(go_m_ *m, go_g_ *g, int64_t when) {
  uint32_t was = go_hold_(m);
  go_tm_heap_ *h = some_heap(m);
  go_lock_(&h->lock);
  int r = room(h, 1);
  bool first = false;
  if (r == 0) {
    sift_up(h, h->n++, (go_tm_entry_){when, (go_tm_ *)(void *)((uintptr_t)g | SLEEPER)});
    first = note_sooner(h, when);
  }
  go_unlock_(&h->lock);
  go_unhold_(m, was);
  if (first) {
    go_tm_wake_(when);
  }
  return r;
}

bool go_tm_del_(go_tm_ *tm) { return go_tm_home_stop_(tm); }

enum go_tm_armed_ go_tm_arm_(go_m_ *m, go_tm_ *tm, int64_t when, const void *what, bool idle_only) {
  bool first;
  uint32_t was = go_hold_(m);
  go_tm_order_ o = {.h = some_heap(m), .when = when, .what = what, .idle_only = idle_only};
  enum go_tm_armed_ r = go_tm_home_arm_(tm, &o, &first);
  go_unhold_(m, was);
  if (first) {
    go_tm_wake_(when);
  }
  return r;
}

bool go_tm_move_in_(go_m_ *m, go_tm_ *tm, int64_t when) {
  bool first;
  uint32_t was = go_hold_(m);
  go_tm_order_ o = {.h = some_heap(m), .when = when};
  (void)go_tm_home_arm_(tm, &o, &first);
  go_unhold_(m, was);
  return first;
}

int64_t go_tm_when_(go_nsec d) {
  if (d == GO_FOREVER) {
    return INT64_MAX;
  }
  int64_t now = go_os_now_();
  return d <= 0 ? now : d > INT64_MAX - 1 - now ? INT64_MAX - 1 : now + d;
}

/* ---- firing: h->lock held; released ---- */

enum fired { NOTHING, SOMETHING, GOROUTINE };

static enum fired fire_sleeper(go_m_ *m, go_tm_heap_ *h, go_tm_entry_ e) {
  remove_at(h, 0);
  note_first(h);
  go_unlock_(&h->lock);
  go_ready_(m, (go_g_ *)((uintptr_t)e.tm - SLEEPER));
  return SOMETHING;
}

static enum fired fire_call(go_m_ *m, go_tm_heap_ *h, go_tm_ *tm) {
  go_tm_fn_ fn = tm->fn;
  void *arg = tm->arg;
  uint32_t seq = tm->seq;
  go_tm_home_leave_(h, tm);
  note_first(h);
  go_unlock_(&h->lock); /* the timer is its owner's again: it may be gone */
  fn(m, arg, seq);
  return SOMETHING;
}

/* The goroutine is there before the timer counts as fired: without one it stays armed, and is tried again. */
static enum fired fire_spawn(go_m_ *m, go_tm_heap_ *h, go_tm_ *tm, int64_t now) {
  go_g_ *g = go_spawn_reserve_(m);
  if (GO_UNLIKELY_(g == NULL)) {
    (void)go_tm_shift_(h, tm, now + START_AGAIN);
    note_first(h);
    go_unlock_(&h->lock);
    return GOROUTINE;
  }
  void (*run)(void *) = tm->run;
  void *arg = tm->arg;
  const char *site = go_timer_site_(tm);
  go_tm_home_leave_(h, tm);
  note_first(h);
  go_unlock_(&h->lock);
  go_spawn_reserved_(m, g, site, run, arg);
  return GOROUTINE;
}

/* A reference keeps the channel until the tick is sent; there is none to be had when the last one has just gone. */
static enum fired fire_tick(go_m_ *m, go_tm_heap_ *h, go_tm_ *tm, int64_t now) {
  go_tick_ t = go_tick_begin_(tm);
  int64_t next = go_tick_next_(tm, now);
  if (t.ch != NULL && next != INT64_MAX) {
    (void)go_tm_shift_(h, tm, next);
  } else {
    go_tm_home_leave_(h, tm);
  }
  note_first(h);
  go_unlock_(&h->lock);
  if (t.ch != NULL) {
    go_tick_end_(m, &t);
  }
  return SOMETHING;
}

static enum fired fire(go_m_ *m, go_tm_heap_ *h, go_tm_ *tm, int64_t now) {
  switch (tm->kind) {
    case GO_TM_SPAWN_: return fire_spawn(m, h, tm, now);
    case GO_TM_TICK_: return fire_tick(m, h, tm, now);
    default: return fire_call(m, h, tm);
  }
}

static enum fired fire_first(go_m_ *m, go_tm_heap_ *h, int64_t now) {
  if (GO_UNLIKELY_(h->nspilled != 0 && h->spill_when <= now && !h->hold)) {
    go_tm_ *tm = look_spilled(h, now);
    if (tm != NULL) {
      return fire(m, h, tm, now);
    }
  }
  if (h->n == 0 || h->e[0].when > now || h->hold) {
    note_first(h);
    go_unlock_(&h->lock);
    return NOTHING;
  }
  go_tm_entry_ e = h->e[0];
  return is_sleeper(e) ? fire_sleeper(m, h, e) : fire(m, h, e.tm, now);
}

static inline bool may_start(const go_m_ *m, int starts) {
  return starts < STARTS_MAX && go_fresh_len_(go_ld_rlx(&m->p->q.fresh)) < GO_RUNQ_CAP_;
}

bool go_tm_run_(go_m_ *m, go_p_ *p, int64_t now) {
  go_tm_heap_ *h = &p->tm;
  bool ran = false;
  int starts = 0;
  while (may_start(m, starts) && (int64_t)go_ld_acq(&h->first) <= now) {
    go_lock_(&h->lock);
    enum fired f = fire_first(m, h, now);
    if (f == NOTHING) {
      break;
    }
    starts += f == GOROUTINE;
    ran = true;
  }
  return ran;
}

/* ---- all heaps ---- */

static int64_t exact_first(go_tm_heap_ *h) {
  if (go_ld_acq(&h->early) != 0) {
    go_lock_(&h->lock);
    note_first(h);
    go_unlock_(&h->lock);
  }
  return (int64_t)go_ld_sc(&h->first); /* pairs with note_sooner */
}

int64_t go_tm_first_(void) {
  int64_t first = INT64_MAX;
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    int64_t when = exact_first(&GO_S->all_p[i]->tm);
    first = when < first ? when : first;
  }
  return first;
}

void go_tm_hold_all_(bool hold) {
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    go_tm_heap_ *h = &GO_S->all_p[i]->tm;
    go_lock_(&h->lock);
    h->hold = hold;
    go_unlock_(&h->lock);
  }
}

/* Whether there is one in h that is to be told; then it is in no heap any more. from: see go_tm_tell_all_. */
static bool take_told(go_tm_heap_ *h, uint32_t *from, go_tm_ *ret_tm) {
  go_tm_ *told = NULL;
  go_lock_(&h->lock);
  for (go_tm_ *tm = h->spilled; tm != NULL && told == NULL; tm = tm->next) {
    told = tm->kind == GO_TM_TOLD_ ? tm : NULL;
  }
  for (uint32_t i = *from < h->n ? *from : h->n; i > 0 && told == NULL; *from = --i) {
    go_tm_entry_ e = h->e[i - 1];
    told = !is_sleeper(e) && e.tm->kind == GO_TM_TOLD_ ? e.tm : NULL;
  }
  if (told != NULL) {
    *ret_tm = *told;
    go_tm_home_leave_(h, told);
    note_first(h);
  }
  go_unlock_(&h->lock);
  return told != NULL;
}

/* From the end, where taking out is cheap. It may move one behind us: the caller calls until there was none. */
bool go_tm_tell_all_(void) {
  bool any = false;
  for (uint32_t i = 0; i < go_ld_acq(&GO_S->np_made); i++) {
    uint32_t from = UINT32_MAX;
    for (go_tm_ tm; take_told(&GO_S->all_p[i]->tm, &from, &tm);) {
      tm.fn(NULL, tm.arg, tm.seq);
      any = true;
    }
  }
  return any;
}

static void forget(go_tm_ *tm) {
  tm->at = 0;
  go_st_rel(&tm->heap, NULL);
}

void go_tm_drop_(go_tm_heap_ *h) {
  for (uint32_t i = 0; i < h->n; i++) {
    if (!is_sleeper(h->e[i])) {
      forget(h->e[i].tm);
    }
  }
  for (go_tm_ *tm = h->spilled, *next; tm != NULL; tm = next) {
    next = tm->next;
    forget(tm);
  }
  h->n = h->nspilled = 0;
  h->spilled = NULL;
}

/* Moved at a time, so that nobody waits long for the locks. Off the end: what remains is a heap. */
#define MOVE_BATCH 256u

/* Both locks held. */
static int move_some(go_tm_heap_ *a, go_tm_heap_ *b) {
  uint32_t n = a->n < MOVE_BATCH ? a->n : MOVE_BATCH;
  int r = room(b, n);
  for (uint32_t i = 0; r == 0 && i < n; i++) {
    go_tm_entry_ e = a->e[--a->n];
    if (!is_sleeper(e)) {
      go_st_rel(&e.tm->heap, (void *)b);
    }
    sift_up(b, b->n++, e);
  }
  for (uint32_t i = 0; i < MOVE_BATCH && a->spilled != NULL; i++) {
    go_tm_ *tm = a->spilled;
    unspill(a, tm);
    spill(b, tm);
    go_st_rel(&tm->heap, (void *)b);
  }
  (void)note_sooner(b, first_of(b)); /* before a's: at all times somebody finds them */
  note_first(a);
  return r;
}

int go_tm_move_(go_p_ *from, go_p_ *to) {
  go_tm_heap_ *a = &from->tm, *b = &to->tm;
  bool more = true;
  int r = 0;
  while (more && r == 0) {
    go_lock_(
        &a->lock); /* before b: only here are two held, and calls are serialised by go_procs_ */
    go_lock_(&b->lock);
    r = move_some(a, b);
    more = a->n != 0 || a->nspilled != 0;
    if (!more) {
      go_tm_heap_free_(a);
      a->e = NULL;
      a->cap = 0;
    }
    go_unlock_(&b->lock);
    go_unlock_(&a->lock);
  }
  return r;
}
