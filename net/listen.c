/* net/listen.c: listeners, and packet sockets with an address of their own.
 *
 * Running out of descriptors. accept fails, and the connection stays in the system's queue. Who accepts waits for a
 * while, or for another connection to come, and tries again. Go's net/http does so; its Accept returns the error.
 */
#include <stdlib.h>
#include <string.h>

#include "core/os.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/names.h"

#define PAUSE_FIRST (5 * GO_MS)
#define PAUSE_MOST (100 * GO_MS)

struct go_listener {
  go_sock_ s;    /* first */
  bool short_of; /* descriptors or memory, and that was said; whoever accepts */
};

/* ---- addresses ---- */

/* Which of the addresses of a name to listen at: IPv4 first, as Go does, for those who ask for localhost. */
static int choose(const go_net_ *net, const go_addrs *all, go_addr *ret) {
  static const int order[] = {GO_ADDR_IP4, GO_ADDR_IP6};
  for (int k = 0; k < 2; k++) {
    for (size_t i = 0; i < all->n; i++) {
      if (all->at[i].family == order[k] && go_net_takes_(net, order[k])) {
        *ret = all->at[i];
        return 0;
      }
    }
  }
  return GO_ENOHOST;
}

static int look_up(go_ctx *ctx, const go_net_ *net, const go_hostport_ *hp, go_addr *ret) {
  go_addrs *all;
  int r = go_resolve_part_(ctx, hp->host, hp->host_len, &all);
  if (r == 0) {
    r = choose(net, all, ret);
    go_addrs_free(all);
  }
  return r;
}

/* Where to listen. Family NONE: at all addresses of both kinds. */
static int local_address(go_ctx *ctx, const go_net_ *net, const char *addr, go_addr *ret) {
  go_hostport_ hp;
  if (net->family == GO_ADDR_UNIX) {
    return go_addr_parse_unix_(addr, ret);
  }
  int r = go_hostport_parse_(addr, &hp);
  if (r != 0) {
    return r;
  }
  if (hp.host_len == 0) {
    go_addr_any_(net->family, hp.port, ret);
    return 0;
  }
  if (!go_addr_parse_ip_(hp.host, hp.host_len, ret)) {
    r = look_up(ctx, net, &hp, ret);
  } else if (!go_net_takes_(net, ret->family)) {
    r = GO_EINVAL;
  }
  static const uint8_t any6[16];
  if (r == 0 && net->family == GO_ADDR_NONE && ret->family == GO_ADDR_IP6 &&
      memcmp(ret->ip, any6, 16) == 0) {
    ret->family = GO_ADDR_NONE;
  }
  ret->port = hp.port;
  return r;
}

/* ---- making ---- */

/* What go_listen and go_packet_listen were asked for. */
typedef struct request {
  const go_listen_opts *o;
  go_net_ net;
  bool unnamed; /* no address */
} request;

static int prepare(go_io_ *io, const request *q, bool both) {
  if (io->family == GO_ADDR_IP6) {
    int r = go_io_set_(io, GO_IO_V6ONLY_, !both);
    if (r != 0 && both) {
      return r;
    }
  }
  if (q->net.packets && io->family != GO_ADDR_UNIX) {
    (void)go_io_set_(io, GO_IO_BROADCAST_, 1);
  } else if (io->family != GO_ADDR_UNIX) {
    int r = go_io_set_(io, GO_IO_REUSEADDR_, 1);
    if (r != 0) {
      return r;
    }
    go_conn_options_(io); /* inherited by the connections */
  }
  return q->o->reuse_port && io->family != GO_ADDR_UNIX ? go_io_set_(io, GO_IO_REUSEPORT_, 1) : 0;
}

/* A socket at *a; both: for IPv4 as well. */
static int open_at(const request *q, const go_addr *a, bool both, go_io_ *ret) {
  go_io_ io;
  int r = go_io_socket_(a->family, q->net.packets, &io);
  if (r != 0) {
    return r;
  }
  r = prepare(&io, q, both);
  if (r == 0) {
    r = q->net.packets ? go_io_bind_(&io, q->unnamed ? NULL : a)
                       : go_io_listen_(&io, a, q->o->backlog);
  }
  if (r != 0) {
    go_io_close_(&io);
    return r;
  }
  *ret = io;
  return 0;
}

/* At all addresses: one IPv6 socket for both kinds, or where there is no IPv6, an IPv4 one. */
static int open_both(const request *q, uint16_t port, go_io_ *ret) {
  go_addr a;
  go_addr_any_(GO_ADDR_IP6, port, &a);
  int r = open_at(q, &a, true, ret);
  if (r == 0 || r == -EADDRINUSE || r == -EACCES || r == -EMFILE || r == -ENFILE ||
      r == GO_ENOMEM) {
    return r;
  }
  go_addr_any_(GO_ADDR_IP4, port, &a);
  return open_at(q, &a, false, ret);
}

static int open_socket(go_ctx *ctx, request *q, const char *net, const char *addr, go_io_ *ret,
                       go_addr *ret_at) {
  int r = go_cancel_err_(ctx);
  if (r == 0) {
    r = go_start_();
  }
  if (r == 0) {
    r = addr != NULL ? go_net_parse_(net, &q->net) : GO_EINVAL;
  }
  if (r != 0) {
    return r;
  }
  q->unnamed = q->unnamed && q->net.family == GO_ADDR_UNIX && addr[0] == '\0';
  go_addr_any_(q->net.family, 0, ret_at);
  r = q->unnamed ? 0 : local_address(ctx, &q->net, addr, ret_at);
  if (r != 0) {
    return r;
  }
  return ret_at->family == GO_ADDR_NONE ? open_both(q, ret_at->port, ret)
                                        : open_at(q, ret_at, false, ret);
}

static const go_listen_opts no_opts;

int go_listen(go_ctx *ctx, const char *net, const char *addr, go_listener **ret) {
  return go_listen_opt(NULL, ctx, net, addr, ret);
}

static bool is_stream(const char *net) {
  go_net_ n;
  return go_net_parse_(net, &n) == 0 && !n.packets;
}

static int new_listener(const go_io_ *io, go_listener **ret) {
  go_listener *l = (go_listener *)calloc(1, sizeof *l);
  if (l == NULL) {
    return GO_ENOMEM;
  }
  go_sock_init_(&l->s, io);
  *ret = l;
  return 0;
}

int go_listen_opt(const go_listen_opts *o, go_ctx *ctx, const char *net, const char *addr,
                  go_listener **ret) {
  request q = {.o = o != NULL ? o : &no_opts};
  go_listener *l;
  go_io_ io;
  go_addr at;
  if (q.o->backlog < 0 || !is_stream(net) || ret == NULL) {
    return GO_EINVAL;
  }
  int r = open_socket(ctx, &q, net, addr, &io, &at);
  if (r != 0) {
    return r;
  }
  r = new_listener(&io, &l);
  if (r != 0) {
    go_io_close_(&io);
    return r;
  }
  if (!q.o->keep_path && (r = go_sock_keep_path_(&l->s, &at)) != 0) {
    go_listener_unref(l);
    return r;
  }
  *ret = l;
  return 0;
}

int go_packet_listen(go_ctx *ctx, const char *net, const char *addr, go_conn **ret) {
  request q = {.o = &no_opts, .unnamed = true};
  go_conn *c;
  go_io_ io;
  go_addr at;
  go_net_ n;
  if (go_net_parse_(net, &n) != 0 || !n.packets || ret == NULL) {
    return GO_EINVAL;
  }
  int r = open_socket(ctx, &q, net, addr, &io, &at);
  if (r == 0) {
    r = go_conn_new_(&io, NULL, &c);
  }
  if (r != 0) {
    return r;
  }
  if ((r = go_sock_keep_path_(&c->s, &at)) != 0) {
    go_conn_unref(c);
    return r;
  }
  *ret = c;
  return 0;
}

/* ---- accepting ---- */

static bool is_shortage(int r) {
  return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOSPC || r == GO_ENOMEM;
}

/* Why, for those who run the program. */
static const char *what_is_short(int r) {
  return r == -ENOSPC ? "golib: go_accept: the poller cannot watch another connection (limit on "
                        "watches): waiting\n"
         : r == -ENOBUFS || r == GO_ENOMEM
             ? "golib: go_accept: no memory for another connection: waiting\n"
             : "golib: go_accept: no descriptor for another connection (limit on open files): "
               "waiting\n";
}

/* Once, until it has gone well again. */
static void say_short(go_listener *l, int r) {
  if (l->short_of) {
    return;
  }
  const char *text = what_is_short(r);
  l->short_of = true;
  go_os_write_(2, text, strlen(text));
}

static int accept_one(go_ctx *ctx, go_listener *l, go_conn **ret) {
  int64_t pause = PAUSE_FIRST;
  for (;;) {
    go_io_ io;
    go_addr remote;
    int r = go_io_accept_(ctx, &l->s.io, &io, &remote);
    if (r == 0) {
      l->short_of = false;
      return go_conn_new_(&io, &remote, ret);
    }
    if (!is_shortage(r)) {
      return r;
    }
    say_short(l, r);
    r = go_io_pause_(ctx, &l->s.io, go_os_now_() + pause);
    if (r != 0) {
      return r;
    }
    pause = pause * 2 < PAUSE_MOST ? pause * 2 : PAUSE_MOST;
  }
}

int go_accept(go_ctx *ctx, go_listener *l, go_conn **ret) {
  int r = go_sock_begin_(ctx, &l->s, GO_PD_READ_);
  if (r != 0) {
    return r;
  }
  r = accept_one(ctx, l, ret);
  go_sock_end_(&l->s, GO_PD_READ_);
  return r;
}

/* ---- all else ---- */

int go_listener_set_deadline(go_listener *l, go_nsec when) {
  return go_sock_deadline_(&l->s, GO_PD_FOR_READ_, when);
}
int go_listener_addr(go_listener *l, go_addr *ret) { return go_sock_name_(&l->s, false, ret); }
intptr_t go_listener_fd(go_listener *l) { return go_sock_fd_(&l->s); }
int go_listener_close(go_listener *l) { return go_sock_close_(&l->s); }

go_listener *go_listener_ref(go_listener *l) {
  if (l != NULL) {
    go_sock_hold_(&l->s, "go_listener_ref");
  }
  return l;
}

void go_listener_unref(go_listener *l) {
  if (l != NULL && go_sock_drop_(&l->s, "go_listener_unref")) {
    free(l);
  }
}
