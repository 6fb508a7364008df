/* core/netpoll.c: goroutines that wait for descriptors; core's side of the poller contract (core/poll.h).
 *
 * A poll descriptor (pd) lives in a slab that is not unmapped while the scheduler is up, so that an event for one that
 * is closed finds memory of the same kind. The key of its registration is its number and its generation; the
 * generation changes when it is closed, and an event with another is dropped.
 *
 * Per direction, under pd->lock:
 *
 *   wait[dir]   means                                  goes to
 *   NULL        nothing is known                       READY: event; a waiter: go_pd_wait_
 *   READY       an event came while nobody waited      NULL: go_pd_wait_, which does not wait then
 *   a waiter    on the waiter's stack                  NULL: whoever ends its wait, and has written its result
 *
 * Who ends a wait: an event, a deadline that has passed, go_pd_evict_. Where a context may do so as well, all have to
 * win the claim; the loser among these leaves the waiter to take itself out, an event that loses leaves READY behind. A waiter
 * that was taken out is readied after unlocking.
 *
 * Deadlines. The timer of a direction is in a heap only since somebody has waited with a deadline, and is not moved when the
 * deadline is moved to later: it fires, finds that it is too early, and goes on from there. `armed` is not later than
 * the deadline while somebody waits. It fires by its pd, whoever uses that by then; all it does is what the deadline says.
 *
 * Locks: pd, then timer heap. The list of free pds has a lock of its own.
 * Go: runtime/netpoll.go. Departures: a lock per pd instead of lock-free words (an event takes one locked instruction
 * either way, and a context can end the wait); deadlines that move cost no timer; one list for both directions.
 */
#include "core/netpoll.h"

#include <stdlib.h>
#include <string.h>

#include "core/poll.h"
#include "core/sched.h"

/* What is planted here must be found by tests/models/netpoll_model_test.cc, which compiles this file. */
#if !defined(GO_PD_BUG_)
#define GO_PD_BUG_ 0
#endif

typedef struct pd_wait {
  go_g_ *g;
  uint32_t seq;
  bool multi; /* a context may end the wait: needs go_claim_ */
  int result; /* written by who takes it out */
} pd_wait;

/* One direction of a pd_full. */
typedef struct side {
  go_tm_ tm;
  int64_t armed; /* when it fires at the latest, INT64_MAX: not at all; under lock */
  struct pd_full *of;
} side;

typedef struct pd_full {
  go_pd_ pd;            /* first */
  uint32_t index;       /* constant */
  uint32_t gen;         /* under pd.lock */
  uint32_t life;        /* of the scheduler: see go_pd_fini_; by the owner of pd */
  struct pd_full *link; /* free; under free_lock */
  side sides[2];
} pd_full;

static pd_full *full(go_pd_ *pd) { return (pd_full *)(void *)pd; }

/* ---- waiting ---- */

static bool is_waiter(const void *w) { return w != NULL && w != GO_PD_READY_; }

/* Lock held. */
static int status(go_pd_ *pd, int dir) {
  int64_t deadline = (int64_t)go_ld_rlx(&pd->deadline[dir]);
  if (go_ld_rlx(&pd->closing) != 0) {
    return GO_ECLOSED;
  }
  return deadline != 0 && go_os_now_() >= deadline ? GO_ETIMEDOUT : 0;
}

/* Lock held. Ends the wait of who waits, if anybody does: its goroutine, to be readied after unlocking, or NULL. */
static go_g_ *take(go_pd_ *pd, int dir, int result) {
  pd_wait *w = (pd_wait *)go_ld_rlx(&pd->wait[dir]);
  if (!is_waiter(w)) {
    return NULL;
  }
  if (w->multi && !(GO_PD_BUG_ == 1 || go_claim_(w->g, w->seq))) {
    return NULL; /* it will take itself out */
  }
  go_g_ *g = w->g;
  if (w->multi) {
    g->claimed_by = w;
  }
  w->result = result;
  go_st_rel(&pd->wait[dir], NULL); /* pairs with is_waited: the batch was counted before */
  return g;
}

/* Lock held. Something came. */
static go_g_ *take_ready(go_pd_ *pd, int dir) {
  go_g_ *g = take(pd, dir, 0);
  if (g == NULL && GO_PD_BUG_ != 2 && go_ld_rlx(&pd->wait[dir]) != GO_PD_READY_) {
    go_st_rlx(&pd->wait[dir], GO_PD_READY_);
  }
  return g;
}

/* Lock held, somebody waits. Sees to it that it is woken at the deadline: true, if go_tm_wake_ is to be called
 * after unlocking. */
static bool arm(go_m_ *m, go_pd_ *pd, int dir) {
  side *s = &full(pd)->sides[dir];
  int64_t deadline = (int64_t)go_ld_rlx(&pd->deadline[dir]);
  if (deadline == 0 || s->armed <= deadline) {
    return false;
  }
  s->armed = deadline;
  return go_tm_move_in_(m, &s->tm, deadline);
}

/* Not taken out by others. */
static int give_up(go_ctx *ctx, go_pd_ *pd, int dir, pd_wait *w) {
  go_lock_(&pd->lock);
  if (go_ld_rlx(&pd->wait[dir]) == (void *)w) {
    go_st_rlx(&pd->wait[dir], NULL);
  }
  go_unlock_(&pd->lock);
  return go_cancel_err_(ctx);
}

int go_pd_check_slow_(go_pd_ *pd, int dir) {
  go_lock_(&pd->lock);
  int err = status(pd, dir);
  go_unlock_(&pd->lock);
  return err;
}

/* park, where others than those who take w out may end the wait: a context, a time-out. Not inlined, as it
 * would make the frames of all who wait larger. */
static __attribute__((noinline)) int park_multi(go_m_ *m, go_ctx *ctx, go_pd_ *pd, int dir,
                                                pd_wait *w, int64_t until) {
  go_cancel_wait_ cw;
  go_g_ *g = w->g;
  go_tm_ tm = {.when = until, .fn = go_tm_claim_, .arg = g, .seq = w->seq};
  if (!go_cancel_add_(ctx, &cw, g, w->seq)) {
    if (go_claim_(g, w->seq)) {
      go_set_state_(g, GO_G_RUNNING_);
      return give_up(ctx, pd, dir, w);
    }
    (void)go_park_(m);
    return w->result;
  }
  if (until != 0) {
    (void)go_tm_add_(m, &tm);
  }
  (void)go_park_(m);
  go_cancel_del_(ctx, &cw);
  if (until != 0) {
    (void)go_tm_del_(&tm);
  }
  if (g->claimed_by == w) {
    return w->result;
  }
  int err = give_up(ctx, pd, dir, w);
  return g->claimed_by == NULL ? GO_EAGAIN : err;
}

/* w is in its place, go_prepark_ has been called. */
static int park(go_m_ *m, go_ctx *ctx, go_pd_ *pd, int dir, pd_wait *w, int64_t until) {
  if (GO_UNLIKELY_(w->multi)) {
    return park_multi(m, ctx, pd, dir, w, until);
  }
  (void)go_park_(m);
  return w->result;
}

static const uint8_t reason_of[] = {GO_WAIT_READ_, GO_WAIT_WRITE_, GO_WAIT_ACCEPT_,
                                    GO_WAIT_CONNECT_, GO_WAIT_FD_};

static inline int wait_until(go_ctx *ctx, go_pd_ *pd, int dir, int why, int64_t until) {
  int err = go_cancel_never_(ctx) ? 0 : go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  go_m_ *m = go_enter_();
  pd_wait w = {
      .g = m->cur, .seq = go_claim_open_(m->cur), .multi = until != 0 || !go_cancel_never_(ctx)};
  go_lock_(&pd->lock);
  err = status(pd, dir);
  void *before = go_ld_rlx(&pd->wait[dir]);
  if (err != 0 || before == GO_PD_READY_) {
    if (err == 0) {
      go_st_rlx(&pd->wait[dir], NULL);
    }
    go_unlock_(&pd->lock);
    return err;
  }
  if (before != NULL) {
    go_fatal_("two goroutines wait for the same direction of a descriptor");
  }
  go_prepark_(m, reason_of[why]);
  go_st_rlx(&pd->wait[dir], &w);
  int64_t when = (int64_t)go_ld_rlx(&pd->deadline[dir]);
  bool first = arm(m, pd, dir);
  go_unlock_(&pd->lock);
  if (first) {
    go_tm_wake_(when);
  }
  return park(m, ctx, pd, dir, &w, until);
}

int go_pd_wait_(go_ctx *ctx, go_pd_ *pd, int dir, int why) {
  return wait_until(ctx, pd, dir, why, 0);
}

int go_pd_wait_until_(go_ctx *ctx, go_pd_ *pd, int dir, int why, int64_t until) {
  return wait_until(ctx, pd, dir, why, until);
}

void go_pd_wait_event_(go_pd_ *pd, int dir, int why) {
  go_m_ *m = go_enter_();
  pd_wait w = {.g = m->cur, .seq = go_claim_open_(m->cur)};
  go_lock_(&pd->lock);
  if (go_ld_rlx(&pd->wait[dir]) == GO_PD_READY_) {
    go_st_rlx(&pd->wait[dir], NULL);
    go_unlock_(&pd->lock);
    return;
  }
  go_prepark_(m, reason_of[why]);
  go_st_rlx(&pd->wait[dir], &w);
  go_unlock_(&pd->lock);
  (void)go_park_(m);
}

static void ready(go_m_ *m, go_g_ *g) {
  if (g != NULL) {
    go_ready_(m, g);
  }
}

/* The timer of a direction. It may be late: the pd may be another's by now. */
static void expire(go_m_ *m, void *arg, uint32_t seq) {
  side *s = (side *)arg;
  go_pd_ *pd = &s->of->pd;
  int dir = s == &s->of->sides[GO_PD_WRITE_];
  bool first = false;
  go_g_ *g = NULL;
  (void)seq;
  go_lock_(&pd->lock);
  s->armed = INT64_MAX;
  int64_t deadline = (int64_t)go_ld_rlx(&pd->deadline[dir]);
  if (is_waiter(go_ld_rlx(&pd->wait[dir])) && deadline != 0) {
    if (go_os_now_() >= deadline) {
      g = take(pd, dir, GO_ETIMEDOUT);
    } else {
      first = arm(m, pd, dir);
    }
  }
  go_unlock_(&pd->lock);
  if (first) {
    go_tm_wake_(deadline);
  }
  ready(m, g);
}

int go_pd_deadline_(go_pd_ *pd, int dirs, int64_t when) {
  go_m_ *m = go_enter_();
  go_g_ *g[2] = {NULL, NULL};
  bool first = false;
  int64_t now = when > 0 ? go_os_now_() : 0;
  when = when == GO_FOREVER ? 0 : when;
  go_lock_(&pd->lock);
  int err = go_ld_rlx(&pd->closing) != 0 ? GO_ECLOSED : 0;
  for (int dir = 0; dir < 2 && err == 0; dir++) {
    if ((dirs & (1 << dir)) == 0) {
      continue;
    }
    go_st_rlx(&pd->deadline[dir], (uint64_t)when);
    if (when != 0 && when <= now) {
      g[dir] = take(pd, dir, GO_ETIMEDOUT);
    } else if (is_waiter(go_ld_rlx(&pd->wait[dir]))) {
      first = (GO_PD_BUG_ != 3 && arm(m, pd, dir)) || first;
    }
  }
  go_unlock_(&pd->lock);
  if (first) {
    go_tm_wake_(when);
  }
  ready(m, g[0]);
  ready(m, g[1]);
  return err;
}

void go_pd_any_(go_pd_ *pd) {
  go_lock_(&pd->lock);
  go_st_rlx(&pd->any, 1u);
  go_unlock_(&pd->lock);
}

void go_pd_evict_(go_pd_ *pd) {
  go_m_ *m = go_m_get_();
  go_lock_(&pd->lock);
  go_st_rlx(&pd->closing, 1u);
  go_g_ *r = take(pd, GO_PD_READ_, GO_ECLOSED);
  go_g_ *w = take(pd, GO_PD_WRITE_, GO_ECLOSED);
  go_unlock_(&pd->lock);
  ready(m, r);
  ready(m, w);
}

/* An event of the registration with that generation. */
static void event(pd_full *f, uint32_t gen, uint32_t events) {
  go_g_ *r = NULL, *w = NULL;
  go_lock_(&f->pd.lock);
  if (GO_PD_BUG_ == 4 || f->gen == gen) {
    if (events & (GO_POLL_ERR_ | GO_POLL_HUP_ | GO_POLL_PRI_)) {
      go_st_rel(&f->pd.more, 1u); /* pairs with go_pd_more_ */
    }
    uint32_t for_readers = GO_POLL_IN_ | (go_ld_rlx(&f->pd.any) != 0 ? (uint32_t)GO_POLL_OUT_ : 0u);
    if (events & for_readers) {
      r = take_ready(&f->pd, GO_PD_READ_);
    }
    if (events & GO_POLL_OUT_) {
      w = take_ready(&f->pd, GO_PD_WRITE_);
    }
  }
  go_unlock_(&f->pd.lock);
  go_polled_(r);
  go_polled_(w);
}

/* ---- lives ---- */

/* What an earlier user's timer, or a stale event, may look at meanwhile stays under lock. Returns the key. */
static uint64_t reset(pd_full *f) {
  go_lock_(&f->pd.lock);
  go_st_rlx(&f->pd.closing, 0u);
  go_st_rlx(&f->pd.more, 0u);
  go_st_rlx(&f->pd.any, 0u);
  for (int dir = 0; dir < 2; dir++) {
    side *s = &f->sides[dir];
    go_st_rlx(&f->pd.wait[dir], NULL);
    go_st_rlx(&f->pd.deadline[dir], (uint64_t)0);
    if (s->of == NULL) { /* the first user */
      s->of = f;
      s->tm.fn = expire;
      s->tm.arg = s;
    }
    s->armed = INT64_MAX;
  }
  uint64_t key = ((uint64_t)f->gen << 32) | f->index;
  go_unlock_(&f->pd.lock);
  return key;
}

/* The next generation: never the one of all ones, which with the last number would be the poller's own key. */
static void end_generation(pd_full *f) {
  go_lock_(&f->pd.lock);
  f->gen = f->gen + 1 == UINT32_MAX ? 0 : f->gen + 1;
  for (int dir = 0; dir < 2; dir++) {
    go_st_rlx(&f->pd.deadline[dir], (uint64_t)0);
    go_st_rlx(&f->pd.wait[dir], NULL);
  }
  go_unlock_(&f->pd.lock);
  for (int dir = 0; dir < 2; dir++) {
    (void)go_tm_del_(&f->sides[dir].tm);
  }
}

#if !defined(GO_RELACY) /* the model has its own */

/* ---- slabs: number k has FIRST << k pds, so that a number tells where ---- */

#define FIRST 64u
#define SLABS 26

static go_aptr slabs[SLABS]; /* pd_full *; stored under free_lock */
static go_a32 free_lock;
static pd_full *free_pds; /* free_lock */
static uint32_t made;     /* pds that have ever been used; free_lock */
static uint32_t life;     /* counts go_pd_fini_ */

static pd_full *at(uint32_t index) {
  uint32_t n = index / FIRST + 1;
  uint32_t k = 31u - (uint32_t)__builtin_clz(n);
  pd_full *slab = k < SLABS ? (pd_full *)go_ld_acq(&slabs[k]) : NULL; /* pairs with make_slab */
  return slab != NULL ? &slab[index - FIRST * ((1u << k) - 1)] : NULL;
}

/* free_lock held; rare. */
static pd_full *make_slab(uint32_t index) {
  uint32_t k = 31u - (uint32_t)__builtin_clz(index / FIRST + 1);
  if (k >= SLABS) {
    return NULL;
  }
  pd_full *slab = (pd_full *)calloc((size_t)FIRST << k, sizeof *slab);
  if (slab != NULL) {
    go_st_rel(&slabs[k], slab); /* pairs with at */
  }
  return slab;
}

static pd_full *get_pd(void) {
  go_lock_(&free_lock);
  pd_full *f = free_pds;
  if (f != NULL) {
    free_pds = f->link;
  } else {
    f = at(made);
    f = f != NULL ? f : make_slab(made);
    if (f != NULL) {
      f->index = made++;
    }
  }
  go_unlock_(&free_lock);
  return f;
}

static void put_pd(pd_full *f) {
  go_lock_(&free_lock);
  f->link = free_pds;
  free_pds = f;
  go_unlock_(&free_lock);
}

/* Counted before it is registered: an event may come at once. */
static int begin(pd_full **ret, uint64_t *ret_key, bool *ret_first) {
  pd_full *f = get_pd();
  if (f == NULL) {
    return GO_ENOMEM;
  }
  f->life = life;
  *ret_key = reset(f);
  *ret_first = go_add_sc(&GO_S->npd, 1u) == 0;
  *ret = f;
  return 0;
}

static void began(bool first) {
  if (first && go_nobody_polls_()) { /* Ms that sleep do not look into the poller: have one do so */
    go_wake_();
  }
}

int go_pd_open_(intptr_t fd, go_pd_ **ret) {
  pd_full *f;
  uint64_t key;
  bool first;
  int err = begin(&f, &key, &first);
  if (err != 0) {
    return err;
  }
  err = go_poll_add_(fd, key);
  if (err != 0) {
    (void)go_sub_sc(&GO_S->npd, 1u);
    end_generation(f);
    put_pd(f);
    return err;
  }
  began(first);
  *ret = &f->pd;
  return 0;
}

int go_pd_open_own_(go_pd_ **ret, uint64_t *ret_key) {
  pd_full *f;
  bool first;
  int err = begin(&f, ret_key, &first);
  if (err == 0) {
    began(first);
    *ret = &f->pd;
  }
  return err;
}

void go_pd_close_(go_pd_ *pd, intptr_t fd) {
  pd_full *f = full(pd);
  if (fd != -1) {
    (void)go_poll_del_(
        fd); /* it fails when the scheduler has been stopped meanwhile, or fd was closed by a stranger */
  }
  end_generation(f);
  if (f->life == life) {
    (void)go_sub_sc(&GO_S->npd, 1u);
  }
  put_pd(f);
}

/* ---- for the deadlock check ---- */

static go_a32 hint; /* the number of one that was waited for */

static bool is_waited(uint32_t index) {
  pd_full *f = at(index);
  return f != NULL &&
         (is_waiter(go_ld_acq(&f->pd.wait[0])) || is_waiter(go_ld_acq(&f->pd.wait[1])));
}

bool go_pd_waited_(void) {
  if (go_ld_sc(&GO_S->npd) == 0) {
    return false;
  }
  if (is_waited(go_ld_rlx(&hint))) {
    return true;
  }
  go_lock_(&free_lock);
  uint32_t n = made;
  go_unlock_(&free_lock);
  for (uint32_t i = 0; i < n; i++) {
    if (is_waited(i)) {
      go_st_rlx(&hint, i);
      return true;
    }
  }
  return false;
}

/* ---- the end ---- */

void go_pd_fini_(void) {
  life++;
  uint32_t nfree = 0;
  for (pd_full *f = free_pds; f != NULL; f = f->link) {
    nfree++;
  }
  if (nfree == made) {
    for (int k = 0; k < SLABS; k++) {
      free(go_ld_rlx(&slabs[k]));
      go_st_rlx(&slabs[k], NULL);
    }
    free_pds = NULL;
    made = 0;
    return;
  }
  for (uint32_t i = 0; i < made;
       i++) { /* free ones as well: they are reset when they are used again */
    go_pd_evict_(&at(i)->pd);
  }
}

void go_poll_event_(uint64_t key, uint32_t events, int64_t result) {
  (void)result;
  pd_full *f = at((uint32_t)key);
  if (f != NULL) {
    go_polled_begin_();
    event(f, (uint32_t)(key >> 32), events);
  }
}

#endif
