/* golib/debug.h: seeing what goroutines do. */
#ifndef GOLIB_DEBUG_H_
#define GOLIB_DEBUG_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* Writes all goroutines to file descriptor fd:
 *
 *   goroutine 2 "reader" spawned at reader@app.c:7 [chan receive, 12 s]
 *     go_chan_recv+0x5c (app+0x1b3c)
 *     reader+0x4a (app+0x11ea)
 *
 * number, name, spawn site, state or what it waits for, how long (if it is a millisecond or more; possibly too long by
 * the time that it ran before), and the return addresses on its stack; of goroutines that run at the moment,
 * only the caller's. "same stack as goroutine 2" stands for what was printed shortly before. "locked to
 * thread": go_lock_thread. "leaked": it waits for channels that nobody can use any more but goroutines that are
 * leaked themselves, so it waits for ever; "leaked?": it seems so, but threads are running that might know
 * better. What is referred to from memory that is
 * allocated, or was, is taken to be in use.
 *
 * Does not stop the goroutines: each entry is right, all of them need not be of one instant. Backtraces follow frame
 * pointers: compile with -fno-omit-frame-pointer to have all functions in them; debuggers need none (tools/gdb).
 * Never suspends, takes no lock, allocates nothing from malloc: may be called in a signal handler (go_config.dump_signal
 * does). From any thread. Go: what SIGQUIT prints, runtime/pprof.Lookup("goroutine"). */
GO_API void go_dump(int fd);

#define GO_LATENCY_BUCKETS 32

/* What go_stats_read tells. Counts "so far" are since the scheduler started. */
typedef struct go_stats {
  /* Goroutines that are alive, and of these: */
  int64_t goroutines;
  int64_t not_started; /* waiting to run for the first time */
  int64_t runnable;    /* waiting to run */
  int64_t running;
  int64_t waiting;  /* for a channel, a lock, a descriptor, the time... */
  int64_t blocking; /* in go_blocking */
  /* At most this many were alive at a time; up to some hundred a P too many. */
  int64_t goroutines_max;

  /* So far: started and ended goroutines; how often one had to wait, and, by the last time that each P looked at the
   * clock, got a turn, or could have given it away; how often a P without work took some from another, and how many
   * goroutines; Ps taken from goroutines that ran for long without calling golib. */
  uint64_t spawned, ended;
  uint64_t parks, turns;
  uint64_t steals, stolen;
  uint64_t retakes;

  /* Ps, those without work, goroutines in their queues and in the one for all, timers that run. */
  int32_t procs, procs_idle;
  int64_t queued, queued_global, timers;

  /* Threads that run goroutines: how many there are, were at most, look for work, are in go_blocking. Threads of
   * the program that wait in golib. */
  int32_t threads, threads_max, threads_spinning, threads_blocking, threads_waiting;

  /* Descriptors that are registered with the poller; how often it has brought events so far, and how many
   * goroutines they have woken. */
  int64_t descriptors;
  uint64_t polls, polled;

  /* Stacks of the default size: used by goroutines or at hand for them, the most that were at a time, at rest. Address
   * space reserved for all stacks: memory is used where stacks have been touched. */
  uint64_t stacks, stacks_max, stacks_free, stack_bytes_reserved;

  /* How long goroutines were runnable before they ran, of those that were timed so far: in about one of ten
   * thousand cases under load, more often without. latency[i] counts times below GO_LATENCY_BOUND(i), and not below
   * the bound before; the last one whatever is longer. Their number, sum and largest. */
  uint64_t latency[GO_LATENCY_BUCKETS];
  uint64_t latency_count;
  go_nsec latency_sum, latency_max;

  /* So far: goroutines stopped in the middle of their code, by GO_PREEMPT_SWITCH. */
  uint64_t switches;

  uint64_t reserved_[15];
} go_stats;

#define GO_LATENCY_BOUND(i) ((go_nsec)128 << (i))

/* Fills *ret_stats in: all zero when golib is not running. Does not stop anybody: the numbers are not of one instant,
 * and goroutines that come and go meanwhile may be missed. Looks at every goroutine: some milliseconds for a million.
 * Never suspends. From any thread; not from a signal handler: it takes locks. NULL does nothing.
 * Go: runtime/metrics.Read. GOLIB_DEBUG=schedtrace=1000 prints the most important numbers every second. */
GO_API void go_stats_read(go_stats *ret_stats);

/* Begins to write a trace to file descriptor fd: what goroutines did when and where, what they waited for and who
 * woke them, as JSON for Perfetto (https://ui.perfetto.dev) and chrome://tracing. docs/tracing.md tells how to read it.
 * The descriptor stays open, and the caller's. Meanwhile each switch costs some hundred ns more; without a trace
 * nothing costs anything. Written by a thread of its own: what it cannot keep up with is left out, and counted in the file.
 * Returns 0; GO_EBUSY: there is a trace already; GO_EINVAL: fd is negative; GO_ENOMEM, GO_EAGAIN; GO_EFORKED.
 * From any thread. Go: runtime/trace.Start. */
GO_API GO_NODISCARD int go_trace_start(int fd);

/* Ends it, and waits until the file is complete. Nothing when there is none. Does not suspend, but may block the thread
 * for some time; other goroutines run on. go_shutdown does it too. Go: runtime/trace.Stop. */
GO_API void go_trace_stop(void);

/* While a trace is on: marks what the calling goroutine, or thread, does until the matching go_trace_region_end; they
 * nest. The name is copied, up to 240 bytes of UTF-8. An end without a beginning in this trace does nothing, so
 * traces may begin and end anywhere. Without a trace nothing happens. Go: runtime/trace.StartRegion, Region.End. */
GO_API void go_trace_region_begin(const char *name);
GO_API void go_trace_region_end(void);

/* While a trace is on: a remark of the calling goroutine or thread, up to 240 bytes. Go: runtime/trace.Logf. */
GO_API void go_trace_log(const char *fmt, ...) GO_PRINTF(1, 2);

/* ---- looking at a running program ----
 *
 * tools/gostat, a browser or curl --unix-socket PATH http://golib/stats.json. It is HTTP/1.1, with GET and HEAD only:
 *   /                          a page that shows the rest, and follows it
 *   /stats.json                go_stats by its names
 *   /goroutines.json?limit=N   goroutines by state, spawn site and stack, and N of them one by one (100; at most
 *                              100,000); &leaks=1: which are leaked, or seem to be, as in go_dump
 *   /goroutines.txt            go_dump
 *   /trace?seconds=N           what go_trace_start writes in that time (0.01 to 60; 1); 409 while there is another trace
 *
 * A thread of its own answers, so that a program is seen also when no goroutine gets to run; it is neither a goroutine, nor
 * does it keep a deadlock from being reported, nor does it cost anything while nobody asks. */

/* How, besides the Unix socket. All-zero: not at all. */
typedef struct go_debug_opts {
  /* Also on TCP, of this machine only: "127.0.0.1:6060", "[::1]:6060", "localhost:6060" (that is 127.0.0.1); port 0: any that
   * is free. NULL: not. Every user of the machine may read it then, and start traces: choose with care. Pages of other
   * sites may not: requests must name the host as above, and not come from another origin. */
  const char *http;
  int *ret_port; /* the port is stored there; NULL: not wanted */
  uint64_t reserved_[6];
} go_debug_opts;

/* Begins to serve at a Unix socket that it makes at path, with permissions for this user only (0600, at any time), where
 * the system also tells who connects: only this user and root are answered. A socket that is left there from a program that
 * has ended is replaced. path NULL: only o->http. o NULL: no options. Ends when ctx is done, with go_debug_close,
 * go_shutdown or the program, and removes the socket (not, if the program is killed, or path is relative and its directory has
 * changed: the next one does). What an exec starts does not inherit it.
 * Returns 0 when it can be connected to. GO_EBUSY: it is on already; GO_EINVAL: neither path nor http, an empty path, no address of this
 * kind; -EADDRINUSE: another program answers there, or there is something else than a socket of this user's;
 * -ENAMETOOLONG: a path has some 95 bytes at most; -EACCES, -ENOENT and others of the file system; -ENOTSUP: not on this system
 * (Windows); GO_ECANCELED, GO_ETIMEDOUT: ctx is done; GO_ENOMEM; GO_EAGAIN: no thread can be started; -EMFILE; GO_EFORKED. After an error nothing is
 * left behind. Never suspends. From any thread.
 * Go: net/http/pprof, expvar. GOLIB_DEBUG=listen=PATH does it without a change to the program. */
GO_API GO_NODISCARD int go_debug_listen(go_ctx *ctx, const char *path, const go_debug_opts *o);

/* Ends it: connections are closed, answers on their way are cut off. Nothing when it is not on. Blocks the thread for some
 * milliseconds at most. From any thread. */
GO_API void go_debug_close(void);

/* Functions that are called as goroutines come, run and go. Any may be NULL; all-zero means none. Each
 * gets `arg` and the goroutine's number (go_id).
 *
 * For one goroutine they come in this order: spawn; then switch_in and switch_out in turns, both on
 * the thread that runs it; after the last switch_out, exit. What `spawn` told of will be told of by
 * `exit`, however the goroutine ends, unless other hooks are set by then; a switch_out is always that of the
 * hooks whose switch_in came before.
 *
 * They run inside the scheduler, on small stacks, several at the same time on different threads. They must
 * not suspend or start goroutines (fatal errors), nor panic, nor block for long. go_id is the
 * goroutine's, and go_local_get and go_local_set act on it: so values that foreign code keeps in
 * thread-locals can be swapped in and out. */
typedef struct go_hooks {
  void *arg;
  /* A goroutine is being started, by the calling goroutine or thread; `site` as go_panic_info's. */
  void (*spawn)(void *arg, uint64_t id, const char *site);
  void (*switch_in)(void *arg, uint64_t id);
  void (*switch_out)(void *arg, uint64_t id);
  void (*exit)(void *arg, uint64_t id);
  /* Before switch_out, when the goroutine ran for `ran` ns without a pause, which is `slow_after` or
   * more (0: 10 ms): it kept others waiting. */
  void (*slow)(void *arg, uint64_t id, go_nsec ran);
  go_nsec slow_after;
  uint64_t reserved_[4];
} go_hooks;

/* Sets the hooks; NULL removes them. *h is not copied: it stays valid and unchanged for the rest of the
 * program, or until golib is shut down. Goroutines that are started from now on are told of at once;
 * a thread that is running goroutines begins to tell of switches within its next 61. Without hooks
 * nothing costs anything; with them each switch takes a detour of some 20 ns. Survives
 * go_shutdown. From any thread. */
GO_API void go_set_hooks(const go_hooks *h);

GO_EXTERN_C_END_

#endif /* GOLIB_DEBUG_H_ */
