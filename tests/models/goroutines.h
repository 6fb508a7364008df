/* tests/models/goroutines.h: takes the place of core/sched.h, for models that compile sync/'s
 * sources.
 *
 * Each thread of a model is a goroutine with an M of its own, and parks and readies by an event.
 * Contexts are those of core/cancel.c. What is plain data in the sources stays so: Relacy checks it
 * only where it is atomic; the models guard rl::vars with it.
 */
#ifndef GOLIB_TESTS_MODELS_GOROUTINES_H_
#define GOLIB_TESTS_MODELS_GOROUTINES_H_

#include "tests/models/futex.h"

/* In place of golib/sync.h, golib/defer.h, core/arch.h and core/sched.h. */
#define GOLIB_SYNC_H_
#define GOLIB_DEFER_H_
#define GOLIB_CORE_ARCH_H_
#define GOLIB_CORE_SCHED_H_
#undef _Static_assert
#define _Static_assert(x, text) static_assert(true, text) /* sizes are others here */
/* What is C, but not quite C++17. */
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"

#include "core/cancel.h"
#include "core/lock.h"

#define GO_MS ((int64_t)1000000)
enum { GO_ECANCELED = -1, GO_EFORKED = -4 };
enum {
  GO_WAIT_MUTEX_,
  GO_WAIT_WG_,
  GO_WAIT_RWMUTEX_R_,
  GO_WAIT_RWMUTEX_W_,
  GO_WAIT_COND_,
  GO_WAIT_ONCE_,
  GO_WAIT_SEM_
};
#define GO_CACHE_LINE_ 64

struct go_g_ {
  go_a32 claim;
  void *claimed_by;
  model::event woken;
};
struct go_p_ {
  uint32_t id;
  int q;
};
struct go_m_ {
  go_g_ *cur;
  go_p_ *p;
};

/* core/sched.h */
struct go_ctx {
  go_cancel_ c;
};
struct go_spawn_ {
  const char *site;
  void (*on_end)(void *);
  void *end_arg;
};

namespace model {

/* The goroutines of one run. */
struct world {
  enum { Max = 5 };
  go_g_ g[Max];
  go_m_ m[Max];
  int64_t now = 0;
  go_a32 procs;

  world();
  void init() {
    go_st_rlx(&procs, 1u);
    for (int i = 0; i < Max; i++) {
      go_st_rlx(&g[i].claim, 0u);
      m[i].cur = &g[i];
      m[i].p = NULL;
    }
  }
};
static world *the_world; /* set anew in each run */
inline world::world() { the_world = this; }

} /* namespace model */

#define GO_S model::the_world

static inline go_m_ *go_m_get_() { return &model::the_world->m[rl::thread_index()]; }
static inline go_m_ *go_enter_() { return go_m_get_(); }
static inline bool go_forked_() { return false; }
static inline void go_prepark_(go_m_ *, int) {}
static inline void go_set_state_(go_g_ *, int) {}
enum { GO_G_RUNNING_ };
static inline go_m_ *go_park_(go_m_ *m) {
  m->cur->woken.wait();
  return m;
}
/* Exactly one for each park. */
static inline void go_ready_(go_m_ *, go_g_ *g) { assert(g->woken.post()); }
static inline go_m_ *go_yield_m_(go_m_ *m) { return m; }
static inline bool go_runq_empty_(int *) { return true; }
static inline void go_arch_relax_() {}
static inline void go_backoff_(uint32_t) { rl::yield(1, $); }
/* Now and then so much time goes by that a waiter starves. */
static inline int64_t go_os_now_() { return model::the_world->now += rl::rand(2) * 2 * GO_MS; }
[[noreturn]] static inline void go_fatal_(const char *, ...) {
  assert(!"fatal"); /* ends the run */
  __builtin_unreachable();
}
[[noreturn]] static inline void go_panic(const char *text, ...) { go_fatal_(text); }
[[noreturn]] static inline int go_wait_done_(go_ctx *, int) { go_fatal_("waits for ever"); }
/* Runs when the block ends. */
struct go_deferred_ {
  void (*fn)(void *);
  void *arg;
  ~go_deferred_() { fn(arg); }
};
#define GO_DEFER(fn, arg) go_deferred_ deferred_ = {(fn), (arg)}
static inline void go_call_(void (*fn)(void *), void *arg) { fn(arg); }
static inline int go_spawn_with_(const go_spawn_ *, void (*)(void *), const void *, size_t) {
  return 0;
}

/* As in core/sched.h. */
static inline uint32_t go_claim_open_(go_g_ *g) { return go_ld_rlx(&g->claim); }
static inline bool go_claim_(go_g_ *g, uint32_t seq) {
  return go_ld_rlx(&g->claim) == seq && go_cas_ar(&g->claim, &seq, seq + 1);
}
static inline void go_tm_claim_(go_m_ *m, void *arg, uint32_t seq) {
  go_g_ *g = (go_g_ *)arg;
  if (go_claim_(g, seq)) {
    g->claimed_by = NULL;
    go_ready_(m, g);
  }
}

#include "core/cancel.c"

#endif /* GOLIB_TESTS_MODELS_GOROUTINES_H_ */
