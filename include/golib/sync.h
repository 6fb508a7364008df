/* golib/sync.h: mutex, reader-writer mutex, wait group, condition variable, once, semaphore.
 *
 * All types here are valid when all-zero, live in the caller's storage, have a fixed size and must not be
 * copied or moved once used. They work between goroutines and plain threads alike. A mutex may be
 * held across calls that suspend, which a thread mutex may not.
 */
#ifndef GOLIB_SYNC_H_
#define GOLIB_SYNC_H_

#include <golib/base.h>
#include <golib/go.h>

/* Sizes are part of the ABI. */
#if defined(__cplusplus)
#define GO_SIZE_IS_(type, size) static_assert(sizeof(type) == (size), "golib: size of " #type)
#else
#define GO_SIZE_IS_(type, size) _Static_assert(sizeof(type) == (size), "golib: size of " #type)
#endif

GO_EXTERN_C_BEGIN_

/* Mutual exclusion. States: unlocked (all-zero), locked, locked with waiters, starving (a waiter
 * that waited over 1 ms is handed the mutex, and newcomers queue). Not recursive; not owned by a
 * goroutine: another may unlock it. Go: sync.Mutex. */
typedef struct go_mutex {
  uint32_t state_;
  uint32_t pad_;
  void *head_, *tail_;
} go_mutex;
GO_SIZE_IS_(go_mutex, 24);

/* Locks. Suspends while another holds it. */
GO_API void go_mutex_lock(go_mutex *m);
/* Locks if that needs no wait, and says whether it did. Never suspends. */
GO_API GO_NODISCARD bool go_mutex_trylock(go_mutex *m);
/* Locks, or gives up with ctx: 0, GO_ECANCELED, GO_ETIMEDOUT. A ctx that is done already wins. Suspends. */
GO_API GO_NODISCARD int go_mutex_lock_ctx(go_ctx *ctx, go_mutex *m);
/* Unlocks. Unlocking an unlocked mutex is a fatal error. Never suspends, except that a starving
 * waiter may be run at once. */
GO_API void go_mutex_unlock(go_mutex *m);

/* Readers share it, a writer has it alone. States: unlocked (all-zero), read-locked by n, write-locked;
 * each with or without waiters. Not owned by a goroutine: another may unlock it, and any runlock undoes any
 * rlock. There is no upgrade or downgrade.
 *
 * Neither side starves: a writer that waits keeps new readers out, an unlock lets all readers in that wait, and
 * a writer that waited over 1 ms is handed the lock. So an rlock inside an rlock may wait for ever, for
 * a writer that waits for the first one.
 *
 * Where reading is frequent and parallel, readers are counted in memory of their own P, outside this struct:
 * its memory may be freed or used for something else only when it is unlocked. Go: sync.RWMutex. */
typedef struct go_rwmutex {
  uint64_t state_;
  void *readers_head_, *readers_tail_;
  void *writers_head_, *writers_tail_;
} go_rwmutex;
GO_SIZE_IS_(go_rwmutex, 40);

/* Locks for reading. Suspends while a writer has it or waits for it. More than 2^30 readers are a fatal error.
 * Go: RWMutex.RLock. */
GO_API void go_rwmutex_rlock(go_rwmutex *rw);
/* Locks for reading if that needs no wait, and says whether it did. Never suspends. Go: RWMutex.TryRLock. */
GO_API GO_NODISCARD bool go_rwmutex_tryrlock(go_rwmutex *rw);
/* go_rwmutex_rlock, or gives up with ctx: 0, GO_ECANCELED, GO_ETIMEDOUT. A ctx that is done already wins.
 * Suspends. */
GO_API GO_NODISCARD int go_rwmutex_rlock_ctx(go_ctx *ctx, go_rwmutex *rw);
/* Undoes one rlock. A fatal error when nobody has locked it for reading. Never suspends, except that a
 * starving writer may be run at once. Go: RWMutex.RUnlock. */
GO_API void go_rwmutex_runlock(go_rwmutex *rw);
/* Locks for writing. Suspends while anybody has it. Go: RWMutex.Lock. */
GO_API void go_rwmutex_lock(go_rwmutex *rw);
/* Locks for writing if that needs no wait, and says whether it did. Never suspends. Go: RWMutex.TryLock. */
GO_API GO_NODISCARD bool go_rwmutex_trylock(go_rwmutex *rw);
/* go_rwmutex_lock, or gives up with ctx: 0, GO_ECANCELED, GO_ETIMEDOUT. A ctx that is done already wins. Readers
 * that waited only for this writer go on. Suspends. */
GO_API GO_NODISCARD int go_rwmutex_lock_ctx(go_ctx *ctx, go_rwmutex *rw);
/* Unlocks after lock. A fatal error when it is not locked for writing. Never suspends, except that a
 * starving writer may be run at once. Go: RWMutex.Unlock. */
GO_API void go_rwmutex_unlock(go_rwmutex *rw);

/* Waits for a collection of goroutines: a counter, and those who wait for it to become 0. May be
 * used again as soon as all waits have returned. Go: sync.WaitGroup. */
typedef struct go_wg {
  uint64_t state_;
  uint32_t lock_;
  uint32_t pad_;
  void *head_, *tail_;
} go_wg;
GO_SIZE_IS_(go_wg, 32);

/* Adds delta (may be negative) to the counter; at 0 everybody who waits goes on. When the counter
 * is 0, a positive add must happen before a wait. Panics when the counter becomes negative or exceeds
 * 2^31-1. Never suspends. */
GO_API void go_wg_add(go_wg *wg, int delta);
/* go_wg_add(wg, -1). */
GO_API void go_wg_done(go_wg *wg);
/* Waits until the counter is 0. Suspends. */
GO_API void go_wg_wait(go_wg *wg);
/* The same, or gives up with ctx: 0, GO_ECANCELED, GO_ETIMEDOUT. Suspends. */
GO_API GO_NODISCARD int go_wg_wait_ctx(go_ctx *ctx, go_wg *wg);

/* A place to wait for a condition on data that a mutex guards.
 *
 *   go_mutex_lock(&mu);
 *   while (!condition) go_cond_wait(&cond, &mu);
 *   ... the condition holds, mu is locked ...
 *   go_mutex_unlock(&mu);
 *
 * There is no wake-up without a signal or broadcast; the loop is there because others may have locked mu, and
 * changed the data, between the signal and the return. A signal goes to the one who waits longest, never to one
 * who comes later; when nobody waits it has no effect. All waits use the same mutex. Using a copy
 * panics. Go: sync.Cond. */
typedef struct go_cond {
  uint32_t lock_;
  uint32_t waiters_;
  void *head_, *tail_;
  void *self_;
} go_cond;
GO_SIZE_IS_(go_cond, 32);

/* Unlocks mu, waits for a signal or broadcast, locks mu again. A fatal error when mu is not locked. Suspends.
 * Go: Cond.Wait. */
GO_API void go_cond_wait(go_cond *c, go_mutex *mu);
/* The same, or gives up with ctx: 0 when it was signalled, else GO_ECANCELED or GO_ETIMEDOUT. mu is locked again in
 * any case, however long that takes; a ctx that is done already wins, and mu stays locked. A
 * signal is never lost to one who gives up: then it goes to the next. Suspends. */
GO_API GO_NODISCARD int go_cond_wait_ctx(go_ctx *ctx, go_cond *c, go_mutex *mu);
/* Wakes the one who waits longest, if anybody does. The caller may hold the mutex, but need not. Never suspends.
 * Go: Cond.Signal. */
GO_API void go_cond_signal(go_cond *c);
/* Wakes all who wait. Likewise. Go: Cond.Broadcast. */
GO_API void go_cond_broadcast(go_cond *c);

/* Does something once. States: new (all-zero), running, done. Go: sync.Once. */
typedef struct go_once {
  uint32_t state_;
  uint32_t pad_;
  void *head_, *tail_;
} go_once;
GO_SIZE_IS_(go_once, 24);

/* The first call runs fn(arg); the others wait until that has ended and return. However fn ends, by return, a
 * panic or go_exit, it is done: it never runs again. A panic goes on to the first caller only. fn calling
 * go_once_do with the same once waits for ever. fn NULL panics (and is done). Suspends. Go: Once.Do. */
GO_API void go_once_do(go_once *once, void (*fn)(void *), void *arg);

/* Weighted semaphore: of `size` units, callers take and give back some at a time, first come, first served. The size
 * is set where it is made, and does not change:
 *
 *   go_sem sem = GO_SEM_INIT(8);          to assign in C: *s = (go_sem)GO_SEM_INIT(8);
 *
 * All-zero is a semaphore of size 0. Go: golang.org/x/sync/semaphore.Weighted. */
typedef struct go_sem {
  uint32_t lock_;
  uint32_t pad_;
  int64_t size_, used_;
  void *head_, *tail_;
} go_sem;
GO_SIZE_IS_(go_sem, 40);
#define GO_SEM_INIT(size) \
  { 0, 0, (int64_t)(size), 0, NULL, NULL }

/* Takes n units, when they are free and nobody waits in front: 0; or gives up with ctx: GO_ECANCELED,
 * GO_ETIMEDOUT, with nothing taken. A ctx that is done already wins. One that wants many is not overtaken by those
 * who want few. With n above the size it waits until ctx is done (NULL: for ever), in nobody's way. n < 0
 * panics; n 0 waits for its turn only. Suspends. Go: Weighted.Acquire. */
GO_API GO_NODISCARD int go_sem_acquire(go_ctx *ctx, go_sem *sem, int64_t n);
/* Takes n units if that needs no wait, and says whether it did. n < 0 panics. Never suspends.
 * Go: Weighted.TryAcquire. */
GO_API GO_NODISCARD bool go_sem_try_acquire(go_sem *sem, int64_t n);
/* Gives n units back, and lets those go on for whom there is enough now. Panics, with nothing changed,
 * when n is negative or more than was taken. Never suspends. Go: Weighted.Release. */
GO_API void go_sem_release(go_sem *sem, int64_t n);

GO_EXTERN_C_END_

/* GO_WG(&wg, name, args...): adds 1, starts the GO_FUNC, and counts it done however it ends: return,
 * go_exit or panic. On failure (errors as go_spawn) the counter is as before. Go: WaitGroup.Go. */
#define GO_WG(...) GO_WG_PICK_(__VA_ARGS__, N_, N_, N_, N_, N_, N_, N_, N_, 0_, ~)(__VA_ARGS__)
#define GO_WG_PICK_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, pick, ...) GO_CAT_(GO_WG_, pick)
#define GO_WG_0_(wg, name) name##_wg_(GO_SITE_(#name), (wg))
#define GO_WG_N_(wg, name, ...) name##_wg_(GO_SITE_(#name), (wg), __VA_ARGS__)

#endif /* GOLIB_SYNC_H_ */
