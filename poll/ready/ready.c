/* poll/ready/ready.c: core/io.h over a poller that tells when a descriptor is ready: try, park, try again.
 *
 * Why nothing is lost. Descriptors are registered edge-triggered: what came before the last event was taken is told
 * no more. What was told and has ended no wait yet ends the next one at once, whatever was tried in between. So
 * all that is needed is a try after each wait.
 *
 * And the try before the first wait can be left out after a read of a TCP stream that has got less than it asked
 * for: it has emptied the socket (`drained`). What arrives later is told later. But an event may have said two
 * things at once: "data", which we have read, and "the stream ends" (or an error, or urgent data, at which the system
 * stops reading for a moment), which we have not noticed. If it has ended our last wait, it was noted before that:
 * go_pd_more_, looked at after the read. If not, it ends the next. (A read that filled its buffer says nothing. So
 * after one of these the next asks for more than data: Linux tells how many bytes are left, one at least if the
 * stream has ended.) Unix streams may stop short before file
 * descriptors that were sent along, and say nothing: there is always a try. So there is on a socket that the user
 * has had in hand: he may have put TLS into it, which reads record by record.
 *
 * System calls stand in functions of their own, which are not inlined: each reads errno at once, and the compiler
 * cannot keep a thread's &errno while a goroutine changes threads.
 */
#include "poll/ready/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/os.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#define NOINLINE __attribute__((noinline))

/* The most frequent calls go past libc's, which are points where a thread may be cancelled, and pay for that;
 * nobody may cancel a thread that runs goroutines. Sanitizers want to see them. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(SYS_recvfrom) && defined(SYS_sendto) && defined(SYS_recvmsg) && !defined(SANITIZED)
#define RECV(fd, buf, n) syscall(SYS_recvfrom, fd, buf, n, 0, NULL, NULL)
#define SEND(fd, buf, n) syscall(SYS_sendto, fd, buf, n, SEND_FLAGS, NULL, 0)
#define RECVMSG(fd, msg) syscall(SYS_recvmsg, fd, msg, 0)
#else
#define RECV(fd, buf, n) recv(fd, buf, n, 0)
#define SEND(fd, buf, n) send(fd, buf, n, SEND_FLAGS)
#define RECVMSG(fd, msg) recvmsg(fd, msg, 0)
#endif

_Static_assert(sizeof(go_iovec) == sizeof(struct iovec) &&
                   offsetof(go_iovec, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(go_iovec, len) == offsetof(struct iovec, iov_len),
               "go_iovec is the system's");

#if defined(MSG_NOSIGNAL)
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* SO_NOSIGPIPE: see made_by_us */
#endif

/* Reads and writes of more than this are cut short by Linux; BSDs refuse them. */
#define CHUNK ((size_t)1 << 30)

/* -EWOULDBLOCK is -EAGAIN wherever it matters. */
#define RETRY(result, call)                 \
  do {                                      \
    (result) = (call);                      \
  } while ((result) < 0 && errno == EINTR); \
  if ((result) < 0) (result) = -errno

/* ---- making ---- */

static int type_of(bool packets) { return packets ? SOCK_DGRAM : SOCK_STREAM; }

static int domain_of(int family) {
  return family == GO_ADDR_IP4    ? AF_INET
         : family == GO_ADDR_IP6  ? AF_INET6
         : family == GO_ADDR_UNIX ? AF_UNIX
                                  : AF_UNSPEC;
}

#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
static int new_socket(int domain, int type) {
  return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}
static int next_connection(int fd, struct sockaddr_storage *from, socklen_t *len) {
  return accept4(fd, (struct sockaddr *)from, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
#else
/* A fork on another thread may come in between, and its program inherit the descriptor: there is no better way. */
static int made_by_us(int fd) {
  int on = 1;
  if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
    int e = errno;
    close(fd);
    errno = e;
    return -1;
  }
#if defined(SO_NOSIGPIPE)
  (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  (void)on;
  return fd;
}
static int new_socket(int domain, int type) { return made_by_us(socket(domain, type, 0)); }
static int next_connection(int fd, struct sockaddr_storage *from, socklen_t *len) {
  return made_by_us(accept(fd, (struct sockaddr *)from, len));
}
#endif

NOINLINE int go_io_socket_(int family, bool packets, go_io_ *ret) {
  int fd;
  RETRY(fd, new_socket(domain_of(family), type_of(packets)));
  if (fd < 0) {
    return fd;
  }
  *ret = (go_io_){.fd = fd, .family = (uint8_t)family, .packets = packets};
  ret->tcp = !packets && family != GO_ADDR_UNIX;
  return 0;
}

static NOINLINE int sys_bind(int fd, const struct sockaddr_storage *s, socklen_t len) {
  return bind(fd, (const struct sockaddr *)s, len) == 0 ? 0 : -errno;
}

static NOINLINE int sys_listen(int fd, int backlog) {
  return listen(fd, backlog) == 0 ? 0 : -errno;
}

static int bind_to(go_io_ *io, const go_addr *a) {
  struct sockaddr_storage s;
  socklen_t len = go_ready_to_sys_(io->family, a, &s);
  return len == 0 ? GO_EINVAL : sys_bind((int)io->fd, &s, len);
}

static NOINLINE ptrdiff_t sys_recv(int fd, void *buf, size_t n) {
  ptrdiff_t r;
  RETRY(r, RECV(fd, buf, n < CHUNK ? n : CHUNK));
  return r;
}

#if defined(TCP_INQ) && defined(TCP_CM_INQ)

/* Connections inherit it from their listener. */
static NOINLINE void ask_for_rest(go_io_ *io) {
  int on = 1;
  io->tells = io->tcp && setsockopt((int)io->fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on) == 0;
}

/* *ret_left: bytes that were left afterwards; < 0: not known. */
static NOINLINE ptrdiff_t sys_recv_left(int fd, void *buf, size_t n, int *ret_left) {
  union {
    struct cmsghdr align;
    char buf[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec v = {buf, n < CHUNK ? n : CHUNK};
  struct msghdr msg = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.buf,
                       .msg_controllen = sizeof control.buf};
  ptrdiff_t r;
  RETRY(r, RECVMSG(fd, &msg));
  const struct cmsghdr *c = r >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
  *ret_left = -1;
  if (c != NULL && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ) {
    memcpy(ret_left, CMSG_DATA(c), sizeof *ret_left);
  }
  return r;
}

#else

static void ask_for_rest(go_io_ *io) { io->tells = false; }
static ptrdiff_t sys_recv_left(int fd, void *buf, size_t n, int *ret_left) {
  *ret_left = -1;
  return sys_recv(fd, buf, n);
}

#endif

int go_io_bind_(go_io_ *io, const go_addr *a) {
  int r = a != NULL ? bind_to(io, a) : 0;
  return r != 0 ? r : go_pd_open_(io->fd, &io->pd);
}

/* Registered only now: a socket that does not listen counts as hung up. */
int go_io_listen_(go_io_ *io, const go_addr *a, int backlog) {
  int r = bind_to(io, a);
  if (r == 0) {
    ask_for_rest(io);
    r = sys_listen((int)io->fd, backlog > 0 ? backlog : INT_MAX);
  }
  return r != 0 ? r : go_pd_open_(io->fd, &io->pd);
}

static NOINLINE int sys_connect(int fd, const struct sockaddr_storage *s, socklen_t len) {
  return connect(fd, (const struct sockaddr *)s, len) == 0 ? 0 : -errno;
}

/* 0: connected; -EINPROGRESS: not yet. */
static NOINLINE int sys_connected(int fd) {
  int err = 0;
  socklen_t len = sizeof err;
  struct sockaddr_storage peer;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
    return -errno;
  }
  if (err == EALREADY || err == EINTR || err == EINPROGRESS) {
    return -EINPROGRESS;
  }
  if (err != 0 && err != EISCONN) {
    return -err;
  }
  len = sizeof peer; /* the event may have been about something else */
  return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 ? 0 : -EINPROGRESS;
}

/* Registered after connect was called: a socket that is not even trying counts as hung up. */
int go_io_connect_(go_ctx *ctx, go_io_ *io, const go_addr *a, int64_t until) {
  struct sockaddr_storage s;
  socklen_t len = go_ready_to_sys_(io->family, a, &s);
  int r = len == 0 ? GO_EINVAL : sys_connect((int)io->fd, &s, len);
  if (r != 0 && r != -EINPROGRESS && r != -EALREADY && r != -EINTR && r != -EISCONN) {
    return r;
  }
  bool done = r == 0 || r == -EISCONN;
  ask_for_rest(io);
  r = go_pd_open_(io->fd, &io->pd);
  while (r == 0 && !done) {
    r = go_pd_wait_until_(ctx, io->pd, GO_PD_WRITE_, GO_PD_CONNECTS_, until);
    if (r == 0) {
      r = sys_connected((int)io->fd);
      done = r == 0;
      r = r == -EINPROGRESS ? 0 : r;
    }
  }
  return r == GO_EAGAIN ? GO_ETIMEDOUT : r;
}

static NOINLINE int sys_accept(int fd, go_addr *ret_remote) {
  struct sockaddr_storage s;
  socklen_t len = sizeof s;
  int r;
  RETRY(r, next_connection(fd, &s, &len));
  if (r >= 0) {
    go_ready_from_sys_(&s, len, ret_remote);
  }
  return r;
}

/* Errors of the connection that was first in the queue, and is gone: accept(2). */
static bool is_lost(int r) {
  switch (r) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
#if defined(ENONET)
    case -ENONET:
#endif
      return true;
    default: return false;
  }
}

static NOINLINE void sys_close(int fd) {
  (void)close(fd);
} /* not again after EINTR: it is closed */

typedef struct guest {
  int fd;
  go_addr *ret_remote;
} guest;

/* A connection that was accepted but could not be registered waits in the listener: io->own is its number, plus 1. */
static bool take_held(go_io_ *io, guest *g) {
  if (io->own == NULL) {
    return false;
  }
  g->fd = (int)((intptr_t)io->own - 1);
  g->ret_remote->family = GO_ADDR_NONE;
  io->own = NULL;
  return true;
}
static void hold(go_io_ *io, int fd) { io->own = (void *)((intptr_t)fd + 1); }

static ptrdiff_t try_accept(go_io_ *io, void *arg) {
  guest *g = (guest *)arg;
  if (!take_held(io, g)) {
    g->fd = sys_accept((int)io->fd, g->ret_remote);
  }
  return g->fd < 0 ? g->fd : 0;
}

int go_io_accept_(go_ctx *ctx, go_io_ *io, go_io_ *ret, go_addr *ret_remote) {
  guest g = {-1, ret_remote};
  int r;
  do {
    r = (int)go_ready_do_(ctx, io, GO_PD_READ_, GO_PD_ACCEPTS_, try_accept, &g);
  } while (is_lost(r));
  if (r != 0) {
    return r;
  }
  *ret = (go_io_){
      .fd = g.fd, .family = io->family, .tcp = io->tcp, .tells = io->tells, .handed = io->handed};
  r = go_pd_open_(ret->fd, &ret->pd);
  if (r != 0) {
    hold(io, g.fd);
  }
  return r;
}

int go_io_pause_(go_ctx *ctx, go_io_ *io, int64_t until) {
  int r = go_pd_wait_until_(ctx, io->pd, GO_PD_READ_, GO_PD_ACCEPTS_, until);
  return r == GO_EAGAIN ? 0 : r;
}

static NOINLINE int sys_dup(int fd) {
  int r;
  RETRY(r, fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return r;
}

int go_io_dup_(const go_io_ *io, go_io_ *ret) {
  int fd = sys_dup((int)io->fd);
  if (fd < 0) {
    return fd;
  }
  go_io_ d = *io;
  d.fd = fd;
  d.pd = NULL;
  d.own = NULL;
  d.drained = false;
  int r = go_pd_open_(fd, &d.pd);
  if (r != 0) {
    sys_close(fd);
    return r;
  }
  *ret = d;
  return 0;
}

void go_io_close_(go_io_ *io) {
  if (io->pd != NULL) {
    go_pd_close_(io->pd, io->fd); /* before: the number may be another's right after */
    io->pd = NULL;
  }
  guest g;
  go_addr unused;
  g.ret_remote = &unused;
  if (take_held(io, &g)) {
    sys_close(g.fd);
  }
  sys_close((int)io->fd);
  io->fd = -1;
}

/* ---- reading ---- */

static NOINLINE ptrdiff_t sys_readv(int fd, const go_iovec *v, int n) {
  ptrdiff_t r;
  RETRY(r, readv(fd, (const struct iovec *)(const void *)v, n));
  return r;
}

/* A read asked for n bytes and got r > 0. */
static inline void note_drained(go_io_ *io, ptrdiff_t r, size_t n) {
  io->filled = (size_t)r == n;
  io->drained =
      io->tcp && (size_t)r < n && r > 0 && go_ld_rlx(&io->handed) == 0 && !go_pd_more_(io->pd);
}

static ptrdiff_t recv_once(go_io_ *io, void *buf, size_t n) {
  if (!io->filled || !io->tells) {
    ptrdiff_t r = sys_recv((int)io->fd, buf, n);
    note_drained(io, r, n < CHUNK ? n : CHUNK);
    return r;
  }
  int left;
  ptrdiff_t r = sys_recv_left((int)io->fd, buf, n, &left);
  io->drained = r > 0 && left == 0 && go_ld_rlx(&io->handed) == 0 && !go_pd_more_(io->pd);
  io->filled = (size_t)r == n || r < 0;
  return r;
}

/* What a try is given. */
typedef struct span {
  void *buf;
  size_t n;
} span;

static ptrdiff_t try_read(go_io_ *io, void *arg) {
  const span *s = (const span *)arg;
  return recv_once(io, s->buf, s->n);
}

ptrdiff_t go_io_read_(go_ctx *ctx, go_io_ *io, void *buf, size_t n) {
  span s = {buf, n};
  return go_ready_do_(ctx, io, GO_PD_READ_, GO_PD_READS_, try_read, &s);
}

static size_t size_of(const go_iovec *v, int n) {
  size_t size = 0;
  for (int i = 0; i < n; i++) {
    size += v[i].len;
  }
  return size;
}

typedef struct spans {
  const go_iovec *v;
  int n;
  size_t size;
} spans;

static ptrdiff_t try_readv(go_io_ *io, void *arg) {
  const spans *s = (const spans *)arg;
  ptrdiff_t r = sys_readv((int)io->fd, s->v, s->n);
  if (r != -EAGAIN) {
    note_drained(io, r, s->size < CHUNK ? s->size : CHUNK);
  }
  return r;
}

ptrdiff_t go_io_readv_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n) {
  spans s = {v, n, size_of(v, n)};
  return go_ready_do_(ctx, io, GO_PD_READ_, GO_PD_READS_, try_readv, &s);
}

/* A packet that comes or goes. */
typedef struct packet {
  const go_iovec *v;
  int n;
  struct sockaddr_storage *to; /* or NULL */
  socklen_t len;
  go_addr *ret_from; /* or NULL */
  bool *ret_truncated;
} packet;

static NOINLINE ptrdiff_t sys_recvfrom(int fd, void *buf, size_t n, go_addr *ret_from,
                                       bool *ret_truncated) {
  struct sockaddr_storage s;
  struct iovec v = {buf, n};
  struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1};
  if (ret_from != NULL) {
    msg.msg_name = &s;
    msg.msg_namelen = sizeof s;
  }
  ptrdiff_t r;
  RETRY(r, recvmsg(fd, &msg, 0));
  if (r >= 0) {
    *ret_truncated = (msg.msg_flags & MSG_TRUNC) != 0;
    if (ret_from != NULL) {
      go_ready_from_sys_(&s, msg.msg_namelen, ret_from);
    }
  }
  return r;
}

static ptrdiff_t try_recvfrom(go_io_ *io, void *arg) {
  const packet *p = (const packet *)arg;
  return sys_recvfrom((int)io->fd, p->v->base, p->v->len, p->ret_from, p->ret_truncated);
}

ptrdiff_t go_io_recvfrom_(go_ctx *ctx, go_io_ *io, void *buf, size_t n, go_addr *ret_from,
                          bool *ret_truncated) {
  go_iovec v = {buf, n};
  packet p = {.v = &v, .n = 1, .ret_from = ret_from, .ret_truncated = ret_truncated};
  return go_ready_do_(ctx, io, GO_PD_READ_, GO_PD_READS_, try_recvfrom, &p);
}

/* ---- writing ---- */

static NOINLINE ptrdiff_t sys_send(int fd, const void *buf, size_t n) {
  ptrdiff_t r;
  RETRY(r, SEND(fd, buf, n < CHUNK ? n : CHUNK));
  return r;
}

static NOINLINE ptrdiff_t sys_sendmsg(int fd, const go_iovec *v, int n,
                                      const struct sockaddr_storage *to, socklen_t len) {
  struct msghdr msg = {.msg_iov = (struct iovec *)(void *)(uintptr_t)v};
  msg.msg_iovlen = (__typeof__(msg.msg_iovlen))n; /* of various types */
  if (to != NULL) {
    msg.msg_name = (void *)(uintptr_t)to;
    msg.msg_namelen = len;
  }
  ptrdiff_t r;
  RETRY(r, sendmsg(fd, &msg, SEND_FLAGS));
  return r;
}

static ptrdiff_t try_write(go_io_ *io, void *arg) {
  const span *s = (const span *)arg;
  return sys_send((int)io->fd, s->buf, s->n);
}

ptrdiff_t go_io_write_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n) {
  span s = {(void *)(uintptr_t)buf, n};
  return go_ready_do_(ctx, io, GO_PD_WRITE_, GO_PD_WRITES_, try_write, &s);
}

static ptrdiff_t try_send(go_io_ *io, void *arg) {
  const packet *p = (const packet *)arg;
  return sys_sendmsg((int)io->fd, p->v, p->n, p->to, p->len);
}

static ptrdiff_t send_parts(go_ctx *ctx, go_io_ *io, packet p) {
  return go_ready_do_(ctx, io, GO_PD_WRITE_, GO_PD_WRITES_, try_send, &p);
}

#define ROOM_FIRST 1000000 /* ns */
#define ROOM_MOST (20 * ROOM_FIRST)

/* To another's Unix socket. Linux tells of room in its queue only those who have dialled it; all others it tells, after
 * each try, that they are ready, full or not. So these do not listen, but try now and then. */
static ptrdiff_t send_now_and_then(go_ctx *ctx, go_io_ *io, packet *p) {
  for (int64_t pause = ROOM_FIRST;; pause = pause * 2 < ROOM_MOST ? pause * 2 : ROOM_MOST) {
    ptrdiff_t r = go_pd_check_(io->pd, GO_PD_WRITE_);
    r = r != 0 ? r : try_send(io, p);
    if (r != -EAGAIN) {
      return r;
    }
    int64_t until = go_os_now_() + pause;
    do {
      r = go_pd_wait_until_(ctx, io->pd, GO_PD_WRITE_, GO_PD_WRITES_, until);
    } while (r == 0);
    if (r != GO_EAGAIN) {
      return r;
    }
  }
}

ptrdiff_t go_io_writev_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n) {
  return send_parts(ctx, io, (packet){.v = v, .n = n});
}

ptrdiff_t go_io_sendto_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n, const go_addr *to) {
  struct sockaddr_storage s;
  socklen_t len = to != NULL ? go_ready_to_sys_(io->family, to, &s) : 0;
  if (to != NULL && len == 0) {
    return GO_EINVAL;
  }
  go_iovec v = {(void *)(uintptr_t)buf, n};
  packet p = {.v = &v, .n = 1, .to = to != NULL ? &s : NULL, .len = len};
  return io->family == GO_ADDR_UNIX && to != NULL ? send_now_and_then(ctx, io, &p)
                                                  : send_parts(ctx, io, p);
}

NOINLINE int go_io_shutdown_(go_io_ *io, int how) {
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  return shutdown((int)io->fd, hows[how]) == 0 ? 0 : -errno;
}

/* ---- asking and setting ---- */

NOINLINE int go_io_name_(const go_io_ *io, bool peer, go_addr *ret) {
  struct sockaddr_storage s;
  socklen_t len = sizeof s;
  int r = peer ? getpeername((int)io->fd, (struct sockaddr *)&s, &len)
               : getsockname((int)io->fd, (struct sockaddr *)&s, &len);
  if (r != 0) {
    return -errno;
  }
  go_ready_from_sys_(&s, len, ret);
  return 0;
}

static int set(const go_io_ *io, int level, int name, int value) {
  return setsockopt((int)io->fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

#if defined(TCP_KEEPIDLE)
#define KEEP_IDLE TCP_KEEPIDLE
#else
#define KEEP_IDLE TCP_KEEPALIVE /* macOS */
#endif
#define KEEP_PROBES 9

static int set_keepalive(const go_io_ *io, int seconds) {
  int r = set(io, SOL_SOCKET, SO_KEEPALIVE, seconds > 0);
  if (r == 0 && seconds > 0) {
    r = set(io, IPPROTO_TCP, KEEP_IDLE, seconds);
    r = r != 0 ? r : set(io, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
    r = r != 0 ? r : set(io, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES);
  }
  return r;
}

static int set_linger(const go_io_ *io, int seconds) {
  struct linger l = {.l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0};
  return setsockopt((int)io->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0 ? 0 : -errno;
}

NOINLINE int go_io_set_(go_io_ *io, enum go_io_opt_ opt, int value) {
  switch (opt) {
    case GO_IO_NODELAY_: return set(io, IPPROTO_TCP, TCP_NODELAY, value);
    case GO_IO_KEEPALIVE_: return set_keepalive(io, value);
    case GO_IO_LINGER_: return set_linger(io, value);
    case GO_IO_RCVBUF_: return set(io, SOL_SOCKET, SO_RCVBUF, value);
    case GO_IO_SNDBUF_: return set(io, SOL_SOCKET, SO_SNDBUF, value);
    case GO_IO_REUSEADDR_: return set(io, SOL_SOCKET, SO_REUSEADDR, value);
    case GO_IO_REUSEPORT_: return set(io, SOL_SOCKET, SO_REUSEPORT, value);
    case GO_IO_V6ONLY_: return set(io, IPPROTO_IPV6, IPV6_V6ONLY, value);
    case GO_IO_BROADCAST_: return set(io, SOL_SOCKET, SO_BROADCAST, value);
  }
  return GO_EINVAL;
}
