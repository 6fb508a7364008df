/* golib/scope.h: structured concurrency: tasks that end before the block that started them does.
 *
 *   GO_TASK(square, (const int *, in), (int, i), (int *, out)) { out[i] = in[i] * in[i]; return 0; }
 *   ...
 *   GO_SCOPE(s, ctx) {
 *     for (int i = 0; i < n; i++) (void)GO_IN(&s, square, in, i, out);
 *     err = go_scope_wait(&s);
 *   }
 *
 * A task is a goroutine that belongs to a scope and has a result, an int: 0, or an error of its own choice.
 * The block of GO_SCOPE is left only after every task of it has finished, whichever way it is left:
 *
 *   its end, break, continue, return, goto   waits for the tasks
 *   a panic, go_exit, a C++ exception        cancels the scope's context, then waits for the tasks
 *
 * so tasks may use what was declared BEFORE the scope. (What is declared inside its block is gone by then.
 * And a value that `return` computes is computed before the wait: join first.) break and continue
 * are the block's own: they do not reach a loop around it.
 *
 * Errors: the first task that returns something else than 0, or panics (GO_EPANIC), decides the scope's
 * error, which go_scope_wait returns, and cancels the scope's context with that number as its cause.
 * Nothing else happens to the other tasks: they notice at their next call that takes the context
 * (go_scope_ctx), and new ones may still be started. A task that could not be started is an error like that of
 * a task. go_exit in a task counts as returning 0.
 *
 * Panics: a task's panic ends the task and is kept for who joins it; the panic handler is not told. If
 * nobody has learned of it when the scope ends, by go_task_join or go_task_panic or (of the first error)
 * by go_scope_wait, the handler is told then, on the goroutine whose scope it is.
 *
 * Tasks may start other tasks in their own scope, and have scopes of their own. A scope may be opened on
 * a plain thread as well: waiting for tasks blocks the thread then.
 *
 * Handles: a go_task belongs to the scope and is valid until the scope ends; using one later is found and is a
 * fatal error. A task costs 64 bytes until then, also when it has finished: in scopes that live long, such as
 * that of a server, give up handles with go_task_release.
 *
 * Go: errgroup.Group; results, handles and panics as with the seed's scope.
 */
#ifndef GOLIB_SCOPE_H_
#define GOLIB_SCOPE_H_

#include <golib/base.h>
#include <golib/context.h>
#include <golib/defer.h>
#include <golib/macros.h>

GO_EXTERN_C_BEGIN_

/* A handle to a task; not a pointer to memory. NULL: none. */
typedef struct go_task go_task;

/* A scope. In the storage of whoever opens it, and not to be copied or moved. States: never begun (all-zero),
 * open, ended. */
typedef struct go_scope {
  uint32_t state_;
  uint32_t lock_;
  go_ctx *parent_;
  void *ctx_;
  int err_;
  int limit_;
  uint32_t running_;
  uint32_t used_;
  uint32_t throwing_;
  uint32_t pad_;
  void *all_, *free_, *failed_, *inside_, *owner_;
  void *idle_head_, *idle_tail_, *start_head_, *start_tail_;
  go_defer_rec_ defer_;
} go_scope;

/* ---- starting tasks ---- */

/* Starts fn(arg) as a task of s. The pointer is passed as it is: what it points at must live as long
 * as the scope. Under a limit it suspends until there is room. Returns the task; NULL when it
 * could not be started, which is an error of the scope: GO_ENOMEM, GO_EAGAIN (as go_spawn), or, under a limit,
 * GO_ECANCELED or GO_ETIMEDOUT when the scope's context is done before there is room. fn NULL, and a
 * scope that is not open, are fatal errors. May be called by the scope's goroutine and by its tasks, and by
 * others while it is certain that the scope does not end meanwhile. Go: errgroup.Group.Go. */
GO_API go_task *go_scope_spawn(go_scope *s, int (*fn)(void *), void *arg);

/* The same with a copy of `size` bytes at `args`, which fn gets a pointer to: aligned for any type, the
 * task's own, gone when fn returns. The scope's error is GO_EINVAL for more than half the stack size. */
GO_API go_task *go_scope_spawn_copy(go_scope *s, int (*fn)(void *), const void *args, size_t size);

/* At most n tasks of s run at a time: starting another waits, first come, first served. n < 0: no
 * limit, as at first; 0: nothing can be started. A task that starts tasks in its own scope counts itself:
 * it may wait for ever. Panics while tasks run. Go: errgroup.Group.SetLimit. */
GO_API void go_scope_limit(go_scope *s, int n);

/* ---- joining ---- */

/* Waits until t has finished and returns its value; GO_EPANIC when it panicked: go_task_panic tells
 * more. What the task did is visible then. Any number of times, by anybody, always with the same result. NULL gives
 * GO_EINVAL, so that a task that could not be started needs no test of its own. Panics when the caller
 * is t, or part of a scope that t waits for. Suspends. */
GO_API int go_task_join(go_task *t);

/* The panic that ended t; NULL when it did not panic, has not finished yet, or is NULL. Valid until the
 * scope ends. Never suspends. */
GO_API const go_panic_info *go_task_panic(go_task *t);

/* Gives the handle up: t runs on, and still counts for the scope, but its memory is used again when it has
 * finished. NULL accepted. Never suspends. */
GO_API void go_task_release(go_task *t);

/* Waits until no task of s runs. Returns the first error: what the first task that did not return 0
 * returned, GO_EPANIC for a panic (go_scope_panic tells more), or why one could not be started; 0 if there was
 * none. Afterwards more tasks may be started. Panics when the caller is a task of s, or part of one.
 * Suspends. Go: errgroup.Group.Wait (which also cancels; here the end of the scope does). */
GO_API int go_scope_wait(go_scope *s);

/* The panic that is the scope's first error; NULL when there is none, or it is something else. Valid until the
 * scope ends. Never suspends. */
GO_API const go_panic_info *go_scope_panic(go_scope *s);

/* ---- its context ---- */

/* The scope's own context, a child of the one that it was opened with: done when that is, when a task has failed
 * (its cause is the scope's error), when the scope is left by a panic, go_exit or an exception, and
 * when it has ended. go_ctx_cancel(go_scope_ctx(s)) tells all tasks to stop; it is not an error of the scope. Made at
 * the first call; it belongs to the scope, and go_ctx_ref keeps it longer. Never NULL: when memory is
 * short, the scope's error is GO_ENOMEM, and what comes back is done. Never suspends. */
GO_API go_ctx *go_scope_ctx(go_scope *s);

/* ---- without the macro: for C++, and where a block will not do ---- */

/* Opens a scope that is all-zero or has ended; one that is open: a fatal error. ctx must live as long as
 * it does; NULL: background. A panic and go_exit end it, as a deferred call. Never suspends. */
GO_API void go_scope_begin(go_scope *s, go_ctx *ctx);
/* Waits for the tasks and ends the scope. Returns its error as go_scope_wait does. Only on the
 * goroutine that has opened it, with all that it has deferred or opened since done: else a fatal error. */
GO_API int go_scope_end(go_scope *s);

/* What the macros below call. */
GO_API bool go_scope_once_(go_scope *s);
GO_API void go_scope_leave_(go_scope *s);
GO_API go_task *go_scope_spawn_site_(const char *site, go_scope *s, int (*fn)(void *),
                                     const void *args, size_t size);

GO_EXTERN_C_END_

/* Records the spawn site as well when they are called by name. */
#define go_scope_spawn(s, fn, arg) go_scope_spawn_site_(GO_SITE_(#fn), (s), (fn), (arg), 0)
#define go_scope_spawn_copy(s, fn, args, size) \
  go_scope_spawn_site_(GO_SITE_(#fn), (s), (fn), (args), (size))

/* GO_SCOPE(name, ctx) { ... }: a block with the open scope `name` (a go_scope; hand on its address).
 * ctx NULL: background. */
#define GO_SCOPE(name, ctx) \
  for (GO_CLEANUP(go_scope_leave_) go_scope name = GO_SCOPE_INIT_(ctx); go_scope_once_(&name);)
#define GO_SCOPE_INIT_(ctx)                                                                      \
  {                                                                                              \
    0, 0, (ctx), NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, { \
      NULL, NULL, NULL                                                                           \
    }                                                                                            \
  }

/* GO_TASK(name, (type, param), ...) { body; return 0; }: defines int name(type param, ...), an ordinary
 * function that can also be started as a task. Up to eight parameters, or none. */
#define GO_TASK(...) GO_PICK_(GO_TASK_, __VA_ARGS__)(__VA_ARGS__)
#define GO_TASK_0_(name)                                                         \
  static int name(void);                                                         \
  GO_UNUSED static int name##_tramp_(GO_UNUSED void *p_) { return name(); }      \
  GO_UNUSED static inline go_task *name##_in_(const char *site_, go_scope *s_) { \
    return go_scope_spawn_site_(site_, s_, name##_tramp_, NULL, 0);              \
  }                                                                              \
  static int name(void)
#define GO_TASK_N_(name, ...)                                                               \
  struct name##_args_ {                                                                     \
    GO_MAP_(GO_FIELD_, GO_EMPTY_, __VA_ARGS__)                                              \
  };                                                                                        \
  static int name(GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__));                              \
  GO_UNUSED static int name##_tramp_(void *p_) {                                            \
    struct name##_args_ *a_ = (struct name##_args_ *)p_;                                    \
    return name(GO_MAP_(GO_ARG_, GO_COMMA_, __VA_ARGS__));                                  \
  }                                                                                         \
  GO_UNUSED static inline go_task *name##_in_(const char *site_, go_scope *s_,              \
                                              GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__)) { \
    struct name##_args_ a_ = {GO_MAP_(GO_NAME_, GO_COMMA_, __VA_ARGS__)};                   \
    return go_scope_spawn_site_(site_, s_, name##_tramp_, &a_, sizeof a_);                  \
  }                                                                                         \
  static int name(GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__))

/* GO_IN(&s, name, args...): starts a GO_TASK in scope s, checked like a call, its arguments copied. Value as
 * go_scope_spawn. */
#define GO_IN(...) GO_IN_PICK_(__VA_ARGS__, N_, N_, N_, N_, N_, N_, N_, N_, 0_, ~)(__VA_ARGS__)
#define GO_IN_PICK_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, pick, ...) GO_CAT_(GO_IN_, pick)
#define GO_IN_0_(s, name) name##_in_(GO_SITE_(#name), (s))
#define GO_IN_N_(s, name, ...) name##_in_(GO_SITE_(#name), (s), __VA_ARGS__)

#endif /* GOLIB_SCOPE_H_ */
