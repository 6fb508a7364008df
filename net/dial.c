/* net/dial.c: go_dial: from a name to a connection.
 *
 * Several addresses, RFC 8305 as Go does it: those of the first one's family are tried one after the other; those of the
 * other family too, beside them, when 300 ms have passed or the first ones have all failed. Who connects first wins and cancels
 * the other, who closes what it may have got. Nobody is left behind: the caller waits for the goroutine that tries the
 * second family, which a cancelled context ends at once. So the race lies on the caller's stack.
 * Go: net/dial.go dialParallel, dialSerial, partialDeadline.
 */
#include <golib/context.h>
#include <golib/go.h>
#include <golib/net.h>
#include <golib/sync.h>
#include <golib/time.h>

#include <stdlib.h>
#include <string.h>

#include "core/sched.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/names.h"

#define FALLBACK_DELAY (300 * GO_MS)
#define SANE_MINIMUM \
  (2 * GO_SEC) /* what one of several addresses gets at least, if there is as much */

/* ---- one after the other ---- */

typedef struct targets {
  const go_addr *const *at;
  size_t n;
  bool packets;
} targets;

/* Until when the first of `left` addresses may take; 0: for ever. */
static int64_t share(int64_t deadline, size_t left) {
  if (deadline == GO_FOREVER) {
    return 0;
  }
  int64_t now = go_os_now_(), all = deadline - now;
  if (all <= 0) {
    return deadline > 0 ? deadline : 1; /* has passed */
  }
  int64_t part = all / (int64_t)left;
  if (part < SANE_MINIMUM) {
    part = all < SANE_MINIMUM ? all : SANE_MINIMUM;
  }
  return now + part;
}

/* The error is ctx's, or that of the first address. */
static int dial_serial(go_ctx *ctx, const targets *t, go_conn **ret) {
  int first = 0;
  int64_t deadline = go_ctx_deadline(ctx);
  for (size_t i = 0; i < t->n; i++) {
    int r = go_dial_one_(ctx, t->packets, t->at[i], share(deadline, t->n - i), ret);
    if (r == 0) {
      return 0;
    }
    int err = go_cancel_err_(ctx);
    if (err != 0) {
      return err;
    }
    first = first != 0 ? first : r;
  }
  return first;
}

/* ---- the race ---- */

typedef struct race {
  go_ctx *ctx;   /* of both; the winner cancels it */
  go_ctx *delay; /* a child, cancelled when the first family has failed */
  targets second;
  go_a32 lock;
  go_conn *winner; /* under lock */
} race;

static void finish(race *r, go_conn *c) {
  go_lock_(&r->lock);
  bool first = r->winner == NULL;
  if (first) {
    r->winner = c;
  }
  go_unlock_(&r->lock);
  if (first) {
    go_ctx_cancel(r->ctx);
  } else {
    go_conn_unref(c);
  }
}

static void run_second(void *arg) {
  race *r = *(race **)arg;
  go_conn *c;
  (void)go_sleep(r->delay, FALLBACK_DELAY);
  if (dial_serial(r->ctx, &r->second, &c) == 0) {
    finish(r, c);
  }
}

/* r->ctx and r->delay are there. */
static int run_race(race *r, const targets *first) {
  go_wg wg = {0};
  go_conn *c;
  int err = go_wg_spawn_site_("go_dial@", &wg, run_second, &r, sizeof r);
  if (err != 0) {
    return err;
  }
  err = dial_serial(r->ctx, first, &c);
  if (err == 0) {
    finish(r, c);
  } else {
    go_ctx_cancel(r->delay);
  }
  go_wg_wait(&wg);
  return r->winner != NULL ? 0 : err;
}

static int dial_parallel(go_ctx *ctx, const targets *first, const targets *second, go_conn **ret) {
  race r = {.ctx = go_ctx_with_cancel(ctx), .second = *second};
  r.delay = r.ctx != NULL ? go_ctx_with_cancel(r.ctx) : NULL;
  int err = r.delay != NULL ? run_race(&r, first) : GO_ENOMEM;
  go_ctx_unref(r.delay);
  go_ctx_unref(r.ctx);
  if (err == 0) {
    *ret = r.winner;
  }
  return err;
}

/* ---- addresses ---- */

static bool is_of(const go_addr *a, const go_addr *b, bool same) {
  return (a->family == b->family) == same;
}

/* Those of at[] that have the first one's family, or have not; into to[]. */
static targets pick(const go_addr *at, size_t n, bool same, const go_addr **to) {
  targets t = {.at = to};
  for (size_t i = 0; i < n; i++) {
    if (is_of(&at[i], &at[0], same)) {
      to[t.n++] = &at[i];
    }
  }
  return t;
}

/* Packets are not answered: there is nothing to race for. */
static int dial_any(go_ctx *ctx, bool packets, const go_addr *at, size_t n, go_conn **ret) {
  const go_addr **order = malloc(n * sizeof *order);
  if (order == NULL) {
    return GO_ENOMEM;
  }
  targets first = pick(at, n, true, order);
  targets second = pick(at, n, false, order + first.n);
  int r;
  if (packets || second.n == 0) {
    first = (targets){.at = order, .n = n, .packets = packets};
    r = dial_serial(ctx, &first, ret);
  } else {
    r = dial_parallel(ctx, &first, &second, ret);
  }
  free(order);
  return r;
}

/* Keeps those that the network takes, with the port. Returns how many. */
static size_t keep(const go_net_ *net, uint16_t port, go_addr *at, size_t n) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (go_net_takes_(net, at[i].family)) {
      at[kept] = at[i];
      at[kept++].port = port;
    }
  }
  return kept;
}

static int dial_name(go_ctx *ctx, const go_net_ *net, const go_hostport_ *hp, go_conn **ret) {
  go_addrs *a;
  int r = go_resolve_part_(ctx, hp->host, hp->host_len, &a);
  if (r != 0) {
    return r;
  }
  go_addr *at = (go_addr *)(uintptr_t)a->at; /* our own copy */
  size_t n = keep(net, hp->port, at, a->n);
  r = n == 0 ? GO_ENOHOST : dial_any(ctx, net->packets, at, n, ret);
  go_addrs_free(a);
  return r;
}

/* No host: the local one. */
static int dial_local(go_ctx *ctx, const go_net_ *net, uint16_t port, go_conn **ret) {
  go_addr at[2] = {{.family = GO_ADDR_IP4, .ip = {127, 0, 0, 1}}, {.family = GO_ADDR_IP6}};
  at[1].ip[15] = 1;
  return dial_any(ctx, net->packets, at, keep(net, port, at, 2), ret);
}

static int dial_ip(go_ctx *ctx, const go_net_ *net, const char *addr, go_conn **ret) {
  go_hostport_ hp;
  go_addr a;
  int r = go_hostport_parse_(addr, &hp);
  if (r != 0) {
    return r;
  }
  if (hp.host_len == 0) {
    return dial_local(ctx, net, hp.port, ret);
  }
  if (!go_addr_parse_ip_(hp.host, hp.host_len, &a)) {
    return dial_name(ctx, net, &hp, ret);
  }
  if (!go_net_takes_(net, a.family)) {
    return GO_EINVAL;
  }
  a.port = hp.port;
  return go_dial_one_(ctx, net->packets, &a, 0, ret);
}

int go_dial(go_ctx *ctx, const char *net, const char *addr, go_conn **ret) {
  go_net_ n;
  int r = go_net_parse_(net, &n);
  if (r != 0 || addr == NULL || ret == NULL) {
    return GO_EINVAL;
  }
  r = go_forked_() ? GO_EFORKED : go_cancel_err_(ctx);
  if (r != 0) {
    return r;
  }
  if (n.family != GO_ADDR_UNIX) {
    return dial_ip(ctx, &n, addr, ret);
  }
  go_addr a;
  r = go_addr_parse_unix_(addr, &a);
  return r != 0 ? r : go_dial_one_(ctx, n.packets, &a, 0, ret);
}
