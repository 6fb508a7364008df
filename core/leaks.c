/* core/leaks.c: see core/leaks.h.
 *
 * A channel that a goroutine waits on can be used by whoever has its address. So we look for it: in all
 * memory that the program can write (data, heaps, threads' stacks), and in the stacks of goroutines. What
 * waits on a channel that was not found has to wait for ever, and what its own stack holds does not count
 * either, so that goroutines that wait for each other in a circle are found. It is a mark phase:
 * all memory but these stacks is the root.
 *
 * This errs on the side of silence: an address in freed memory, or in an allocation that is itself lost,
 * counts. What is not seen is the registers of threads that run: while there are any, the result is
 * not certain. Waits that a context may end are left out, and a select over many channels.
 *
 * Go: the goroutine leak profile, whose collector knows what is allocated. */
#include "core/leaks.h"

#include "core/chan.h"
#include "core/out.h"
#include "core/stack.h"

#define BYTES_MAX ((uint64_t)4 << 30) /* of memory to look through: some seconds */
#define CHANS_MAX 64                  /* of a select */
#define PIECE 65536u
#define SKIPS_MAX 1024u

typedef struct cand {
  const go_g_ *g;
  uint64_t id;
  const char *sp, *high;
  uint32_t next_live; /* in the work list: index plus 1 */
  bool live;
} cand;

/* One goroutine that waits on one channel. */
typedef struct wait {
  uint32_t cand;
  uint32_t next; /* another on the same channel: index plus 1 */
} wait;

typedef struct key {
  uintptr_t chan; /* 0: free */
  uint32_t first; /* wait: index plus 1 */
} key;

typedef struct range {
  uintptr_t lo, hi;
} range;

struct go_leaks_ {
  size_t size; /* of the reservation that all this is in */
  uint32_t ncands, cands_cap;
  uint32_t nwaits, waits_cap;
  uint32_t mask; /* mask + 1 places in both tables, twice waits_cap or more */
  uint32_t work; /* first of those whose stacks are to be scanned: index plus 1 */
  uint32_t nskips;
  bool quiet, cannot;
  uint64_t bytes;
  uintptr_t lowest, highest; /* of the keys */
  const go_g_ *self;         /* the caller's, or NULL */
  const char *here;          /* the stack below is ours */
  range skips[SKIPS_MAX];
  cand *cands;
  wait *waits;
  key *keys;    /* by channel */
  uint32_t *gs; /* by goroutine: index of its cand plus 1 */
  uintptr_t *piece;
};

/* ---- who waits ---- */

/* Whether g waits and only a channel can wake it. */
static bool is_candidate(const go_g_ *g, go_seen_ *seen) {
  return go_see_(g, seen) && seen->state == GO_G_WAITING_ && !seen->thread && !seen->foreign &&
         !seen->on_cpu && seen->stack_top != NULL && ((uintptr_t)seen->waits & 3) != 0 &&
         (seen->reason == GO_WAIT_CHAN_SEND_ || seen->reason == GO_WAIT_CHAN_RECV_ ||
          seen->reason == GO_WAIT_SELECT_);
}

/* The channels, read from a stack that may be in use again by now. 0: not to be told. */
static uint32_t chans_of(const go_seen_ *seen, go_chan *ret[CHANS_MAX]) {
  uintptr_t on = (uintptr_t)seen->waits;
  if (seen->reason != GO_WAIT_SELECT_) {
    ret[0] = (go_chan *)(on & ~(uintptr_t)3);
    return (on & 3) == GO_ON_CHAN_ ? 1 : 0;
  }
  go_on_select_ s;
  if ((on & 3) != GO_ON_SELECT_ || !go_os_peek_(&s, (const void *)(on & ~(uintptr_t)3), sizeof s) ||
      s.n < 1 || s.n > CHANS_MAX || !go_os_peek_(ret, s.chans, (size_t)s.n * sizeof *ret)) {
    return 0;
  }
  return (uint32_t)s.n;
}

typedef struct count {
  uint32_t cands, waits;
} count;

static void count_one(go_g_ *g, void *arg) {
  count *n = arg;
  go_seen_ seen;
  go_chan *chans[CHANS_MAX];
  if (is_candidate(g, &seen)) {
    n->cands++;
    n->waits += chans_of(&seen, chans);
  }
}

static uint32_t place(const go_leaks_ *l, uintptr_t p) {
  return (uint32_t)((uint64_t)(p >> 4) * 11400714819323198485u >> 32) & l->mask;
}

static key *find_key(const go_leaks_ *l, uintptr_t chan) {
  uint32_t at = place(l, chan);
  while (l->keys[at].chan != 0 && l->keys[at].chan != chan) {
    at = (at + 1) & l->mask;
  }
  return &l->keys[at];
}

static void add_wait(go_leaks_ *l, uintptr_t chan, uint32_t c) {
  key *k = find_key(l, chan);
  k->chan = chan;
  l->waits[l->nwaits] = (wait){c, k->first};
  k->first = ++l->nwaits;
  l->lowest = chan < l->lowest ? chan : l->lowest;
  l->highest = chan > l->highest ? chan : l->highest;
}

/* Its place in gs: of g, or free. */
static uint32_t *find_g(const go_leaks_ *l, const go_g_ *g) {
  uint32_t at = place(l, (uintptr_t)g);
  while (l->gs[at] != 0 && l->cands[l->gs[at] - 1].g != g) {
    at = (at + 1) & l->mask;
  }
  return &l->gs[at];
}

static void add_cand(go_g_ *g, void *arg) {
  go_leaks_ *l = arg;
  go_seen_ seen;
  go_chan *chans[CHANS_MAX];
  if (!is_candidate(g, &seen)) {
    return;
  }
  uint32_t n = chans_of(&seen, chans);
  if (n == 0 || !go_still_waits_(g, &seen) || l->ncands == l->cands_cap ||
      l->nwaits + n > l->waits_cap) {
    return;
  }
  for (uint32_t i = 0; i < n; i++) {
    add_wait(l, (uintptr_t)chans[i], l->ncands);
  }
  *find_g(l, g) = l->ncands + 1;
  l->cands[l->ncands++] = (cand){.g = g,
                                 .id = seen.id,
                                 .sp = seen.sp,
                                 .high = go_stack_high_(seen.stack_class, seen.stack_top)};
}

static const cand *find_cand(const go_leaks_ *l, const go_g_ *g, uint64_t id) {
  uint32_t at = *find_g(l, g);
  return at != 0 && l->cands[at - 1].id == id ? &l->cands[at - 1] : NULL;
}

/* ---- marking ---- */

static void found(go_leaks_ *l, uintptr_t chan) {
  key *k = find_key(l, chan);
  for (uint32_t i = k->first; i != 0; i = l->waits[i - 1].next) {
    cand *c = &l->cands[l->waits[i - 1].cand];
    if (!c->live) {
      c->live = true;
      c->next_live = l->work;
      l->work = l->waits[i - 1].cand + 1;
    }
  }
  k->first = 0; /* found once is enough */
}

static void scan_words(go_leaks_ *l, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uintptr_t v = l->piece[i];
    if (v >= l->lowest && v <= l->highest) {
      found(l, v);
    }
  }
}

/* [lo, hi), of which some pages may not be readable. */
static void scan(go_leaks_ *l, uintptr_t lo, uintptr_t hi) {
  size_t page = go_os_page_();
  lo = (lo + sizeof lo - 1) & ~(sizeof lo - 1);
  while (lo < hi) {
    size_t n = hi - lo < PIECE ? hi - lo : PIECE;
    if (!go_os_peek_(l->piece, (const void *)lo, n)) {
      size_t left = page - lo % page;
      n = n < left ? n : left;
      if (!go_os_peek_(l->piece, (const void *)lo, n)) {
        lo += n;
        continue;
      }
    }
    scan_words(l, n / sizeof(uintptr_t));
    lo += n;
  }
}

/* A root, less what is no root: stacks of goroutines, goroutines, our own table. */
static bool scan_root(void *arg, uintptr_t lo, uintptr_t hi) {
  go_leaks_ *l = arg;
  uintptr_t here = (uintptr_t)l->here;
  if (lo <= here && here < hi) { /* a thread's stack: what is below is ours, and dead */
    lo = here;
  }
  l->bytes += hi - lo;
  if (l->bytes > BYTES_MAX) {
    l->cannot = true;
    return false;
  }
  while (lo < hi) {
    uintptr_t end = hi, next = hi;
    for (uint32_t i = 0; i < l->nskips; i++) {
      const range *s = &l->skips[i];
      if (s->lo < end && s->hi > lo) {
        end = s->lo > lo ? s->lo : lo;
        next = s->hi;
      }
    }
    scan(l, lo, end);
    lo = next;
  }
  return true;
}

/* What a goroutine may have in its stack, as far as it has one. */
static void scan_stack(go_leaks_ *l, const go_g_ *g, const go_seen_ *seen) {
  uintptr_t low = (uintptr_t)go_stack_low_(seen->stack_class, seen->stack_top);
  uintptr_t high = (uintptr_t)go_stack_high_(seen->stack_class, seen->stack_top);
  uintptr_t sp = (uintptr_t)seen->sp;
  if (g == l->self && low <= (uintptr_t)l->here && (uintptr_t)l->here < high) {
    scan(l, (uintptr_t)l->here, high);
  } else if (seen->on_cpu || seen->foreign || sp < low || sp >= high) {
    /* It runs: as deep as it may be, below where it was last. */
    uintptr_t from = high - low > 1u << 20 ? high - (1u << 20) : low;
    scan(l, from, high);
  } else {
    scan(l, sp, high);
  }
}

static void scan_g(go_g_ *g, void *arg) {
  go_leaks_ *l = arg;
  go_seen_ seen;
  if (!go_see_(g, &seen) || find_cand(l, g, seen.id) != NULL) {
    return;
  }
  l->quiet = l->quiet && (g == l->self || (seen.state == GO_G_WAITING_ && !seen.foreign));
  scan(l, (uintptr_t)g, (uintptr_t)(g + 1)); /* its arguments */
  if (seen.stack_top != NULL) {
    scan_stack(l, g, &seen);
  }
}

static void scan_found(go_leaks_ *l) {
  while (l->work != 0) {
    const cand *c = &l->cands[l->work - 1];
    l->work = c->next_live;
    scan(l, (uintptr_t)c->g, (uintptr_t)(c->g + 1));
    scan(l, (uintptr_t)c->sp, (uintptr_t)c->high);
  }
}

/* ---- all of it ---- */

static void add_skip(void *arg, const void *lo, const void *hi) {
  go_leaks_ *l = arg;
  if (l->nskips == SKIPS_MAX) {
    l->cannot = true;
    return;
  }
  l->skips[l->nskips++] = (range){(uintptr_t)lo, (uintptr_t)hi};
}

static size_t align(size_t n) { return (n + 63) & ~(size_t)63; }

static go_leaks_ *make(const count *n) {
  uint32_t places = 64;
  while (places < 2 * n->waits) {
    places *= 2;
  }
  size_t cands = align(n->cands * sizeof(cand)), waits = align(n->waits * sizeof(wait));
  size_t keys = align(places * sizeof(key)), gs = align(places * sizeof(uint32_t));
  size_t size = align(sizeof(go_leaks_)) + cands + waits + keys + gs + PIECE;
  size = (size + go_os_page_() - 1) & ~(go_os_page_() - 1);
  char *p = go_os_reserve_(size, go_os_page_());
  if (p == NULL) {
    return NULL;
  }
  go_leaks_ *l = (go_leaks_ *)(void *)p;
  char *at = p + align(sizeof *l);
  l->size = size;
  l->cands = (cand *)(void *)at;
  l->waits = (wait *)(void *)(at += cands);
  l->keys = (key *)(void *)(at += waits);
  l->gs = (uint32_t *)(void *)(at += keys);
  l->piece = (uintptr_t *)(void *)(at + gs);
  l->cands_cap = n->cands;
  l->waits_cap = n->waits;
  l->mask = places - 1;
  l->lowest = UINTPTR_MAX;
  l->quiet = true;
  add_skip(l, p, p + size);
  return l;
}

/* Sanitizers have memory of their own that the program's addresses are in, and that is too large to look at. */
static bool possible(void) { return !GO_SANITIZED_ && go_ld_acq(&GO_S->running) != 0; }

/* As the deadlock check counts, but without the lock: a guess while things move. */
static bool others_sleep(const go_m_ *m) {
  int threads = go_os_thread_count_();
  return threads >= 0 && threads <= go_threads_asleep_() + (m == NULL || !m->worker);
}

static __attribute__((noinline)) go_leaks_ *find_from(const go_m_ *m, const count *n) {
  go_leaks_ *l = make(n);
  if (l == NULL) {
    return NULL;
  }
  l->self = m != NULL ? m->cur : NULL;
  l->here = __builtin_frame_address(0);
  go_stack_each_chunk_(add_skip, l);
  go_each_slab_(add_skip, l);
  go_each_g_(add_cand, l);
  if (go_os_each_writable_(scan_root, l) != 0) {
    l->cannot = true;
  }
  go_each_g_(scan_g, l);
  scan_found(l);
  l->quiet = l->quiet && others_sleep(m);
  return l;
}

go_leaks_ *go_leaks_find_(void) {
  count n = {0, 0};
  char byte = 1, copy = 0;
  if (!possible() || !go_os_peek_(&copy, &byte, 1)) {
    return NULL;
  }
  go_each_g_(count_one, &n);
  if (n.waits == 0) {
    return NULL;
  }
  __builtin_unwind_init(); /* the caller's registers come into our frame, which is looked at */
  go_leaks_ *l = find_from(go_m_get_(), &n);
  if (l != NULL && l->cannot) {
    go_leaks_free_(l);
    l = NULL;
  }
  return l;
}

bool go_leaks_has_(const go_leaks_ *l, const go_g_ *g, uint64_t id) {
  const cand *c = l != NULL ? find_cand(l, g, id) : NULL;
  return c != NULL && !c->live;
}

bool go_leaks_certain_(const go_leaks_ *l) { return l->quiet; }

void go_leaks_free_(go_leaks_ *l) {
  if (l != NULL) {
    go_os_release_(l, l->size);
  }
}
