/* golib/context.h: cancellation, deadlines and values that are passed down.
 *
 *   go_ctx *ctx = go_ctx_with_timeout(parent, 2 * GO_SEC);
 *   if (ctx == NULL) return GO_ENOMEM;
 *   int r = go_chan_recv_ctx(ctx, answers, &a);   // 0, GO_ECLOSED, GO_ECANCELED, GO_ETIMEDOUT
 *   go_ctx_unref(ctx);
 *
 * Contexts form a tree. Each is open or done; a context that becomes done makes all its descendants
 * done before the call that did it returns, and never becomes open again. Every call of golib that
 * can wait long takes a context, NULL for none, and gives up when it is done.
 *
 * A context is shared and counted: who makes it has one reference, and drops it by go_ctx_unref. A
 * child keeps its parent. A context that nobody refers to any more is gone, and leaves its parent, whether
 * it was cancelled or not: forgetting to cancel leaks nothing. A deadline does not keep it.
 *
 * Wherever a context is expected, NULL stands for go_ctx_background(). Neither goroutine nor thread stands
 * behind a context: deadlines are timers of the scheduler. A deadline, and a callback's goroutine, start the
 * scheduler, if it does not run yet; the rest of this header needs none and works before it starts and
 * after it has stopped. go_shutdown() cancels every context whose deadline is still to come (GO_ECANCELED).
 *
 * All functions work from goroutines, plain threads, and what runs on timers. None suspends.
 * Memory model: what the canceller did before happens before whatever learns that the context is done.
 */
#ifndef GOLIB_CONTEXT_H_
#define GOLIB_CONTEXT_H_

#include <golib/base.h>
#include <golib/chan.h>

GO_EXTERN_C_BEGIN_

/* The root: never done, without deadline and values. Not counted: _ref and _unref do nothing to it. Never NULL.
 * Go: context.Background. */
GO_API go_ctx *go_ctx_background(void);

/* ---- making children; NULL when memory is short ---- */

/* Done when it is cancelled or its parent is done. Born done, with the parent's code and cause, when
 * the parent is done already. Go: context.WithCancel. */
GO_API GO_NODISCARD go_ctx *go_ctx_with_cancel(go_ctx *parent);
/* The same, and at `when`, an instant of go_now(), with GO_ETIMEDOUT. When the parent's deadline is not
 * later that one holds. Born done when `when` has passed; GO_FOREVER is no deadline. Also NULL when the
 * scheduler must be started for it and cannot, and in a forked child. Go: context.WithDeadline. */
GO_API GO_NODISCARD go_ctx *go_ctx_with_deadline(go_ctx *parent, go_nsec when);
/* The same, d from now; d <= 0 has passed. Go: context.WithTimeout. */
GO_API GO_NODISCARD go_ctx *go_ctx_with_timeout(go_ctx *parent, go_nsec d);
/* Also carries val under key, for itself and its descendants. Keys are compared as pointers: the address of a
 * static variable is one that nobody else uses. destroy(val), unless NULL, is called once, when the context is
 * freed, by whoever drops the last reference (that may be somebody who cancels); not when NULL is
 * returned. It may wait, but not panic. Panics when key is NULL. Go: context.WithValue. */
GO_API GO_NODISCARD go_ctx *go_ctx_with_value(go_ctx *parent, const void *key, void *val,
                                              void (*destroy)(void *));
/* Has the parent's values, but neither its end nor its deadline. Go: context.WithoutCancel. */
GO_API GO_NODISCARD go_ctx *go_ctx_without_cancel(go_ctx *parent);

/* ---- ending ---- */

/* Makes ctx and its descendants done with GO_ECANCELED: when it returns they are, also when others cancel parts of
 * the tree at the same time. Any context but the background can be cancelled, however it was made; its parent
 * does not notice. On one that is done, on the background and on NULL it has no effect. Does not wait
 * for anybody to notice; who is woken by it may drop the last reference while it runs.
 * Go: CancelFunc. */
GO_API void go_ctx_cancel(go_ctx *ctx);
/* The same, and says why: cause, any number but 0 (which means GO_ECANCELED), is what go_ctx_cause gives.
 * The first one stays. Go: CancelCauseFunc. */
GO_API void go_ctx_cancel_cause(go_ctx *ctx, int cause);

/* ---- asking ---- */

/* 0 while it is open; then GO_ECANCELED, or GO_ETIMEDOUT when a deadline ended it, for ever. Cheap: meant
 * for long loops. Not 0 exactly when the channel of go_ctx_done is closed. Go: Context.Err. */
GO_API int go_ctx_err(const go_ctx *ctx);
/* Why: 0 while it is open; then what go_ctx_cancel_cause was given, for this context or for the ancestor that
 * made it done; else what go_ctx_err says. Go: context.Cause. */
GO_API int go_ctx_cause(const go_ctx *ctx);
/* When it will be done at the latest, an instant of go_now(); GO_FOREVER: no deadline. Go: Context.Deadline. */
GO_API go_nsec go_ctx_deadline(const go_ctx *ctx);
/* A channel (elements of size 0) that is closed when ctx becomes done: for go_select, where a context
 * that is not select's own is to be one of the cases. Made on first use, always the same; it belongs to
 * ctx and lives as long, unless go_chan_ref keeps it. Sending on it and closing it is illegal. NULL
 * for the background (which in a select is never ready), else only when memory is short. Go: Context.Done. */
GO_API go_chan *go_ctx_done(go_ctx *ctx);
/* The value under key of ctx or its nearest ancestor that has one; NULL: none. Valid while ctx lives.
 * Go: Context.Value. */
GO_API void *go_ctx_value(const go_ctx *ctx, const void *key);

/* ---- calling back ---- */

/* A callback that can be stopped; all-zero: none. Holds memory until go_ctx_after_stop. Must not be
 * copied. */
typedef struct go_ctx_stop {
  void *p_;
} go_ctx_stop;

/* Runs fn(arg) in a goroutine of its own when ctx becomes done; at once when it is. Keeps a reference to
 * ctx until fn is started or stopped. *ret_stop is for go_ctx_after_stop, which must follow then; NULL: cannot be
 * stopped. Returns 0; GO_ENOMEM; what go_spawn returns, when ctx is done already. When ctx becomes
 * done later and no goroutine can be started then, it is tried again until one can. On the
 * background fn never runs. fn NULL is a fatal error. Go: context.AfterFunc. */
GO_API GO_NODISCARD int go_ctx_after(go_ctx *ctx, void (*fn)(void *), void *arg,
                                     go_ctx_stop *ret_stop);
/* Stops the callback and frees the handle. Returns true when that is why fn never runs; false when fn has
 * been started (it may have ended or not begun yet: this does not wait), and on further
 * calls. May be called by several at a time. Go: the stop function of AfterFunc. */
GO_API bool go_ctx_after_stop(go_ctx_stop *stop);

/* ---- references ---- */

/* Take and drop a reference. _ref returns its argument. */
GO_API go_ctx *go_ctx_ref(go_ctx *ctx);
GO_API void go_ctx_unref(go_ctx *ctx);

/* What the macro below calls: go_ctx_after with the spawn site. */
GO_API GO_NODISCARD int go_ctx_after_site_(const char *site, go_ctx *ctx, void (*fn)(void *),
                                           void *arg, go_ctx_stop *ret_stop);

GO_EXTERN_C_END_

/* Records the spawn site as well when it is called by name. */
#define go_ctx_after(ctx, fn, arg, ret_stop) \
  go_ctx_after_site_(GO_SITE_(#fn), (ctx), (fn), (arg), (ret_stop))

#endif /* GOLIB_CONTEXT_H_ */
