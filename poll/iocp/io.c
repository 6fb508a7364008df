/* poll/iocp/io.c: core/io.h over a poller that tells when an operation is done: start it, park, look what it came to.
 *
 * Why nothing is lost, and nothing is left behind. A call returns only when its operation has ended (op->done, see iocp.h):
 * whoever's deadline, context or close ends the wait early calls the operation off, waits for its end, and returns what
 * it came to if it was faster. So buffers, ops and sockets are the system's only while somebody is inside the call.
 *
 * Operations that are done at once send no packet, where the system offers that (`skips`): then a read of data that is
 * there, and most writes, cost one system call and no parking.
 *
 * System calls stand in functions of their own, which are not inlined: each reads the thread's last error at once.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/poll.h"
#include "poll/iocp/iocp.h"

#include <afunix.h>
#include <mstcpip.h>

#define NOINLINE __attribute__((noinline))

/* More is cut short: the system keeps the pages of a write in memory until it is done. */
#define READ_CHUNK ((size_t)1 << 30)
#define WRITE_CHUNK ((size_t)1 << 20)
/* Of buffers that are given to the system at a time, for streams; it copies the list. */
#define VECS 64

#define ADDRESS_BYTES (sizeof(struct sockaddr_storage) + 16) /* AcceptEx's demand */

/* What the backend keeps of a socket: go_io_.own. One read and one write at a time: so it has an op for each. */
typedef struct state {
  go_iocp_op_ op[2];            /* by direction */
  struct sockaddr_storage from; /* of the packet that is being read */
  int from_len;
  DWORD flags;                       /* of the read */
  bool skips;                        /* what is done at once sends no packet; constant */
  go_a32 no_reads, no_writes;        /* shut down by us */
  char addresses[2 * ADDRESS_BYTES]; /* of the connection that is being accepted */
  int nodelay, keepalive;            /* of a listener, for its connections; -1: not set */
} state;

static state *state_of(const go_io_ *io) { return io->own; }

static int error_of(DWORD code) { return go_windows_error_(code); }

/* ---- operations ---- */

static bool is_done(go_iocp_op_ *op) {
  return go_ld_acq(&op->done) != 0;
} /* pairs with finish in iocp.c */

static go_iocp_op_ *prepare(go_io_ *io, int dir) {
  go_iocp_op_ *op = &state_of(io)->op[dir];
  memset(&op->ov, 0, sizeof op->ov);
  go_st_rlx(&op->done, 0u);
  return op;
}

static NOINLINE void call_off(const go_io_ *io, go_iocp_op_ *op) {
  (void)CancelIoEx((HANDLE)io->fd, &op->ov); /* it fails when it has just ended */
}

/* 0, or the error's code; *ret_n: how many bytes. */
static NOINLINE DWORD outcome(const go_io_ *io, go_iocp_op_ *op, DWORD *ret_n) {
  DWORD flags = 0;
  *ret_n = 0;
  return WSAGetOverlappedResult((SOCKET)io->fd, &op->ov, ret_n, FALSE, &flags)
             ? 0
             : (DWORD)WSAGetLastError();
}

/* What WSARecv and its kind have returned. */
typedef enum start { FAILED, RUNNING, AT_ONCE } start;

static start how_started(const go_io_ *io, bool ok, DWORD err) {
  if (!ok) {
    return err == ERROR_IO_PENDING ? RUNNING : FAILED;
  }
  return state_of(io)->skips ? AT_ONCE : RUNNING;
}

/* Waits for an op that runs. 0: it has ended by itself; else it was called off for that reason, and has ended. */
static int wait_for(go_ctx *ctx, go_io_ *io, go_iocp_op_ *op, int dir, int why, int64_t until) {
  while (!is_done(op)) {
    int r = go_pd_wait_until_(ctx, io->pd, dir, why, until);
    if (r != 0 && !is_done(op)) {
      call_off(io, op);
      while (!is_done(op)) {
        go_pd_wait_event_(io->pd, dir, why);
      }
      return r;
    }
  }
  return 0;
}

/* The end of an operation that was started so. Bytes, or a code; *ret_err, if it is the system's: its own code. */
static ptrdiff_t end(go_ctx *ctx, go_io_ *io, go_iocp_op_ *op, int dir, int why, start s, DWORD err,
                     DWORD *ret_err) {
  DWORD n = 0;
  int r = 0;
  *ret_err = err;
  if (s == FAILED) {
    return error_of(err);
  }
  if (s == RUNNING) {
    r = wait_for(ctx, io, op, dir, why, 0);
  }
  *ret_err = outcome(io, op, &n);
  if (*ret_err == 0) {
    return (ptrdiff_t)n;
  }
  if (*ret_err == ERROR_OPERATION_ABORTED && r != 0) {
    return r;
  }
  return error_of(*ret_err);
}

/* ---- making ---- */

static int domain_of(int family) {
  return family == GO_ADDR_IP4    ? AF_INET
         : family == GO_ADDR_IP6  ? AF_INET6
         : family == GO_ADDR_UNIX ? AF_UNIX
                                  : AF_UNSPEC;
}

/* Packets of the port could only be left out where no filter lies between. */
static bool skips_packets(SOCKET s) {
  WSAPROTOCOL_INFOW info;
  int n = sizeof info;
  if (getsockopt(s, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &n) != 0 ||
      (info.dwServiceFlags1 & XP1_IFS_HANDLES) == 0) {
    return false;
  }
  return SetFileCompletionNotificationModes(
      (HANDLE)s, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE);
}

/* Takes s over: it is closed when that fails. */
static NOINLINE int adopt(SOCKET s, go_io_ *io) {
  state *own = calloc(1, sizeof *own);
  int r = own == NULL ? GO_ENOMEM : go_iocp_attach_((HANDLE)s);
  if (r == -EINVAL) {
    r = 0; /* a copy of one that is attached */
  }
  if (r != 0) {
    free(own);
    (void)closesocket(s);
    return r;
  }
  own->skips = skips_packets(s);
  own->nodelay = own->keepalive = -1;
  own->op[GO_PD_READ_].events = GO_POLL_IN_;
  own->op[GO_PD_WRITE_].events = GO_POLL_OUT_;
  io->fd = (intptr_t)s;
  io->own = own;
  return 0;
}

static NOINLINE SOCKET new_socket(int family, bool packets, int *ret_err) {
  SOCKET s = WSASocketW(domain_of(family), packets ? SOCK_DGRAM : SOCK_STREAM, 0, NULL, 0,
                        WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  *ret_err = s == INVALID_SOCKET ? error_of((DWORD)WSAGetLastError()) : 0;
  return s;
}

/* A packet that nobody has taken is no error of the socket that sent it. */
static NOINLINE void ignore_resets(SOCKET s) {
  BOOL off = FALSE;
  DWORD n;
  (void)WSAIoctl(s, SIO_UDP_CONNRESET, &off, sizeof off, NULL, 0, &n, NULL, NULL);
}

int go_io_socket_(int family, bool packets, go_io_ *ret) {
  int r;
  if (packets && family == GO_ADDR_UNIX) {
    return -EPROTONOSUPPORT; /* WSASocket makes one that cannot be used */
  }
  SOCKET s = new_socket(family, packets, &r);
  if (r != 0) {
    return r;
  }
  *ret = (go_io_){.family = (uint8_t)family, .packets = packets};
  ret->tcp = !packets && family != GO_ADDR_UNIX;
  return adopt(s, ret);
}

static int open_pd(go_io_ *io) {
  uint64_t key;
  int r = go_pd_open_own_(&io->pd, &key);
  if (r == 0) {
    state_of(io)->op[GO_PD_READ_].key = key;
    state_of(io)->op[GO_PD_WRITE_].key = key;
  }
  return r;
}

static NOINLINE int sys_bind(SOCKET s, const struct sockaddr_storage *at, int len) {
  return bind(s, (const struct sockaddr *)at, len) == 0 ? 0 : error_of((DWORD)WSAGetLastError());
}

static NOINLINE int sys_listen(SOCKET s, int backlog) {
  return listen(s, backlog) == 0 ? 0 : error_of((DWORD)WSAGetLastError());
}

static int bind_to(go_io_ *io, const go_addr *a) {
  struct sockaddr_storage s;
  int len = go_iocp_to_sys_(io->family, a, &s);
  return len == 0 ? GO_EINVAL : sys_bind((SOCKET)io->fd, &s, len);
}

int go_io_bind_(go_io_ *io, const go_addr *a) {
  int r = a != NULL ? bind_to(io, a) : 0;
  if (r == 0 && io->packets) {
    ignore_resets((SOCKET)io->fd);
  }
  return r != 0 ? r : open_pd(io);
}

int go_io_listen_(go_io_ *io, const go_addr *a, int backlog) {
  int r = bind_to(io, a);
  if (r == 0) {
    r = sys_listen((SOCKET)io->fd, backlog > 0 ? backlog : SOMAXCONN);
  }
  return r != 0 ? r : open_pd(io);
}

/* ---- connecting ---- */

static NOINLINE LPFN_CONNECTEX connect_ex(SOCKET s) {
  GUID id = WSAID_CONNECTEX;
  LPFN_CONNECTEX fn = NULL;
  DWORD n;
  (void)WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &fn, sizeof fn, &n, NULL,
                 NULL);
  return fn;
}

static NOINLINE int sys_connect(SOCKET s, const struct sockaddr_storage *to, int len) {
  return connect(s, (const struct sockaddr *)to, len) == 0 ? 0 : error_of((DWORD)WSAGetLastError());
}

static NOINLINE start start_connect(const go_io_ *io, LPFN_CONNECTEX fn,
                                    const struct sockaddr_storage *to, int len, go_iocp_op_ *op,
                                    DWORD *ret_err) {
  BOOL ok = fn((SOCKET)io->fd, (const struct sockaddr *)to, len, NULL, 0, NULL, &op->ov);
  *ret_err = ok ? 0 : (DWORD)WSAGetLastError();
  return how_started(io, ok, *ret_err);
}

/* The socket is none that getpeername and shutdown know otherwise. */
static NOINLINE int update_connected(SOCKET s) {
  return setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0
             ? 0
             : error_of((DWORD)WSAGetLastError());
}

/* ConnectEx wants a socket that is bound, to any address. */
static int bind_any(const go_io_ *io) {
  struct sockaddr_storage any;
  go_addr a = {.family = io->family};
  int len = go_iocp_to_sys_(io->family, &a, &any);
  return sys_bind((SOCKET)io->fd, &any, len);
}

static int connect_stream(go_ctx *ctx, go_io_ *io, const struct sockaddr_storage *to, int len,
                          int64_t until) {
  LPFN_CONNECTEX fn = connect_ex((SOCKET)io->fd);
  int r = fn == NULL ? -EOPNOTSUPP : bind_any(io);
  if (r != 0) {
    return r;
  }
  DWORD err, n;
  go_iocp_op_ *op = prepare(io, GO_PD_WRITE_);
  start s = start_connect(io, fn, to, len, op, &err);
  if (s == FAILED) {
    return error_of(err);
  }
  r = s == RUNNING ? wait_for(ctx, io, op, GO_PD_WRITE_, GO_PD_CONNECTS_, until) : 0;
  err = outcome(io, op, &n);
  if (err != 0) {
    return r == GO_EAGAIN ? GO_ETIMEDOUT : r != 0 ? r : error_of(err);
  }
  return update_connected((SOCKET)io->fd);
}

/* Packets, and Unix sockets, which ConnectEx does not know: neither waits. */
int go_io_connect_(go_ctx *ctx, go_io_ *io, const go_addr *a, int64_t until) {
  struct sockaddr_storage s;
  int len = go_iocp_to_sys_(io->family, a, &s);
  int r = len == 0 ? GO_EINVAL : open_pd(io);
  if (r != 0) {
    return r;
  }
  return io->tcp ? connect_stream(ctx, io, &s, len, until) : sys_connect((SOCKET)io->fd, &s, len);
}

/* ---- accepting ---- */

static NOINLINE start start_accept(const go_io_ *io, SOCKET s, go_iocp_op_ *op, DWORD *ret_err) {
  DWORD n;
  BOOL ok = AcceptEx((SOCKET)io->fd, s, state_of(io)->addresses, 0, ADDRESS_BYTES, ADDRESS_BYTES,
                     &n, &op->ov);
  *ret_err = ok ? 0 : (DWORD)WSAGetLastError();
  return how_started(io, ok, *ret_err);
}

static NOINLINE int update_accepted(SOCKET s, SOCKET listener) {
  return setsockopt(s, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&listener,
                    sizeof listener) == 0
             ? 0
             : error_of((DWORD)WSAGetLastError());
}

static void remote_of(const go_io_ *io, go_addr *ret) {
  struct sockaddr *local, *remote;
  int local_len = 0, remote_len = 0;
  struct sockaddr_storage s;
  memset(&s, 0, sizeof s);
  GetAcceptExSockaddrs(state_of(io)->addresses, 0, ADDRESS_BYTES, ADDRESS_BYTES, &local, &local_len,
                       &remote, &remote_len);
  memcpy(&s, remote, (size_t)remote_len < sizeof s ? (size_t)remote_len : sizeof s);
  go_iocp_from_sys_(&s, remote_len, ret);
}

/* Errors of the connection that was first in the queue, and is gone. */
static bool is_lost(DWORD err) {
  return err == ERROR_NETNAME_DELETED || err == WSAECONNRESET || err == WSAECONNABORTED ||
         err == ERROR_CONNECTION_ABORTED;
}

static NOINLINE void sys_close(SOCKET s) { (void)closesocket(s); }

/* A connection is in s. */
static int take_connection(go_io_ *io, SOCKET s, go_io_ *ret, go_addr *ret_remote) {
  remote_of(io, ret_remote);
  go_io_ c = {.family = io->family, .tcp = io->tcp, .handed = io->handed};
  int r = update_accepted(s, (SOCKET)io->fd);
  if (r != 0) {
    sys_close(s);
    return r;
  }
  r = adopt(s, &c);
  if (r != 0) {
    return r;
  }
  r = open_pd(&c);
  if (r != 0) {
    go_io_close_(&c);
    return r;
  }
  const state *own = state_of(io);
  if (own->nodelay >= 0) {
    (void)go_io_set_(&c, GO_IO_NODELAY_, own->nodelay);
  }
  if (own->keepalive >= 0) {
    (void)go_io_set_(&c, GO_IO_KEEPALIVE_, own->keepalive);
  }
  *ret = c;
  return 0;
}

int go_io_accept_(go_ctx *ctx, go_io_ *io, go_io_ *ret, go_addr *ret_remote) {
  for (;;) {
    int r = go_pd_check_(io->pd, GO_PD_READ_);
    SOCKET s = r == 0 ? new_socket(io->family, false, &r) : INVALID_SOCKET;
    if (r != 0) {
      return r;
    }
    DWORD err;
    go_iocp_op_ *op = prepare(io, GO_PD_READ_);
    start how = start_accept(io, s, op, &err);
    ptrdiff_t n = end(ctx, io, op, GO_PD_READ_, GO_PD_ACCEPTS_, how, err, &err);
    if (n >= 0) {
      return take_connection(io, s, ret, ret_remote);
    }
    sys_close(s);
    if (!is_lost(err)) {
      return (int)n;
    }
  }
}

int go_io_pause_(go_ctx *ctx, go_io_ *io, int64_t until) {
  int r = go_pd_wait_until_(ctx, io->pd, GO_PD_READ_, GO_PD_ACCEPTS_, until);
  return r == GO_EAGAIN ? 0 : r;
}

int go_io_dup_(const go_io_ *io, go_io_ *ret) {
  intptr_t fd;
  int r = go_os_fd_dup_(io->fd, &fd);
  if (r != 0) {
    return r;
  }
  go_io_ d = *io;
  d.pd = NULL;
  d.own = NULL;
  r = adopt((SOCKET)fd, &d);
  if (r != 0) {
    return r;
  }
  r = open_pd(&d);
  if (r != 0) {
    go_io_close_(&d);
    return r;
  }
  *ret = d;
  return 0;
}

void go_io_close_(go_io_ *io) {
  if (io->pd != NULL) {
    go_pd_close_(io->pd, -1);
    io->pd = NULL;
  }
  sys_close((SOCKET)io->fd);
  io->fd = -1;
  free(io->own);
  io->own = NULL;
}

/* ---- reading ---- */

static NOINLINE start start_recv(const go_io_ *io, WSABUF *v, DWORD n, go_iocp_op_ *op,
                                 DWORD *ret_err) {
  state *own = state_of(io);
  own->flags = 0;
  int r = WSARecv((SOCKET)io->fd, v, n, NULL, &own->flags, &op->ov, NULL);
  *ret_err = r == 0 ? 0 : (DWORD)WSAGetLastError();
  return how_started(io, r == 0, *ret_err);
}

/* Pieces of at most `most` bytes together; how many there are. */
static DWORD to_bufs(const go_iovec *v, int n, size_t most, WSABUF *ret) {
  DWORD k = 0;
  for (int i = 0; i < n && most > 0; i++) {
    size_t len = v[i].len < most ? v[i].len : most;
    ret[k++] = (WSABUF){(ULONG)len, v[i].base};
    most -= len;
  }
  return k;
}

static ptrdiff_t read_bufs(go_ctx *ctx, go_io_ *io, WSABUF *v, DWORD n) {
  state *own = state_of(io);
  int r = go_pd_check_(io->pd, GO_PD_READ_);
  if (r != 0) {
    return r;
  }
  if (go_ld_acq(&own->no_reads) != 0) { /* pairs with go_io_shutdown_ */
    return 0;
  }
  DWORD err;
  go_iocp_op_ *op = prepare(io, GO_PD_READ_);
  start s = start_recv(io, v, n, op, &err);
  if (s == RUNNING && go_ld_acq(&own->no_reads) != 0) {
    call_off(io, op); /* it came too late to be called off by go_io_shutdown_ */
  }
  ptrdiff_t got = end(ctx, io, op, GO_PD_READ_, GO_PD_READS_, s, err, &err);
  if (got == -ECANCELED && go_ld_acq(&own->no_reads) != 0) {
    return 0;
  }
  if (io->packets && got == -EMSGSIZE) { /* the rest of the packet is gone */
    size_t size = 0;
    for (DWORD i = 0; i < n; i++) {
      size += v[i].len;
    }
    return (ptrdiff_t)size;
  }
  return got == -ECONNRESET && io->packets ? -ECONNREFUSED : got;
}

ptrdiff_t go_io_read_(go_ctx *ctx, go_io_ *io, void *buf, size_t n) {
  WSABUF v = {(ULONG)(n < READ_CHUNK ? n : READ_CHUNK), buf};
  return read_bufs(ctx, io, &v, 1);
}

ptrdiff_t go_io_readv_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n) {
  WSABUF some[VECS];
  if (n <= VECS || !io->packets) {
    return read_bufs(ctx, io, some, to_bufs(v, n < VECS ? n : VECS, READ_CHUNK, some));
  }
  WSABUF *all = malloc((size_t)n * sizeof *all);
  if (all == NULL) {
    return GO_ENOMEM;
  }
  ptrdiff_t r = read_bufs(ctx, io, all, to_bufs(v, n, READ_CHUNK, all));
  free(all);
  return r;
}

static NOINLINE start start_recvfrom(const go_io_ *io, void *buf, size_t n, go_iocp_op_ *op,
                                     DWORD *ret_err) {
  state *own = state_of(io);
  WSABUF v = {(ULONG)(n < READ_CHUNK ? n : READ_CHUNK), buf};
  own->flags = 0;
  own->from_len = sizeof own->from;
  int r = WSARecvFrom((SOCKET)io->fd, &v, 1, NULL, &own->flags, (struct sockaddr *)&own->from,
                      &own->from_len, &op->ov, NULL);
  *ret_err = r == 0 ? 0 : (DWORD)WSAGetLastError();
  return how_started(io, r == 0, *ret_err);
}

ptrdiff_t go_io_recvfrom_(go_ctx *ctx, go_io_ *io, void *buf, size_t n, go_addr *ret_from,
                          bool *ret_truncated) {
  int r = go_pd_check_(io->pd, GO_PD_READ_);
  if (r != 0) {
    return r;
  }
  DWORD err;
  state *own = state_of(io);
  go_iocp_op_ *op = prepare(io, GO_PD_READ_);
  start s = start_recvfrom(io, buf, n, op, &err);
  ptrdiff_t got = end(ctx, io, op, GO_PD_READ_, GO_PD_READS_, s, err, &err);
  bool truncated = got == -EMSGSIZE; /* the rest of the packet is gone */
  if (truncated) {
    got = (ptrdiff_t)n;
  }
  if (got < 0) {
    return got == -ECONNRESET ? -ECONNREFUSED : got;
  }
  *ret_truncated = truncated;
  if (ret_from != NULL) {
    go_iocp_from_sys_(&own->from, own->from_len, ret_from);
  }
  return got;
}

/* ---- writing ---- */

static NOINLINE start start_send(const go_io_ *io, WSABUF *v, DWORD n,
                                 const struct sockaddr_storage *to, int len, go_iocp_op_ *op,
                                 DWORD *ret_err) {
  int r = to != NULL ? WSASendTo((SOCKET)io->fd, v, n, NULL, 0, (const struct sockaddr *)to, len,
                                 &op->ov, NULL)
                     : WSASend((SOCKET)io->fd, v, n, NULL, 0, &op->ov, NULL);
  *ret_err = r == 0 ? 0 : (DWORD)WSAGetLastError();
  return how_started(io, r == 0, *ret_err);
}

/* A connection that the peer has reset, or that we have shut down, is a broken pipe to who writes. */
static ptrdiff_t write_bufs(go_ctx *ctx, go_io_ *io, WSABUF *v, DWORD n,
                            const struct sockaddr_storage *to, int len) {
  int r = go_pd_check_(io->pd, GO_PD_WRITE_);
  if (r != 0) {
    return r;
  }
  DWORD err;
  go_iocp_op_ *op = prepare(io, GO_PD_WRITE_);
  start s = start_send(io, v, n, to, len, op, &err);
  ptrdiff_t done = end(ctx, io, op, GO_PD_WRITE_, GO_PD_WRITES_, s, err, &err);
  if (!io->packets && done == -ECONNABORTED) {
    return -ECONNRESET;
  }
  if (io->packets && to == NULL && (done == -ENOTCONN || done == -EINVAL)) { /* it has no peer */
    return -EDESTADDRREQ;
  }
  return done;
}

ptrdiff_t go_io_write_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n) {
  WSABUF v = {(ULONG)(n < WRITE_CHUNK ? n : WRITE_CHUNK), (char *)(uintptr_t)buf};
  return write_bufs(ctx, io, &v, 1, NULL, 0);
}

static size_t size_of(const go_iovec *v, int n) {
  size_t size = 0;
  for (int i = 0; i < n; i++) {
    size += v[i].len;
  }
  return size;
}

ptrdiff_t go_io_writev_(go_ctx *ctx, go_io_ *io, const go_iovec *v, int n) {
  WSABUF some[VECS];
  if (!io->packets) {
    return write_bufs(ctx, io, some, to_bufs(v, n < VECS ? n : VECS, WRITE_CHUNK, some), NULL, 0);
  }
  if (size_of(v, n) > WRITE_CHUNK) {
    return -EMSGSIZE;
  }
  WSABUF *all = malloc((size_t)n * sizeof *all + 1);
  if (all == NULL) {
    return GO_ENOMEM;
  }
  DWORD k = to_bufs(v, n, WRITE_CHUNK, all);
  some[0] = (WSABUF){0, NULL}; /* an empty packet */
  ptrdiff_t r = write_bufs(ctx, io, k > 0 ? all : some, k > 0 ? k : 1, NULL, 0);
  free(all);
  return r;
}

ptrdiff_t go_io_sendto_(go_ctx *ctx, go_io_ *io, const void *buf, size_t n, const go_addr *to) {
  struct sockaddr_storage s;
  int len = to != NULL ? go_iocp_to_sys_(io->family, to, &s) : 0;
  if (to != NULL && len == 0) {
    return GO_EINVAL;
  }
  if (n > WRITE_CHUNK) {
    return -EMSGSIZE;
  }
  WSABUF v = {(ULONG)n, (char *)(uintptr_t)buf};
  return write_bufs(ctx, io, &v, 1, to != NULL ? &s : NULL, len);
}

/* Read and sent: TransmitFile would keep a place in a queue of two on systems that are not servers. */
#define FILE_CHUNK ((size_t)64 << 10)

ptrdiff_t go_io_sendfile_(go_ctx *ctx, go_io_ *io, intptr_t file, int64_t offset, size_t n) {
  void *buf = malloc(FILE_CHUNK);
  if (buf == NULL) {
    return GO_ENOMEM;
  }
  ptrdiff_t r = go_os_file_read_(file, buf, n < FILE_CHUNK ? n : FILE_CHUNK, offset);
  if (r > 0) {
    r = go_io_write_(ctx, io, buf, (size_t)r); /* what does not fit is read again */
  }
  free(buf);
  return r;
}

/* A read that is running goes on after the system's shutdown: it is called off, and ends the stream. */
NOINLINE int go_io_shutdown_(go_io_ *io, int how) {
  static const int hows[] = {SD_RECEIVE, SD_SEND, SD_BOTH};
  state *own = state_of(io);
  if (shutdown((SOCKET)io->fd, hows[how]) != 0) {
    return error_of((DWORD)WSAGetLastError());
  }
  if (how != GO_SHUT_WR && !io->packets) {
    go_st_rel(&own->no_reads, 1u); /* pairs with read_bufs */
    go_fence_sc(); /* a read is seen to run, or sees no_reads after it was started */
    call_off(io, &own->op[GO_PD_READ_]);
  }
  return 0;
}

/* ---- asking and setting ---- */

NOINLINE int go_io_name_(const go_io_ *io, bool peer, go_addr *ret) {
  struct sockaddr_storage s;
  int len = sizeof s;
  memset(&s, 0, sizeof s);
  int r = peer ? getpeername((SOCKET)io->fd, (struct sockaddr *)&s, &len)
               : getsockname((SOCKET)io->fd, (struct sockaddr *)&s, &len);
  if (r != 0) {
    return error_of((DWORD)WSAGetLastError());
  }
  go_iocp_from_sys_(&s, len, ret);
  return 0;
}

static int set_bytes(const go_io_ *io, int level, int name, const void *value, int size) {
  return setsockopt((SOCKET)io->fd, level, name, value, size) == 0
             ? 0
             : error_of((DWORD)WSAGetLastError());
}

static int set(const go_io_ *io, int level, int name, int value) {
  return set_bytes(io, level, name, &value, sizeof value);
}

/* How often it is tried is fixed: ten times. */
static int set_keepalive(const go_io_ *io, int seconds) {
  struct tcp_keepalive k = {seconds > 0, (ULONG)seconds * 1000, (ULONG)seconds * 1000};
  DWORD n;
  return WSAIoctl((SOCKET)io->fd, SIO_KEEPALIVE_VALS, &k, sizeof k, NULL, 0, &n, NULL, NULL) == 0
             ? 0
             : error_of((DWORD)WSAGetLastError());
}

static int set_linger(const go_io_ *io, int seconds) {
  struct linger l = {.l_onoff = seconds >= 0, .l_linger = (u_short)(seconds >= 0 ? seconds : 0)};
  return set_bytes(io, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

NOINLINE int go_io_set_(go_io_ *io, enum go_io_opt_ opt, int value) {
  switch (opt) {
    case GO_IO_NODELAY_:
      state_of(io)->nodelay = value;
      return set(io, IPPROTO_TCP, TCP_NODELAY, value);
    case GO_IO_KEEPALIVE_: state_of(io)->keepalive = value; return set_keepalive(io, value);
    case GO_IO_LINGER_: return set_linger(io, value);
    case GO_IO_RCVBUF_: return set(io, SOL_SOCKET, SO_RCVBUF, value);
    case GO_IO_SNDBUF_: return set(io, SOL_SOCKET, SO_SNDBUF, value);
    /* Addresses of connections that are gone can be had again without it; with it, those in use could as well. */
    case GO_IO_REUSEADDR_: return 0;
    case GO_IO_REUSEPORT_: return -ENOTSUP; /* nothing shares the load here */
    case GO_IO_V6ONLY_: return set(io, IPPROTO_IPV6, IPV6_V6ONLY, value);
    case GO_IO_BROADCAST_: return set(io, SOL_SOCKET, SO_BROADCAST, value);
  }
  return GO_EINVAL;
}
