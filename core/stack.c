/* core/stack.c: see core/stack.h. */
#include "core/stack.h"

#include <stdlib.h>
#include <string.h>

#include "core/sched.h"

#define CHUNK_MAX ((size_t)1 << 38)
#define PAGES_MIN \
  4 /* of a slot, of which one is the guard: where pages are large (arm64: up to 64 KiB) */

/* Growing array of stack tops. */
typedef struct tops {
  char **v;
  size_t n, cap;
} tops;

typedef struct chunk {
  struct chunk *next;      /* all of the depot's */
  struct chunk *next_open; /* those with slots that were never used */
  char *base, *end;
  char *bump; /* [bump, end): never used */
} chunk;

/* The depot of one class; `lock` protects all of it. Arrays always have room for every slot made, so that
 * go_stack_put_ cannot fail. */
typedef struct depot {
  go_a32 lock;
  tops warm, cold;
  chunk *chunks, *open;
  size_t made;    /* slots in all chunks */
  size_t in_use;  /* neither warm, nor cold, nor never used */
  size_t peak;    /* highest in_use since the last trim, */
  size_t ever;    /* and ever */
  size_t credits; /* default class only */
  size_t next_chunk;
  bool guards_laid; /* at reservation */
} depot;

static depot depots[GO_STACK_CLASS_MAX_ + 1];
static uint32_t counted_procs; /* under the default depot's lock */
static const char *why_failed = "the address space is used up";

/* Where an overflow is reported on the stack itself: 128 KiB. */
#define CLASS_MIN_REPORT 17u

static size_t class_size(uint32_t cls) { return (size_t)1 << cls; }

uint32_t go_stack_class_(size_t size) {
  if (size < class_size(GO_STACK_CLASS_MIN_) || size > class_size(GO_STACK_CLASS_MAX_)) {
    return 0;
  }
  uint32_t cls = GO_STACK_CLASS_MIN_;
  while (class_size(cls) < size || class_size(cls) < PAGES_MIN * go_os_page_()) {
    cls++;
  }
  return cls;
}

uint32_t go_stack_slot_class_(uint32_t cls) {
  return go_os_stacks_grow_by_touch_ || cls >= CLASS_MIN_REPORT ? cls : CLASS_MIN_REPORT;
}

const char *go_stack_why_(void) { return why_failed; }

/* ---- guards ---- */

static size_t guard_size(uint32_t cls) {
  size_t size = class_size(cls) / 16;
  size = size > 65536 ? 65536 : size;
  return size < go_os_page_() ? go_os_page_() : size;
}

static int lay_guard(char *at, size_t size) {
  const char *why = NULL;
  int r = go_os_guard_(at, size, &why);
  if (r != 0) {
    why_failed = why != NULL ? why : "a stack guard could not be laid";
  }
  return r;
}

/* The guard at the top of a slot: it protects the slot above. */
static int guard_top(uint32_t cls, char *top) {
  return lay_guard(top - guard_size(cls), guard_size(cls));
}

char *go_stack_low_(uint32_t cls, char *top) { return top - class_size(cls); }

char *go_stack_high_(uint32_t cls, char *top) { return top - guard_size(cls); }

char *go_stack_start_(uint32_t cls, char *top) {
  uint32_t slot = (uint32_t)((uintptr_t)top >> cls) * 2654435761u; /* spreads neighbours */
  size_t lines =
      cls < 16 ? 0 : slot >> 27;       /* 0 to 31: within half a page; small stacks need theirs */
  size_t step = class_size(cls) >> 11; /* 32 KiB at the default size; nothing for small stacks */
  step = step > 32768 ? 32768 : step & ~(go_os_page_() - 1);
  size_t pages = (slot >> 22 & 31) * step;
  return go_stack_high_(cls, top) - pages - lines * GO_CACHE_LINE_;
}

/* ---- reserving ---- */

static int tops_room(tops *t, size_t cap) {
  if (cap <= t->cap) {
    return 0;
  }
  char **v = realloc(t->v, cap * sizeof *v);
  if (v == NULL) {
    return GO_ENOMEM;
  }
  t->v = v;
  t->cap = cap;
  return 0;
}

/* Guards that are mappings are counted: those of [base, end), all laid, are taken off before it is released. */
static void unlay_guards(uint32_t cls, char *base, char *end) {
  (void)go_os_unguard_(base, guard_size(cls));
  for (char *top = base + class_size(cls); top <= end; top += class_size(cls)) {
    (void)go_os_unguard_(go_stack_high_(cls, top), guard_size(cls));
  }
}

/* The lowest slot's own guard and, where guards are mappings, all others. */
static int lay_guards(uint32_t cls, char *base, size_t size, bool all) {
  int r = lay_guard(base, guard_size(cls));
  if (r != 0 || !all) {
    return r;
  }
  for (char *top = base + class_size(cls); top <= base + size; top += class_size(cls)) {
    r = guard_top(cls, top);
    if (r != 0) {
      unlay_guards(cls, base, top - class_size(cls));
      return r;
    }
  }
  return 0;
}

/* Address space for slots, with the guards that are laid now. NULL: why_failed tells. */
static char *reserve(uint32_t cls, size_t slots, bool all_guards) {
  size_t size = slots << cls;
  char *base = go_os_reserve_stacks_(size, class_size(cls));
  if (base == NULL) {
    why_failed = "the address space is used up";
    return NULL;
  }
  if (lay_guards(cls, base, size, all_guards) != 0) {
    go_os_release_(base, size);
    return NULL;
  }
  return base;
}

/* Slots that are to be reserved with all their guards: no more than there are guards for, besides the lowest one's
 * own. Who is at the limit asks again for each goroutine, and must not be made to reserve and release each time.
 * 0: not as many as `want`; why_failed tells. */
static size_t guarded_slots(size_t slots, size_t want) {
  const char *why = why_failed;
  size_t left = go_os_guards_left_(&why);
  slots = slots < left ? slots : left == 0 ? 0 : left - 1;
  if (slots >= want) {
    return slots;
  }
  why_failed = why;
  return 0;
}

/* d->lock held. Adds a chunk of at least `want` slots. */
static int grow(uint32_t cls, depot *d, size_t want) {
  size_t slots = d->next_chunk > want ? d->next_chunk : want;
  d->guards_laid = !go_os_guard_is_cheap_();
  if (d->guards_laid && (slots = guarded_slots(slots, want)) == 0) {
    return GO_ENOMEM;
  }
  chunk *c = malloc(sizeof *c);
  if (c == NULL || tops_room(&d->warm, d->made + slots) != 0 ||
      tops_room(&d->cold, d->made + slots) != 0) {
    free(c);
    why_failed = "out of memory";
    return GO_ENOMEM;
  }
  c->base = reserve(cls, slots, d->guards_laid);
  if (c->base == NULL && slots > want) {
    slots = want;
    c->base = reserve(cls, slots, d->guards_laid);
  }
  if (c->base == NULL) {
    free(c);
    return GO_ENOMEM;
  }
  size_t size = slots << cls;
  c->end = c->base + size;
  c->bump = c->base;
  c->next = d->chunks;
  c->next_open = d->open;
  __atomic_store_n(&d->chunks, c, __ATOMIC_RELEASE); /* pairs with go_stack_each_chunk_ */
  d->open = c;
  d->made += slots;
  if (size <= CHUNK_MAX / 2) {
    d->next_chunk = slots * 2;
  }
  return 0;
}

/* d->lock held. Keeps the invariant of core/stack.h for `credits` and `procs`. */
static int cover(depot *d, size_t credits, size_t procs) {
  size_t need = credits + procs * GO_STACK_CACHE_;
  return need <= d->made ? 0 : grow(GO_S->stack_class, d, need - d->made);
}

/* ---- the default class ---- */

int go_stack_init_(uint32_t cls, bool fixed, uint32_t procs) {
  for (;; cls--) {
    depot *d = &depots[cls];
    GO_S->stack_class = cls;
    counted_procs = procs;
    int r = cover(d, GO_STACK_CACHE_, procs);
    if (r == 0) {
      return 0;
    }
    if (fixed || cls <= 18) {
      return r;
    }
  }
}

static void depot_fini(uint32_t cls, depot *d) {
  for (chunk *c = d->chunks; c != NULL;) {
    chunk *next = c->next;
    if (d->guards_laid) {
      unlay_guards(cls, c->base, c->end);
    }
    go_os_release_(c->base, (size_t)(c->end - c->base));
    free(c);
    c = next;
  }
  free(d->warm.v);
  free(d->cold.v);
  memset(d, 0, sizeof *d);
}

void go_stack_fini_(void) {
  for (uint32_t cls = 0; cls <= GO_STACK_CLASS_MAX_; cls++) {
    depot_fini(cls, &depots[cls]);
  }
}

int go_stack_credit_(uint32_t n) {
  depot *d = &depots[GO_S->stack_class];
  go_lock_(&d->lock);
  int r = cover(d, d->credits + n, counted_procs);
  if (r == 0) {
    d->credits += n;
  }
  go_unlock_(&d->lock);
  return r;
}

void go_stack_uncredit_(uint32_t n) {
  depot *d = &depots[GO_S->stack_class];
  go_lock_(&d->lock);
  d->credits -= n;
  go_unlock_(&d->lock);
}

int go_stack_procs_(uint32_t procs) {
  depot *d = &depots[GO_S->stack_class];
  go_lock_(&d->lock);
  int r = procs > counted_procs ? cover(d, d->credits, procs) : 0;
  if (r == 0 && procs > counted_procs) {
    counted_procs = procs;
  }
  go_unlock_(&d->lock);
  return r;
}

/* ---- getting and putting ---- */

/* The kernel prepares several new slots at once for less than one by one, and a program that has many
 * goroutines will have more. */
#define NEW_MAX 16u

/* d->lock held. *ret_new: how many slots, this one and those above it, are the caller's to prepare; 0: none. */
static char *take(uint32_t cls, depot *d, uint32_t *ret_new) {
  *ret_new = 0;
  if (d->warm.n > 0) {
    return d->warm.v[--d->warm.n];
  }
  if (d->cold.n > 0) {
    return d->cold.v[--d->cold.n];
  }
  if (d->open == NULL && grow(cls, d, 1) != 0) {
    return NULL;
  }
  chunk *c = d->open;
  char *top = c->bump + class_size(cls);
  size_t left = (size_t)(c->end - c->bump) >> cls, n = d->in_use / NEW_MAX;
  n = n < 1 || d->guards_laid ? 1 : n > NEW_MAX ? NEW_MAX : n;
  n = n > left ? left : n;
  c->bump += n << cls;
  if (c->bump == c->end) {
    d->open = c->next_open;
  }
  *ret_new = d->guards_laid ? 0 : (uint32_t)n;
  return top;
}

/* Until that is done there is no guard below the slot above the last, which another may use already: for less time
 * than it takes to fill a stack. */
static int prepare(uint32_t cls, char *top, uint32_t n) {
  char *guards[NEW_MAX], *pages[NEW_MAX];
  if (n == 1) {
    return guard_top(cls, top);
  }
  for (uint32_t i = 0; i < n; i++, top += class_size(cls)) {
    guards[i] = go_stack_high_(cls, top);
    pages[i] = go_stack_start_(cls, top) - 1;
    pages[i] -= (uintptr_t)pages[i] & (go_os_page_() - 1);
  }
  const char *why = NULL;
  int r = go_os_guard_all_(guards, guard_size(cls), pages, n, &why);
  if (r != 0) {
    why_failed = why != NULL ? why : "a stack guard could not be laid";
  }
  return r;
}

static void put_new(uint32_t cls, depot *d, char *top, uint32_t n) {
  go_lock_(&d->lock);
  for (uint32_t i = n; i-- > 0;) { /* the lowest will be used first */
    d->warm.v[d->warm.n++] = top + ((size_t)i << cls);
  }
  go_unlock_(&d->lock);
}

char *go_stack_get_(uint32_t cls) {
  depot *d = &depots[cls];
  uint32_t n;
  go_lock_(&d->lock);
  char *top = take(cls, d, &n);
  if (top != NULL && ++d->in_use > d->peak) {
    d->peak = d->in_use;
    d->ever = d->peak > d->ever ? d->peak : d->ever;
  }
  go_unlock_(&d->lock);
  if (n > 0 && prepare(cls, top, n) != 0) {
    go_fatal_("a stack guard could not be laid: %s", why_failed);
  }
  if (n > 1) {
    put_new(cls, d, top + class_size(cls), n - 1);
  }
  return top;
}

void go_stack_put_(uint32_t cls, char *top) {
  depot *d = &depots[cls];
  go_lock_(&d->lock);
  d->warm.v[d->warm.n++] = top;
  d->in_use--;
  go_unlock_(&d->lock);
  go_stack_surplus_();
}

/* d->lock held. Up to n warm stacks that recent demand did not need; what was in use at the peak and is not
 * now may be wanted again. */
static uint32_t take_surplus(depot *d, char **out, uint32_t n) {
  size_t keep = d->peak - d->in_use;
  uint32_t got = 0;
  while (got < n && d->warm.n > keep) {
    out[got++] = d->warm.v[--d->warm.n];
  }
  return got;
}

int go_stack_trim_(uint32_t max) {
  uint32_t cls = GO_S->stack_class;
  depot *d = &depots[cls];
  char *out[64];
  for (uint32_t n; max > 0; max -= n) {
    go_lock_(&d->lock);
    n = take_surplus(d, out, max < 64 ? max : 64);
    if (n == 0) { /* demand is forgotten by halves */
      d->peak = d->in_use + (d->peak - d->in_use) / 2;
      bool none = d->warm.n == 0;
      go_unlock_(&d->lock);
      return none ? GO_TRIM_DONE_ : GO_TRIM_LATER_;
    }
    go_unlock_(&d->lock);
    char *lows[64];
    for (uint32_t i = 0; i < n; i++) {
      lows[i] = go_stack_low_(cls, out[i]);
    }
    go_os_decommit_all_(lows, n, class_size(cls)); /* guards stay */
    go_lock_(&d->lock);
    for (uint32_t i = 0; i < n; i++) {
      d->cold.v[d->cold.n++] = out[i];
    }
    go_unlock_(&d->lock);
  }
  return GO_TRIM_NOW_;
}

void go_stack_stats_read_(go_stack_stats_ *ret) {
  depot *d = &depots[GO_S->stack_class];
  go_lock_(&d->lock);
  ret->reserved = d->made;
  ret->in_use = d->in_use;
  ret->warm = d->warm.n;
  ret->cold = d->made - d->in_use - d->warm.n;
  ret->credits = d->credits;
  ret->peak = d->ever;
  go_unlock_(&d->lock);
  ret->bytes = 0;
  for (uint32_t cls = 0; cls <= GO_STACK_CLASS_MAX_; cls++) {
    go_lock_(&depots[cls].lock);
    ret->bytes += (uint64_t)depots[cls].made << cls;
    go_unlock_(&depots[cls].lock);
  }
}

void go_stack_each_chunk_(void (*f)(void *arg, const void *lo, const void *hi), void *arg) {
  for (uint32_t cls = 0; cls <= GO_STACK_CLASS_MAX_; cls++) {
    chunk *c = __atomic_load_n(&depots[cls].chunks, __ATOMIC_ACQUIRE); /* pairs with grow */
    for (; c != NULL; c = c->next) {
      f(arg, c->base, c->end);
    }
  }
}

/* ---- faults ---- */

bool go_stack_overflowed_(const go_g_ *g, const char *addr) {
  const char *low = go_stack_low_(g->stack_class, g->stack_top);
  size_t guard = guard_size(g->stack_class);
  return addr >= low - guard && addr < low + guard; /* the lowest slot of a chunk has its own */
}
