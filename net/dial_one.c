/* net/dial_one.c: connecting to one address. */
#include <string.h>

#include <golib/go.h>

#include "net/conn.h"

/* The queue of a Unix listener is full, and the system says only that: try again, as a blocking connect would wait. */
#define FULL_FIRST GO_MS
#define FULL_MOST (20 * GO_MS)

/* Two that dial each other's port at the same time are connected; so is one that was given the port that it dials, where
 * nobody listens. Go: net/tcpsock_posix.go selfConnect, spuriousENOTAVAIL. */
#define TRIES 3
#define MET_ITSELF 1

static int connect_patiently(go_ctx *ctx, go_io_ *io, const go_addr *a, int64_t until) {
  int64_t pause = FULL_FIRST;
  for (;;) {
    int r = go_io_connect_(ctx, io, a, until);
    if (r != GO_EAGAIN || io->family != GO_ADDR_UNIX) {
      return r;
    }
    int64_t left = until != 0 ? until - go_os_now_() : pause;
    if (left <= 0) {
      return GO_ETIMEDOUT;
    }
    r = go_sleep(ctx, left < pause ? left : pause);
    if (r != 0) {
      return r;
    }
    pause = pause * 2 < FULL_MOST ? pause * 2 : FULL_MOST;
  }
}

static bool is_self(const go_io_ *io) {
  go_addr local, peer;
  return io->tcp && go_io_name_(io, false, &local) == 0 && go_io_name_(io, true, &peer) == 0 &&
         local.port == peer.port && local.family == peer.family &&
         memcmp(local.ip, peer.ip, sizeof local.ip) == 0;
}

static int connect_once(go_ctx *ctx, bool packets, const go_addr *a, int64_t until, go_io_ *ret) {
  go_io_ io;
  int r = go_io_socket_(a->family, packets, &io);
  if (r != 0) {
    return r;
  }
  if (packets) {
    (void)go_io_set_(&io, GO_IO_BROADCAST_, 1);
  }
  r = connect_patiently(ctx, &io, a, until);
  if (r == 0 && is_self(&io)) {
    r = MET_ITSELF;
  }
  if (r != 0) {
    go_io_close_(&io);
    return r;
  }
  *ret = io;
  return 0;
}

int go_dial_one_(go_ctx *ctx, bool packets, const go_addr *a, int64_t until, go_conn **ret) {
  go_io_ io;
  int r = go_cancel_err_(ctx);
  if (r == 0) {
    r = go_start_();
  }
  if (r == 0 && until != 0 && go_os_now_() >= until) {
    r = GO_ETIMEDOUT;
  }
  if (r != 0) {
    return r;
  }
  for (int tries = 1;; tries++) {
    r = connect_once(ctx, packets, a, until, &io);
    if (tries == TRIES || (r != MET_ITSELF && (r != -EADDRNOTAVAIL || a->family == GO_ADDR_UNIX))) {
      break;
    }
  }
  if (r != 0) {
    return r == MET_ITSELF ? -ECONNREFUSED : r;
  }
  go_conn_options_(&io);
  return go_conn_new_(&io, NULL, ret);
}
