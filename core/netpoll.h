/* core/netpoll.h: waiting until a descriptor is ready, for whoever does the trying: backends of core/io.h, and
 * go_fd_wait.
 *
 * A go_pd_ (poll descriptor) stands for one registration with the poller. How it is used:
 *
 *   go_pd_open_(fd, &pd)
 *   for (;;) {
 *     err = go_pd_check_(pd, dir);             // closed? deadline?
 *     try; done if that needs no wait
 *     err = go_pd_wait_(ctx, pd, dir, reason); // until it has become ready since the last wait, or longer ago
 *   }
 *   go_pd_evict_(pd)                           // everybody who waits, or will, gets GO_ECLOSED
 *   go_pd_close_(pd, fd)                       // when nobody uses it any more, and before fd is closed
 *
 * No wait misses anything, as what becomes ready is remembered until a wait has returned for it; so one may return for
 * what a try has used already, and another try comes to nothing.
 * Only one may wait per direction at a time: callers see to that.
 *
 * Completion backends do likewise: start an operation, wait until it is done, look at what has become of it. When a wait
 * ends early they call the operation off, and wait for its end all the same.
 */
#ifndef GOLIB_CORE_NETPOLL_H_
#define GOLIB_CORE_NETPOLL_H_

#include <golib/base.h>

#include "core/atomic.h"

enum go_pd_dir_ { GO_PD_READ_, GO_PD_WRITE_ };

/* Why a goroutine waits for a descriptor: for dumps. */
enum go_pd_why_ { GO_PD_READS_, GO_PD_WRITES_, GO_PD_ACCEPTS_, GO_PD_CONNECTS_, GO_PD_WAITS_ };

/* The part that fast paths look at; the rest is core/netpoll.c's. Stored under lock, read by anybody. */
typedef struct go_pd_ {
  go_a32 lock;
  go_a32 closing;     /* 1: evicted */
  go_aptr wait[2];    /* per direction: NULL, GO_PD_READY_, or who waits */
  go_a64 deadline[2]; /* 0: none; stays after it has passed */
  go_a32 any; /* 1: events for writers are told to readers as well: see go_pd_any_; under lock */
  go_a32
      more; /* 1: the peer has shut down, hung up, failed, or sent urgent data: see go_pd_more_ */
} go_pd_;

#define GO_PD_READY_ ((void *)1)

/* Registers fd. 0, GO_ENOMEM, or the poller's error (-EPERM: always ready, as files are). The scheduler is up. */
int go_pd_open_(intptr_t fd, go_pd_ **ret);
/* For completion backends: registers nothing; their events name *ret_key. Their go_pd_close_ gets -1. */
int go_pd_open_own_(go_pd_ **ret, uint64_t *ret_key);
/* From now on whoever waits to read is also woken when it can be written. What is ready already is not told. */
void go_pd_any_(go_pd_ *pd);
/* From now on all waits end with GO_ECLOSED. Any number of times, any thread. */
void go_pd_evict_(go_pd_ *pd);
/* Takes it back. Nobody uses pd or will. */
void go_pd_close_(go_pd_ *pd, intptr_t fd);

int go_pd_check_slow_(go_pd_ *pd, int dir);
/* 0, or why nothing may be tried: GO_ECLOSED, GO_ETIMEDOUT. */
static inline int go_pd_check_(go_pd_ *pd, int dir) {
  if (go_ld_rlx(&pd->deadline[dir]) == 0 && go_ld_rlx(&pd->closing) == 0) {
    return 0;
  }
  return go_pd_check_slow_(pd, dir);
}

/* Whether a stream may have something to read behind a short read: the end of the stream, an error, data behind
 * urgent data. Their edges may have come together with one that was used up already. After the read.
 * Events are taken from the system one after the other. One that says so and has ended our last wait is seen here, as
 * it was noted before that. One that has come since then is remembered for the next wait. */
static inline bool go_pd_more_(go_pd_ *pd) {
  return go_ld_acq(&pd->more) != 0;
} /* pairs with go_poll_event_ */

/* Waits until it is ready: 0, at once if it has become so since the last wait; or GO_ECLOSED,
 * GO_ETIMEDOUT (the deadline's), ctx's error. Suspends. why: enum go_pd_why_. */
int go_pd_wait_(go_ctx *ctx, go_pd_ *pd, int dir, int why);
/* The same, but GO_EAGAIN at the instant `until`; 0: never. */
int go_pd_wait_until_(go_ctx *ctx, go_pd_ *pd, int dir, int why, int64_t until);

/* For completion backends, which have called an operation off and need its end, as it uses the caller's memory: waits
 * for an event whatever the deadline and closing say. It may return without one. */
void go_pd_wait_event_(go_pd_ *pd, int dir, int why);

/* Bits of go_pd_deadline_. */
enum { GO_PD_FOR_READ_ = 1, GO_PD_FOR_WRITE_ = 2 };
/* Sets the deadline of one direction or both: an instant, or 0: none. Who waits is woken when it has passed.
 * 0 or GO_ECLOSED. */
int go_pd_deadline_(go_pd_ *pd, int dirs, int64_t when);

/* Whether anybody waits for a descriptor: for the deadlock check. */
bool go_pd_waited_(void);
/* The scheduler stops: what is still open will not be woken any more, and counts as evicted. */
void go_pd_fini_(void);

#endif /* GOLIB_CORE_NETPOLL_H_ */
