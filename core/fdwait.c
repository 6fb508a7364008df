/* core/fdwait.c: waiting for descriptors that are not golib's: go_fd_wait.
 *
 * What is registered with the poller is a duplicate, for the length of the call: so the descriptor itself may be registered
 * elsewhere, several may wait for it, and when its owner closes it meanwhile, which is illegal, nobody else is
 * hit: a number that is used again is not ours. The poller tells of changes, and somebody else may have used up what it
 * told of, or only a part: so the system is asked each time before waiting, and after.
 */
#include <golib/block.h>

#include "core/netpoll.h"
#include "core/sched.h"

#define BOTH (GO_FD_READ | GO_FD_WRITE)

/* Registered. What is ready, a code, or 0: woken, but it is ready no more. */
static int wait_ready(go_ctx *ctx, go_pd_ *pd, intptr_t fd, int events) {
  int dir = events == GO_FD_WRITE ? GO_PD_WRITE_ : GO_PD_READ_;
  if (events == BOTH) {
    go_pd_any_(pd);
  }
  int r = go_os_fd_poll_(fd, events);
  if (r == 0) {
    r = go_pd_wait_(ctx, pd, dir, GO_PD_WAITS_);
  }
  return r != 0 ? r : go_os_fd_poll_(fd, events);
}

/* Anew after each waking: not every poller tells of a second change by itself. */
static int register_and_wait(go_ctx *ctx, intptr_t own, int events) {
  go_pd_ *pd;
  int r;
  do {
    r = go_pd_open_(own, &pd);
    if (r != 0) {
      return r == -EPERM ? events : r; /* what cannot be polled is always ready */
    }
    r = wait_ready(ctx, pd, own, events);
    go_pd_close_(pd, own);
  } while (r == 0);
  return r;
}

int go_fd_wait(go_ctx *ctx, intptr_t fd, int events) {
  if (events == 0 || (events & ~BOTH) != 0) {
    return GO_EINVAL;
  }
  int r = go_forked_() ? GO_EFORKED : go_cancel_err_(ctx);
  if (r == 0) {
    r = go_os_fd_poll_(fd, events);
  }
  if (r == 0) {
    r = go_start_();
  }
  intptr_t own;
  if (r == 0) {
    r = go_os_fd_dup_(fd, &own);
  }
  if (r != 0) {
    return r;
  }
  r = register_and_wait(ctx, own, events);
  go_os_fd_close_(own);
  return r;
}
