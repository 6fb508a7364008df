/* core/note.h: a one-shot sleep and wake-up between two threads.
 *
 * One thread sleeps, one wakes it, once; then the sleeper clears the note before it can be used again.
 * States: 0 clear; 1 woken; 2 asleep (or about to be). clear -> asleep by the sleeper; clear or asleep ->
 * woken by the waker; woken -> clear by the sleeper. What the waker did before is visible to the
 * sleeper after. tests/models/note_model_test.cc checks it.
 */
#ifndef GOLIB_CORE_NOTE_H_
#define GOLIB_CORE_NOTE_H_

#include "core/atomic.h"

#if defined(GO_RELACY)
/* The model gives both. */
int go_os_futex_wait_(go_a32 *addr, uint32_t val, int64_t ns);
void go_os_futex_wake_(go_a32 *addr, int n);
#define GO_NOTE_ADDR_(n) (&(n)->word)
#define GO_NOTE_TIMEOUT_ (-110)
#else
#include <errno.h>

#include "core/os.h"
#define GO_NOTE_ADDR_(n) (&(n)->word.v)
#define GO_NOTE_TIMEOUT_ (-ETIMEDOUT)
#endif

#if !defined(GO_NOTE_BUG_)
#define GO_NOTE_BUG_ 0
#endif

typedef struct go_note_ {
  go_a32 word;
} go_note_;

enum { GO_NOTE_CLEAR_ = 0, GO_NOTE_WOKEN_ = 1, GO_NOTE_ASLEEP_ = 2 };

/* Sleeper only, when nobody can wake it any more or yet. */
static inline void go_note_clear_(go_note_ *n) { go_st_rlx(&n->word, (uint32_t)GO_NOTE_CLEAR_); }

/* The sleeper may free the note as soon as it is woken: the futex call below then names memory that
 * may be gone or used anew, which costs somebody a spurious wake-up at worst. */
static inline void go_note_wake_(go_note_ *n) {
  uint32_t old;
  if (GO_NOTE_BUG_ == 1) {
    old = go_ld_rlx(&n->word);
    go_st_rel(&n->word, (uint32_t)GO_NOTE_WOKEN_);
  } else if (GO_NOTE_BUG_ == 3) {
    old = go_xchg_acq(&n->word, (uint32_t)GO_NOTE_WOKEN_);
  } else {
    old = go_xchg_ar(&n->word, (uint32_t)GO_NOTE_WOKEN_); /* pairs with go_note_sleep_ */
  }
  if (old == GO_NOTE_ASLEEP_) {
    go_os_futex_wake_(GO_NOTE_ADDR_(n), 1);
  }
}

/* Sleeps until woken or for ns nanoseconds (negative: for ever). Returns whether it was woken; after
 * false the note can still be woken and slept on. */
static inline bool go_note_sleep_(go_note_ *n, int64_t ns) {
  uint32_t seen = GO_NOTE_CLEAR_;
  if (GO_NOTE_BUG_ == 2) {
    go_st_rlx(&n->word, (uint32_t)GO_NOTE_ASLEEP_);
  }
  (void)go_cas_acq(&n->word, &seen, (uint32_t)GO_NOTE_ASLEEP_);
  while (go_ld_acq(&n->word) != GO_NOTE_WOKEN_) { /* pairs with go_note_wake_ */
    if (go_os_futex_wait_(GO_NOTE_ADDR_(n), GO_NOTE_ASLEEP_, ns) == GO_NOTE_TIMEOUT_) {
      return go_ld_acq(&n->word) == GO_NOTE_WOKEN_;
    }
  }
  return true;
}

#endif /* GOLIB_CORE_NOTE_H_ */
