/* net/conn.c: connections.
 *
 * Go: net/net.go, internal/poll/fd_unix.go.
 */
#include "net/conn.h"

#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

#define KEEPALIVE_DEFAULT 15 /* seconds, as Go's */

int go_conn_new_(const go_io_ *io, const go_addr *remote, go_conn **ret) {
  go_conn *c = (go_conn *)calloc(1, sizeof *c);
  if (c == NULL) {
    go_io_ gone = *io;
    go_io_close_(&gone);
    return GO_ENOMEM;
  }
  go_sock_init_(&c->s, io);
  if (remote != NULL && (remote->family == GO_ADDR_IP4 || remote->family == GO_ADDR_IP6)) {
    c->remote_family = remote->family;
    c->remote_port = remote->port;
    c->remote_zone = remote->zone;
    memcpy(c->remote_ip, remote->ip, sizeof c->remote_ip);
  }
  *ret = c;
  return 0;
}

/* What cannot be set is left as it is: the connection works all the same. */
void go_conn_options_(go_io_ *io) {
  if (io->tcp) {
    (void)go_io_set_(io, GO_IO_NODELAY_, 1);
    (void)go_io_set_(io, GO_IO_KEEPALIVE_, KEEPALIVE_DEFAULT);
  }
}

/* ---- lifetime ---- */

go_conn *go_conn_ref(go_conn *c) {
  if (c != NULL) {
    go_sock_hold_(&c->s, "go_conn_ref");
  }
  return c;
}

void go_conn_unref(go_conn *c) {
  if (c != NULL && go_sock_drop_(&c->s, "go_conn_unref")) {
    free(c);
  }
}

int go_conn_close(go_conn *c) { return go_sock_close_(&c->s); }

go_conn *go_conn_dup(go_conn *c) {
  go_io_ io;
  go_conn *d = NULL;
  if (go_forked_() || !go_sock_ref_(&c->s)) {
    return NULL;
  }
  int r = go_io_dup_(&c->s.io, &io);
  go_sock_unref_(&c->s);
  if (r != 0 || go_conn_new_(&io, NULL, &d) != 0) {
    return NULL;
  }
  d->remote_family = c->remote_family;
  d->remote_port = c->remote_port;
  d->remote_zone = c->remote_zone;
  memcpy(d->remote_ip, c->remote_ip, sizeof d->remote_ip);
  return d;
}

/* ---- reading ---- */

ptrdiff_t go_read(go_ctx *ctx, go_conn *c, void *buf, size_t n) {
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_READ_);
  if (GO_UNLIKELY_(r != 0)) {
    return r;
  }
  go_io_ *io = &c->s.io;
  if (GO_UNLIKELY_(io->packets)) {
    bool truncated;
    r = go_io_recvfrom_(ctx, io, buf, n, NULL, &truncated);
  } else if (n == 0) {
    r = go_io_check_(io, GO_PD_READ_);
  } else {
    r = go_io_read_(ctx, io, buf, n);
  }
  go_sock_end_(&c->s, GO_PD_READ_);
  return r;
}

/* The sum of the lengths; -1: it, or n, makes no sense. */
static ptrdiff_t size_of(const go_iovec *v, int n) {
  size_t size = 0;
  for (int i = 0; i < n; i++) {
    if (v[i].len > (size_t)PTRDIFF_MAX - size) {
      return -1;
    }
    size += v[i].len;
  }
  return n < 0 ? -1 : (ptrdiff_t)size;
}

ptrdiff_t go_readv(go_ctx *ctx, go_conn *c, const go_iovec *v, int n) {
  ptrdiff_t size = size_of(v, n);
  if (size < 0) {
    return GO_EINVAL;
  }
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_READ_);
  if (r != 0) {
    return r;
  }
  if (size > 0 || c->s.io.packets) {
    r = go_io_readv_(ctx, &c->s.io, v, n < GO_IO_VECS_ ? n : GO_IO_VECS_);
  } else {
    r = go_io_check_(&c->s.io, GO_PD_READ_);
  }
  go_sock_end_(&c->s, GO_PD_READ_);
  return r;
}

ptrdiff_t go_recvfrom(go_ctx *ctx, go_conn *c, void *buf, size_t n, go_addr *ret_from,
                      bool *ret_truncated) {
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_READ_);
  if (r != 0) {
    return r;
  }
  bool truncated = false;
  go_addr from;
  r = go_io_recvfrom_(ctx, &c->s.io, buf, n, ret_from != NULL ? &from : NULL, &truncated);
  go_sock_end_(&c->s, GO_PD_READ_);
  if (r < 0) {
    return r;
  }
  if (ret_from != NULL) {
    go_addr_put_text_(&from);
    *ret_from = from;
  }
  if (ret_truncated != NULL) {
    *ret_truncated = truncated;
  }
  return r;
}

/* ---- writing ---- */

static ptrdiff_t write_rest(go_ctx *ctx, go_io_ *io, const char *buf, size_t n, size_t done) {
  while (done < n) {
    ptrdiff_t r = go_io_write_(ctx, io, buf + done, n - done);
    if (r < 0) {
      return r;
    }
    done += (size_t)r;
  }
  return (ptrdiff_t)n;
}

ptrdiff_t go_write(go_ctx *ctx, go_conn *c, const void *buf, size_t n) {
  if (GO_UNLIKELY_(n > PTRDIFF_MAX)) {
    return GO_EINVAL;
  }
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_WRITE_);
  if (GO_UNLIKELY_(r != 0)) {
    return r;
  }
  go_io_ *io = &c->s.io;
  if (GO_UNLIKELY_(io->packets)) { /* one packet, also when it is empty */
    r = go_io_sendto_(ctx, io, buf, n, NULL);
  } else {
    r = n == 0 ? go_io_check_(io, GO_PD_WRITE_) : write_rest(ctx, io, (const char *)buf, n, 0);
  }
  go_sock_end_(&c->s, GO_PD_WRITE_);
  return r;
}

/* n bytes of what *v and the rest describe are done. Leaves *v at the first that is not. */
static void advance(go_iovec **v, int *n, size_t done) {
  while (*n > 0 && done >= (*v)->len) {
    done -= (*v)->len;
    (*v)->base = (char *)(*v)->base + (*v)->len;
    (*v)->len = 0;
    (*v)++;
    (*n)--;
  }
  if (done > 0) {
    (*v)->base = (char *)(*v)->base + done;
    (*v)->len -= done;
  }
}

static ptrdiff_t writev_all(go_ctx *ctx, go_io_ *io, go_iovec *v, int n, ptrdiff_t size) {
  for (ptrdiff_t done = 0; done < size;) {
    advance(&v, &n, 0); /* past empty ones: a call with nothing to send makes no progress */
    ptrdiff_t r = go_io_writev_(ctx, io, v, n < GO_IO_VECS_ ? n : GO_IO_VECS_);
    if (r < 0) {
      return r;
    }
    done += r;
    advance(&v, &n, (size_t)r);
  }
  return size;
}

ptrdiff_t go_writev(go_ctx *ctx, go_conn *c, go_iovec *v, int n) {
  ptrdiff_t size = size_of(v, n);
  if (size < 0 || (c->s.io.packets && n > GO_IO_VECS_)) {
    return GO_EINVAL;
  }
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_WRITE_);
  if (r != 0) {
    return r;
  }
  if (c->s.io.packets) {
    r = go_io_writev_(ctx, &c->s.io, v, n);
    if (r > 0) {
      advance(&v, &n, (size_t)r);
    }
  } else {
    r = size == 0 ? go_io_check_(&c->s.io, GO_PD_WRITE_) : writev_all(ctx, &c->s.io, v, n, size);
  }
  go_sock_end_(&c->s, GO_PD_WRITE_);
  return r;
}

ptrdiff_t go_sendto(go_ctx *ctx, go_conn *c, const void *buf, size_t n, const go_addr *to) {
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_WRITE_);
  if (r != 0) {
    return r;
  }
  r = go_io_sendto_(ctx, &c->s.io, buf, n, to);
  go_sock_end_(&c->s, GO_PD_WRITE_);
  return r;
}

static ptrdiff_t send_file(go_ctx *ctx, go_io_ *io, intptr_t file, int64_t *offset, size_t n) {
  size_t done = 0;
  while (done < n) {
    ptrdiff_t r = go_io_sendfile_(ctx, io, file, *offset, n - done);
    if (r < 0) {
      return r;
    }
    if (r == 0) {
      break; /* the end of the file */
    }
    done += (size_t)r;
    *offset += r;
  }
  return (ptrdiff_t)done;
}

ptrdiff_t go_sendfile(go_ctx *ctx, go_conn *c, intptr_t file, int64_t *offset, size_t n) {
  if (offset == NULL || *offset < 0 || n > PTRDIFF_MAX || c->s.io.packets) {
    return GO_EINVAL;
  }
  ptrdiff_t r = go_sock_begin_(ctx, &c->s, GO_PD_WRITE_);
  if (r != 0) {
    return r;
  }
  r = send_file(ctx, &c->s.io, file, offset, n);
  go_sock_end_(&c->s, GO_PD_WRITE_);
  return r;
}

/* ---- all else ---- */

int go_conn_set_deadline(go_conn *c, go_nsec when) {
  return go_sock_deadline_(&c->s, GO_PD_FOR_READ_ | GO_PD_FOR_WRITE_, when);
}
int go_conn_set_read_deadline(go_conn *c, go_nsec when) {
  return go_sock_deadline_(&c->s, GO_PD_FOR_READ_, when);
}
int go_conn_set_write_deadline(go_conn *c, go_nsec when) {
  return go_sock_deadline_(&c->s, GO_PD_FOR_WRITE_, when);
}

int go_conn_shutdown(go_conn *c, int how) {
  if (how < GO_SHUT_RD || how > GO_SHUT_RDWR) {
    return GO_EINVAL;
  }
  if (!go_sock_ref_(&c->s)) {
    return GO_ECLOSED;
  }
  int r = go_io_shutdown_(&c->s.io, how);
  go_sock_unref_(&c->s);
  return r;
}

int go_conn_local(go_conn *c, go_addr *ret) { return go_sock_name_(&c->s, false, ret); }

int go_conn_remote(go_conn *c, go_addr *ret) {
  if (c->remote_family == GO_ADDR_NONE) {
    return go_sock_name_(&c->s, true, ret);
  }
  if (!go_sock_ref_(&c->s)) {
    return GO_ECLOSED;
  }
  go_sock_unref_(&c->s);
  go_addr a = {.family = c->remote_family, .port = c->remote_port, .zone = c->remote_zone};
  memcpy(a.ip, c->remote_ip, sizeof a.ip);
  go_addr_put_text_(&a);
  *ret = a;
  return 0;
}

intptr_t go_conn_fd(go_conn *c) { return go_sock_fd_(&c->s); }

static int set(go_conn *c, enum go_io_opt_ opt, int value) {
  if (!go_sock_ref_(&c->s)) {
    return GO_ECLOSED;
  }
  int r = go_io_set_(&c->s.io, opt, value);
  go_sock_unref_(&c->s);
  return r;
}

int go_conn_set_nodelay(go_conn *c, bool on) { return set(c, GO_IO_NODELAY_, on); }

int go_conn_set_keepalive(go_conn *c, go_nsec idle) {
  if (idle < 0) {
    return GO_EINVAL;
  }
  int64_t s = idle / GO_SEC + (idle % GO_SEC != 0);
  return set(c, GO_IO_KEEPALIVE_, s > 32767 ? 32767 : (int)s); /* the most that Linux takes */
}

int go_conn_set_linger(go_conn *c, int seconds) {
  return set(c, GO_IO_LINGER_, seconds < 0 ? -1 : seconds);
}

int go_conn_set_read_buffer(go_conn *c, int bytes) {
  return bytes < 1 ? GO_EINVAL : set(c, GO_IO_RCVBUF_, bytes);
}
int go_conn_set_write_buffer(go_conn *c, int bytes) {
  return bytes < 1 ? GO_EINVAL : set(c, GO_IO_SNDBUF_, bytes);
}
