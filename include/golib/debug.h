/* golib/debug.h: seeing what goroutines do. */
#ifndef GOLIB_DEBUG_H_
#define GOLIB_DEBUG_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* Writes one line per goroutine to file descriptor fd: number, name, state or wait reason and since
 * when, spawn site. Does not stop the goroutines: each line is right, all of them need not be of one
 * instant. Never suspends, allocates nothing. */
GO_API void go_dump(int fd);

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
