/* net/fdmu.h: who may use a socket, and who closes it.
 *
 * Reading, writing and closing may come from many at a time. One reads, one writes at a time; closing marks the
 * socket, wakes everybody, and the last who leaves closes the descriptor: while anybody is in a system call, its
 * number cannot be another's.
 *
 * word: CLOSED, once set, stays. READ and WRITE: held by somebody. READ_WAIT, WRITE_WAIT: the list may not be empty;
 * set under lock while somebody holds, cleared under lock by whoever empties the list. REF: how many are inside, holders
 * among them, and the closer.
 *   0 refs with CLOSED: whoever made it so (go_fdmu_last_) is alone, and destroys; never left again.
 * A waiter that is woken tries anew; newcomers may be faster, then it waits at the front.
 * No wake-up is lost: a waiter sets its WAIT bit by a compare-and-swap that finds the lock held; whoever releases it
 * after that sees the bit, and takes the list's lock, which the waiter has until it is listed.
 *
 * Go: internal/poll/fd_mutex.go. Departure: lists of waiters instead of counts and semaphores, for the contexts.
 */
#ifndef GOLIB_NET_FDMU_H_
#define GOLIB_NET_FDMU_H_

#include "sync/wait.h"

#if !defined(GO_FDMU_BUG_)
#define GO_FDMU_BUG_ 0
#endif

enum {
  GO_FDMU_CLOSED_ = 1,
  GO_FDMU_LOCK_ = 2, /* << direction: enum go_pd_dir_ */
  GO_FDMU_WAIT_ = 8, /* << direction */
  GO_FDMU_WAITS_ = 8 | 16,
  GO_FDMU_REF_ = 32,
};
#define GO_FDMU_FULL_ (UINT32_MAX - GO_FDMU_REF_)

typedef struct go_fdmu_ {
  go_a32 word;
  go_a32 lock;             /* of what follows */
  void *head[2], *tail[2]; /* waiters by direction */
  go_g_ *closer;           /* waits for the last to leave */
  bool done;               /* the descriptor is closed */
} go_fdmu_;

static inline go_sync_list_ go_fdmu_list_(go_fdmu_ *f, int dir) {
  return (go_sync_list_){&f->head[dir], &f->tail[dir]};
}

static inline bool go_fdmu_last_(uint32_t word) {
  return (word & ~(uint32_t)GO_FDMU_WAITS_) == GO_FDMU_CLOSED_;
}

static inline void go_fdmu_check_(uint32_t word) {
  if (GO_UNLIKELY_(word >= GO_FDMU_FULL_)) {
    go_panic("too many concurrent operations on a socket");
  }
}

/* One more inside; false: it is closed. */
static inline bool go_fdmu_ref_(go_fdmu_ *f) {
  uint32_t old = go_ld_rlx(&f->word);
  do {
    if (old & GO_FDMU_CLOSED_) {
      return false;
    }
    go_fdmu_check_(old);
  } while (!go_cas_acq(&f->word, &old, old + GO_FDMU_REF_));
  return true;
}

/* One less: true, if the caller is the last and destroys. What all did before is visible to the last. */
static inline bool go_fdmu_unref_(go_fdmu_ *f) {
  return go_fdmu_last_(go_sub_ar(&f->word, (uint32_t)GO_FDMU_REF_) - GO_FDMU_REF_);
}

static inline void go_fdmu_leave_list_(go_fdmu_ *f, int dir, go_sync_wait_ *w) {
  go_lock_(&f->lock);
  go_sync_del_(go_fdmu_list_(f, dir), w);
  go_unlock_(&f->lock);
}

/* Waits once, if it is still held. 0, or ctx's error. */
static __attribute__((noinline)) int go_fdmu_wait_(go_ctx *ctx, go_fdmu_ *f, int dir,
                                                   uint8_t reason, bool front) {
  uint32_t held = (uint32_t)GO_FDMU_LOCK_ << dir, wait = (uint32_t)GO_FDMU_WAIT_ << dir;
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = !go_cancel_never_(ctx)};
  go_lock_(&f->lock);
  uint32_t old = go_ld_rlx(&f->word);
  do {
    if ((old & GO_FDMU_CLOSED_) || !(old & held)) {
      go_unlock_(&f->lock);
      return 0;
    }
  } while (GO_FDMU_BUG_ != 1 && !go_cas_rlx(&f->word, &old, old | wait));
  go_prepark_(m, reason);
  go_sync_put_(go_fdmu_list_(f, dir), &w, front);
  go_unlock_(&f->lock);
  if (go_sync_park_(m, ctx, &w)) {
    return 0;
  }
  go_fdmu_leave_list_(f, dir, &w);
  return go_cancel_err_(ctx);
}

static __attribute__((noinline)) int go_fdmu_lock_slow_(go_ctx *ctx, go_fdmu_ *f, int dir,
                                                        uint8_t reason) {
  uint32_t held = (uint32_t)GO_FDMU_LOCK_ << dir;
  for (bool again = false;; again = true) {
    uint32_t old = go_ld_rlx(&f->word);
    while (!(old & (held | GO_FDMU_CLOSED_))) {
      go_fdmu_check_(old);
      if (go_cas_acq(&f->word, &old,
                     (old | held) + GO_FDMU_REF_)) { /* pairs with go_fdmu_unlock_ */
        return 0;
      }
    }
    if (old & GO_FDMU_CLOSED_) {
      return GO_ECLOSED;
    }
    int err = go_fdmu_wait_(ctx, f, dir, reason, again);
    if (err != 0) {
      return err;
    }
  }
}

/* go_fdmu_lock_ where that is simple, or false. */
static inline bool go_fdmu_try_(go_fdmu_ *f, int dir) {
  uint32_t held = (uint32_t)GO_FDMU_LOCK_ << dir, old = go_ld_rlx(&f->word);
  return !(old & (held | GO_FDMU_CLOSED_)) && old < GO_FDMU_FULL_ &&
         go_cas_acq(&f->word, &old, (old | held) + GO_FDMU_REF_); /* as above */
}

/* For reading or writing: 0, GO_ECLOSED, or ctx's error. Suspends while another does the same. */
static inline int go_fdmu_lock_(go_ctx *ctx, go_fdmu_ *f, int dir, uint8_t reason) {
  return GO_LIKELY_(go_fdmu_try_(f, dir)) ? 0 : go_fdmu_lock_slow_(ctx, f, dir, reason);
}

/* Somebody may wait, or it is closed. The lock is given up first, the reference last: whoever is the last touches f no
 * more. */
static __attribute__((noinline)) bool go_fdmu_unlock_slow_(go_fdmu_ *f, int dir) {
  uint32_t wait = (uint32_t)GO_FDMU_WAIT_ << dir;
  (void)go_and_ar(&f->word, ~((uint32_t)GO_FDMU_LOCK_ << dir));
  go_lock_(&f->lock);
  go_sync_wait_ *w = go_sync_get_(go_fdmu_list_(f, dir));
  if (f->head[dir] == NULL) {
    (void)go_and_ar(&f->word, ~wait);
  }
  go_unlock_(&f->lock);
  if (w != NULL) {
    go_ready_(go_m_get_(), w->g);
  }
  return go_fdmu_unref_(f);
}

/* True, if the caller is the last and destroys. */
static inline bool go_fdmu_unlock_(go_fdmu_ *f, int dir) {
  uint32_t held = (uint32_t)GO_FDMU_LOCK_ << dir, wait = (uint32_t)GO_FDMU_WAIT_ << dir;
  uint32_t old = go_ld_rlx(&f->word);
  while (GO_LIKELY_(!(old & (wait | GO_FDMU_CLOSED_)))) { /* so it is not the last */
    if (GO_LIKELY_(go_cas_ar(&f->word, &old, old - held - GO_FDMU_REF_))) {
      return false;
    }
  }
  return go_fdmu_unlock_slow_(f, dir);
}

/* Marks it closed, wakes those who wait for their turn, and counts the caller in; false: it was closed before. */
static inline bool go_fdmu_close_(go_fdmu_ *f) {
  uint32_t old = go_ld_rlx(&f->word);
  do {
    if (old & GO_FDMU_CLOSED_) {
      return false;
    }
  } while (
      !go_cas_ar(&f->word, &old, (old | GO_FDMU_CLOSED_) + (GO_FDMU_BUG_ == 2 ? 0 : GO_FDMU_REF_)));
  go_sync_woken_ woken = {NULL, NULL};
  go_lock_(&f->lock);
  for (int dir = 0; dir < 2; dir++) {
    (void)go_sync_get_all_(go_fdmu_list_(f, dir), &woken);
  }
  go_unlock_(&f->lock);
  go_sync_ready_all_(go_m_get_(), &woken);
  return true;
}

/* By the last, when the descriptor is closed: the closer may go on, and f be gone. */
static inline void go_fdmu_done_(go_fdmu_ *f) {
  go_lock_(&f->lock);
  f->done = true;
  go_g_ *g = f->closer;
  go_unlock_(&f->lock);
  if (g != NULL) {
    go_ready_(go_m_get_(), g);
  }
}

/* By the closer, who was not the last. */
static inline void go_fdmu_wait_done_(go_fdmu_ *f, uint8_t reason) {
  go_m_ *m = go_enter_();
  go_lock_(&f->lock);
  if (f->done) {
    go_unlock_(&f->lock);
    return;
  }
  go_prepark_(m, reason);
  f->closer = m->cur;
  go_unlock_(&f->lock);
  (void)go_park_(m);
}

#endif /* GOLIB_NET_FDMU_H_ */
