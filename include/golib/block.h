/* golib/block.h: golib and code that was not written for it: calls that block, descriptors and event
 * loops of others. */
#ifndef GOLIB_BLOCK_H_
#define GOLIB_BLOCK_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* ---- calls that block their thread ----
 *
 * While a goroutine is inside, others run on in its place: its P is free at once, for threads that there are or
 * that are made. What golib functions are called inside block the thread, as on a plain thread; all that may be
 * called there may be called here, and go_id, go_local_get, GO_DEFER, go_try and go_panic are the goroutine's.
 * go_lock_thread and go_unlock_thread have no effect inside. Costs some tens of ns when nothing else is to run.
 *
 * Afterwards the goroutine may be on another thread: what the call left in errno must be fetched inside.
 * On a plain thread, in a golib that is embedded in another event loop, and in a forked child the
 * call is simply made. */

/* Calls fn(arg), which may block, on this stack. May be nested. A panic, or go_exit, passes out of it.
 * fn NULL is a fatal error. Suspends at the end. Go: system calls and cgo calls do this by themselves. */
GO_API void go_blocking(void (*fn)(void *), void *arg);

/* The same for the stretch between these two, which one goroutine calls in this order. A panic, or
 * go_exit, in between counts as the end. Fatal: a second begin before the end (go_blocking in between is
 * allowed), an end without begin, a goroutine that ends in between. _end suspends. */
GO_API void go_blocking_begin(void);
GO_API void go_blocking_end(void);

/* ---- code that must not be stopped ----
 *
 * Between these two a goroutine is not stopped by GO_PREEMPT_SWITCH (golib/base.h): for code that holds another library's
 * lock, or uses thread-local variables. It may still lose its P to others, who run on another thread, and what suspends
 * suspends. They nest; a panic that go_try catches outside closes what was begun inside. A few ns; no effect where nothing is
 * stopped. Never suspend. Fatal: an end without a begin; 32767 begins without an end. From any thread.
 * Go: //go:nosplit, acquirem and releasem, for users. */
GO_API void go_nopreempt_begin(void);
GO_API void go_nopreempt_end(void);

/* ---- calls on another thread ---- */

/* Calls fn(arg) on a thread of a pool, with a stack of 8 MiB, while the goroutine waits; a plain thread
 * calls it itself. For what needs a large stack, and for calls of which not too many shall block at
 * a time: the pool has up to go_config.offload_threads threads (64), made when they are needed and ended
 * when they are idle for seconds; further calls wait their turn, first come first served.
 *
 * ctx ends the wait for a turn: then fn is not called. Once it was begun, it is waited for, whatever ctx does,
 * since arg may lie on the caller's stack; fn may look at the context itself.
 * Returns 0 when fn has returned; GO_ECANCELED, GO_ETIMEDOUT: it was not called; GO_EAGAIN, GO_ENOMEM: neither, there is
 * no thread and none could be made (if there are fewer than there may be, they do); GO_EFORKED. If fn panics, so does
 * go_offload. What fn calls of golib blocks its thread; go_exit there is fatal. fn NULL is a fatal error. Suspends. */
GO_API GO_NODISCARD int go_offload(go_ctx *ctx, void (*fn)(void *), void *arg);

/* ---- descriptors of others ----
 *
 * A library that works with descriptors of its own that do not block (libpq, libcurl, hiredis...), and says what it waits
 * for, can be driven by a goroutine:
 *
 *   while ((r = PQconnectPoll(c)) == PGRES_POLLING_READING || r == PGRES_POLLING_WRITING) {
 *     int e = go_fd_wait(ctx, PQsocket(c), r == PGRES_POLLING_READING ? GO_FD_READ : GO_FD_WRITE);
 *     if (e < 0) ...
 *   }
 */
enum go_fd_events { GO_FD_READ = 1, GO_FD_WRITE = 2 };

/* Waits until fd is ready for one of events, and returns for which (both bits after an error or a hang-up, as far as they
 * were asked for: trying tells). Neither reads, nor writes, nor changes the descriptor: it may block or not, and may be
 * registered in other event loops. Files, which are always ready, return at once. Several may wait for one
 * descriptor, and all are told; but it must not be closed meanwhile: nobody is woken by that. Uses one
 * descriptor more while it waits. Returns GO_FD_READ, GO_FD_WRITE, both together; GO_EINVAL: events; -EBADF: fd is none;
 * GO_ECANCELED, GO_ETIMEDOUT: ctx is done; -EMFILE, -ENFILE, GO_ENOMEM; GO_EFORKED. Suspends. */
GO_API GO_NODISCARD int go_fd_wait(go_ctx *ctx, intptr_t fd, int events);

/* ---- golib inside another event loop ----
 *
 * With go_config.embedded golib starts no threads. The thread that calls go_init is the host: only it
 * runs goroutines, when its loop calls go_step. One loop of poll(2):
 *
 *   go_init(&(go_config){.embedded = true});
 *   struct pollfd fds[] = {{.fd = go_wake_fd(), .events = POLLIN}, ...};
 *   for (;;) {
 *     poll(fds, n, -1);
 *     if (fds[0].revents != 0) (void)go_step(100);
 *     ...
 *   }
 *
 * Other threads may use golib as always; what they start or wake runs in the host's next go_step. When the
 * host itself waits in golib, outside go_step (go_run, go_chan_recv...), it runs goroutines for as
 * long. Deadlocks are not reported: the loop may always do something yet. go_procs stays at 1, and
 * go_lock_thread has no effect. */

/* Runs goroutines on the calling thread until `budget` of them have had a turn each, or none can run: a
 * turn lasts until the goroutine waits, yields (go_yield, go_checkpoint) or ends. Runs timers that are due
 * and takes what the poller has. Returns the number of turns; if there is more to do then, go_wake_fd's
 * descriptor is readable and go_step_wait returns 0. The calling thread must be the host.
 * GO_EINVAL: budget < 1, or golib was not started with go_config.embedded; GO_EDEADLK: called by a
 * goroutine; GO_EBUSY: another thread is the host; GO_EFORKED. */
GO_API GO_NODISCARD int go_step(int budget);

/* A descriptor that is readable (POLLIN) while go_step has something to do: a goroutine can run, a
 * timer is due, another thread has woken or started one. For poll, select, epoll, kqueue and their like:
 * do not read from it, nor close it; it ends with go_shutdown. From any thread. GO_EINVAL when golib
 * was not started with go_config.embedded; system errors (-EMFILE...) at the first call; GO_EFORKED. */
GO_API GO_NODISCARD int go_wake_fd(void);

/* How many ns the loop may wait before go_step has something to do, if nothing comes by go_wake_fd
 * before: 0: there is something now; GO_FOREVER: no timer runs. For loops that reckon a time-out of
 * their own; go_wake_fd's descriptor becomes readable without it. From any thread. 0 when golib
 * was not started with go_config.embedded. */
GO_API go_nsec go_step_wait(void);

GO_EXTERN_C_END_

#endif /* GOLIB_BLOCK_H_ */
