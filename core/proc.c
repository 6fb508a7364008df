/* core/proc.c: starting, sizing and stopping the scheduler; Ps and Ms as things that exist.
 *
 * Locks: init_lock (starting, stopping) before procs_lock (number of Ps) before sched.lock. None of them
 * is held while a goroutine could suspend.
 */
#include <golib/runtime.h>

#include <stdlib.h>
#include <string.h>

#include <golib/go.h>

#include "core/hooks.h"
#include "core/netpoll.h"
#include "core/out.h"
#include "core/poll.h"
#include "core/pool.h"
#include "core/sched.h"
#include "core/serve.h"
#include "core/stack.h"
#include "core/trace.h"

static go_a32 init_lock, procs_lock;

/* ---- Ps ---- */

void go_p_put_idle_(go_p_ *p) {
  p->state = GO_P_IDLE_;
  p->link = GO_S->idle_p;
  GO_S->idle_p = p;
  go_idle_p_(&GO_S->idle, 1);
}

go_p_ *go_p_get_idle_(void) {
  go_p_ *p = GO_S->idle_p;
  if (p != NULL) {
    GO_S->idle_p = p->link;
    GO_S->taken++;
    p->state = GO_P_RUNNING_;
    go_idle_p_(&GO_S->idle, -1);
    if (GO_S->idle_p == NULL || GO_S->watch_after != 0) {
      go_sysmon_wake_();
    }
  }
  return p;
}

void go_p_acquire_(go_m_ *m, go_p_ *p) {
  go_m_set_p_(m, p);
  go_st_rel(&p->m, (void *)m); /* pairs with sysmon, which looks at m then */
}

go_p_ *go_p_release_(go_m_ *m) {
  go_p_ *p = m->p;
  go_st_rlx(&p->m, NULL);
  go_m_set_p_(m, NULL);
  return p;
}

void go_idle_m_put_(go_m_ *m) {
  m->link = GO_S->idle_m;
  GO_S->idle_m = m;
  GO_S->nidle_m++;
}

go_m_ *go_idle_m_get_(void) {
  go_m_ *m = GO_S->idle_m;
  if (m != NULL) {
    GO_S->idle_m = m->link;
    GO_S->nidle_m--;
  }
  return m;
}

bool go_idle_m_remove_(go_m_ *m) {
  go_m_ **at = &GO_S->idle_m;
  while (*at != NULL && *at != m) {
    at = &(*at)->link;
  }
  if (*at == NULL) {
    return false;
  }
  *at = m->link;
  GO_S->nidle_m--;
  return true;
}

void go_m_back_(go_m_ *m) {
  go_st_sc(&GO_S->nforeign, go_ld_rlx(&GO_S->nforeign) - 1);
  if (go_is_lost_(m)) {
    go_st_rlx(&GO_S->nlost, go_ld_rlx(&GO_S->nlost) - 1);
    go_hold_set_(&m->hold, GO_ASKED_NO_);
  }
}

bool go_m_take_idle_(go_m_ *m) {
  if (go_ld_rlx(&GO_S->idle.np) == 0) {
    return false;
  }
  go_lock_(&GO_S->lock);
  go_p_ *p = go_p_get_idle_();
  if (p != NULL) {
    go_m_back_(m);
  }
  go_unlock_(&GO_S->lock);
  if (p == NULL) {
    return false;
  }
  go_p_acquire_(m, p);
  go_st_rlx(&p->tick_at, (uint64_t)go_os_now_());
  if (GO_UNLIKELY_(m->hooked != NULL || go_hooks_() != NULL)) {
    go_ticks_set_(p, 0); /* back to g0, which calls them */
  }
  return true;
}

static _Noreturn void no_threads(void) {
  go_fatal_("no thread can be started, and all that there are are wired to goroutines");
}

bool go_all_ps_idle_(void) {
  if (go_ld_sc(&GO_S->idle.np) != go_ld_sc(&GO_S->procs)) {
    return false;
  }
  for (uint32_t i = 0; i < go_ld_rlx(&GO_S->np_made); i++) { /* one that is to go may still run */
    if (GO_S->all_p[i]->state == GO_P_RUNNING_) {
      return false;
    }
  }
  return true;
}

/* All Ps are idle, and no M will ever take one: whoever is between giving up a P and going to sleep would. */
static bool stranded(void) {
  go_lock_(&GO_S->lock);
  bool yes = go_all_ps_idle_() && go_ld_sc(&GO_S->stopping) == 0 &&
             go_ld_sc(&GO_S->nforeign) == 0 && /* whoever comes back takes one */
             GO_S->nm - go_ld_sc(&GO_S->ndying) <= go_ld_sc(&GO_S->nwired);
  go_unlock_(&GO_S->lock);
  return yes;
}

void go_p_handoff_(go_p_ *p) {
  bool work = !go_runq_empty_(&p->q) || go_ld_sc(&GO_S->q.n) != 0 || go_ld_sc(&p->leave) != 0 ||
              (int64_t)go_ld_sc(&p->tm.first) != INT64_MAX;
  go_lock_(&GO_S->lock);
  work = work || go_ld_rlx(&GO_S->q.n) != 0 || go_ld_rlx(&p->leave) != 0;
  if (!work || go_ld_rlx(&GO_S->stopping) != 0) {
    go_p_put_idle_(p);
    go_unlock_(&GO_S->lock);
    go_idle_look_(); /* for whoever submitted before the P was idle: nobody else looks now */
    if (go_work_anywhere_() || go_poller_wanted_()) {
      go_wake_();
    }
    return;
  }
  go_m_ *m = go_idle_m_get_();
  go_unlock_(&GO_S->lock);
  if (m != NULL) {
    m->spinning = false;
    m->next_p = p;
    go_note_wake_(&m->note);
  } else if (go_m_start_(p, false) != 0 && stranded()) {
    no_threads();
  }
}

static go_p_ *make_p(uint32_t id) {
  go_p_ *p = go_os_alloc_(GO_CACHE_LINE_, sizeof *p);
  if (p == NULL) {
    return NULL;
  }
  memset(p, 0, sizeof *p);
  p->id = id;
  p->rng = go_os_random_() | 1;
  p->tick_n = 1;
  go_st_rlx(&p->watch, go_tracing_() ? (uint32_t)GO_WATCH_TRACE_ : 0u);
  p->state = GO_P_GONE_;
  go_st_rlx(&p->tm.first, (uint64_t)INT64_MAX);
  return p;
}

/* procs_lock held. Makes Ps up to n exist. */
static int make_ps(uint32_t n) {
  for (uint32_t i = go_ld_rlx(&GO_S->np_made); i < n; i++) {
    go_p_ *p = make_p(i);
    if (p == NULL) {
      return GO_ENOMEM;
    }
    go_lock_(&GO_S->lock);
    GO_S->all_p[i] = p;
    go_st_rel(&GO_S->np_made, i + 1); /* pairs with every loop over all_p */
    go_unlock_(&GO_S->lock);
  }
  return 0;
}

/* ---- Ms ---- */

/* of: a list of such whose threads have ended, or NULL. */
static go_m_ *take_spare(go_m_ **of) {
  go_lock_(&GO_S->lock);
  go_m_ *m = *of;
  if (m != NULL) {
    *of = m->link;
  }
  go_unlock_(&GO_S->lock);
  return m;
}

static go_m_ *new_m(void) {
  size_t size = (sizeof(go_m_) + GO_CACHE_LINE_ - 1) & ~(size_t)(GO_CACHE_LINE_ - 1);
  go_m_ *m = go_os_alloc_(GO_CACHE_LINE_, size);
  if (m != NULL) {
    memset(m, 0, size);
    go_st_rlx(&m->hold.in, 1u); /* until it runs a goroutine */
    go_st_rlx(&m->hold.asked,
              go_ld_rlx(&GO_S->fenced)); /* plain threads, made before it is known, hold no P */
    m->rng = go_os_random_() | 1;
  }
  return m;
}

_Static_assert(offsetof(go_m_, p) < offsetof(go_m_, cur) &&
                   offsetof(go_m_, hold) < offsetof(go_m_, cur) &&
                   offsetof(go_m_, mon) > offsetof(go_m_, mon_link),
               "what sysmon may still look at is not cleared");

static go_m_ *new_worker_m(void) {
  go_m_ *m = take_spare(&GO_S->spare_worker);
  if (m == NULL) {
    m = new_m();
  } else {
    memset(&m->cur, 0, offsetof(go_m_, mon_link) - offsetof(go_m_, cur));
    m->rng = go_os_random_() | 1;
  }
  if (m != NULL) {
    m->worker = true;
  }
  return m;
}

/* Its thread has ended, or is about to and does not touch it any more. sched.lock held. */
static void spare_worker(go_m_ *m) {
  m->link = GO_S->spare_worker;
  GO_S->spare_worker = m;
}

static void all_m_remove(go_m_ *m) {
  go_m_ **at = &GO_S->all_m;
  while (*at != m) {
    at = &(*at)->all_link;
  }
  *at = m->all_link;
}

/* Until its creator has stored `thread`. */
static void wait_started(go_m_ *m) {
  while (go_ld_acq(&m->started) == 0) {
    go_os_yield_();
  }
}

void go_preempt_begin_(go_m_ *m) {
  go_preempt_enter_(&m->pre, GO_S->preempt_ready || GO_S->watch_ready);
}

void go_preempt_end_(go_m_ *m) {
  go_lock_(&GO_S->lock);
  while (go_ld_acq(&m->pre.asking) != 0) { /* pairs with sysmon's, which is about to end it */
    go_unlock_(&GO_S->lock);
    go_os_yield_();
    go_lock_(&GO_S->lock);
  }
  m->pre.id = 0;
  go_unlock_(&GO_S->lock);
  go_preempt_leave_(&m->pre);
}

static void m_main(void *arg) {
  go_m_ *m = arg;
  go_m_set_(m);
  go_os_thread_name_("golib");
  go_os_thread_exact_();                     /* it will keep time for all */
  (void)go_os_fault_stack_(&m->fault_stack); /* without one an overflow is a plain crash */
  go_preempt_begin_(m);
  if (m->next_p != NULL) {
    go_p_acquire_(m, m->next_p);
    m->next_p = NULL;
    go_st_rlx(&m->p->tick_at, (uint64_t)go_os_now_());
  }
  go_m_loop_(m);
  go_preempt_end_(m);
  go_os_fault_stack_free_(m->fault_stack);
  go_m_set_(NULL);
  bool alone = m->die; /* nobody may come by to join it for long */
  if (alone) {
    wait_started(m);
    go_os_thread_detach_(&m->thread);
  }
  go_lock_(&GO_S->lock);
  all_m_remove(m);
  GO_S->nm--;
  if (alone) {
    (void)go_sub_sc(&GO_S->ndying, 1u);
    spare_worker(m);
  } else {
    m->all_link = GO_S->dead_m;
    GO_S->dead_m = m;
  }
  go_unlock_(&GO_S->lock);
}

/* Joins the threads that have ended. */
static void reap(void) {
  go_lock_(&GO_S->lock);
  go_m_ *m = GO_S->dead_m;
  GO_S->dead_m = NULL;
  go_unlock_(&GO_S->lock);
  while (m != NULL) {
    go_m_ *next = m->all_link;
    wait_started(m);
    go_os_thread_join_(&m->thread);
    go_lock_(&GO_S->lock);
    spare_worker(m);
    go_unlock_(&GO_S->lock);
    m = next;
  }
}

/* No M could be started for p: an M that has fallen asleep meanwhile takes it, or the next that would. In one
 * critical section, so that nobody sees the P idle and us still looking for work. */
static void give_back(go_p_ *p, bool spinning) {
  go_lock_(&GO_S->lock);
  go_m_ *m = p != NULL ? go_idle_m_get_() : NULL;
  if (m == NULL) {
    if (p != NULL) {
      go_p_put_idle_(p);
      go_st_rlx(&GO_S->want_m, 1u);
    }
    if (spinning) {
      (void)go_idle_end_(&GO_S->idle);
    }
  }
  go_unlock_(&GO_S->lock);
  if (m != NULL) {
    m->spinning = spinning;
    m->next_p = p;
    go_note_wake_(&m->note);
  }
}

/* sched.lock taken inside. false: there are as many as there may be. */
static bool count_m(go_m_ *m) {
  go_lock_(&GO_S->lock);
  bool ok = GO_S->nm - go_ld_sc(&GO_S->ndying) < GO_S->max_m;
  if (ok) {
    GO_S->nm++;
    GO_S->peak_m = GO_S->nm > GO_S->peak_m ? GO_S->nm : GO_S->peak_m;
    go_st_rlx(&GO_S->nstarted, go_ld_rlx(&GO_S->nstarted) + 1);
    m->all_link = GO_S->all_m;
    GO_S->all_m = m;
  }
  go_unlock_(&GO_S->lock);
  return ok;
}

/* m was never counted; or NULL. */
static void put_back_m(go_m_ *m) {
  if (m != NULL) {
    go_lock_(&GO_S->lock);
    spare_worker(m);
    go_unlock_(&GO_S->lock);
  }
}

/* It has no thread of its own, or none any more. */
static void uncount_m(go_m_ *m) {
  go_lock_(&GO_S->lock);
  all_m_remove(m);
  GO_S->nm--;
  if (m->die) {
    (void)go_sub_sc(&GO_S->ndying, 1u);
  }
  spare_worker(m);
  go_unlock_(&GO_S->lock);
}

/* The thread of a counted M. */
static int start_thread(go_m_ *m) {
  go_os_thread_ t;
  int r = go_os_thread_start_(&t, m_main, m);
  if (r == 0) {
    m->thread = t;
    go_st_rel(&m->started, 1u); /* pairs with wait_started: m may be gone now */
    (void)go_sub_sc(&GO_S->nstarting, 1u);
    return 0;
  }
  go_p_ *p = m->next_p;
  bool spinning = m->spinning;
  uncount_m(m);
  (void)go_sub_sc(&GO_S->nstarting, 1u);
  give_back(p, spinning);
  return r;
}

/* A new thread inherits what its creator has made of itself: priority, namespaces, CPU set. So a thread
 * that a goroutine is wired to, or that is not ours, has the starter do it. */
bool go_must_delegate_(void) {
  go_m_ *own = go_m_get_();
  return go_ld_acq(&GO_S->starter_up) != 0 &&
         (own == NULL || !own->worker || own->locked_g != NULL || own->die);
}

/* A counted worker without a thread; on failure p is given back. */
static int new_worker(go_p_ *p, bool spinning, go_m_ **ret) {
  go_m_ *m = new_worker_m();
  (void)go_add_sc(&GO_S->nstarting, 1u); /* before it is counted */
  if (m == NULL || !count_m(m)) {
    int r = m == NULL ? GO_ENOMEM : GO_EAGAIN;
    (void)go_sub_sc(&GO_S->nstarting, 1u);
    put_back_m(m);
    give_back(p, spinning);
    return r;
  }
  m->next_p = p;
  m->spinning = spinning;
  *ret = m;
  return 0;
}

int go_m_start_(go_p_ *p, bool spinning) {
  if (go_embedded_()) { /* the host runs them */
    give_back(p, spinning);
    return GO_EAGAIN;
  }
  reap();
  go_m_ *m;
  int r = new_worker(p, spinning, &m);
  if (r != 0) {
    return r;
  }
  if (!go_must_delegate_()) {
    return start_thread(m);
  }
  go_lock_(&GO_S->lock);
  m->link = GO_S->to_start;
  GO_S->to_start = m;
  go_unlock_(&GO_S->lock);
  go_note_wake_(&GO_S->starter_note);
  return 0;
}

#define START_TRIES 1000 /* of 1 ms */

/* On the starter. Who asked it does not learn that a thread could not be started; often that is because it
 * is about to end itself, and makes room. */
static void start_stubbornly(go_m_ *m) {
  static uint32_t never;
  int r = start_thread(m);
  for (int tries = 0; r != 0; tries++) {
    (void)go_os_futex_wait_(&never, 0, GO_MS);
    if (!stranded()) {
      return;
    }
    if (tries == START_TRIES) {
      no_threads();
    }
    go_lock_(&GO_S->lock);
    go_p_ *p = go_p_get_idle_();
    go_unlock_(&GO_S->lock);
    r = new_worker(p, false, &m);
    if (r == 0) {
      r = start_thread(m);
    }
  }
}

static void starter_main(void *arg) {
  (void)arg;
  go_os_thread_name_("golib-starter");
  /* Ms that end while the scheduler stops may still ask for others: stay until the last has gone. */
  while (go_ld_acq(&GO_S->starter_quit) == 0) {
    (void)go_note_sleep_(&GO_S->starter_note, -1);
    go_note_clear_(&GO_S->starter_note); /* before looking: a later wake-up is not lost */
    go_fence_sc();
    go_lock_(&GO_S->lock);
    go_m_ *m = GO_S->to_start;
    GO_S->to_start = NULL;
    go_unlock_(&GO_S->lock);
    while (m != NULL) {
      go_m_ *next = m->link;
      start_stubbornly(m);
      m = next;
    }
  }
}

void go_starter_start_(void) {
  if (go_ld_acq(&GO_S->starter_up) != 0) {
    return;
  }
  go_lock_(&procs_lock);
  if (go_ld_rlx(&GO_S->starter_up) == 0 &&
      go_os_thread_start_(&GO_S->starter, starter_main, NULL) == 0) {
    go_st_rel(&GO_S->starter_up, 1u);
  } /* else threads go on being started by whoever needs them */
  go_unlock_(&procs_lock);
}

static void starter_stop(void) {
  if (go_ld_acq(&GO_S->starter_up) != 0) {
    go_st_rel(&GO_S->starter_quit, 1u);
    go_note_wake_(&GO_S->starter_note);
    go_os_thread_join_(&GO_S->starter);
  }
}

/* ---- plain threads ---- */

static void put_spare(go_m_ *m) {
  go_lock_(&GO_S->lock);
  m->link = GO_S->spare_m; /* kept: a late timer may look at its G */
  GO_S->spare_m = m;
  go_unlock_(&GO_S->lock);
}

static void detach_thread(void *arg) {
  go_m_ *m = arg;
  if (go_forked_()) {
    return;
  }
  if (m->thread_g.name != NULL) {
    (void)go_local_end_(&m->thread_g);
    m->thread_g.name[0] = '\0';
  }
  go_m_set_(NULL);
  put_spare(m);
}

go_m_ *go_attach_try_(void) {
  go_m_ *m = take_spare(&GO_S->spare_m);
  if (m == NULL) {
    m = new_m();
  }
  if (m == NULL) {
    return NULL;
  }
  if (go_os_at_thread_exit_(detach_thread, m) != 0) {
    put_spare(m);
    return NULL;
  }
  m->thread_g.flags = GO_G_THREAD_;
  m->cur = &m->thread_g;
  m->cxx = go_os_cxx_();
  go_set_state_(m->cur, GO_G_RUNNING_);
  go_m_set_(m);
  return m;
}

__attribute__((noinline)) go_m_ *go_attach_slow_(void) {
  if (go_forked_()) {
    go_forked_fatal_(__builtin_return_address(0));
  }
  go_m_ *m = go_attach_try_();
  if (m == NULL) {
    go_fatal_("no memory to make this thread known");
  }
  return m;
}

__attribute__((noinline)) go_m_ *go_attach_unless_forked_slow_(void) {
  return go_forked_() ? NULL : go_attach_slow_();
}

/* ---- giving stacks back ---- */

#define TRIM_AFTER (100 * GO_MS)
#define TRIM_BATCH 512u /* some hundred microseconds */

static void trim_after(go_m_ *m, int64_t wait);

/* A timer that is in a heap only while there is something to give back: an idle process sleeps. */
static void trim(go_m_ *m, void *arg, uint32_t seq) {
  (void)arg;
  (void)seq;
  int next = go_stack_trim_(TRIM_BATCH);
  if (next != GO_TRIM_DONE_) {
    trim_after(m, next == GO_TRIM_NOW_ ? GO_MS : TRIM_AFTER);
  } else {
    go_st_rel(&GO_S->trimming, 0u);
  }
}

/* The caller has set trimming, and so owns the timer. */
static void trim_after(go_m_ *m, int64_t wait) {
  GO_S->trim_tm = (go_tm_){.when = go_os_now_() + wait, .fn = trim};
  if (go_tm_add_(m, &GO_S->trim_tm) != 0) {
    go_st_rel(&GO_S->trimming, 0u); /* another time, then */
  }
}

void go_stack_surplus_(void) {
  go_m_ *m = go_m_get_();
  uint32_t none = 0;
  if (m != NULL && m->p != NULL && go_ld_rlx(&GO_S->trimming) == 0 &&
      go_cas_ar(&GO_S->trimming, &none, 1u)) {
    trim_after(m, TRIM_AFTER);
  }
}

/* ---- starting ---- */

/* "256K", "64M", "1G", "65536"; 0 if it is none of these. */
static size_t parse_size(const char *s) {
  char *end;
  unsigned long long n = strtoull(s, &end, 10);
  int shift = *end == 'K' || *end == 'k'   ? 10
              : *end == 'M' || *end == 'm' ? 20
              : *end == 'G' || *end == 'g' ? 30
                                           : 0;
  if (end == s || (shift != 0 ? end[1] : end[0]) != '\0' || n > ((unsigned long long)1 << 40)) {
    return 0;
  }
  return (size_t)n << shift;
}

/* The number in the environment variable `name`, in units of `unit` ns; `otherwise` if it is not set. */
static int64_t env_time(const char *name, int64_t unit, int64_t otherwise) {
  const char *s = getenv(name);
  char *end;
  if (s == NULL || *s == '\0') {
    return otherwise;
  }
  long n = strtol(s, &end, 10);
  if (*end != '\0' || n < 0 || n > 1000000000) {
    go_fatal_("%s=%s: not a number from 0 to 1000000000", name, s);
  }
  return n * unit;
}

/* Whether goroutines may be stopped anywhere unless they say otherwise. */
static bool switches(const go_config *cfg) {
  const char *s = getenv("GOLIB_PREEMPT");
  if (cfg->preempt != GO_PREEMPT_DEFAULT || s == NULL || *s == '\0') {
    return cfg->preempt == GO_PREEMPT_SWITCH;
  }
  if (strcmp(s, "switch") != 0 && strcmp(s, "retake") != 0) {
    go_fatal_("GOLIB_PREEMPT=%s: neither switch nor retake", s);
  }
  return *s == 's' && !cfg->embedded;
}

/* Who asks for it in the program is told when it cannot be done; the environment only wishes. */
static int start_preempt(const go_config *cfg) {
  int r = 0;
  bool all = switches(cfg);
  GO_S->preempt_signal = cfg->preempt_signal;
  if (all || cfg->preempt_signal != 0) {
    r = go_preempt_init_(cfg->preempt_signal);
    GO_S->preempt_ready = r == 0;
    all = all && r == 0;
    r = r == GO_ENOSYS && cfg->preempt != GO_PREEMPT_SWITCH ? 0 : r;
  }
  go_st_rlx(&GO_S->nopreempt, all ? 0u : GO_NOPREEMPT_);
  if (r == 0 && GO_S->watch_after != 0) { /* without it reports have no stack */
    r = go_preempt_watch_(cfg->preempt_signal);
    GO_S->watch_ready = r == 0;
    r = r == GO_ENOSYS ? 0 : r;
  }
  return r;
}

static uint32_t default_procs(const go_config *cfg) {
  int n = cfg->embedded ? 1 : cfg->procs;
  if (n == 0) {
    const char *s = getenv("GOMAXPROCS");
    char *end;
    long v = s != NULL ? strtol(s, &end, 10) : 0;
    n = s != NULL && *end == '\0' && v > 0 ? (v > GO_PROCS_MAX_ ? GO_PROCS_MAX_ : (int)v)
                                           : go_os_cpus_();
  }
  return n > GO_PROCS_MAX_ ? GO_PROCS_MAX_ : (uint32_t)n;
}

/* The stack class, and whether the user has chosen it. 0: out of range. */
static uint32_t default_stack(const go_config *cfg, bool *ret_fixed) {
  const char *s = getenv("GOLIB_STACK");
  size_t size = cfg->stack_size != 0 ? cfg->stack_size : s != NULL ? parse_size(s) : 0;
  *ret_fixed = size != 0;
  uint32_t cls = size == 0 ? GO_STACK_CLASS_DEFAULT_ : go_stack_class_(size);
  return cls == 0 ? 0 : go_stack_slot_class_(cls);
}

/* golib inside another event loop: see core/step.c. init_lock held, by the host. */
static int start_embedded(void) {
  go_m_ *m = new_m();
  if (m == NULL) {
    return GO_ENOMEM;
  }
  m->worker = true;
  (void)go_os_fault_stack_(&m->fault_stack);
  GO_S->step_m = m;
  go_st_rlx(&GO_S->host, (void *)go_enter_());
  go_st_sc(&GO_S->poll_until, (uint64_t)INT64_MAX);
  go_st_sc(&GO_S->poller, 1u);
  go_st_sc(&GO_S->all_p[0]->leave,
           4u); /* for go_checkpoint: the host always wants its thread back */
  return 0;
}

static void stop_embedded(void) {
  if (GO_S->step_m != NULL) {
    if (go_m_get_() == go_host_()) { /* else it is another thread's signal stack, and stays */
      go_os_fault_stack_free_(GO_S->step_m->fault_stack);
    }
    go_os_free_(GO_S->step_m);
  }
}

static void free_ms(go_m_ *m) {
  while (m != NULL) {
    go_m_ *next = m->link;
    go_extra_free_(&m->thread_g);
    go_os_free_(m);
    m = next;
  }
}

static void release_all(void) {
  go_trace_fini_();
  go_debug_stop_();
  for (uint32_t i = 0; i < go_ld_rlx(&GO_S->np_made); i++) {
    go_tm_drop_(&GO_S->all_p[i]->tm);
    go_tm_heap_free_(&GO_S->all_p[i]->tm);
    go_os_free_(GO_S->all_p[i]);
  }
  go_spawn_fini_();
  go_stack_fini_();
  go_pd_fini_();
  go_poll_fini_();
  go_os_off_fault_();
  if (GO_S->preempt_ready || GO_S->watch_ready) {
    go_preempt_fini_();
  }
  free_ms(GO_S->spare_m);
  free_ms(GO_S->spare_worker);
  stop_embedded();
  uint32_t blocked = go_ld_rlx(&GO_S->nblocked);
  memset(GO_S, 0, sizeof *GO_S);
  go_st_rlx(&GO_S->nblocked, blocked);
}

static int start_ps(uint32_t procs) {
  int r = make_ps(procs);
  if (r != 0) {
    return r;
  }
  go_lock_(&GO_S->lock);
  for (uint32_t i = procs; i-- > 0;) {
    go_p_put_idle_(GO_S->all_p[i]);
  }
  GO_S->all_p[0]->solo = procs == 1;
  go_st_rel(&GO_S->procs, procs);
  go_unlock_(&GO_S->lock);
  return 0;
}

static int start_threads(const go_config *cfg) {
  int r = go_sysmon_start_();
  if (r == 0) {
    r = cfg->embedded ? start_embedded() : go_m_start_(NULL, false);
  }
  if (r != 0) {
    go_sysmon_stop_();
  }
  return r;
}

static const char *starting = ""; /* what of the scheduler; under init_lock */

/* init_lock held. */
static int start(const go_config *cfg) {
  bool fixed;
  uint32_t procs = default_procs(cfg);
  uint32_t cls = default_stack(cfg, &fixed);
  if (cls == 0 || cfg->procs < 0 || cfg->max_threads < 0 || cfg->max_goroutines < 0 ||
      cfg->offload_threads < 0 || cfg->watchdog < 0 || cfg->preempt < 0 ||
      cfg->preempt > GO_PREEMPT_SWITCH || cfg->preempt_signal < 0 ||
      (cfg->embedded &&
       (cfg->procs > 1 || cfg->main_thread || cfg->preempt == GO_PREEMPT_SWITCH))) {
    return GO_EINVAL;
  }
  GO_S->max_m = cfg->max_threads > 0 ? (uint32_t)cfg->max_threads : 10000;
  GO_S->max_g = cfg->max_goroutines;
  GO_S->main_thread = cfg->main_thread;
  GO_S->watch_after = cfg->watchdog != 0 ? cfg->watchdog : env_time("GOLIB_WATCHDOG", GO_MS, 0);
  GO_S->retake_after = cfg->embedded ? 0 : env_time("GOLIB_RETAKE", GO_US, GO_RETAKE_AFTER_);
  /* Before there are threads: it is cheap then. */
  go_st_rlx(&GO_S->fenced, go_os_fence_init_() ? 0u : (uint32_t)GO_ASKED_FENCED_);
  go_st_rlx(&GO_S->embedded, cfg->embedded ? 1u : 0u);
  go_offload_max_((uint32_t)cfg->offload_threads);
  go_st_rlx(&GO_S->careful, (cfg->max_goroutines != 0 ? (uint32_t)GO_CAREFUL_LIMIT_ : 0u) |
                                (go_hooks_() != NULL ? (uint32_t)GO_CAREFUL_HOOKS_ : 0u));
  starting = "its poller: ";
  int r = go_fork_watch_();
  if (r == 0) {
    r = go_poll_init_();
  }
  if (r != 0) {
    return r;
  }
  starting = "stacks for goroutines: ";
  r = go_stack_init_(cls, fixed, procs);
  if (r == 0) {
    r = start_ps(procs);
  }
  if (r == 0) {
    starting = "its signal handlers: ";
    r = go_os_on_fault_(go_on_fault_);
  }
  if (r == 0) {
    r = go_debug_start_(cfg->dump_signal);
  }
  if (r == 0) {
    r = start_preempt(cfg);
  }
  if (r == 0) { /* else one thread, which sleeps: later ones may fail, and work still gets done */
    starting = "its threads: ";
    r = start_threads(cfg);
  }
  if (r != 0) {
    release_all();
    return r;
  }
  go_st_rel(&GO_S->running, 1u); /* pairs with go_start_ */
  return 0;
}

bool go_in_use_(void) { return go_ld_rlx(&GO_S->running) != 0 || (go_ld_rlx(&init_lock) & 1) != 0; }

int go_start_(void) {
  if (GO_LIKELY_(go_ld_acq(&GO_S->running) != 0)) {
    return 0;
  }
  if (go_forked_()) {
    return GO_EFORKED;
  }
  static const go_config defaults;
  go_lock_(&init_lock);
  int r = go_ld_rlx(&GO_S->running) != 0 ? 0 : start(&defaults);
  if (r == GO_EINVAL) {
    go_fatal_("GOLIB_STACK=%s: not a size from 16K to 1G", getenv("GOLIB_STACK"));
  }
  go_unlock_(&init_lock);
  return r;
}

int go_init(const go_config *cfg) {
  static const go_config defaults;
  if (go_forked_()) {
    return GO_EFORKED;
  }
  go_lock_(&init_lock);
  int r = go_ld_rlx(&GO_S->running) != 0 ? GO_EBUSY : start(cfg != NULL ? cfg : &defaults);
  go_unlock_(&init_lock);
  return r;
}

/* ---- stopping ---- */

static void wake_all_ms(void) {
  go_lock_(&GO_S->lock);
  go_st_sc(&GO_S->stopping, 1u);
  for (go_m_ *m; (m = go_idle_m_get_()) != NULL;) {
    go_note_wake_(&m->note);
  }
  go_unlock_(&GO_S->lock);
  go_poll_break_();
}

static bool wait_no_goroutines(int64_t until) {
  uint32_t never = 0;
  while (go_live_() != 0 || go_pools_busy_()) {
    int64_t left = until - go_os_now_();
    if (left <= 0) {
      return false;
    }
    left = left < GO_MS ? left : GO_MS;
    if (go_embedded_() && go_m_get_() == go_host_()) {
      go_host_turn_(left);
    } else {
      (void)go_os_futex_wait_(&never, 0, left);
    }
  }
  return true;
}

/* Waits for all goroutines to end and sees to it that no timer starts another; false: it took too long, and
 * timers fire as before. */
static bool come_to_rest(go_nsec wait) {
  int64_t until = go_tm_when_(wait);
  while (wait_no_goroutines(until)) {
    go_tm_hold_all_(true);
    /* a goroutine is counted before its timer's heap is unlocked */
    if (go_live_() == 0 && !go_tm_tell_all_()) {
      return true;
    }
    go_tm_hold_all_(false);
  }
  return false;
}

int go_shutdown(go_nsec wait) {
  if (go_forked_()) {
    return GO_EFORKED;
  }
  go_m_ *m = go_m_get_();
  if (m != NULL && m->worker) {
    return GO_EDEADLK;
  }
  go_lock_(&init_lock);
  if (go_ld_rlx(&GO_S->running) == 0) {
    go_unlock_(&init_lock);
    return 0;
  }
  if (!come_to_rest(wait)) {
    go_unlock_(&init_lock);
    return GO_ETIMEDOUT;
  }
  go_serve_end_(); /* it looks at what goes now */
  go_sysmon_stop_();
  wake_all_ms();
  for (bool more = true; more;) { /* Ms end one by one, and wake others while they do */
    go_lock_(&GO_S->lock);
    more = GO_S->nm != 0;
    go_unlock_(&GO_S->lock);
    if (more) {
      wake_all_ms();
      go_os_yield_();
    }
    reap();
  }
  starter_stop();
  go_pools_stop_();
  go_st_rel(&GO_S->running, 0u);
  release_all();
  go_unlock_(&init_lock);
  return 0;
}

/* ---- the number of Ps ---- */

/* p belongs to the caller alone. Everything in it goes to the global queue and to P 0. */
static void empty_p(go_p_ *p) {
  void *out[GO_RUNQ_CAP_ / 2];
  go_g_ *g = go_next_get_(&p->q, false);
  if (g != NULL) {
    go_global_put_(g, g, 1);
  }
  for (uint32_t n; (n = go_ring_steal_(&p->q, out)) != 0 ||
                   (n = go_fresh_steal_(&p->q, out, GO_RUNQ_CAP_ / 2)) != 0;) {
    for (uint32_t i = 0; i < n; i++) {
      go_global_put_(out[i], out[i], 1);
    }
  }
  while (go_tm_move_(p, GO_S->all_p[0]) != 0) {
    go_os_yield_(); /* memory is short: timers must not be lost, so wait for some */
  }
  go_spawn_flush_(p);
}

/* The last P but the first has gone: its owner may do without locked instructions. */
static void maybe_solo(void) {
  for (uint32_t i = 1; i < go_ld_rlx(&GO_S->np_made); i++) {
    if (GO_S->all_p[i]->state != GO_P_GONE_) {
      return;
    }
  }
  go_st_sc(&GO_S->all_p[0]->leave, 2u);
}

static void mark_gone(go_p_ *p) {
  go_lock_(&GO_S->lock);
  p->state = GO_P_GONE_;
  go_st_sc(&p->leave, 0u);
  maybe_solo();
  go_unlock_(&GO_S->lock);
}

void go_p_retire_(go_m_ *m) {
  go_p_ *p = m->p;
  go_lock_(&procs_lock);
  uint32_t leave = go_ld_acq(&p->leave);
  if (leave == 2) { /* P 0, asked to go solo */
    go_lock_(&GO_S->lock);
    p->solo = go_ld_rlx(&GO_S->procs) == 1;
    for (uint32_t i = 1; i < go_ld_rlx(&GO_S->np_made); i++) {
      p->solo = p->solo && GO_S->all_p[i]->state == GO_P_GONE_;
    }
    go_st_sc(&p->leave, 0u);
    go_unlock_(&GO_S->lock);
  } else if (leave == 1) { /* it may have been called back meanwhile */
    go_p_release_(m);
    empty_p(p);
    mark_gone(p);
    if (m->spinning) {
      m->spinning = false;
      (void)go_idle_end_(&GO_S->idle);
    }
  }
  go_unlock_(&procs_lock);
  go_wake_();
}

/* procs_lock held. */
static int raise_procs(uint32_t old, uint32_t n) {
  int r = make_ps(n);
  if (r == 0) {
    r = go_stack_procs_(n);
  }
  if (r != 0) {
    return r;
  }
  go_lock_(&GO_S->lock);
  for (uint32_t i = old; i < n; i++) {
    go_p_ *p = GO_S->all_p[i];
    if (p->state == GO_P_GONE_) {
      go_p_put_idle_(p);
    }
    go_st_sc(&p->leave, 0u); /* one that has not left yet stays */
  }
  go_st_sc(&GO_S->all_p[0]->leave, 0u);
  go_st_sc(&GO_S->procs, n);
  go_unlock_(&GO_S->lock);
  return 0;
}

/* sched.lock held. Takes all idle Ps from n on out of the list. */
static go_p_ *take_idle_from(uint32_t n) {
  go_p_ *out = NULL;
  for (go_p_ **at = &GO_S->idle_p; *at != NULL;) {
    go_p_ *p = *at;
    if (p->id < n) {
      at = &p->link;
      continue;
    }
    *at = p->link;
    p->link = out;
    out = p;
    p->state = GO_P_RUNNING_;
    go_idle_p_(&GO_S->idle, -1);
  }
  return out;
}

static void lower_procs(uint32_t old, uint32_t n) {
  go_lock_(&GO_S->lock);
  go_p_ *idle = take_idle_from(n);
  for (uint32_t i = n; i < old; i++) {
    go_st_sc(&GO_S->all_p[i]->leave, 1u);
  }
  go_sysmon_wake_();
  go_st_sc(&GO_S->procs, n);
  go_unlock_(&GO_S->lock);
  while (idle != NULL) {
    go_p_ *next = idle->link;
    empty_p(idle);
    mark_gone(idle);
    idle = next;
  }
}

/* On a goroutine, which holds the P of a scheduler with one: no thief is about, and none takes the P away meanwhile. May
 * suspend before. */
static int set_procs(uint32_t n) {
  go_m_ *m = go_hold_p_(go_m_get_());
  go_lock_(&procs_lock);
  uint32_t old = go_ld_rlx(&GO_S->procs);
  int r = 0;
  if (n > old) {
    m->p->solo = false; /* before another P can be taken */
    r = raise_procs(old, n);
  } else if (n < old) {
    lower_procs(old, n);
    go_ticks_set_(m->p, 0); /* look round soon: it may be our own P */
  }
  go_unlock_(&procs_lock);
  go_unhold_(m, 0);
  go_wake_();
  return r != 0 ? r : (int)old;
}

static void set_procs_run(void *arg) {
  int *n = arg;
  *n = set_procs((uint32_t)*n);
}

int go_procs(int n) {
  int r = go_start_();
  if (r != 0) {
    return r;
  }
  if (n < 1 || go_embedded_()) {
    return (int)go_ld_acq(&GO_S->procs);
  }
  n = n > GO_PROCS_MAX_ ? GO_PROCS_MAX_ : n;
  if (!go_is_thread_(go_enter_()->cur)) {
    r = set_procs((uint32_t)n);
    (void)go_checkpoint();
    return r;
  }
  r = go_run(set_procs_run, &n);
  return r != 0 ? r : n;
}

int go_cpus(void) { return go_os_cpus_(); }

int64_t go_live_(void) {
  uint64_t died = go_ld_acq(&GO_S->ndied), born = 0;
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    died += go_ld_acq(&GO_S->all_p[i]->ndied);
  }
  for (uint32_t i = 0; i < n; i++) { /* after the deaths: never too few */
    born += go_ld_acq(&GO_S->all_p[i]->nborn);
  }
  return (int64_t)(born + go_ld_acq(&GO_S->nborn) - died);
}

int64_t go_count(void) { return go_ld_acq(&GO_S->running) != 0 ? go_live_() : 0; }

/* ---- running something from outside ---- */

/* One go_run or go_main; lives on the caller's stack. */
typedef struct run {
  void (*fn)(void *);
  void *arg;
  go_g_ *waiter;
  bool first;    /* go_main's */
  bool returned; /* fn came back */
  int result;
} run;

static void run_body(void *arg) {
  run *r = *(run **)arg;
  r->fn(r->arg);
  r->returned = true;
}

/* Last breath of the goroutine. */
static void run_end(void *arg) {
  run *r = arg;
  go_m_ *m = go_m_get_();
  if (r->first && !r->returned) {
    go_st_sc(&GO_S->first_exited, 1u); /* go_exit: others run on, and nobody comes back */
    return;
  }
  r->result = (m->cur->flags & GO_G_PANICKED_) ? GO_EPANIC : 0;
  if (r->waiter != NULL) {
    go_ready_(m, r->waiter);
  }
}

static int run_and_wait(run *r, const char *site) {
  int err = go_start_();
  if (err != 0) {
    return err;
  }
  go_m_ *m = go_enter_();
  if (m->worker) {
    return GO_EDEADLK;
  }
  r->waiter = m->cur;
  go_spawn_ how = {
      .site = site, .flags = r->first ? GO_G_FIRST_ : 0, .on_end = run_end, .end_arg = r};
  go_prepark_(m, GO_WAIT_RUN_);
  err = go_spawn_with_(&how, run_body, &r, sizeof r);
  if (err != 0) {
    go_set_state_(m->cur, GO_G_RUNNING_);
    return err;
  }
  (void)go_park_(m);
  return r->result;
}

int go_run(void (*fn)(void *), void *arg) {
  run r = {.fn = fn, .arg = arg};
  return run_and_wait(&r, "go_run@");
}

int go_post(void (*fn)(void *), void *arg) { return go_spawn_site_("go_post@", fn, arg, 0); }

typedef struct main_call {
  int (*fn)(int, char **);
  int argc;
  char **argv;
  int result;
} main_call;

static void main_body(void *arg) {
  main_call *c = arg;
  c->result = c->fn(c->argc, c->argv);
  if (go_forked_()) {
    exit(c->result); /* what it means to return from main; whoever waits for us is not here */
  }
}

/* The calling thread is an M for the time, wired to the first goroutine. */
static int run_on_this_thread(run *r) {
  go_m_ *own = go_enter_(), *m = new_worker_m();
  if (m == NULL || !count_m(m)) {
    put_back_m(m);
    return GO_EAGAIN;
  }
  (void)go_os_fault_stack_(&m->fault_stack);
  (void)go_add_sc(&GO_S->nwired, 1u);
  go_spawn_ how = {.site = "go_main@",
                   .flags = GO_G_FIRST_ | GO_G_WIRED_,
                   .wired = m,
                   .on_end = run_end,
                   .end_arg = r};
  int err = go_spawn_with_(&how, run_body, &r, sizeof r);
  bool started = err == 0;
  if (started) {
    go_m_set_(m);
    go_preempt_begin_(m);
    go_m_loop_(m);
    go_preempt_end_(m);
    go_m_set_(own);
    err = r->result;
  } else {
    (void)go_sub_sc(&GO_S->nwired, 1u);
  }
  go_os_fault_stack_free_(m->fault_stack);
  uncount_m(m);
  while (started && !r->returned) { /* go_exit: the program ends when the others have */
    go_prepark_(own, GO_WAIT_RUN_);
    (void)go_park_(own);
  }
  return err;
}

/* Who uses GO_MAIN has no more of the code than an exit status. */
static void tell_why_not(const char *what, const char *part, int err) {
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: go_main: ");
  go_out_str_(&o, what);
  go_out_str_(&o, " cannot be started: ");
  go_out_str_(&o, part);
  go_out_str_(&o, go_strerror(err));
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
}

int go_main(int (*fn)(int, char **), int argc, char **argv) {
  main_call c = {fn, argc, argv, 0};
  run r = {.fn = main_body, .arg = &c, .first = true};
  int err = go_start_();
  if (err == 0) {
    go_m_ *m = go_enter_();
    err = m->worker           ? GO_EDEADLK
          : GO_S->main_thread ? run_on_this_thread(&r)
                              : run_and_wait(&r, "go_main@");
    if (err == GO_ENOMEM || err == GO_EAGAIN) {
      tell_why_not("the first goroutine", "", err);
    }
  } else if (err != GO_EFORKED) {
    go_lock_(&init_lock);
    tell_why_not("the scheduler", starting, err);
    go_unlock_(&init_lock);
  }
  return err != 0 ? err : c.result;
}
