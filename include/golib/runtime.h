/* golib/runtime.h: starting, sizing and stopping the scheduler.
 *
 * The scheduler is one per process and starts by itself at the first use. go_init() is only needed
 * to choose something else than the defaults and the environment:
 *   GOMAXPROCS   number of Ps: goroutines that run at the same time
 *   GOLIB_STACK  stack size of a goroutine: "256K", "64M", "1G"
 *   GOLIB_DEBUG  comma-separated: "sigquit" dumps all goroutines on SIGQUIT (Ctrl-\);
 *                "schedtrace=1000" prints a line of statistics on stderr every 1000 ms;
 *                "listen=PATH" serves what gostat shows at a Unix socket: go_debug_listen, with %p in PATH for the process's number
 *   GOLIB_RETAKE microseconds that a goroutine may be in user code while others wait, see below; 0: as long as it likes
 *   GOLIB_PREEMPT  "switch": goroutines that run for long are stopped and switched away from, where this is possible (see
 *                enum go_preempt for what code must be fit for that); "retake", the default: they never are
 *   GOLIB_WATCHDOG  milliseconds: a line on stderr, one a second at most, about a goroutine that has been in user code
 *                for so long, with its stack (Linux); off by default. To see the stack its thread is interrupted by a signal, once
 *                a line (go_config.preempt_signal): calls that SA_RESTART does not restart, such as nanosleep, return EINTR then
 *
 * Nobody starves: a goroutine that computes, or blocks its thread in a call, for 10 ms keeps others from running no longer
 * than that, if any wait. It goes on on its thread, beside them; another thread runs them. So there are as many
 * goroutines more than Ps in user code as do so, on as many threads (go_config.max_threads at most); threads that are not
 * needed end after some seconds. The goroutine queues up for a P when it calls a function of golib that suspends.
 *
 * fork(2): golib's threads do not exist in the child, which may exec or _exit (posix_spawn, system and
 * popen work as always). Other functions return GO_EFORKED there, or end the child with a message
 * where they cannot return a code. What needs no other goroutine still works in the child's own
 * memory: a mutex that nobody holds, a buffered channel that nobody waits for. A child that was
 * forked before golib was used, or after go_shutdown, may use it as any process.
 */
#ifndef GOLIB_RUNTIME_H_
#define GOLIB_RUNTIME_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* How the scheduler is set up; all-zero means the defaults. */
typedef struct go_config {
  int procs;              /* Ps; 0: GOMAXPROCS, else min(CPU affinity, cgroup quota) */
  int max_threads;        /* most worker threads at a time; 0: 10,000 */
  size_t stack_size;      /* bytes a goroutine; 0: GOLIB_STACK, else 64 MiB (16 KiB to 1 GiB) */
  int64_t max_goroutines; /* go_spawn returns GO_EAGAIN beyond; 0: no limit */
  bool main_thread;       /* go_main runs its goroutine on the calling thread and nowhere else */
  bool embedded;       /* goroutines run in go_step alone: see golib/block.h. With procs 0 or 1 */
  int offload_threads; /* most threads of go_offload at a time; 0: 64 */
  int dump_signal; /* on this signal (such as SIGQUIT) go_dump(2), and the program goes on; 0: none but
                    * that of GOLIB_DEBUG. A handler that was there before is called afterwards */
  go_nsec
      watchdog; /* report goroutines that are in user code for so long; 0: GOLIB_WATCHDOG, else off */
  int preempt; /* enum go_preempt, of goroutines that are started without one of their own; 0: GOLIB_PREEMPT, else
                       * GO_PREEMPT_RETAKE. GO_PREEMPT_SWITCH: go_init returns GO_ENOSYS where it cannot be done
                       * at all: on macOS, on Linux in a program without shared libraries, on Windows in one that is not
                       * compiled by gcc */
  int preempt_signal; /* the signal by which it is done; 0: SIGURG. On Windows, which has none, GO_EINVAL. Installed as the first goroutine is to be
                       * stopped, or at once if `preempt` or `watchdog` asks for it or this is set, and then not blocked in golib's threads;
                       * with SA_RESTART. A handler that was there before is called for signals that are not golib's */
  uint64_t reserved_[6];
} go_config;

/* Runs fn(argc, argv) as the first goroutine and returns what it returns, when it returns, whatever
 * other goroutines do then. Blocks the calling thread, which must not be a goroutine. When fn
 * panics the process ends with exit status 2; when all goroutines sleep for ever as well, after a
 * report. Returns a negative code when the scheduler could not be started, and says why on stderr (as an exit status
 * it cannot be read: -EMFILE is 232).
 * Go: func main. */
GO_API int go_main(int (*fn)(int, char **), int argc, char **argv);

/* GO_MAIN(argc, argv) { ...; return 0; } defines the program's main(): its body is the first
 * goroutine, its value the exit status. */
#define GO_MAIN(argc, argv)                                                          \
  static int go_main_body_(int, char **);                                            \
  int main(int argc_, char **argv_) { return go_main(go_main_body_, argc_, argv_); } \
  static int go_main_body_(GO_UNUSED int argc, GO_UNUSED char **argv)

/* Runs fn(arg) as a goroutine and waits for it. From any plain thread, any number of times, also at
 * the same time. Returns 0; GO_EPANIC if fn panicked; GO_ENOMEM or GO_EAGAIN if it could not be
 * started; GO_EDEADLK on a goroutine (call fn, or spawn it). */
GO_API GO_NODISCARD int go_run(void (*fn)(void *), void *arg);

/* Sets the scheduler up before its first use. Returns 0, GO_EBUSY when it is running already,
 * GO_EINVAL for sizes and signals out of range, GO_ENOMEM, GO_EAGAIN. */
GO_API GO_NODISCARD int go_init(const go_config *cfg);

/* Stops the scheduler, joins its threads and frees all that it holds; the next use starts it anew.
 * From a plain thread. Waits for the goroutines to end for at most `wait` ns (GO_FOREVER: as long as it
 * takes): GO_ETIMEDOUT if some are still there then, and the scheduler runs on. GO_EDEADLK on a
 * goroutine. 0 when it was not running. No other thread may call golib at the same time. */
GO_API GO_NODISCARD int go_shutdown(go_nsec wait);

/* Sets the number of Ps (1 to 1024; higher values count as 1024) and returns the old one; n < 1 only
 * asks. Neither goroutines nor timers are lost. A P that goes away finishes the stretch of user
 * code that it is in first. Go: runtime.GOMAXPROCS. */
GO_API int go_procs(int n);

/* CPUs this process may use: affinity and cgroup quota; what GOMAXPROCS defaults to. */
GO_API int go_cpus(void);

/* Starts a goroutine from a thread that is not one, without waiting: go_spawn under another name.
 * Errors as go_spawn. Not from a signal handler: it takes locks. */
GO_API GO_NODISCARD int go_post(void (*fn)(void *), void *arg);

/* Live goroutines, started or not, the caller included. Go: runtime.NumGoroutine. */
GO_API int64_t go_count(void);

GO_EXTERN_C_END_

#endif /* GOLIB_RUNTIME_H_ */
