/* core/cancel.h: what blocking calls need of a context. Trees, deadlines and values: context/.
 *
 * A context begins with a go_cancel_. Its err goes from 0 to its final value in two steps, both under lock:
 *   0 -> code | CLOSING -> code
 * Between them its owner closes the channel that says the same to selects. So neither can be seen
 * without the other: who finds the channel closed finds err not 0, and who finds CLOSING waits for the
 * lock before he says that it is done.
 *
 * Waiters: on the stack of whoever waits, in the list under lock, taken out by the canceller, or by
 * go_cancel_del_. The canceller touches a waiter and its goroutine under the lock only, which
 * go_cancel_del_ needs: so they stay while he does.
 */
#ifndef GOLIB_CORE_CANCEL_H_
#define GOLIB_CORE_CANCEL_H_

#include <stddef.h>

#include "core/lock.h"

struct go_ctx;
struct go_g_;
struct go_m_;

typedef struct go_cancel_wait_ {
  struct go_cancel_wait_ *next, *prev;
  struct go_g_ *g;
  uint32_t seq;
  bool listed; /* under lock */
} go_cancel_wait_;

typedef struct go_cancel_ {
  go_a32 lock;
  go_a32 err; /* 0, or the negated code; see above */
  go_cancel_wait_ *head;
} go_cancel_;

#define GO_CANCEL_CLOSING_ 0x80000000u

/* The background is an address and nothing else: no two goroutines ever meet there. */
extern const char go_cancel_background_;
static inline bool go_cancel_never_(const struct go_ctx *ctx) {
  return ctx == NULL || (const void *)ctx == &go_cancel_background_;
}

/* 0, GO_ECANCELED or GO_ETIMEDOUT. NULL: 0. May take the context's lock, so: not under a channel's. */
int go_cancel_err_(struct go_ctx *ctx);
/* Registers wait `seq` of w->g, to be claimed (claimed_by = w) on cancellation. The background: nothing.
 * Returns false, with nothing registered, when ctx is done already. */
bool go_cancel_add_(struct go_ctx *ctx, go_cancel_wait_ *w, struct go_g_ *g, uint32_t seq);
/* Ends it; afterwards nobody refers to w. */
void go_cancel_del_(struct go_ctx *ctx, go_cancel_wait_ *w);

/* Parks the current goroutine, which has called go_prepark_ and can be found by who may end its wait `seq`; or
 * does not, if ctx ends it at once. Returns whether ctx has ended the wait: then nobody else will. */
bool go_cancel_park_(struct go_m_ *m, struct go_ctx *ctx, uint32_t seq);

/* Cancels. The first call wins and returns true, with the lock held and CLOSING set; to be followed by */
bool go_cancel_begin_(go_cancel_ *c, int err);
/* which wakes all who wait, and unlocks. m is the calling thread's, or NULL. */
void go_cancel_end_(struct go_m_ *m, go_cancel_ *c);
/* Both. */
bool go_cancel_fire_(struct go_m_ *m, go_cancel_ *c, int err);

#endif /* GOLIB_CORE_CANCEL_H_ */
