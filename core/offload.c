/* core/offload.c: calling a function on a thread of a pool, while the goroutine waits.
 *
 * A call lies on the caller's stack, which must not leave before the function has returned, if it was begun: it may
 * use what lies there as well. So a context ends the wait only while the call is still queued, which the pool's lock
 * decides. `done` is stored under the call's lock, as is the wait that its end has to claim: the first, which the context may
 * end too, or the second, for a function that runs already.
 */
#include <golib/block.h>

#include "core/pool.h"

#define THREADS 64

static go_pool_ pool = {.name = "golib-offload", .max = THREADS};

void go_offload_max_(uint32_t max) { pool.max = max != 0 ? max : THREADS; }

typedef struct call {
  go_job_ job; /* first */
  go_a32 lock;
  bool done;    /* under lock, as */
  uint32_t seq; /* the wait of g that the end claims */
  go_g_ *g;
  void (*fn)(void *);
  void *arg;
  int result; /* 0, GO_EPANIC, or why there is no thread */
  go_panic_info info;
} call;

static void finish(call *c) {
  go_lock_(&c->lock);
  c->done = true;
  go_g_ *g = c->g;
  bool wake = go_claim_(g, c->seq);
  if (wake) {
    g->claimed_by = c;
  }
  go_unlock_(&c->lock); /* pairs with wait_done: c may be gone now, unless we wake */
  if (wake) {
    go_ready_(go_m_get_(), g);
  }
}

static void run(go_job_ *job) {
  call *c = (call *)(void *)job;
  c->result = go_try(c->fn, c->arg, &c->info);
  finish(c);
}

static void fail(go_job_ *job, int err) {
  call *c = (call *)(void *)job;
  c->result = err;
  finish(c);
}

/* It has begun: it will end. */
static void wait_done(go_m_ *m, call *c) {
  go_lock_(&c->lock);
  if (c->done) {
    go_unlock_(&c->lock);
    return;
  }
  c->seq = go_claim_open_(c->g);
  go_prepark_(m, GO_WAIT_OFFLOAD_);
  go_unlock_(&c->lock);
  (void)go_park_(m);
}

static int wait(go_m_ *m, go_ctx *ctx, call *c) {
  uint32_t seq = c->seq;
  go_prepark_(m, GO_WAIT_OFFLOAD_);
  int r = go_pool_put_(&pool, &c->job);
  if (r != 0) {
    go_set_state_(c->g, GO_G_RUNNING_);
    return r;
  }
  if (go_cancel_park_(m, ctx, seq)) {
    if (go_pool_take_back_(&pool, &c->job)) {
      return go_cancel_err_(ctx);
    }
    wait_done(go_m_get_(), c);
  }
  return c->result;
}

int go_offload_(go_ctx *ctx, void (*fn)(void *), void *arg) {
  int r = go_forked_() ? GO_EFORKED : go_cancel_err_(ctx);
  if (r != 0) {
    return r;
  }
  go_m_ *m = go_enter_();
  if (go_is_plain_thread_(m->cur)) { /* it is what a pool would give */
    fn(arg);
    return 0;
  }
  call c;
  c.job = (go_job_){.run = run, .fail = fail};
  c.lock = (go_a32){0};
  c.done = false;
  c.g = m->cur;
  c.seq = go_claim_open_(c.g);
  c.fn = fn;
  c.arg = arg;
  r = wait(m, ctx, &c);
  if (r == GO_EPANIC) {
    go_panic_value(c.info.value, c.info.text);
  }
  return r;
}

int go_offload(go_ctx *ctx, void (*fn)(void *), void *arg) {
  if (fn == NULL) {
    go_fatal_("go_offload: fn is NULL");
  }
  return go_offload_(ctx, fn, arg);
}
