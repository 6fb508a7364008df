/* golib/sync.h: mutex and wait group.
 *
 * All types here are valid when all-zero, live in the caller's storage, have a fixed size and must not be
 * copied or moved once used. They work between goroutines and plain threads alike. A mutex may be
 * held across calls that suspend, which a thread mutex may not.
 */
#ifndef GOLIB_SYNC_H_
#define GOLIB_SYNC_H_

#include <golib/base.h>
#include <golib/go.h>

GO_EXTERN_C_BEGIN_

/* Mutual exclusion. States: unlocked (all-zero), locked, locked with waiters, starving (a waiter
 * that waited over 1 ms is handed the mutex, and newcomers queue). Not recursive; not owned by a
 * goroutine: another may unlock it. Go: sync.Mutex. */
typedef struct go_mutex {
  uint32_t state_;
  uint32_t pad_;
  void *head_, *tail_;
} go_mutex;

/* Locks. Suspends while another holds it. */
GO_API void go_mutex_lock(go_mutex *m);
/* Locks if that needs no wait, and says whether it did. Never suspends. */
GO_API GO_NODISCARD bool go_mutex_trylock(go_mutex *m);
/* Locks, or gives up with ctx: 0, GO_ECANCELED, GO_ETIMEDOUT. A ctx that is done already wins. Suspends. */
GO_API GO_NODISCARD int go_mutex_lock_ctx(go_ctx *ctx, go_mutex *m);
/* Unlocks. Unlocking an unlocked mutex is a fatal error. Never suspends, except that a starving
 * waiter may be run at once. */
GO_API void go_mutex_unlock(go_mutex *m);

/* Waits for a collection of goroutines: a counter, and those who wait for it to become 0. May be
 * used again as soon as all waits have returned. Go: sync.WaitGroup. */
typedef struct go_wg {
  uint64_t state_;
  uint32_t lock_;
  uint32_t pad_;
  void *head_, *tail_;
} go_wg;

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

GO_EXTERN_C_END_

/* GO_WG(&wg, name, args...): adds 1, starts the GO_FUNC, and counts it done however it ends: return,
 * go_exit or panic. On failure (errors as go_spawn) the counter is as before. Go: WaitGroup.Go. */
#define GO_WG(...) GO_WG_PICK_(__VA_ARGS__, N_, N_, N_, N_, N_, N_, N_, N_, 0_, ~)(__VA_ARGS__)
#define GO_WG_PICK_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, pick, ...) GO_CAT_(GO_WG_, pick)
#define GO_WG_0_(wg, name) name##_wg_(GO_SITE_(#name), (wg))
#define GO_WG_N_(wg, name, ...) name##_wg_(GO_SITE_(#name), (wg), __VA_ARGS__)

#endif /* GOLIB_SYNC_H_ */
