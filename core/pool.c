/* core/pool.c: see core/pool.h. */
#include "core/pool.h"

#include <stdlib.h>

#define KEEP (5 * GO_SEC) /* how long an idle thread stays */

struct go_pool_worker_ {
  go_pool_ *pool;
  go_pool_worker_ *next, *prev; /* idle: under the pool's lock */
  bool idle;                    /* likewise */
  go_note_ note;                /* woken by whoever took it out of the idle list */
  go_os_thread_ thread;
  go_a32 started; /* 1: thread is valid */
};

static go_a32 pools_lock;
static go_pool_ *pools; /* under pools_lock */

/* ---- jobs; the pool's lock is held ---- */

static void queue(go_pool_ *p, go_job_ *job) {
  job->queued = true;
  job->next = NULL;
  job->prev = p->tail;
  if (p->tail != NULL) {
    p->tail->next = job;
  } else {
    p->head = job;
  }
  p->tail = job;
  go_st_sc(&p->njobs, go_ld_rlx(&p->njobs) + 1);
}

static void unqueue(go_pool_ *p, go_job_ *job) {
  job->queued = false;
  *(job->prev != NULL ? &job->prev->next : &p->head) = job->next;
  *(job->next != NULL ? &job->next->prev : &p->tail) = job->prev;
}

static void job_gone(go_pool_ *p) { go_st_sc(&p->njobs, go_ld_rlx(&p->njobs) - 1); }

/* ---- idle threads; the pool's lock is held ---- */

static void put_idle(go_pool_worker_ *w) {
  go_pool_ *p = w->pool;
  w->idle = true;
  w->prev = NULL;
  w->next = p->idle;
  if (p->idle != NULL) {
    p->idle->prev = w;
  }
  p->idle = w;
  (void)go_add_sc(&GO_S->npool_idle, 1u);
}

static void take_idle(go_pool_worker_ *w) {
  w->idle = false;
  *(w->prev != NULL ? &w->prev->next : &w->pool->idle) = w->next;
  if (w->next != NULL) {
    w->next->prev = w->prev;
  }
  (void)go_sub_sc(&GO_S->npool_idle, 1u);
}

/* ---- threads ---- */

static void join(go_pool_worker_ *w) {
  while (go_ld_acq(&w->started) == 0) { /* pairs with start_thread, which is about to store it */
    go_os_yield_();
  }
  go_os_thread_join_(&w->thread);
  free(w);
}

/* The lock is held, and held again. Returns whether there was a job. */
static bool run_one(go_pool_ *p) {
  go_job_ *job = p->head;
  if (job == NULL) {
    return false;
  }
  unqueue(p, job);
  go_unlock_(&p->lock);
  job->run(job);
  go_lock_(&p->lock);
  job_gone(p);
  return true;
}

/* The same. Returns whether it was woken: there may be a job. */
static bool wait_idle(go_pool_worker_ *w) {
  go_pool_ *p = w->pool;
  put_idle(w);
  go_unlock_(&p->lock);
  bool woken = go_sleep_looking_(&w->note, KEEP);
  go_lock_(&p->lock);
  if (w->idle) { /* nobody has taken it out, so nobody will wake it */
    take_idle(w);
    return false;
  }
  go_unlock_(&p->lock);
  if (!woken) {
    (void)go_note_sleep_(&w->note, -1);
  }
  go_note_clear_(&w->note);
  go_lock_(&p->lock);
  return true;
}

/* The lock is held, and held again. Of the threads that are counted, `mine` run no jobs: if there are no others, nobody will look at
 * the queue, and all fail. */
static void fail_unless_others(go_pool_ *p, uint32_t mine, int err) {
  while (p->nthreads == mine && p->head != NULL) {
    go_job_ *job = p->head;
    unqueue(p, job);
    go_unlock_(&p->lock);
    job->fail(job, err);
    go_lock_(&p->lock);
    job_gone(p);
  }
}

static void worker_main(void *arg) {
  go_pool_worker_ *w = arg;
  go_pool_ *p = w->pool;
  go_os_thread_name_(p->name);
  bool known = go_attach_try_() != NULL; /* now: without memory jobs would die of what they call */
  go_lock_(&p->lock);
  if (known) {
    while (run_one(p) || (!p->quit && wait_idle(w))) {}
  } else {
    fail_unless_others(p, 1, GO_ENOMEM);
  }
  p->nthreads--;
  go_pool_worker_ *before = p->ended;
  p->ended = w;
  go_unlock_(&p->lock);
  if (before != NULL) {
    join(before);
  }
}

static int start_thread(go_pool_ *p) {
  go_pool_worker_ *w = calloc(1, sizeof *w);
  if (w == NULL) {
    return GO_ENOMEM;
  }
  w->pool = p;
  go_os_thread_ t;
  int r = go_os_thread_start_large_(&t, worker_main, w);
  if (r != 0) {
    free(w);
    return r;
  }
  w->thread = t;
  go_st_rel(&w->started, 1u); /* pairs with join: w may be gone now */
  return 0;
}

/* A thread that was counted could not be started. If there is no other, all jobs fail, `own` (or NULL) by being taken back.
 * Returns whether it was. */
static bool no_thread(go_pool_ *p, int err, go_job_ *own) {
  go_lock_(&p->lock);
  p->nthreads--;
  bool back = p->nthreads == 0 && own != NULL && own->queued;
  if (back) {
    unqueue(p, own);
    job_gone(p);
  }
  fail_unless_others(p, 0, err);
  go_unlock_(&p->lock);
  return back;
}

/* A goroutine, on a thread that nobody has changed: for callers on others (core/proc.c, go_must_delegate_). */
static void grow_elsewhere(void *arg) {
  go_pool_ *p = *(go_pool_ **)arg;
  int r = start_thread(p);
  if (r != 0) {
    (void)no_thread(p, r, NULL);
  }
}

static int grow(go_pool_ *p) {
  static const go_spawn_ how = {.site = "golib pool@"};
  if (go_must_delegate_() && go_spawn_with_(&how, grow_elsewhere, &p, sizeof p) == 0) {
    return 0;
  }
  return start_thread(p);
}

/* ---- using it ---- */

static void make_known(go_pool_ *p) {
  go_lock_(&pools_lock);
  if (!p->known) {
    p->known = true;
    p->link = pools;
    pools = p;
  }
  go_unlock_(&pools_lock);
}

int go_pool_put_(go_pool_ *p, go_job_ *job) {
  int r = go_start_();
  if (r != 0) {
    return r;
  }
  make_known(p);
  go_lock_(&p->lock);
  queue(p, job);
  go_pool_worker_ *w = p->idle;
  bool more = w == NULL && p->nthreads < p->max;
  if (w != NULL) {
    take_idle(w);
  } else if (more) {
    p->nthreads++;
  }
  go_unlock_(&p->lock);
  if (w != NULL) {
    go_note_wake_(&w->note);
  } else if (more && (r = grow(p)) != 0 && no_thread(p, r, job)) {
    return r;
  }
  return 0;
}

bool go_pool_take_back_(go_pool_ *p, go_job_ *job) {
  go_lock_(&p->lock);
  bool queued = job->queued;
  if (queued) {
    unqueue(p, job);
    job_gone(p);
  }
  go_unlock_(&p->lock);
  return queued;
}

/* ---- the end ---- */

bool go_pools_busy_(void) {
  bool busy = false;
  go_lock_(&pools_lock);
  for (go_pool_ *p = pools; p != NULL; p = p->link) {
    busy = busy || go_ld_sc(&p->njobs) != 0;
  }
  go_unlock_(&pools_lock);
  return busy;
}

/* Lock held. */
static void wake_all(go_pool_ *p) {
  while (p->idle != NULL) {
    go_pool_worker_ *w = p->idle;
    take_idle(w);
    go_note_wake_(&w->note);
  }
}

static void stop(go_pool_ *p) {
  go_lock_(&p->lock);
  p->quit = true;
  wake_all(p);
  while (p->nthreads != 0) {
    go_unlock_(&p->lock);
    go_os_yield_();
    go_lock_(&p->lock);
  }
  go_pool_worker_ *last = p->ended;
  p->ended = NULL;
  p->quit = false;
  go_unlock_(&p->lock);
  if (last != NULL) {
    join(last);
  }
}

void go_pools_stop_(void) {
  for (go_pool_ *p = pools; p != NULL; p = p->link) { /* nobody else is about */
    stop(p);
  }
}
