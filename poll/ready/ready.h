/* poll/ready/ready.h: addresses as the system has them. */
#ifndef GOLIB_POLL_READY_READY_H_
#define GOLIB_POLL_READY_READY_H_

#include <errno.h>
#include <sys/socket.h>

#include "core/io.h"

/* The system's form of a, for a socket of that family: an IPv4 address for an IPv6 socket is mapped. Returns its
 * length; 0: it is none for that family. */
socklen_t go_ready_to_sys_(int family, const go_addr *a, struct sockaddr_storage *ret);
/* And back; mapped ones become IPv4. Fills all but the text. */
void go_ready_from_sys_(const struct sockaddr_storage *s, socklen_t len, go_addr *ret);

/* One try of an operation: its result; -EAGAIN: not now. */
typedef ptrdiff_t go_ready_try_(go_io_ *io, void *arg);

/* An operation: checks, tries, waits, and again, until a try need not wait. Its result, or why it must not be tried or
 * waited for any more. why: enum go_pd_why_. Inlined, so that the try is called directly.
 *
 * io->drained says that the next read, of whatever kind, may wait without a try. It has been said by a read that took
 * all, or by a wait that has failed: that one came after a try that found nothing, and what has come since is told
 * to the next wait. But after a wait that has not failed there must be a try, if not by this call, then by the next. */
static inline __attribute__((always_inline)) ptrdiff_t go_ready_do_(go_ctx *ctx, go_io_ *io,
                                                                    int dir, int why,
                                                                    go_ready_try_ *try_once,
                                                                    void *arg) {
  bool wait = false;
  if (dir == GO_PD_READ_) {
    wait = io->drained;
    io->drained = false;
  }
  for (;;) {
    ptrdiff_t r = wait ? go_pd_wait_(ctx, io->pd, dir, why) : 0;
    if (r != 0) {
      if (dir == GO_PD_READ_) {
        io->drained = true;
      }
      return r;
    }
    r = go_pd_check_(io->pd, dir);
    if (r != 0) {
      return r;
    }
    r = try_once(io, arg);
    if (r != -EAGAIN) {
      return r;
    }
    wait = true;
  }
}

#endif /* GOLIB_POLL_READY_READY_H_ */
