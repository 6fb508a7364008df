/* core/io.h: what net asks of a backend: operations on sockets, each done when it returns.
 *
 * Defined by poll/ready for the pollers that tell when a descriptor is ready (epoll, kqueue): try, park, try again;
 * and by poll/iocp: submit, park. Parking, deadlines, contexts and closing are core/netpoll.h's. All system calls
 * of net are behind this header.
 *
 * A go_io_ is a socket and its registration. Who calls (net/sock.h) sees to it that at most one reads (read, recvfrom,
 * accept), one writes at a time, and that nobody is inside at go_io_close_.
 *
 * Functions with a ctx suspend, until they are done or a deadline, ctx, or go_io_evict_ ends it: GO_ETIMEDOUT,
 * ctx's error, GO_ECLOSED, or a system error; whatever waits to be tried comes after these. ctx has not been looked
 * at before when there was no need to wait. None of them raises SIGPIPE, or returns -EINTR or GO_EAGAIN.
 * Sockets made here are not inherited by programs that this one executes.
 */
#ifndef GOLIB_CORE_IO_H_
#define GOLIB_CORE_IO_H_

#include <golib/net.h>

#include "core/netpoll.h"

typedef struct go_io_ {
  intptr_t fd;    /* -1: none */
  go_pd_ *pd;     /* NULL: not registered yet */
  void *own;      /* the backend's */
  uint8_t family; /* enum go_addr_family */
  bool packets;
  bool tcp;
  bool drained; /* reader's: there was nothing left after the last read */
  bool filled;  /* reader's: the last read got all it asked for */
  bool tells;   /* the system tells a read what is left behind it */
  go_a32
      handed; /* 1: the user has had the descriptor in hand, so its options are not known; any thread sets it */
} go_io_;

/* ---- making ---- */

/* A socket that is neither bound nor registered. -EMFILE, -ENFILE, -EAFNOSUPPORT... */
int go_io_socket_(int family, bool packets, go_io_ *ret);
/* Binds, or not (NULL), and registers: a packet socket is ready for use then. */
int go_io_bind_(go_io_ *io, const go_addr *a);
/* Binds, listens and registers. backlog 0: as many as the system allows. */
int go_io_listen_(go_io_ *io, const go_addr *a, int backlog);
/* Connects and registers. At `until` (0: never) it gives up with GO_ETIMEDOUT. GO_EAGAIN, for Unix sockets: the listener's
 * queue is full, and it may be tried again. After another error the socket is of no use but to be closed. */
int go_io_connect_(go_ctx *ctx, go_io_ *io, const go_addr *a, int64_t until);
/* Waits for a connection; options of the listener hold for it. ECONNABORTED and its kind are skipped.
 * *ret_remote: who it is, without text; family NONE where that is not known. After an error for want of something the
 * same connection may be accepted later. */
int go_io_accept_(go_ctx *ctx, go_io_ *io, go_io_ *ret, go_addr *ret_remote);
/* Waits until there is news for the reader, or `until`: 0 in both cases. */
int go_io_pause_(go_ctx *ctx, go_io_ *io, int64_t until);
/* Another handle to the same socket. */
int go_io_dup_(const go_io_ *io, go_io_ *ret);

/* ---- using ---- */

/* What there is, once there is something; n > 0 for streams. Streams: 0 is the end. */
ptrdiff_t go_io_read_(go_ctx *ctx, go_io_ *io, void *buf, size_t n);
/* n is at most GO_IO_VECS_; so it is in all that follow. */
ptrdiff_t go_io_readv_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n);
/* What fits, once something fits. */
ptrdiff_t go_io_write_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n);
ptrdiff_t go_io_writev_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n);
#define GO_IO_VECS_ 1024
/* Part of a file, once something fits; 0: the file ends there. GO_EINVAL: not from such a file. */
ptrdiff_t go_io_sendfile_(go_ctx *ctx, go_io_ *io, intptr_t file, int64_t offset, size_t n);
/* One packet. *ret_from (may be NULL): as *ret_remote above. */
ptrdiff_t go_io_recvfrom_(go_ctx *ctx, go_io_ *io, void *buf, size_t n, go_addr *ret_from,
                          bool *ret_truncated);
ptrdiff_t go_io_sendto_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n, const go_addr *to);
/* For calls that have nothing to do: whether they may. Touches nothing that was told. */
static inline int go_io_check_(go_io_ *io, int dir) { return go_pd_check_(io->pd, dir); }
/* enum go_shut. */
int go_io_shutdown_(go_io_ *io, int how);
/* Whoever is inside comes out. Any thread. */
static inline void go_io_evict_(go_io_ *io) {
  if (io->pd != NULL) {
    go_pd_evict_(io->pd);
  }
}
/* Takes it from the poller and closes it. */
void go_io_close_(go_io_ *io);

/* ---- asking and setting; none suspends ---- */

/* Its own address, or its peer's, without text. */
int go_io_name_(const go_io_ *io, bool peer, go_addr *ret);

enum go_io_opt_ {
  GO_IO_NODELAY_,   /* 0, 1 */
  GO_IO_KEEPALIVE_, /* seconds, 0: off */
  GO_IO_LINGER_,    /* seconds, < 0: off */
  GO_IO_RCVBUF_,    /* bytes */
  GO_IO_SNDBUF_,    /* bytes */
  GO_IO_REUSEADDR_, /* 0, 1 */
  GO_IO_REUSEPORT_, /* 0, 1 */
  GO_IO_V6ONLY_,    /* 0, 1 */
  GO_IO_BROADCAST_, /* 0, 1 */
};
int go_io_set_(go_io_ *io, enum go_io_opt_ opt, int value);

/* The interface of that name ("eth0", or its number); 0: none. */
uint32_t go_io_zone_(const char *name);
/* Its name into buf (of size >= 16); its number if it has none. */
void go_io_zone_name_(uint32_t zone, char *buf, size_t size);
/* Removes a Unix socket's file. */
void go_io_unlink_(const go_addr *a);

#endif /* GOLIB_CORE_IO_H_ */
