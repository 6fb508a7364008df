/* net/sock.c: see net/sock.h. */
#include "net/sock.h"

#include <stdlib.h>

#include "net/addr.h"

static const uint8_t reasons[] = {GO_WAIT_READ_, GO_WAIT_WRITE_};

int go_sock_begin_slow_(go_ctx *ctx, go_sock_ *s, int dir) {
  int err = go_cancel_err_(ctx);
  if (err == 0 && go_forked_()) {
    err = GO_EFORKED;
  }
  return err != 0 ? err : go_fdmu_lock_(ctx, &s->mu, dir, reasons[dir]);
}

/* The caller is the last, of a socket that is closed. */
static __attribute__((noinline)) void destroy(go_sock_ *s) {
  go_io_close_(&s->io);
  if (s->path != NULL) {
    go_io_unlink_(s->path);
    free(s->path);
    s->path = NULL;
  }
}

void go_sock_last_(go_sock_ *s) {
  destroy(s);
  go_fdmu_done_(&s->mu);
}

bool go_sock_ref_(go_sock_ *s) { return go_fdmu_ref_(&s->mu); }

void go_sock_unref_(go_sock_ *s) {
  if (GO_UNLIKELY_(go_fdmu_unref_(&s->mu))) {
    destroy(s);
    go_fdmu_done_(&s->mu);
  }
}

int go_sock_close_(go_sock_ *s) {
  if (go_forked_()) {
    return GO_EFORKED;
  }
  if (!go_fdmu_close_(&s->mu)) {
    return GO_ECLOSED;
  }
  go_io_evict_(&s->io);
  if (go_fdmu_unref_(&s->mu)) {
    destroy(s);
  } else {
    go_fdmu_wait_done_(&s->mu, GO_WAIT_CLOSE_);
  }
  return 0;
}

/* Nobody has it any more. */
static void fini(go_sock_ *s, const char *call) {
  if (go_forked_() || !go_fdmu_close_(&s->mu)) {
    return;
  }
  if (!go_fdmu_unref_(&s->mu)) {
    go_fatal_("%s: the last reference was given back while another goroutine uses it", call);
  }
  destroy(s);
}

static _Noreturn void freed(const char *call) { go_fatal_("%s: it has been freed already", call); }

void go_sock_hold_(go_sock_ *s, const char *call) {
  if (go_add_rlx(&s->refs, 1u) == 0) {
    freed(call);
  }
}

bool go_sock_drop_(go_sock_ *s, const char *call) {
  uint32_t old = go_sub_ar(&s->refs, 1u); /* what all did before is visible to the last */
  if (old == 0) {
    freed(call);
  }
  if (old == 1) {
    fini(s, call);
  }
  return old == 1;
}

int go_sock_keep_path_(go_sock_ *s, const go_addr *a) {
  if (a->family != GO_ADDR_UNIX || a->path_len == 0 || a->path[0] == '\0') {
    return 0;
  }
  s->path = (go_addr *)malloc(sizeof *s->path);
  if (s->path == NULL) {
    return GO_ENOMEM;
  }
  *s->path = *a;
  return 0;
}

int go_sock_deadline_(go_sock_ *s, int dirs, go_nsec when) {
  if (go_forked_()) {
    return GO_EFORKED;
  }
  if (!go_sock_ref_(s)) {
    return GO_ECLOSED;
  }
  int r = go_pd_deadline_(s->io.pd, dirs, when);
  go_sock_unref_(s);
  return r;
}

int go_sock_name_(go_sock_ *s, bool peer, go_addr *ret) {
  if (!go_sock_ref_(s)) {
    return GO_ECLOSED;
  }
  go_addr a;
  int r = go_io_name_(&s->io, peer, &a);
  go_sock_unref_(s);
  if (r == 0) {
    go_addr_put_text_(&a);
    *ret = a;
  }
  return r;
}

intptr_t go_sock_fd_(go_sock_ *s) {
  if (!go_sock_ref_(s)) {
    return GO_ECLOSED;
  }
  go_st_rlx(&s->io.handed, 1u); /* before the user can do anything with it */
  intptr_t fd = s->io.fd;
  go_sock_unref_(s);
  return fd;
}
