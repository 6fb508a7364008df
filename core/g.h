/* core/g.h: goroutines (G), threads (M), processors (P), and the scheduler they belong to.
 *
 * A G is a computation with a stack of its own. An M is a thread. A P is the right to run goroutines, with
 * the queues and caches that need no lock because only the M that holds the P touches them. An M runs a G
 * only while it holds a P; an M without work gives its P back and sleeps.
 *
 * Which stack am I on?
 *  - a goroutine's: users' code, and every public function, and the fast half of the scheduler: a G
 *    that parks picks the next one and switches to it directly;
 *  - g0, the thread's own: the slow half (core/sched.c, go_m_loop_), which looks everywhere else;
 *  - the alternate signal stack: the fault handler only.
 *
 * Plain threads get an M without a P, and a G of kind GO_G_THREAD_ that stands for the thread itself: it
 * can wait in the same queues, its parking is a futex wait and its waking a futex wake.
 */
#ifndef GOLIB_CORE_G_H_
#define GOLIB_CORE_G_H_

#include <golib/base.h>
#include <golib/defer.h>

#include "core/arch.h"
#include "core/atomic.h"
#include "core/hold.h"
#include "core/idle.h"
#include "core/lock.h"
#include "core/note.h"
#include "core/os.h"
#include "core/preempt.h"
#include "core/runq.h"
#include "core/sanitize.h"

typedef struct go_g_ go_g_;
typedef struct go_m_ go_m_;
typedef struct go_p_ go_p_;

#define GO_CACHE_LINE_ 64

/* ---- G ---- */

/* State, for dumps and assertions; what decides is always where the G is. Writer: the owner in
 * brackets.
 *   DEAD      unused; in a free list [that list's owner]
 *   FRESH     runnable, has never run, has no stack; in a run queue [whoever put it there, then the queue]
 *   RUNNABLE  in a run queue, or about to be [whoever readied it]
 *   RUNNING   an M runs it [that M]
 *   WAITING   parked, or about to be; some waker knows it [itself, until it is off its stack]
 * FRESH -> RUNNING -> WAITING -> RUNNABLE -> RUNNING -> ... -> DEAD; RUNNING -> RUNNABLE by yield.
 * WAITING is set before the waker can know the G, so that RUNNABLE is never overwritten.
 *   TIMED_FRESH, TIMED  as FRESH and RUNNABLE; `since` says from when on, for the statistics (core/stats.c) */
enum go_g_state_ {
  GO_G_DEAD_,
  GO_G_FRESH_,
  GO_G_RUNNABLE_,
  GO_G_RUNNING_,
  GO_G_WAITING_,
  GO_G_TIMED_FRESH_,
  GO_G_TIMED_
};

/* XX(name, text): why a goroutine waits; the texts are those of the deadlock report. */
#define GO_WAIT_REASONS_(XX)                   \
  XX(NONE, "")                                 \
  XX(CHAN_SEND, "chan send")                   \
  XX(CHAN_RECV, "chan receive")                \
  XX(CHAN_SEND_NIL, "chan send (nil chan)")    \
  XX(CHAN_RECV_NIL, "chan receive (nil chan)") \
  XX(SELECT, "select")                         \
  XX(SELECT_NONE, "select (no cases)")         \
  XX(SLEEP, "sleep")                           \
  XX(READ, "net read")                         \
  XX(WRITE, "net write")                       \
  XX(ACCEPT, "net accept")                     \
  XX(CONNECT, "net connect")                   \
  XX(CLOSE, "net close")                       \
  XX(FD, "descriptor wait")                    \
  XX(WG, "wait group")                         \
  XX(MUTEX, "mutex lock")                      \
  XX(RWMUTEX_R, "rwmutex rlock")               \
  XX(RWMUTEX_W, "rwmutex lock")                \
  XX(COND, "cond wait")                        \
  XX(ONCE, "once")                             \
  XX(SEM, "semaphore")                         \
  XX(RUN, "go_run")                            \
  XX(TASK, "task join")                        \
  XX(SCOPE, "scope wait")                      \
  XX(SCOPE_START, "scope start (limit)")       \
  XX(RESOLVE, "look-up of a name")             \
  XX(OFFLOAD, "offload")

enum go_wait_reason_ {
#define GO_WAIT_ENUM_(name, text) GO_WAIT_##name##_,
  GO_WAIT_REASONS_(GO_WAIT_ENUM_)
#undef GO_WAIT_ENUM_
};

enum go_g_flags_ {
  GO_G_THREAD_ = 1,    /* stands for a plain thread; own: or waits like one, see core/block.c */
  GO_G_PINNED_ = 2,    /* locks itself to its thread before it calls fn */
  GO_G_FIRST_ = 4,     /* go_main's: its panic ends the process */
  GO_G_DYING_ = 8,     /* in go_exit or a panic that nobody catches */
  GO_G_TASK_ = 16,     /* of a scope: on_end takes its panic, see go_panic_keep_ */
  GO_G_PANICKED_ = 32, /* ended by a panic */
  GO_G_WIRED_ = 64,    /* go_main's with main_thread: go_unlock_thread leaves it locked */
  GO_G_GUARDED_ = 128, /* called through go_cxx_.call_: exceptions are caught at its end */
};

/* Bytes of arguments that are kept in the G itself; more go onto its stack, bound at once. */
#define GO_G_INLINE_ 112
#define GO_NAME_SIZE_ 32

struct go_panic_;
struct go_try_;

/* What few goroutines have: made at the first need, stays with the G. Owner: the goroutine. */
typedef struct go_extra_ {
  char name[GO_NAME_SIZE_];      /* first: go_g_.name points here */
  struct go_local_slot_ *locals; /* values of golib/local.h, by the key's index */
  uint32_t nlocals;              /* slots there */
  uint32_t at;                   /* where its end is with the destructors: the next slot, */
  uint32_t rounds;               /* how many times it has been through all, */
  bool found;                    /* and whether this time there was anything */
  uint32_t regions;              /* of a trace, open: */
  uint64_t regions_of;           /* which goroutine's, and */
  uint64_t regions_in;           /* in which trace; see core/trace.c */
} go_extra_;

struct go_g_ {
  /* What switching touches. */
  go_arch_ctx_ ctx; /* valid while it is neither running nor fresh */
  go_a32 on_cpu;    /* 1 from before it runs until the M has left its stack: see go_after_switch_ */
  uint8_t state;    /* relaxed; see above */
  uint8_t reason;   /* enum go_wait_reason_ */
  uint8_t flags;    /* constant while it lives; its own: THREAD, DYING, TASK, PANICKED, GUARDED */
  uint8_t stack_class; /* log2 of the stack's size */
  char *stack_top;     /* NULL: fresh */
  go_g_ *link;         /* in a free list or the global queue: that list's owner */
  void (*fn)(void *);
  int64_t since;       /* when it began to wait, or a little earlier: see go_prepark_ */
  go_m_ *locked_m;     /* the thread it is wired to, or NULL; own */
  go_a32 claim;        /* number of the wait it is in: see go_claim_ */
  uint16_t lock_count; /* go_lock_thread nesting; own */
  uint16_t nopreempt;  /* 0: may be stopped anywhere; see core/switch.c */

  /* What it is. */
  const char *site; /* "worker@file.c:31" or NULL */
  uint64_t id;
  char *name;             /* own; that of its go_extra_, or NULL: see go_extra_of_ */
  void (*on_end)(void *); /* called on its last breath, however it ends */
  void *end_arg;
  go_defer_rec_ *defers;    /* innermost first; own */
  struct go_try_ *tries;    /* innermost go_try; own */
  struct go_panic_ *panics; /* panics in progress, newest first; own */
  void *claimed_by; /* what won the claim; valid after waking. Before: GO_ON_... of core/chan.h */
  union {
    void *arg;      /* until it runs for the first time */
    int64_t paused; /* from then on: when it stopped running last, and why, for core/trace.c */
  };
#if GO_SANITIZED_
  void *fiber; /* TSan's fiber, or ASan's fake stack while switched out */
#endif
  _Alignas(16) unsigned char inline_args[GO_G_INLINE_];
};

/* ---- timers (core/timer.c) ---- */

typedef struct go_tm_ go_tm_;
/* Called with the timer's P held, no lock; must not suspend. */
typedef void (*go_tm_fn_)(go_m_ *m, void *arg, uint32_t seq);

/* What firing does. */
enum go_tm_kind_ {
  GO_TM_CALL_,  /* calls fn */
  GO_TM_SPAWN_, /* starts run as a goroutine: a go_timer */
  GO_TM_TICK_,  /* sends on a channel: the first member of a go_ticker */
  GO_TM_TOLD_,  /* calls fn; and with m NULL, on any thread, when the scheduler stops before */
};

/* Owner: whoever added it, until it fired or go_tm_del_ returned true. Under the lock of its home (core/tm_home.h)
 * but for what only the owner changes, and only while it is in no heap. A user's memory is of the public type
 * go_timer: hence may_alias. */
struct __attribute__((may_alias)) go_tm_ {
  int64_t when;
  union {
    go_tm_fn_ fn;
    void (*run)(void *);
  };
  void *arg;
  go_aptr heap;        /* its home */
  go_tm_ *next, *prev; /* in the heap's list of those for which there is no room */
  uint32_t seq;
  uint32_t at; /* index in the heap plus 1; 0: in none; special values: core/timer.c */
  uint8_t kind;
};

typedef struct go_tm_entry_ {
  int64_t when;
  go_tm_ *tm; /* or a sleeping goroutine, tagged */
} go_tm_entry_;

/* A P's timers: a 4-ary heap, and a list for when that cannot grow. */
typedef struct go_tm_heap_ {
  go_a32 lock;
  uint32_t n, cap;
  uint32_t nspilled;
  go_tm_entry_ *e; /* see go_tm_heap_free_ */
  go_a64 first;    /* when the first fires, INT64_MAX: none. Stored under lock, read by anybody */
  go_a32 early;    /* 1: `first` may be too early. Likewise */
  go_tm_ *spilled; /* timers that found no memory for an entry, in no order */
  int64_t spill_when; /* not later than the first of them */
  bool hold;          /* nothing fires: the scheduler stops */
} go_tm_heap_;

/* ---- P ---- */

/* SAMPLE: the next goroutine that becomes runnable here is timed. TRACE: all are told of to core/trace.c. */
enum go_watch_ { GO_WATCH_SAMPLE_ = 1, GO_WATCH_TRACE_ = 2 };

/* What a P runs, while a trace is on: see core/trace.c. The holder of the P's; m is read by others. */
typedef struct go_turn_ {
  go_aptr m; /* NULL: none */
  uint64_t g;
  int64_t at, wait_from, woken;
  uint8_t wait_reason;
  char name[GO_NAME_SIZE_];
} go_turn_;

/* How long goroutines were runnable before they ran: owner's; others only read. */
#define GO_LATS_ 32
typedef struct go_lat_ {
  go_a64 n[GO_LATS_]; /* [i]: less than 2^(i + 7) ns */
  go_a64 sum, max;
} go_lat_;

/* IDLE: in sched.idle_p, or nobody's just before. RUNNING: an M holds it. GONE: go_procs_ lowered the count;
 * its queues are empty, its timers elsewhere. */
enum go_p_state_ { GO_P_IDLE_, GO_P_RUNNING_, GO_P_GONE_ };

#define GO_STACK_CACHE_ 16

/* A goroutine's turn on a P, as sysmon tells one from the other. */
typedef struct go_slice_ {
  go_m_ *m;
  uint32_t ticks;
  uint64_t tick_at;
  int64_t since;    /* when it was seen first */
  int64_t asked_at; /* when it was asked to let others run; 0: it was not */
  bool told;        /* the watchdog has */
} go_slice_;

struct go_p_ {
  /* Owner's (the M that holds it), unless said otherwise. */
  uint32_t id;
  go_a32 ticks;    /* goroutines to run until the next look round, an int32_t; see core/sysmon.c */
  go_a32 watch;    /* enum go_watch_: what wakers and spawners have to do besides; set by anybody */
  bool solo;       /* see core/runq.h */
  uint8_t turn;    /* counts picks, to give the fresh and the old their turns */
  uint8_t rounds;  /* counts look rounds, to give the global queue its turns */
  uint8_t state;   /* under sched.lock */
  go_a64 tick_at;  /* when it looked round last, or came into use */
  int32_t tick_n;  /* and how many ticks it had then */
  int64_t next_at; /* when runq.next was last made to queue like the others */
  uint64_t rng;
  go_g_ *gfree; /* dead Gs, newest first */
  uint32_t gfree_n;
  uint32_t nstack; /* warm stacks of the default size, newest last */
  uint32_t credit; /* stacks that goroutines born here may bind: see core/stack.h */
  char *stack[GO_STACK_CACHE_];
  uint64_t id_next, id_end; /* goroutine numbers in hand */
  go_a64 nborn, ndied;      /* goroutines started and ended here; others only read, */
  go_a64 nswitched;         /* stopped in the middle of their code; likewise */
  go_a64 nparks, nturns; /* how often they had to wait, and got a turn: by the last look round; */
  go_a64 nsteals,
      nstolen;        /* how often goroutines were taken from other Ps, and how many: likewise */
  int64_t sampled_at; /* when GO_WATCH_SAMPLE_ was set last */
  go_lat_ lat;        /* see core/stats.c */
  go_turn_ shown;
  go_p_ *link;   /* in sched.idle_p; under sched.lock */
  go_a32 leave;  /* set by go_procs_: give this P back at the next look round */
  go_aptr m;     /* the M that holds it, stored by that; NULL: none, or it is handed on */
  go_slice_ mon; /* what sysmon saw last; its own */
  _Alignas(GO_CACHE_LINE_) go_runq_ q;
  _Alignas(GO_CACHE_LINE_) go_tm_heap_ tm;
};

/* ---- M ---- */

/* A lock of the program's that belongs to a thread: see core/lockcheck.c. */
#define GO_LOCKS_MAX_ 8u
#define GO_LOCK_PCS_ 4
typedef struct go_locked_ {
  const void *lock;
  const char *kind;
  int npcs;
  void *pcs[GO_LOCK_PCS_]; /* who has locked it */
} go_locked_;

/* Memory of Ms is never unmapped while the scheduler is up: sysmon may look at one that has just ended. What it uses
 * comes before `cur`, or last, and survives when an M is used again. */
struct go_m_ {
  go_holding_ hold;  /* whether its P may be taken away: see core/hold.h */
  go_p_ *p;          /* the P it holds, or NULL. Within go_hold_; else a hint. Own */
  go_g_ *cur;        /* the G it runs, NULL on g0 */
  go_g_ *prev;       /* the G whose stack it has just left, */
  go_g_ *dead;       /* or which has ended there: to be finished on the other side of the switch */
  go_g_ *locked_g;   /* the G it is wired to; own */
  go_arch_ctx_ g0;   /* its own stack while it runs goroutines */
  uint32_t nwoken;   /* goroutines that it has readied without a P; own */
  go_p_ *traced;     /* a trace is on: the P of whose turn `cur` is. Own, as are */
  int64_t woken;     /* when cur was woken; 0: not known */
  bool first_turn;   /* and whether it has not run before */
  uint32_t trace_no; /* number in traces; 0: none yet */
  go_os_cxx_state_ *cxx; /* the thread's, or NULL: see has_exceptions in core/sched.c */
  go_g_ *handoff;        /* runnable G that the fast half could not run; for g0 */
  go_g_ *requeue;        /* G that yielded to g0: to be made runnable when its stack is left */
  bool stopped;          /* and it was stopped in the middle of its code */
  bool spinning;         /* counted in sched.nspinning; own, or handed over with next_p */
  bool worker;           /* runs go_m_loop_; else it stands for a plain thread */
  bool die;              /* its locked goroutine has ended: the thread ends with it; own */
  go_p_ *next_p;         /* P given to it before note is woken */
  go_note_ note;
  go_m_ *link;     /* in sched.idle_m; under sched.lock */
  go_m_ *all_link; /* in sched.all_m; under sched.lock */
  go_os_thread_ thread;
  void *fault_stack;
  const struct go_hooks *hooked; /* whose switch_in was called for cur; own */
  int64_t hooked_at;             /* when, for `slow` */
  go_g_ *hook_g;             /* a hook runs, and is about this goroutine: see core/hooks.c; own */
  uint32_t foreign;          /* how deep it is in foreign code, and */
  bool begun;                /* whether by go_blocking_begin: see core/block.c; own */
  go_defer_rec_ end_foreign; /* begun: linked to the goroutine */
  uint64_t rng;
  go_a32 started;         /* 1: `thread` is valid (its creator has stored it) */
  go_preempt_thread_ pre; /* its id: under sched.lock from when its thread ends on */
#if GO_SANITIZED_
  void *g0_fiber;
  const void *g0_bottom;
  size_t g0_size;
#endif
  uint32_t nlocks; /* of the goroutine that runs here, newest last; own */
  go_locked_ locks[GO_LOCKS_MAX_];
  go_g_ thread_g;  /* plain threads: cur points here */
  go_m_ *mon_link; /* sysmon's list of Ms that do not know yet that their P was taken, */
  go_slice_ mon;   /* and since when their goroutines run */
};

/* ---- the scheduler ---- */

static inline void *go_globq_link_(void *g) { return ((go_g_ *)g)->link; }
static inline void go_globq_set_link_(void *g, void *next) { ((go_g_ *)g)->link = (go_g_ *)next; }
#include "core/globq.h"

#define GO_PROCS_MAX_ 1024

/* One per process. `lock` protects what has no other owner in its comment. */
typedef struct go_sched_ {
  go_a32 lock;
  uint32_t state; /* enum go_sched_phase_; under init_lock */
  go_a32 running; /* 1 while it is up: the fast check of go_start_ */

  go_p_ *all_p[GO_PROCS_MAX_]; /* [0, np_made): never freed before shutdown */
  go_a32 np_made; /* stored under lock; read by anybody (release/acquire publishes all_p) */
  go_a32 procs;   /* the present number of Ps that are not GONE; likewise */
  go_p_ *idle_p;
  uint64_t taken; /* how often a P was taken out of idle_p */
  go_idle_ idle;  /* see core/idle.h */
  go_m_ *idle_m;
  uint32_t nidle_m;   /* how many */
  go_m_ *all_m;       /* workers, for joining */
  uint32_t nm;        /* workers that exist */
  go_a32 nstarting;   /* at least so many of them have no thread yet: see go_threads_asleep_ */
  uint32_t peak_m;    /* most at a time */
  go_a64 nretaken;    /* Ps taken away from user code so far; sysmon stores */
  go_a64 npolled_all; /* goroutines that events have woken so far; who has the poller */
  go_a32
      want_m; /* 1: no thread could be started for a P, which may have work. Stored under lock; the next M
                    that would sleep takes the P, and until then look rounds steal from it */
  go_a32 nwired; /* of nm: those wired to a goroutine */
  go_a32
      ndying; /* of nm: those that end, and make room: their wired goroutine has, or they were idle for long */
  uint32_t max_m;
  go_a32 stopping; /* go_shutdown: Ms end instead of sleeping */

  go_globq_ q; /* the global queue */

  go_a32 poller;   /* enum go_poller_: whether some M is in go_poll_wait_, or about to be */
  go_a32 poked;    /* 1: the poller's wait was broken off for work. Stored under lock */
  go_a32 npd;      /* descriptors that are registered with the poller */
  go_a32 polls;    /* batches of events that have woken somebody: see suspect_deadlock, */
  go_a32 npolling; /* and those whose goroutines are in no queue yet */
  go_g_ *polled, *polled_last; /* goroutines that events have woken, linked; who has the poller */
  uint32_t npolled;            /* how many, likewise */
  bool polling;                /* a batch has begun, likewise */
  go_a64 polled_at;            /* when somebody looked under load */
  go_a64 poll_until;           /* until when it waits */
  go_a32 nblocked;             /* plain threads that wait in golib (waker's decrement) */
  go_a32
      nforeign; /* of nm: those in foreign code, without a P: see core/block.c. Stored under lock */
  go_a32 nlost; /* of nforeign: those whose P was taken while they were in user code. Likewise */
  go_a32 npool_idle; /* threads of pools that wait for something to do: see core/pool.h */

  uint32_t stack_class; /* log2 of the default stack size */
  go_a32 careful;       /* enum go_careful_: spawns and ends go the slow way */
  go_a32 nopreempt;     /* g->nopreempt of goroutines that ask for nothing else */
  int64_t max_g;        /* limit of live goroutines, 0: none */
  go_a64 ng;            /* live goroutines, counted only when there is a limit */
  go_a64 next_id;
  go_a64 nswitched;      /* goroutines stopped whose P had been taken */
  go_a64 nborn, ndied;   /* those started without a P */
  go_os_thread_ starter; /* starts threads for Ms whose own state a user may have changed */
  go_a32 starter_up;     /* 1: it exists. Stored under procs_lock */
  go_a32 starter_quit;   /* set when no M is left */
  go_note_ starter_note;
  go_m_ *to_start;     /* for the starter, linked by link */
  go_m_ *dead_m;       /* workers that have ended as the scheduler stops, to be joined */
  go_m_ *spare_m;      /* Ms of plain threads that have ended, to be used again: never unmapped */
  go_m_ *spare_worker; /* the same of workers */
  go_a32 fenced;       /* asked of new Ms: 0, or GO_ASKED_FENCED_ */
  go_os_thread_ sysmon;
  go_a32 sysmon_up; /* 1: it exists */
  go_a32 sysmon_quit;
  go_a32 sysmon_sleeps; /* 1: until go_sysmon_wake_. Stored under lock */
  go_os_timer_ sysmon_timer;
  go_a64 nstarted; /* threads started for Ms so far, and */
  go_a64 nretired; /* those that have ended because they were idle. Under lock; read by anybody */
  int64_t
      retake_after; /* in ns: how long a goroutine may be in user code while others wait; 0: for ever */
  int64_t watch_after; /* in ns: the watchdog's threshold; 0: off */
  int preempt_signal;  /* go_config.preempt_signal */
  bool preempt_ready;  /* go_preempt_init_ was called as it came up; */
  bool watch_ready;    /* so was go_preempt_watch_, for the watchdog */
  bool main_thread;    /* go_config.main_thread */
  go_a32
      embedded; /* go_config.embedded: see core/step.c. This and host are also read by threads that wait
                          before it is up: not for what comes of it then */
  go_aptr host;        /* embedded: the thread that calls go_step, as it is outside, */
  go_m_ *step_m;       /* and inside; else both NULL */
  go_a32 wake_fd;      /* 1: somebody has asked for go_wake_fd */
  go_a32 first_exited; /* go_main's goroutine has called go_exit */
  go_tm_ trim_tm;      /* gives stacks back; see go_stack_surplus_ */
  go_a32 trimming;     /* 1: trim_tm is in a heap, or fires */
} go_sched_;

extern go_sched_ go_sched_state_;
#define GO_S (&go_sched_state_)

static inline bool go_embedded_(void) { return go_ld_rlx(&GO_S->embedded) != 0; }
static inline go_m_ *go_host_(void) { return (go_m_ *)go_ld_rlx(&GO_S->host); }

enum go_sched_phase_ { GO_SCHED_DOWN_, GO_SCHED_UP_ };

/* NONE: nobody is in the poller. WAITS: an M without a P, or the host of an embedded scheduler. LOOKS: an M
 * that holds a P, for a moment: whoever needs one that waits takes it for none, or is patient. */
enum go_poller_ { GO_POLLER_NONE_, GO_POLLER_WAITS_, GO_POLLER_LOOKS_ };

/* Why spawning and ending look twice: there is a limit to count against, there are hooks to call. */
enum go_careful_ { GO_CAREFUL_LIMIT_ = 1, GO_CAREFUL_HOOKS_ = 2 };

#endif /* GOLIB_CORE_G_H_ */
