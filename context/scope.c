/* context/scope.c: scopes and their tasks. See golib/scope.h. Go: golang.org/x/sync/errgroup.
 *
 * A task is a goroutine, and a slot that outlives it. Slots lie in slabs that stay mapped for the life of the
 * process, and a handle is a slot's number and how often the slot had been used: so a handle whose scope
 * has ended is found whatever has become of the slot. What a panic leaves lies beside the slots, in memory
 * that is touched by panics only; so nothing is allocated while panicking.
 *
 * Owners. A slot: the scope's that took it from the pool, until the scope ends; in between it may serve several
 * tasks, one after the other, if their handles are released. Its fields are written under the scope's lock
 * while nobody runs it, by its task while that runs, and are constant when it is DONE.
 * The scope: of the goroutine that opened it, which leaves only when running_ is 0; whoever runs in it may
 * use it. A task's last touch of both is the unlock in finish().
 *
 * Under the scope's lock: all that has no other comment in the header. running_ counts tasks from before they
 * are started until they are DONE. While somebody waits for room, running_ == limit_, unless the limit is
 * 0: who finishes hands his place over.
 * The lock is never held while a context is made, cancelled or dropped: their locks come before it.
 *
 * Departures from errgroup: results and handles; panics are kept; go_scope_wait does not cancel.
 */
#include <golib/scope.h>

#include <string.h>

#include "context/ctx.h"
#include "sync/wait.h"

#undef go_scope_spawn
#undef go_scope_spawn_copy

_Static_assert(sizeof(go_scope) == 144, "part of the ABI");

/* state_: any other value is no scope. */
enum { NEVER = 0, OPEN = 0x6f70656e, ENDED = 0x656e6465 };

/* What is written under the lock is constant once state is DONE. */
typedef struct task {
  go_a32 age;   /* how often it had been used when its handle was made: see handle_of */
  go_a32 state; /* RUNNING; DONE: stored with release, under the lock */
  int result;
  uint32_t at; /* its number; constant */
  go_scope *scope;
  int (*fn)(void *);
  struct joiner *joiners; /* under the lock */
  struct task *next;      /* in the scope's list of all, or the pool's */
  struct task *next_free; /* in the scope's list of unused ones; under the lock */
  go_a32 seen;            /* somebody has learned of its panic */
  bool panicked;
  bool released; /* under the lock */
} task;

enum { RUNNING, DONE };

_Static_assert(sizeof(task) == 64, "golib/scope.h says so");

/* ---- slots ---- */

#define SLAB_TASKS 4096u
#define SLABS_MAX 65536u
#define POOLS 64u
#define POOL_MAX 1024u /* more go to the shared pool */
#define POOL_MOVE 64u
#define TAKE_MAX 32u

typedef struct slab {
  task tasks[SLAB_TASKS];
  go_panic_kept_ panics[SLAB_TASKS];
} slab;

/* Free slots: one pool per P as a rule, so that they do not meet, and a shared one. Locks are leaves, the shared
 * one's the last. */
typedef struct pool {
  _Alignas(GO_CACHE_LINE_) go_a32 lock;
  uint32_t n;
  task *free;
} pool;

static pool pools[POOLS], shared;
static slab *slabs[SLABS_MAX]; /* [0, nslabs): published by nslabs */
static go_a32 nslabs;
static uint32_t bump = SLAB_TASKS; /* unused ones of the last slab begin here; under shared.lock */

/* shared.lock held. */
static bool new_slab(void) {
  uint32_t n = go_ld_rlx(&nslabs);
  size_t size = (sizeof(slab) + go_os_page_() - 1) & ~(go_os_page_() - 1);
  slab *s = n < SLABS_MAX ? go_os_reserve_(size, go_os_page_()) : NULL;
  if (s == NULL) {
    return false;
  }
#if defined(GO_ASAN_)
  __lsan_register_root_region(s->panics, sizeof s->panics); /* values hang off panics */
#endif
  slabs[n] = s;
  bump = 0;
  go_st_rel(&nslabs, n + 1); /* pairs with slot_of */
  return true;
}

static task *new_task(void) {
  if (bump == SLAB_TASKS && !new_slab()) {
    return NULL;
  }
  uint32_t in = go_ld_rlx(&nslabs) - 1;
  task *t = &slabs[in]->tasks[bump];
  t->at = in * SLAB_TASKS + bump++;
  go_st_rlx(&t->age, 1u); /* so no handle is 0 */
  return t;
}

static void push(pool *p, task *first, task *last, uint32_t n) {
  last->next = p->free;
  p->free = first;
  p->n += n;
}

/* Lock held. Up to n, linked. */
static task *pop(pool *p, uint32_t n, uint32_t *ret_n) {
  task *first = p->free, *last = NULL;
  uint32_t got = 0;
  for (task *t = first; t != NULL && got < n; t = t->next) {
    last = t;
    got++;
  }
  if (last != NULL) {
    p->free = last->next;
    last->next = NULL;
  }
  p->n -= got;
  *ret_n = got;
  return got != 0 ? first : NULL;
}

/* p's lock held. */
static __attribute__((noinline)) void refill(pool *p) {
  go_lock_(&shared.lock);
  while (shared.n < POOL_MOVE) {
    task *t = new_task();
    if (t == NULL) {
      break;
    }
    push(&shared, t, t, 1);
  }
  uint32_t n;
  task *first = pop(&shared, POOL_MOVE, &n), *last = first;
  go_unlock_(&shared.lock);
  while (last != NULL && last->next != NULL) {
    last = last->next;
  }
  if (last != NULL) {
    push(p, first, last, n);
  }
}

static pool *my_pool(void) {
  go_m_ *m = go_m_get_();
  return &pools[m != NULL && m->p != NULL ? m->p->id % POOLS : 0];
}

/* Up to n slots, linked; NULL: no memory. */
static task *take_slots(uint32_t n) {
  pool *p = my_pool();
  go_lock_(&p->lock);
  if (p->free == NULL) {
    refill(p);
  }
  task *t = pop(p, n, &n);
  go_unlock_(&p->lock);
  return t;
}

/* Their handles are found to be stale from now on. */
static void give_slots(task *first) {
  pool *p = my_pool();
  task *last = NULL;
  uint32_t n = 0;
  for (task *t = first; t != NULL; t = t->next) {
    go_st_rlx(&t->age, go_ld_rlx(&t->age) + 1);
    last = t;
    n++;
  }
  if (last == NULL) {
    return;
  }
  go_lock_(&p->lock);
  if (p->n + n <= POOL_MAX) {
    push(p, first, last, n);
    go_unlock_(&p->lock);
    return;
  }
  go_unlock_(&p->lock);
  go_lock_(&shared.lock);
  push(&shared, first, last, n);
  go_unlock_(&shared.lock);
}

/* ---- handles ---- */

_Static_assert(sizeof(uintptr_t) == 8, "a handle is two halves of 32 bits");

static go_task *handle_of(const task *t) {
  return (go_task *)((uintptr_t)go_ld_rlx(&t->age) << 32 | t->at);
}

/* h is not NULL. */
static task *slot_of(go_task *h, const char *call) {
  uint32_t at = (uint32_t)(uintptr_t)h, age = (uint32_t)((uintptr_t)h >> 32);
  if (at / SLAB_TASKS >= go_ld_acq(&nslabs)) { /* pairs with new_slab */
    go_fatal_("%s: not a task", call);
  }
  task *t = &slabs[at / SLAB_TASKS]->tasks[at % SLAB_TASKS];
  if (go_ld_rlx(&t->age) != age) {
    go_fatal_("%s: the task's scope has ended, or it has been released", call);
  }
  return t;
}

static go_panic_kept_ *panic_of(const task *t) {
  return &slabs[t->at / SLAB_TASKS]->panics[t->at % SLAB_TASKS];
}

/* ---- the scope's words ---- */

static go_a32 *lock_of(go_scope *s) { return (go_a32 *)(void *)&s->lock_; }
static go_a32 *state_of(go_scope *s) { return (go_a32 *)(void *)&s->state_; }
static go_aptr *ctx_of(go_scope *s) { return (go_aptr *)(void *)&s->ctx_; }
static go_sync_list_ idle_of(go_scope *s) {
  return (go_sync_list_){&s->idle_head_, &s->idle_tail_};
}
static go_sync_list_ starts_of(go_scope *s) {
  return (go_sync_list_){&s->start_head_, &s->start_tail_};
}

/* Whoever waits in go_task_join; on his stack. */
typedef struct joiner {
  struct joiner *next;
  go_g_ *g;
  int result;
} joiner;

static void must_be_open(go_scope *s, const char *call) {
  if (go_ld_rlx(state_of(s)) != OPEN) {
    go_fatal_("%s: the scope %s", call,
              go_ld_rlx(state_of(s)) == ENDED ? "has ended" : "has never been opened");
  }
}

/* The task that g is, or NULL. */
static task *task_of(const go_g_ *g) { return g->flags & GO_G_TASK_ ? g->end_arg : NULL; }

/* Whether g is t, or belongs to s, however many scopes further in: waiting for it would never end. */
static bool is_inside(const go_g_ *g, const task *t, const go_scope *s) {
  for (const task *in = task_of(g); in != NULL; in = in->scope->inside_) {
    if (in == t || in->scope == s) {
      return true;
    }
  }
  return false;
}

/* ---- errors ---- */

/* A task, or NULL if it is something else, has failed. Cancelling may call users' code: see go_ctx_with_value. */
static __attribute__((noinline)) void fail(go_scope *s, int err, task *t) {
  go_lock_(lock_of(s));
  bool first = s->err_ == 0;
  if (first) {
    s->err_ = err;
    s->failed_ = t;
  }
  go_ctx *ctx = go_ld_rlx(ctx_of(s)); /* else go_scope_ctx finds the error */
  go_unlock_(lock_of(s));
  if (first) {
    go_ctx_cancel_cause(ctx, err);
  }
}

/* Done from the beginning, for ever. */
static go_ctx no_memory = {.cancel = {.err = {(uint32_t)-GO_ECANCELED}},
                           .refs = {1u << 30},
                           .holds = {1u << 30},
                           .cause = GO_ENOMEM,
                           .deadline = GO_FOREVER};

static __attribute__((noinline)) go_ctx *ctx_slow(go_scope *s) {
  go_ctx *fresh = go_ctx_with_cancel(s->parent_);
  if (fresh == NULL) {
    fail(s, GO_ENOMEM, NULL);
    return &no_memory;
  }
  go_lock_(lock_of(s));
  go_ctx *ctx = go_ld_rlx(ctx_of(s));
  int err = s->err_;
  if (ctx == NULL) {
    go_st_rel(ctx_of(s), (void *)fresh); /* pairs with go_scope_ctx */
  }
  go_unlock_(lock_of(s));
  if (ctx != NULL) {
    go_ctx_unref(fresh);
    return ctx;
  }
  if (err != 0) {
    go_ctx_cancel_cause(fresh, err);
  }
  return fresh;
}

go_ctx *go_scope_ctx(go_scope *s) {
  must_be_open(s, "go_scope_ctx");
  go_ctx *ctx = go_ld_acq(ctx_of(s)); /* pairs with ctx_slow */
  return GO_LIKELY_(ctx != NULL) ? ctx : ctx_slow(s);
}

/* ---- places under the limit ---- */

static bool full(const go_scope *s) { return s->limit_ >= 0 && s->running_ >= (uint32_t)s->limit_; }

/* Lock held. One task less: hands the place over, or counts it off. Returns whom to ready, linked by next. */
static go_sync_wait_ *leave(go_scope *s) {
  s->running_--;
  go_sync_wait_ *w = full(s) ? NULL : go_sync_get_(starts_of(s));
  if (w != NULL) {
    s->running_++;
    w->next = NULL;
    return w;
  }
  go_sync_wait_ *list = NULL;
  while (s->running_ == 0 && (w = go_sync_get_(idle_of(s))) != NULL) {
    w->next = list;
    list = w;
  }
  return list;
}

/* No lock held: whoever is readied may end the scope. */
static void wake(go_m_ *m, go_sync_wait_ *list) {
  while (list != NULL) {
    go_sync_wait_ *next = list->next;
    go_ready_(m, list->g);
    list = next;
  }
}

/* Lock held; it comes back without. Waits until somebody has left his place to the caller. Returns 0, or the code of
 * the scope's context. */
static __attribute__((noinline)) int wait_for_place(go_scope *s) {
  go_unlock_(lock_of(s));
  go_ctx *ctx = go_scope_ctx(s); /* made now, if it must be: its canceller shall find it */
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = true};
  go_lock_(lock_of(s));
  if (!full(s)) {
    s->running_++;
    go_unlock_(lock_of(s));
    return 0;
  }
  go_prepark_(m, GO_WAIT_SCOPE_START_);
  go_sync_put_(starts_of(s), &w, false);
  go_unlock_(lock_of(s));
  if (go_sync_park_(m, ctx, &w)) {
    return 0;
  }
  go_lock_(lock_of(s));
  go_sync_del_(starts_of(s), &w);
  go_unlock_(lock_of(s));
  return go_cancel_err_(ctx);
}

void go_scope_limit(go_scope *s, int n) {
  must_be_open(s, "go_scope_limit");
  go_lock_(lock_of(s));
  bool busy = s->running_ != 0 || s->start_head_ != NULL;
  if (!busy) {
    s->limit_ = n;
  }
  go_unlock_(lock_of(s));
  if (busy) {
    go_panic("go_scope_limit: tasks run in this scope");
  }
}

/* ---- a task's life ---- */

/* The outermost deferred call: runs when something else than fn's return ends the task. */
static void abandoned(void *arg) {
  task *t = arg;
  if (go_panic_keep_(go_m_get_()->cur, panic_of(t))) { /* else go_exit */
    t->panicked = true;
    t->result = GO_EPANIC;
    fail(t->scope, GO_EPANIC, t);
  }
}

typedef struct task_call {
  int (*fn)(void *);
  void *args;
  int result;
} task_call;

static void call_task(void *arg) {
  task_call *k = arg;
  k->result = k->fn(k->args);
}

static void task_main(void *args) {
  go_g_ *g = go_m_get_()->cur;
  task *t = g->end_arg;
  go_defer_rec_ outermost = {NULL, abandoned, t};
  g->flags |= GO_G_TASK_;
  g->defers = &outermost;
  task_call k = {t->fn, args, 0};
  go_call_(call_task, &k);
  int r = k.result;
  t->result = r;
  if (GO_UNLIKELY_(r != 0)) {
    fail(t->scope, r, NULL);
  }
  g->defers = NULL;
}

/* Lock held. Its handle is gone: the next task may have it. A panic that nobody has seen keeps it. */
static void reuse(go_scope *s, task *t) {
  if (!t->panicked) {
    t->next_free = s->free_;
    s->free_ = t;
  }
}

static void finish(void *arg) {
  task *t = arg;
  go_scope *s = t->scope;
  go_m_ *m = go_m_get_();
  go_lock_(lock_of(s));
  joiner *j = t->joiners;
  int result = t->result;
  if (j != NULL) {
    go_st_rlx(&t->seen, 1u);
  }
  go_st_rel(&t->state, (uint32_t)DONE); /* pairs with go_task_join */
  if (t->released) {
    reuse(s, t);
  }
  go_sync_wait_ *list = leave(s);
  go_unlock_(lock_of(s)); /* from here on s and t may be gone */
  while (j != NULL) {
    joiner *next = j->next;
    j->result = result;
    go_ready_(m, j->g);
    j = next;
  }
  wake(m, list);
}

/* ---- starting ---- */

/* Lock held. The scope has no unused slot: takes some, more each time. */
static __attribute__((noinline)) bool more_slots(go_scope *s) {
  uint32_t n = s->used_ + 1 < TAKE_MAX ? s->used_ + 1 : TAKE_MAX;
  for (task *t = take_slots(n); t != NULL;) {
    task *next = t->next;
    t->next = s->all_;
    s->all_ = t;
    t->next_free = s->free_;
    s->free_ = t;
    s->used_++;
    t = next;
  }
  return s->free_ != NULL;
}

/* Lock held, place taken. */
static task *take_slot(go_scope *s, int (*fn)(void *)) {
  if (GO_UNLIKELY_(s->free_ == NULL) && !more_slots(s)) {
    return NULL;
  }
  task *t = s->free_;
  s->free_ = t->next_free;
  go_st_rlx(&t->state, (uint32_t)RUNNING);
  go_st_rlx(&t->seen, 0u);
  t->result = 0;
  t->scope = s;
  t->fn = fn;
  t->joiners = NULL;
  t->panicked = false;
  t->released = false;
  return t;
}

/* The place is given back, and the slot (or NULL). */
static __attribute__((noinline)) go_task *not_started(go_scope *s, task *t, int err) {
  fail(s, err, NULL); /* still counted: the scope cannot end meanwhile */
  go_lock_(lock_of(s));
  if (t != NULL) {
    go_st_rlx(&t->age, go_ld_rlx(&t->age) + 1);
    reuse(s, t);
  }
  go_sync_wait_ *list = leave(s);
  go_unlock_(lock_of(s));
  wake(go_m_get_(), list);
  return NULL;
}

go_task *go_scope_spawn_site_(const char *site, go_scope *s, int (*fn)(void *), const void *args,
                              size_t size) {
  if (GO_UNLIKELY_(fn == NULL)) {
    go_fatal_("go_scope_spawn of a NULL function");
  }
  must_be_open(s, "go_scope_spawn");
  go_lock_(lock_of(s));
  if (GO_UNLIKELY_(full(s))) {
    int err = wait_for_place(s);
    if (err != 0) {
      fail(s, err, NULL);
      return NULL;
    }
    go_lock_(lock_of(s));
  } else {
    s->running_++;
  }
  task *t = take_slot(s, fn);
  go_unlock_(lock_of(s));
  if (GO_UNLIKELY_(t == NULL)) {
    return not_started(s, NULL, GO_ENOMEM);
  }
  go_task *h = handle_of(t); /* now: when it is started it may be over, and used again */
  go_spawn_ how = {.site = site, .on_end = finish, .end_arg = t};
  int err = go_spawn_with_(&how, task_main, args, size);
  return GO_LIKELY_(err == 0) ? h : not_started(s, t, err);
}

go_task *go_scope_spawn(go_scope *s, int (*fn)(void *), void *arg) {
  return go_scope_spawn_site_(NULL, s, fn, arg, 0);
}

go_task *go_scope_spawn_copy(go_scope *s, int (*fn)(void *), const void *args, size_t size) {
  return go_scope_spawn_site_(NULL, s, fn, args, size);
}

/* ---- joining ---- */

static __attribute__((noinline)) int join_slow(task *t) {
  go_m_ *m = go_enter_();
  go_scope *s = t->scope;
  joiner j = {.g = m->cur};
  if (is_inside(m->cur, t, NULL)) {
    go_panic("go_task_join: the task waits for itself");
  }
  go_lock_(lock_of(s));
  if (go_ld_rlx(&t->state) == DONE) {
    j.result = t->result;
    go_st_rlx(&t->seen, 1u);
    go_unlock_(lock_of(s));
    return j.result;
  }
  go_prepark_(m, GO_WAIT_TASK_);
  j.next = t->joiners;
  t->joiners = &j;
  go_unlock_(lock_of(s));
  (void)go_park_(m);
  return j.result; /* the slot may serve another by now, if the caller is not of this scope */
}

int go_task_join(go_task *h) {
  if (h == NULL) {
    return GO_EINVAL;
  }
  task *t = slot_of(h, "go_task_join");
  if (go_ld_acq(&t->state) != DONE) { /* pairs with finish */
    return join_slow(t);
  }
  int r = t->result;
  if (GO_UNLIKELY_(t->panicked)) {
    go_st_rlx(&t->seen, 1u);
  }
  return r;
}

const go_panic_info *go_task_panic(go_task *h) {
  task *t = h != NULL ? slot_of(h, "go_task_panic") : NULL;
  if (t == NULL || go_ld_acq(&t->state) != DONE || !t->panicked) { /* pairs with finish */
    return NULL;
  }
  go_st_rlx(&t->seen, 1u);
  return &panic_of(t)->info;
}

void go_task_release(go_task *h) {
  if (h == NULL) {
    return;
  }
  task *t = slot_of(h, "go_task_release");
  go_scope *s = t->scope;
  go_lock_(lock_of(s));
  go_st_rlx(&t->age, go_ld_rlx(&t->age) + 1);
  t->released = true;
  if (go_ld_rlx(&t->state) == DONE) {
    reuse(s, t);
  }
  go_unlock_(lock_of(s));
}

/* Lock held; it comes back with the lock held. Waits until nothing runs. */
static void wait_idle(go_scope *s, const char *call) {
  go_m_ *m = go_enter_();
  while (s->running_ != 0) {
    go_sync_wait_ w = {.g = m->cur};
    if (is_inside(m->cur, NULL, s)) {
      go_unlock_(lock_of(s));
      go_panic("%s: the scope waits for itself", call);
    }
    go_prepark_(m, GO_WAIT_SCOPE_);
    go_sync_put_(idle_of(s), &w, false);
    go_unlock_(lock_of(s));
    m = go_park_(m);
    go_lock_(lock_of(s));
  }
}

/* Lock held. */
static int error_seen(go_scope *s) {
  if (s->failed_ != NULL) {
    go_st_rlx(&((task *)s->failed_)->seen, 1u);
  }
  return s->err_;
}

int go_scope_wait(go_scope *s) {
  must_be_open(s, "go_scope_wait");
  go_lock_(lock_of(s));
  wait_idle(s, "go_scope_wait");
  int err = error_seen(s);
  go_unlock_(lock_of(s));
  return err;
}

const go_panic_info *go_scope_panic(go_scope *s) {
  must_be_open(s, "go_scope_panic");
  go_lock_(lock_of(s));
  task *t = s->failed_;
  (void)error_seen(s);
  go_unlock_(lock_of(s));
  return t != NULL ? &panic_of(t)->info : NULL;
}

/* ---- opening and ending ---- */

/* The handler may call go_exit, which comes back here by left(): so nothing is lost by that. */
static void tell_panics(go_scope *s) {
  for (task *t = s->all_; t != NULL; t = t->next) {
    if (t->panicked && go_ld_rlx(&t->seen) == 0) {
      go_st_rlx(&t->seen, 1u);
      go_panic_tell_(panic_of(t));
    }
  }
}

static void end(go_scope *s) {
  go_lock_(lock_of(s));
  wait_idle(s, "go_scope_end");
  go_st_rlx(state_of(s), (uint32_t)ENDED);
  go_unlock_(lock_of(s));
  go_ctx *ctx = go_ld_rlx(ctx_of(s));
  if (ctx != NULL) {
    go_st_rlx(ctx_of(s), NULL);
    go_ctx_cancel(ctx);
    go_ctx_unref(ctx);
  }
  tell_panics(s);
  give_slots(s->all_);
  s->all_ = NULL;
  go_g_ *g = go_enter_()->cur;
  g->defers = s->defer_.next_;
}

/* The deferred call: a panic or go_exit leaves the scope. On the list again meanwhile: see tell_panics. */
static void left(void *arg) {
  go_scope *s = arg;
  go_g_ *g = go_enter_()->cur;
  go_defer_push_(&s->defer_);
  if (go_ld_rlx(state_of(s)) == OPEN) {
    fail(s, g->panics != NULL ? GO_EPANIC : GO_ECANCELED, NULL);
  }
  end(s);
}

/* C++ exceptions that are on their way through this goroutine's frames. */
static uint32_t throwing(const go_m_ *m) { return m->cxx != NULL ? (uint32_t)m->cxx->uncaught : 0; }

void go_scope_begin(go_scope *s, go_ctx *ctx) {
  if (go_ld_rlx(state_of(s)) == OPEN) {
    go_fatal_("go_scope_begin: the scope is open");
  }
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur;
  memset(s, 0, sizeof *s);
  s->parent_ = ctx;
  s->limit_ = -1;
  s->throwing_ = throwing(m);
  s->inside_ = task_of(g);
  s->owner_ = g;
  s->defer_.fn_ = left;
  s->defer_.arg_ = s;
  go_defer_push_(&s->defer_);
  go_st_rlx(state_of(s), (uint32_t)OPEN);
}

int go_scope_end(go_scope *s) {
  must_be_open(s, "go_scope_end");
  go_g_ *g = go_enter_()->cur;
  if (s->owner_ != g || g->defers != &s->defer_) {
    go_fatal_("go_scope_end: %s", s->owner_ != g
                                      ? "another goroutine has opened the scope"
                                      : "what was deferred or opened in the scope is not done yet");
  }
  go_lock_(lock_of(s));
  wait_idle(s, "go_scope_end");
  int err = error_seen(s);
  go_unlock_(lock_of(s));
  end(s);
  return err;
}

bool go_scope_once_(go_scope *s) {
  if (s->state_ != NEVER) {
    return false;
  }
  go_scope_begin(s, s->parent_);
  return true;
}

/* The cleanup of the block. */
void go_scope_leave_(go_scope *s) {
  if (s->state_ != OPEN) {
    return;
  }
  if (throwing(go_enter_()) > s->throwing_) { /* else it is what runs because of one */
    fail(s, GO_EPANIC, NULL);
  }
  end(s);
}
