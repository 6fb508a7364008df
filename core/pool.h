/* core/pool.h: threads with large stacks for what blocks them: go_offload, files, names.
 *
 * A pool is a first-in-first-out list of jobs and up to `max` threads, which are made when a job finds none idle, and
 * end when they have been idle for some seconds. All-zero with name and max is a pool without threads.
 *
 * Invariants, under lock: for each queued job there is a thread that was woken or is being started for it, or all that there
 * may be are busy, and look at the queue before they become idle; when none can be started and there is none, every
 * queued job fails. A job is queued, or its run is called, or its fail, or
 * it was taken back: whoever makes it so, by taking it out of the queue, is the only one.
 * No other lock is taken under the pool's.
 */
#ifndef GOLIB_CORE_POOL_H_
#define GOLIB_CORE_POOL_H_

#include "core/sched.h"

typedef struct go_job_ {
  struct go_job_ *next, *prev; /* queued: under lock */
  bool queued;                 /* under lock */
  /* One of them is called, with no lock held; afterwards the pool does not touch the job. */
  void (*run)(struct go_job_ *); /* on a thread of the pool */
  void (*fail)(struct go_job_ *,
               int err); /* there is no thread for it; on any thread, may not suspend */
} go_job_;

typedef struct go_pool_worker_ go_pool_worker_;

typedef struct go_pool_ {
  const char *name; /* of its threads */
  uint32_t max;     /* may change while it is in use */
  go_a32 lock;
  go_job_ *head, *tail;
  go_pool_worker_ *idle;  /* newest first */
  go_pool_worker_ *ended; /* the last that has ended, to be joined: it has joined the one before */
  uint32_t nthreads;      /* that exist, or are being started */
  go_a32 njobs;           /* queued or running; stored under lock */
  bool quit;
  bool known; /* in the list of pools */
  struct go_pool_ *link;
} go_pool_;

/* Queues job. 0; otherwise there is no thread, and none can be made (GO_EAGAIN, GO_ENOMEM), or the scheduler could not be
 * started: neither run nor fail is called then. job must stay until this returns. Never suspends. */
int go_pool_put_(go_pool_ *p, go_job_ *job);
/* Whether it was still queued: it is not any more. */
bool go_pool_take_back_(go_pool_ *p, go_job_ *job);

/* For go_shutdown: whether anything is queued or running in any pool; */
bool go_pools_busy_(void);
/* ends all their threads, when nothing is. */
void go_pools_stop_(void);

/* How many threads go_offload's pool may have; 0: 64. */
void go_offload_max_(uint32_t max);
/* A call there: fn(arg) on one of its threads, or on the calling one if that is a plain one.
 * Errors as go_offload. */
int go_offload_(go_ctx *ctx, void (*fn)(void *), void *arg);

#endif /* GOLIB_CORE_POOL_H_ */
