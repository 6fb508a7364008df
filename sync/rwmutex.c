/* sync/rwmutex.c: the reader-writer mutex. Go: sync/rwmutex.go; the slots: Dice and Kogan, "BRAVO".
 *
 * Word: WRITER   a writer has it.
 *       GUARD    somebody works on the lists, which it protects; nobody else changes the word meanwhile. It is never
 *                set for longer than some tens of instructions.
 *       RWAIT    the list of readers is not empty. Only with WRITER or WWAIT.
 *       WWAIT    the list of writers is not empty, or WOKEN: readers do not enter.
 *       WOKEN    a writer has been woken and will try; nobody else is woken meanwhile.
 *       STARVING the first writer is handed the lock; newcomers do not take it. Only with WWAIT, while it is held.
 *       BIAS     readers may be in slots. Neither with WRITER nor with WWAIT.
 *       READERS  how many readers have it, those in slots not counted. 0 with WRITER.
 *       READS    how many read locks were taken by this word since the last writer.
 * If nobody has it and somebody waits, then WOKEN.
 *
 * Turns. An unlock lets all waiting readers in; the last reader out wakes the first writer, who competes with
 * newcomers, which is fast, but not with readers, who queue. When he has lost and has waited over 1 ms in all, the lock
 * starves: it is handed to him. So a writer waits for one round of readers, a reader for one writer at a time.
 *
 * Slots (sync/rw_slots.h). Readers on many Ps would fight for the word's cache line. After HOT read locks without a
 * writer, BIAS lets a reader put the rwmutex into a slot of its P instead, without a write to the word:
 *   reader 1. slot = rwmutex (sc)       writer, with GUARD 1. clears BIAS (sc)
 *          2. BIAS still set (sc)?                         2. moves what is in slots to READERS (sc loads)
 *   If not: 3. takes the slot back and goes the other way.
 * Either step 2 of the writer sees the slot, or step 2 of the reader sees BIAS gone. Readers are alike: a runlock takes
 * any of them out, the one in its P's slot if there is one, else of READERS, else of another slot. So slots and READERS
 * together are the readers who have it and those between 1 and 3, at all times; and a reader who finds at 3 that his slot
 * was taken has the lock: another reader has left in his name, or a writer has counted him in, and waits for him.
 * While BIAS is clear and GUARD too, READERS alone are no fewer than the readers who have it.
 * A writer pays for looking at the slots once in HOT read locks.
 *
 * Nobody touches the rwmutex after the step that gives it up: whoever locks next may free it.
 */
#include <golib/sync.h>

#include "core/arch.h"
#include "sync/rw_slots.h"
#include "sync/wait.h"

/* What is planted here must be found by tests/models/rwmutex_model_test.cc, which compiles this file. */
#if !defined(GO_RWMUTEX_BUG_)
#define GO_RWMUTEX_BUG_ 0
#endif

#define WRITER 1ull
#define GUARD 2ull
#define RWAIT 4ull
#define WWAIT 8ull
#define WOKEN 16ull
#define STARVING 32ull
#define BIAS 64ull
#define READER (1ull << 8) /* one of READERS */
#define READERS (0xffffffffull << 8)
#define FULL (1ull << 38) /* 2^30 readers */
#define READ (1ull << 40) /* one of READS */
#define READS (0xffffffull << 40)
#if !defined(GO_RW_HOT_)
#define GO_RW_HOT_ (READ << 10)
#endif

#if !defined(GO_RW_TABLE_)
static go_rw_slots_ table;
#define GO_RW_TABLE_ (&table)
#endif

static go_a64 *word(go_rwmutex *rw) { return (go_a64 *)(void *)&rw->state_; }
static go_sync_list_ readers_of(go_rwmutex *rw) {
  return (go_sync_list_){&rw->readers_head_, &rw->readers_tail_};
}
static go_sync_list_ writers_of(go_rwmutex *rw) {
  return (go_sync_list_){&rw->writers_head_, &rw->writers_tail_};
}

/* ---- the guard ---- */

/* Returns the word without GUARD: it stays as it is until unguard. */
static uint64_t guard(go_rwmutex *rw) {
  for (uint32_t tries = 0;; tries++) {
    uint64_t s = go_or_ar(
        word(rw), GUARD); /* acquire: pairs with unguard and with the fast paths' releases */
    if (!(s & GUARD)) {
      return s;
    }
    go_backoff_(tries);
  }
}

/* Gives the guard back, with the word s, in which the bits about waiters are put right. */
static void unguard(go_rwmutex *rw, uint64_t s) {
  bool writers = rw->writers_head_ != NULL || (s & WOKEN);
  s &= ~(GUARD | RWAIT | WWAIT | (rw->writers_head_ == NULL ? STARVING : 0));
  s |= (writers ? WWAIT : 0) | (rw->readers_head_ != NULL ? RWAIT : 0);
  go_st_rel(word(rw), s);
}

/* Guard held. Ends the use of slots: returns the word with all readers in it. */
static uint64_t revoke(go_rwmutex *rw, uint64_t s) {
  if (!(s & BIAS)) {
    return s;
  }
  s &= ~(BIAS | READS);
  if (GO_RWMUTEX_BUG_ == 5) {
    go_st_rel(word(rw), s | GUARD);
  } else {
    go_st_sc(word(rw), s | GUARD); /* pairs with rlock_slot */
  }
  return s + go_rw_slots_take_(GO_RW_TABLE_, rw, UINT32_MAX) * READER;
}

/* ---- fast paths ---- */

static inline bool rlock_word(go_rwmutex *rw) {
  uint64_t s = go_ld_rlx(word(rw));
  while (!(s & (WRITER | GUARD | WWAIT | FULL | GO_RW_HOT_))) {
    if (go_cas_acq(word(rw), &s, s + READER + READ)) { /* pairs with the writer's release */
      return true;
    }
  }
  return false;
}

static bool rlock_slot(go_rwmutex *rw) {
  go_m_ *m = go_m_get_();
  go_aptr *slot = m != NULL ? go_rw_slot_put_(GO_RW_TABLE_, m, rw) : NULL;
  if (slot == NULL) {
    return false;
  }
  if (GO_RWMUTEX_BUG_ == 1 || (go_ld_sc(word(rw)) & BIAS)) { /* pairs with revoke */
    return true;
  }
  return !go_rw_slot_clear_(slot, rw) && GO_RWMUTEX_BUG_ != 2;
}

static inline bool rlock_fast(go_rwmutex *rw) {
  return ((go_ld_rlx(word(rw)) & BIAS) && rlock_slot(rw)) || rlock_word(rw);
}

/* Out of READERS, unless that would let a writer in. */
static inline bool runlock_word(go_rwmutex *rw) {
  uint64_t s = go_ld_rlx(word(rw));
  while (!(s & GUARD) && (s & READERS) > (s & WWAIT && GO_RWMUTEX_BUG_ != 6 ? READER : 0)) {
    if (go_cas_rel(word(rw), &s, s - READER)) { /* pairs with the writer's acquire */
      return true;
    }
  }
  return false;
}

static bool runlock_slot(go_rwmutex *rw) {
  go_m_ *m = go_m_get_();
  return m != NULL && go_rw_slot_get_(GO_RW_TABLE_, m, rw);
}

static inline bool lock_fast(go_rwmutex *rw) {
  uint64_t s = go_ld_rlx(word(rw));
  return !(s & ~READS) && go_cas_acq(word(rw), &s, WRITER); /* pairs with both unlocks' releases */
}

/* ---- under the guard ---- */

static bool nobody_has(uint64_t s) { return !(s & (WRITER | READERS)); }

/* Takes all waiting readers out and gives each the lock. Returns their part of the word. */
static uint64_t admit(go_rwmutex *rw, go_sync_woken_ *woken) {
  return go_sync_get_all_(readers_of(rw), woken) * READER;
}

/* Nobody has the lock: wakes the first writer, or hands it to him. Returns the word; if no writer waits (all have
 * given up) the readers have it. */
static uint64_t wake_writer(go_rwmutex *rw, uint64_t s, go_sync_woken_ *woken) {
  go_sync_wait_ *w = go_sync_get_(writers_of(rw));
  if (w == NULL) {
    return s + admit(rw, woken);
  }
  go_sync_woken_add_(woken, w);
  w->handed = (s & STARVING) != 0;
  return s | (w->handed ? WRITER : WOKEN);
}

/* Guard held, released. s: the word without what the caller had. Readers go first after a writer, writers after
 * readers. */
static void pass_on(go_rwmutex *rw, uint64_t s, bool readers_first) {
  go_sync_woken_ woken = {NULL, NULL};
  if (readers_first || (rw->writers_head_ == NULL && !(s & WOKEN))) {
    s += admit(rw, &woken);
  }
  if (nobody_has(s) && !(s & WOKEN)) {
    s = wake_writer(rw, s, &woken);
  }
  bool handed = (s & WRITER) != 0;
  unguard(rw, s);
  go_m_ *m = go_m_get_();
  go_sync_ready_all_(m, &woken);
  if (handed && m != NULL && m->p != NULL) {
    (void)go_yield_m_(m); /* the writer runs next, in our time slice */
  }
}

/* ---- slow paths ---- */

static bool spin(go_rwmutex *rw, const go_m_ *m, bool (*try_it)(go_rwmutex *)) {
  if (!go_sync_may_spin_(m)) {
    return false;
  }
  for (int i = 0; i < GO_SYNC_SPINS_; i++) {
    go_sync_spin_();
    if (go_ld_rlx(word(rw)) & WWAIT) { /* others wait already */
      return false;
    }
    if (try_it(rw)) {
      return true;
    }
  }
  return false;
}

/* Guard held, released. One reader more; starts the use of slots if there is much reading. */
static void enter(go_rwmutex *rw, uint64_t s) {
  if (s & FULL) {
    go_fatal_("go_rwmutex_rlock: too many readers");
  }
  if (s & GO_RW_HOT_) {
    s &= ~READS;
    s |= go_ld_rlx(&GO_S->procs) > 1 ? BIAS : 0;
  }
  unguard(rw, s + READER + READ);
}

/* ctx is done, and nobody has woken w. */
static int give_up_rlock(go_ctx *ctx, go_rwmutex *rw, go_sync_wait_ *w) {
  uint64_t s = guard(rw);
  go_sync_del_(readers_of(rw), w);
  unguard(rw, s);
  return go_cancel_err_(ctx);
}

static __attribute__((noinline)) int rlock_slow(go_ctx *ctx, go_rwmutex *rw) {
  go_m_ *m = go_enter_();
  if ((go_ld_rlx(word(rw)) & WRITER) && spin(rw, m, rlock_word)) {
    return 0;
  }
  uint64_t s = guard(rw);
  if (!(s & (WRITER | WWAIT))) {
    enter(rw, s);
    return 0;
  }
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = ctx != NULL};
  go_prepark_(m, GO_WAIT_RWMUTEX_R_);
  go_sync_put_(readers_of(rw), &w, false);
  unguard(rw, s);
  return go_sync_park_(m, ctx, &w) ? 0 : give_up_rlock(ctx, rw, &w);
}

/* Likewise. Readers that waited for this writer alone go on. */
static int give_up_lock(go_ctx *ctx, go_rwmutex *rw, go_sync_wait_ *w) {
  uint64_t s = guard(rw);
  go_sync_del_(writers_of(rw), w);
  if ((s & WRITER) || GO_RWMUTEX_BUG_ == 3) {
    unguard(rw, s);
  } else {
    pass_on(rw, s, false);
  }
  return go_cancel_err_(ctx);
}

/* The lock is ours, handed over in starvation: ends that when there is no need for it any more. */
static void after_hand_over(go_rwmutex *rw, int64_t waited) {
  uint64_t s = guard(rw);
  unguard(rw, waited < GO_SYNC_STARVES_AFTER_ ? s & ~STARVING : s);
}

static __attribute__((noinline)) int lock_slow(go_ctx *ctx, go_rwmutex *rw) {
  go_m_ *m = go_enter_();
  if (!(go_ld_rlx(word(rw)) & BIAS) && spin(rw, m, lock_fast)) {
    return 0;
  }
  go_sync_wait_ w = {.g = m->cur, .multi = ctx != NULL, .since = go_os_now_()};
  for (bool woken = false;; woken = true) {
    uint64_t s = revoke(rw, guard(rw));
    s = woken && GO_RWMUTEX_BUG_ != 4 ? s & ~WOKEN : s;
    if (nobody_has(s)) {
      unguard(rw, (s & ~READS) | WRITER);
      return 0;
    }
    w.seq = go_claim_open_(w.g);
    go_prepark_(m, GO_WAIT_RWMUTEX_W_);
    go_sync_put_(writers_of(rw), &w, woken); /* who has waited already stays in front */
    bool starves = woken && go_os_now_() - w.since > GO_SYNC_STARVES_AFTER_;
    unguard(rw, s | (starves ? STARVING : 0));
    if (!go_sync_park_(m, ctx, &w)) {
      return give_up_lock(ctx, rw, &w);
    }
    m = go_m_get_();
    if (w.handed) {
      after_hand_over(rw, go_os_now_() - w.since);
      return 0;
    }
  }
}

static __attribute__((noinline)) void runlock_slow(go_rwmutex *rw) {
  if ((go_ld_rlx(word(rw)) & BIAS) && go_rw_slots_take_(GO_RW_TABLE_, rw, 1) == 1) {
    return; /* locked on another P */
  }
  uint64_t s = guard(rw);
  if (!(s & READERS)) {
    s = revoke(rw, s);
  }
  if (!(s & READERS)) {
    go_fatal_("go_rwmutex_runlock of an rwmutex that is not locked for reading");
  }
  pass_on(rw, s - READER, false);
}

static __attribute__((noinline)) void unlock_slow(go_rwmutex *rw) {
  if (!(go_ld_rlx(word(rw)) & WRITER)) {
    go_fatal_("go_rwmutex_unlock of an rwmutex that is not locked for writing");
  }
  pass_on(rw, guard(rw) & ~WRITER, true);
}

/* ---- what is public ---- */

bool go_rwmutex_tryrlock(go_rwmutex *rw) {
  if (GO_LIKELY_(rlock_fast(rw))) {
    return true;
  }
  if (go_ld_rlx(word(rw)) & (WRITER | WWAIT)) {
    return false;
  }
  uint64_t s = guard(rw);
  if (s & (WRITER | WWAIT)) {
    unguard(rw, s);
    return false;
  }
  enter(rw, s);
  return true;
}

bool go_rwmutex_trylock(go_rwmutex *rw) {
  if (GO_LIKELY_(lock_fast(rw))) {
    return true;
  }
  if (!nobody_has(go_ld_rlx(word(rw)))) {
    return false;
  }
  uint64_t s = revoke(rw, guard(rw));
  bool got = nobody_has(s);
  unguard(rw, got ? (s & ~READS) | WRITER : s);
  return got;
}

/* In a forked child nobody is woken, or there to unlock. */
static int rlock_wait(go_ctx *ctx, go_rwmutex *rw) {
  return !go_forked_() ? rlock_slow(ctx, rw) : go_rwmutex_tryrlock(rw) ? 0 : GO_EFORKED;
}

static int lock_wait(go_ctx *ctx, go_rwmutex *rw) {
  return !go_forked_() ? lock_slow(ctx, rw) : go_rwmutex_trylock(rw) ? 0 : GO_EFORKED;
}

void go_rwmutex_rlock(go_rwmutex *rw) {
  if (!GO_LIKELY_(rlock_fast(rw))) {
    (void)rlock_slow(NULL, rw);
  }
}

int go_rwmutex_rlock_ctx(go_ctx *ctx, go_rwmutex *rw) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  return GO_LIKELY_(rlock_fast(rw)) ? 0 : rlock_wait(ctx, rw);
}

void go_rwmutex_runlock(go_rwmutex *rw) {
  if ((go_ld_rlx(word(rw)) & BIAS) && runlock_slot(rw)) {
    return;
  }
  if (!GO_LIKELY_(runlock_word(rw))) {
    runlock_slow(rw);
  }
}

void go_rwmutex_lock(go_rwmutex *rw) {
  if (!GO_LIKELY_(lock_fast(rw))) {
    (void)lock_slow(NULL, rw);
  }
}

int go_rwmutex_lock_ctx(go_ctx *ctx, go_rwmutex *rw) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  return GO_LIKELY_(lock_fast(rw)) ? 0 : lock_wait(ctx, rw);
}

void go_rwmutex_unlock(go_rwmutex *rw) {
  uint64_t s = WRITER;
  if (!GO_LIKELY_(go_cas_rel(word(rw), &s, 0ull))) { /* pairs with lock_fast and rlock_word */
    unlock_slow(rw);
  }
}
