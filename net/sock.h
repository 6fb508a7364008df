/* net/sock.h: what connections and listeners have in common: a socket that is used by many and closed once.
 *
 * Two counts. refs: who has a go_conn * or go_listener *, and so its memory. mu: who is inside a call, and so its
 * descriptor. Closing waits for the second, the last who gives up the first frees.
 *
 * Owners: go_sock_begin_ or go_sock_ref_ lets a user in, who may use io until go_sock_end_ or go_sock_unref_; the
 * last who leaves a closed socket closes the descriptor (net/fdmu.h). io.pd is constant meanwhile.
 */
#ifndef GOLIB_NET_SOCK_H_
#define GOLIB_NET_SOCK_H_

#include <golib/net.h>

#include "core/io.h"
#include "net/fdmu.h"

typedef struct go_sock_ {
  go_fdmu_ mu;
  go_a32 refs; /* who has a pointer to it, and so its memory */
  go_io_ io;
  go_addr *path; /* a Unix path to be removed at the end, or NULL */
} go_sock_;

int go_sock_begin_slow_(go_ctx *ctx, go_sock_ *s, int dir);
/* By the last who leaves a closed socket. */
void go_sock_last_(go_sock_ *s);

/* For reading or writing (enum go_pd_dir_): 0, the error of a ctx that is done, GO_ECLOSED, GO_EFORKED. */
static inline int go_sock_begin_(go_ctx *ctx, go_sock_ *s, int dir) {
  if (GO_LIKELY_(ctx == NULL && !go_forked_() && go_fdmu_try_(&s->mu, dir))) {
    return 0;
  }
  return go_sock_begin_slow_(ctx, s, dir);
}
static inline void go_sock_end_(go_sock_ *s, int dir) {
  if (GO_UNLIKELY_(go_fdmu_unlock_(&s->mu, dir))) {
    go_sock_last_(s);
  }
  go_took_turn_();
}
/* For all else. */
bool go_sock_ref_(go_sock_ *s);
void go_sock_unref_(go_sock_ *s);
/* Closes it and waits until everybody has left: 0 or GO_ECLOSED. */
int go_sock_close_(go_sock_ *s);

/* A new one around io, with one reference. */
static inline void go_sock_init_(go_sock_ *s, const go_io_ *io) {
  s->io = *io;
  go_st_rlx(&s->refs, 1u);
}
/* One reference more, and one less, for `call`, which is named if there is none. True: it was the last, and the socket is
 * closed; the caller frees it. */
void go_sock_hold_(go_sock_ *s, const char *call);
bool go_sock_drop_(go_sock_ *s, const char *call);

/* Remembers to remove a's file. GO_ENOMEM. */
int go_sock_keep_path_(go_sock_ *s, const go_addr *a);

int go_sock_deadline_(go_sock_ *s, int dirs, go_nsec when);
int go_sock_name_(go_sock_ *s, bool peer, go_addr *ret);
intptr_t go_sock_fd_(go_sock_ *s);

#endif /* GOLIB_NET_SOCK_H_ */
