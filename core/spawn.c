/* core/spawn.c: the life of a G outside the scheduler: starting, binding a stack, recycling.
 *
 * Gs are cut from slabs that stay mapped while the scheduler is up, so that a stale pointer to a G
 * (a late timer, a dump) always reads a G. Free Gs: a list per P, and a shared one.
 */
#include <golib/cxx.h>
#include <golib/go.h>

#include <stdlib.h>
#include <string.h>

#include "core/hooks.h"
#include "core/sched.h"
#include "core/stack.h"
#include "core/trace.h"

#undef go_spawn
#undef go_spawn_copy
#undef go_spawn_opt

#define SLAB_GS 4096u
#define SLABS_MAX 65536u
#define FREE_MAX 128u /* free Gs that a P keeps, */
#define FREE_MOVE 64u /* and how many move at a time; credits likewise */
#define CREDIT_MOVE 16u
#define ID_BATCH 16u

_Static_assert(sizeof(go_g_) <= 288, "a million goroutines: keep G small");

/* Lock order: its lock is a leaf. */
static struct {
  go_a32 lock;
  go_g_ *free;
  uint64_t nfree;
  go_g_ *slab[SLABS_MAX]; /* [0, nslabs): published by nslabs */
  go_a32 nslabs;
  go_g_ *bump, *bump_end;
} go_g_pool_; /* debugger scripts know it by this name: tools/gdb */

/* go_g_pool_.lock held. */
static bool new_slab(void) {
  uint32_t n = go_ld_rlx(&go_g_pool_.nslabs);
  size_t size = SLAB_GS * sizeof(go_g_);
  if (n == SLABS_MAX) {
    return false;
  }
  go_g_ *s = go_os_reserve_((size + go_os_page_() - 1) & ~(go_os_page_() - 1), go_os_page_());
  if (s == NULL) {
    return false;
  }
#if defined(GO_ASAN_)
  __lsan_register_root_region(s, size); /* names hang off Gs */
#endif
  go_g_pool_.slab[n] = s;
  go_g_pool_.bump = s;
  go_g_pool_.bump_end = s + SLAB_GS;
  go_st_rel(&go_g_pool_.nslabs, n + 1); /* pairs with go_each_g_ */
  return true;
}

/* Up to n free Gs, linked. */
static go_g_ *pool_take(uint32_t n, uint32_t *ret_n) {
  go_g_ *list = NULL;
  uint32_t got = 0;
  go_lock_(&go_g_pool_.lock);
  for (; got < n; got++) {
    go_g_ *g = go_g_pool_.free;
    if (g != NULL) {
      go_g_pool_.free = g->link;
      go_g_pool_.nfree--;
    } else if (go_g_pool_.bump < go_g_pool_.bump_end || new_slab()) {
      g = go_g_pool_.bump++;
    } else {
      break;
    }
    g->link = list;
    list = g;
  }
  go_unlock_(&go_g_pool_.lock);
  *ret_n = got;
  return list;
}

static void pool_give(go_g_ *first, go_g_ *last, uint32_t n) {
  go_lock_(&go_g_pool_.lock);
  last->link = go_g_pool_.free;
  go_g_pool_.free = first;
  go_g_pool_.nfree += n;
  go_unlock_(&go_g_pool_.lock);
}

void go_each_g_(void (*f)(go_g_ *, void *), void *arg) {
  uint32_t n = go_ld_acq(&go_g_pool_.nslabs); /* pairs with new_slab */
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t k = 0; k < SLAB_GS; k++) {
      f(&go_g_pool_.slab[i][k], arg);
    }
  }
}

uint64_t go_gs_made_(void) {
  go_lock_(&go_g_pool_.lock);
  uint64_t n = (uint64_t)go_ld_rlx(&go_g_pool_.nslabs) * SLAB_GS -
               (uint64_t)(go_g_pool_.bump_end - go_g_pool_.bump);
  go_unlock_(&go_g_pool_.lock);
  return n;
}

void go_each_slab_(void (*f)(void *arg, const void *lo, const void *hi), void *arg) {
  uint32_t n = go_ld_acq(&go_g_pool_.nslabs); /* pairs with new_slab */
  for (uint32_t i = 0; i < n; i++) {
    f(arg, go_g_pool_.slab[i], go_g_pool_.slab[i] + SLAB_GS);
  }
}

static void free_extra(go_g_ *g, void *arg) {
  (void)arg;
  go_extra_free_(g);
}

void go_spawn_fini_(void) {
  go_each_g_(free_extra, NULL);
  size_t size = SLAB_GS * sizeof(go_g_);
  size = (size + go_os_page_() - 1) & ~(go_os_page_() - 1);
  for (uint32_t i = 0; i < go_ld_rlx(&go_g_pool_.nslabs); i++) {
#if defined(GO_ASAN_)
    __lsan_unregister_root_region(go_g_pool_.slab[i], SLAB_GS * sizeof(go_g_));
#endif
    go_os_release_(go_g_pool_.slab[i], size);
  }
  memset(&go_g_pool_, 0, sizeof go_g_pool_);
}

/* ---- getting a G ---- */

static __attribute__((noinline)) go_g_ *take_slow(go_p_ *p) {
  p->gfree = pool_take(FREE_MOVE, &p->gfree_n);
  return p->gfree;
}

static __attribute__((noinline)) int credit_slow(go_p_ *p) {
  int r = go_stack_credit_(CREDIT_MOVE);
  if (r == 0) {
    p->credit += CREDIT_MOVE;
  }
  return r;
}

static __attribute__((noinline)) void id_slow(go_p_ *p) {
  p->id_next = go_add_rlx(&GO_S->next_id, (uint64_t)ID_BATCH) + 1;
  p->id_end = p->id_next + ID_BATCH;
}

/* The caller holds p. NULL: GO_ENOMEM. */
static inline go_g_ *take(go_p_ *p) {
  if (GO_UNLIKELY_(p->credit == 0) && credit_slow(p) != 0) {
    return NULL;
  }
  go_g_ *g = p->gfree;
  if (GO_UNLIKELY_(g == NULL) && (g = take_slow(p)) == NULL) {
    return NULL;
  }
  p->gfree = g->link;
  p->gfree_n--;
  p->credit--;
  if (GO_UNLIKELY_(p->id_next == p->id_end)) {
    id_slow(p);
  }
  g->id = p->id_next++;
  go_st_rlx(&p->nborn, go_ld_rlx(&p->nborn) + 1);
  return g;
}

/* From a plain thread. */
static go_g_ *take_foreign(void) {
  uint32_t n;
  if (go_stack_credit_(1) != 0) {
    return NULL;
  }
  go_g_ *g = pool_take(1, &n);
  if (g == NULL) {
    go_stack_uncredit_(1);
    return NULL;
  }
  g->id = go_add_rlx(&GO_S->next_id, (uint64_t)1) + 1;
  (void)go_add_rlx(&GO_S->nborn, (uint64_t)1);
  return g;
}

/* Undoes a take whose goroutine will not be started after all. */
static void untake(go_m_ *m, go_g_ *g) {
  if (m->p != NULL) {
    go_st_rlx(&m->p->nborn, go_ld_rlx(&m->p->nborn) - 1);
    m->p->credit++;
    g->link = m->p->gfree;
    m->p->gfree = g;
    m->p->gfree_n++;
    return;
  }
  (void)go_add_rlx(&GO_S->ndied, (uint64_t)1);
  go_stack_uncredit_(1);
  pool_give(g, g, 1);
}

/* ---- stacks ---- */

static void set_stack(go_g_ *g, uint32_t cls, char *top) {
  g->stack_top = top;
  g->stack_class = (uint8_t)cls;
}

static char *take_stack(go_p_ *p) {
  char *top = p->nstack > 0 ? p->stack[--p->nstack] : go_stack_get_(GO_S->stack_class);
  if (top == NULL) {
    go_fatal_("no stack in spite of a credit: %s", go_stack_why_());
  }
  return top;
}

#if defined(GO_ASAN_)
/* The leak checker looks for pointers in the stacks of parked goroutines too. */
static void lsan(const go_g_ *g, void (*f)(const void *, size_t)) {
  char *low = go_stack_low_(g->stack_class, g->stack_top);
  char *high = go_stack_high_(g->stack_class, g->stack_top);
  low = high - low > (1 << 19) ? high - (1 << 19) : low + (high - low) / 8; /* above any guard */
  f(low, (size_t)(high - low));
}
#endif

/* `args` bytes from start upwards are written by others before it runs. NULL: no memory. */
static void *ready_stack(go_g_ *g, char *start, size_t args) {
  char *low = go_stack_low_(g->stack_class, g->stack_top);
  return go_os_stack_ready_(low, start + args, args + GO_ARCH_FRAME_MAX_);
}

static void init_ctx(go_g_ *g, char *start, const void *limit) {
  const char *low = go_stack_low_(g->stack_class, g->stack_top);
  go_arch_ctx_init_(&g->ctx, start, go_g_entry_, low, limit);
#if defined(GO_TSAN_)
  g->fiber = __tsan_create_fiber(0);
#elif defined(GO_ASAN_)
  g->fiber = NULL;
  lsan(g, __lsan_register_root_region);
#endif
}

void go_bind_(go_m_ *m, go_g_ *g) {
  set_stack(g, GO_S->stack_class, take_stack(m->p));
  char *start = go_stack_start_(g->stack_class, g->stack_top);
  void *limit = ready_stack(g, start, 0);
  if (limit == NULL) {
    go_fatal_("no memory for the stack of a goroutine");
  }
  init_ctx(g, start, limit);
}

/* Binds a stack now: for sizes of its own, and for arguments that do not fit into the G (args NULL: just
 * makes room for them). */
static int bind_early(go_m_ *m, go_g_ *g, uint32_t cls, const void *args, size_t size) {
  char *top;
  if (cls == GO_S->stack_class && m->p != NULL) {
    top = take_stack(m->p);
  } else {
    top = go_stack_get_(cls);
  }
  if (top == NULL) {
    return GO_ENOMEM;
  }
  set_stack(g, cls, top);
  char *start = go_stack_start_(cls, top);
  size_t room = size > GO_G_INLINE_ ? (size + 15) & ~(size_t)15 : 0;
  start -= room;
  void *limit = ready_stack(g, start, room);
  if (limit == NULL) {
    g->stack_top = NULL;
    go_stack_put_(cls, top);
    return GO_ENOMEM;
  }
  if (room > 0) {
    if (args != NULL) {
      memcpy(start, args, size);
    }
    g->arg = start;
  }
  init_ctx(g, start, limit);
  return 0;
}

/* ---- starting ---- */

static inline void fill(go_g_ *g, const char *site, void (*fn)(void *), const void *args,
                        size_t size) {
  __atomic_store_n(&g->site, site, __ATOMIC_RELEASE); /* after id: see same_life in core/out.c */
  g->fn = fn;
  g->flags = 0;
  go_set_nopreempt_(g, (uint16_t)go_ld_rlx(&GO_S->nopreempt));
  g->arg = (void *)(uintptr_t)args;
  if (size - 1 < GO_G_INLINE_) {
    g->arg = memcpy(g->inline_args, args, size);
  }
  go_set_state_(g, GO_G_FRESH_);
}

static __attribute__((noinline)) void put_slow(go_p_ *p, go_g_ *g) {
  void *out[GO_RUNQ_CAP_ / 2];
  do {
    uint32_t n = go_fresh_steal_(&p->q, out, GO_RUNQ_CAP_ / 2);
    for (uint32_t i = 0; i + 1 < n; i++) {
      ((go_g_ *)out[i])->link = out[i + 1];
    }
    if (n > 0) {
      go_global_put_(out[0], out[n - 1], n);
    }
  } while (!go_fresh_put_(&p->q, g, p->solo));
}

/* Within go_hold_. */
static inline void enqueue(go_m_ *m, go_g_ *g) {
  go_p_ *p = m->p;
  if (GO_UNLIKELY_(p == NULL)) {
    go_time_it_(g);
    if (go_tracing_()) {
      go_trace_ready_(m, g);
    }
    go_inject_(g);
    return;
  }
  if (GO_UNLIKELY_(go_ld_rlx(&p->watch) != 0)) {
    go_watched_ready_(m, g);
  }
  if (GO_UNLIKELY_(!go_fresh_put_(&p->q, g, p->solo))) {
    put_slow(p, g);
  }
  if (!p->solo) {
    go_wake_();
  }
}

/* Nothing can fail any more. make is users' code: it may suspend, and is called outside go_hold_. */
static __attribute__((noinline)) go_m_ *make_args(go_m_ *m, go_g_ *g, void (*make)(void *, void *),
                                                  const void *args, size_t size) {
  go_unhold_(m, 0);
  if (size <= GO_G_INLINE_) { /* else bind_early has made room */
    g->arg = g->inline_args;
  }
  make(g->arg, (void *)(uintptr_t)args);
  m = go_enter_();
  (void)go_hold_(m);
  return m;
}

static bool over_limit(void) {
  if (go_add_rlx(&GO_S->ng, (uint64_t)1) < (uint64_t)GO_S->max_g) {
    return false;
  }
  (void)go_add_rlx(&GO_S->ng, (uint64_t)-1);
  return true;
}

/* Within go_hold_; *ret_m: still so, but maybe on another M. */
static int spawn_held(go_m_ *m, const go_spawn_ *how, void (*fn)(void *), const void *args,
                      size_t size, go_m_ **ret_m) {
  *ret_m = m;
  if (m->hook_g != NULL) {
    go_fatal_("a hook of go_set_hooks must not start goroutines");
  }
  uint32_t cls = how->stack_size == 0 ? GO_S->stack_class : go_stack_class_(how->stack_size);
  if (cls == 0 || size > ((size_t)1 << cls) / 2 || how->preempt > GO_PREEMPT_SWITCH) {
    return GO_EINVAL;
  }
  cls = go_stack_slot_class_(cls);
  if (GO_S->max_g != 0 && over_limit()) {
    return GO_EAGAIN;
  }
  go_g_ *g = m->p != NULL ? take(m->p) : take_foreign();
  int r = g != NULL ? 0 : GO_ENOMEM;
  if (r == 0) {
    const void *copy = how->make == NULL ? args : NULL;
    fill(g, how->site, fn, copy, copy != NULL ? size : 0);
    g->flags = how->flags;
    if (how->preempt != GO_PREEMPT_DEFAULT) {
      go_set_nopreempt_(g, how->preempt == GO_PREEMPT_SWITCH ? 0 : GO_NOPREEMPT_);
    }
    if (cls != GO_S->stack_class || size > GO_G_INLINE_) {
      r = bind_early(m, g, cls, copy, size);
    }
    if (r == 0 && how->name != NULL) {
      r = go_name_(g, how->name);
    }
    if (r != 0) {
      if (g->stack_top != NULL) {
        go_stack_put_(cls, g->stack_top);
        g->stack_top = NULL;
      }
      go_set_state_(g, GO_G_DEAD_);
      untake(m, g);
    }
  }
  if (r != 0) {
    if (GO_S->max_g != 0) {
      (void)go_add_rlx(&GO_S->ng, (uint64_t)-1);
    }
    return r;
  }
  g->on_end = how->on_end;
  g->end_arg = how->end_arg;
  if (how->wired != NULL) {
    g->locked_m = how->wired;
    g->lock_count = 1;
    how->wired->locked_g = g;
  }
  if (how->make != NULL) {
    m = *ret_m = make_args(m, g, how->make, args, size);
  }
  if (go_ld_rlx(&GO_S->careful) & GO_CAREFUL_HOOKS_) {
    go_hook_spawn_(m, g);
  }
  enqueue(m, g);
  return 0;
}

static __attribute__((noinline)) int spawn_slow(go_m_ *m, const go_spawn_ *how, void (*fn)(void *),
                                                const void *args, size_t size) {
  int r = go_start_();
  if (r != 0) {
    return r;
  }
  m = m != NULL ? m : go_enter_();
  uint32_t was = go_hold_(m);
  r = spawn_held(m, how, fn, args, size, &m);
  go_unhold_(m, was);
  return r;
}

/* The common case, straight down. */
static inline int spawn(const char *site, void (*on_end)(void *), void *end_arg, void (*fn)(void *),
                        const void *args, size_t size, void (*make)(void *, void *)) {
  if (GO_UNLIKELY_(fn == NULL)) {
    go_fatal_("go_spawn of a NULL function");
  }
  go_m_ *m = go_m_get_();
  if (GO_UNLIKELY_(m == NULL) && (m = go_attach_unless_forked_slow_()) == NULL) {
    return GO_EFORKED;
  }
  uint32_t was = go_hold_(m);
  go_p_ *p = m->p;
  if (GO_UNLIKELY_(p == NULL || size > GO_G_INLINE_ || go_ld_rlx(&GO_S->careful) != 0)) {
    go_spawn_ how = {.site = site, .on_end = on_end, .end_arg = end_arg, .make = make};
    go_unhold_(m, was);
    return spawn_slow(m, &how, fn, args, size);
  }
  go_g_ *g = take(p);
  if (GO_UNLIKELY_(g == NULL)) {
    go_unhold_(m, was);
    return GO_ENOMEM;
  }
  fill(g, site, fn, args, make == NULL ? size : 0);
  g->on_end = on_end;
  g->end_arg = end_arg;
  if (make != NULL) {
    m = make_args(m, g, make, args, size);
  }
  enqueue(m, g);
  go_unhold_(m, was);
  return 0;
}

go_g_ *go_spawn_reserve_(go_m_ *m) {
  go_g_ *g = take(m->p);
  if (g != NULL && GO_S->max_g != 0) {
    (void)go_add_rlx(&GO_S->ng, (uint64_t)1);
  }
  return g;
}

void go_spawn_reserved_(go_m_ *m, go_g_ *g, const char *site, void (*fn)(void *), void *arg) {
  fill(g, site, fn, arg, 0);
  g->on_end = NULL;
  if (GO_UNLIKELY_(go_ld_rlx(&GO_S->careful) & GO_CAREFUL_HOOKS_)) {
    go_hook_spawn_(m, g);
  }
  enqueue(m, g);
}

int go_spawn_with_(const go_spawn_ *how, void (*fn)(void *), const void *args, size_t size) {
  if (how->flags != 0 || how->wired != NULL || how->name != NULL || how->stack_size != 0 ||
      how->preempt != 0) {
    if (fn == NULL) {
      go_fatal_("go_spawn of a NULL function");
    }
    return spawn_slow(go_m_get_(), how, fn, args, size);
  }
  return spawn(how->site, how->on_end, how->end_arg, fn, args, size, how->make);
}

int go_spawn_site_(const char *site, void (*fn)(void *), const void *args, size_t size) {
  return spawn(site, NULL, NULL, fn, args, size, NULL);
}

static go_spawn_ how_of(const char *site, const go_spawn_opts *o) {
  go_spawn_ how = {.site = site};
  if (o != NULL) {
    how.name = o->name;
    how.stack_size = o->stack_size;
    how.flags = o->pinned ? GO_G_PINNED_ : 0;
    how.preempt = o->preempt < 0 || o->preempt > 255 ? 255 : (uint8_t)o->preempt;
  }
  return how;
}

int go_spawn_opt_site_(const char *site, const go_spawn_opts *o, void (*fn)(void *),
                       const void *args, size_t size) {
  go_spawn_ how = how_of(site, o);
  return go_spawn_with_(&how, fn, args, size);
}

int go_spawn_make_(const go_making_ *k) {
  if (k->opts == NULL) {
    return spawn(k->site, k->on_end, k->end_arg, k->fn, k->from, k->size, k->make);
  }
  go_spawn_ how = how_of(k->site, k->opts);
  how.on_end = k->on_end;
  how.end_arg = k->end_arg;
  how.make = k->make;
  return go_spawn_with_(&how, k->fn, k->from, k->size);
}

int go_spawn(void (*fn)(void *), void *arg) { return spawn(NULL, NULL, NULL, fn, arg, 0, NULL); }

int go_spawn_copy(void (*fn)(void *), const void *args, size_t size) {
  return spawn(NULL, NULL, NULL, fn, args, size, NULL);
}

int go_spawn_opt(const go_spawn_opts *o, void (*fn)(void *), const void *args, size_t size) {
  return go_spawn_opt_site_(NULL, o, fn, args, size);
}

/* ---- ending ---- */

int go_name_(go_g_ *g, const char *name) {
  if (go_extra_make_(g) == NULL) {
    return GO_ENOMEM;
  }
  size_t n = 0;
  while (n < GO_NAME_SIZE_ - 1 && name[n] != '\0') {
    g->name[n] = name[n];
    n++;
  }
  memset(g->name + n, 0, GO_NAME_SIZE_ - n);
  return 0;
}

void go_set_name(const char *name) {
  go_m_ *m = go_enter_();
  (void)go_name_(m->cur, name != NULL ? name : ""); /* without memory it stays as it is */
}

uint64_t go_id(void) {
  go_m_ *m = go_m_get_();
  return m != NULL ? m->cur->id : 0;
}

static void give_stack(go_p_ *p, go_g_ *g) {
#if defined(GO_TSAN_)
  __tsan_destroy_fiber(g->fiber);
#elif defined(GO_ASAN_)
  lsan(g, __lsan_unregister_root_region);
  /* Frames that never returned have left their red zones. */
  char *high = go_stack_high_(g->stack_class, g->stack_top);
  __asan_unpoison_memory_region(g->ctx.sp, (size_t)(high - (char *)g->ctx.sp));
#endif
  if (g->stack_class == GO_S->stack_class && p->nstack < GO_STACK_CACHE_) {
    p->stack[p->nstack++] = g->stack_top;
  } else {
    go_stack_put_(g->stack_class, g->stack_top);
  }
  g->stack_top = NULL;
}

static __attribute__((noinline)) void give_slow(go_p_ *p) {
  go_g_ *first = p->gfree, *last = first;
  for (uint32_t i = 1; i < FREE_MOVE; i++) {
    last = last->link;
  }
  p->gfree = last->link;
  p->gfree_n -= FREE_MOVE;
  pool_give(first, last, FREE_MOVE);
}

void go_recycle_(go_m_ *m, go_g_ *g) {
  go_p_ *p = m->p;
  if (g->stack_top != NULL) {
    give_stack(p, g);
  }
  go_st_rlx(&g->on_cpu, 0u);
  g->link = p->gfree;
  p->gfree = g;
  if (GO_UNLIKELY_(++p->gfree_n > FREE_MAX)) {
    give_slow(p);
  }
  if (GO_UNLIKELY_(++p->credit > FREE_MAX)) {
    p->credit -= FREE_MOVE;
    go_stack_uncredit_(FREE_MOVE);
  }
}

void go_spawn_flush_(go_p_ *p) {
  while (p->nstack > 0) {
    go_stack_put_(GO_S->stack_class, p->stack[--p->nstack]);
  }
  go_stack_uncredit_(p->credit);
  p->credit = 0;
  while (p->gfree != NULL) {
    go_g_ *g = p->gfree;
    p->gfree = g->link;
    pool_give(g, g, 1);
  }
  p->gfree_n = 0;
}
