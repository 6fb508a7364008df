/* golib/go.h: goroutines.
 *
 *   GO_FUNC(worker, (int, id), (intchan, out)) { intchan_send(out, id * id); }
 *   ...
 *   if (GO(worker, 7, ch) != 0) ...
 *
 * GO_FUNC defines an ordinary static function, void worker(int id, intchan out), that can be called
 * as such and can also be started: GO is checked by the compiler like a call, evaluates the
 * arguments now and copies them into the goroutine. Up to eight parameters.
 *
 * A goroutine's stack never moves: pointers to its locals stay valid until their block ends. It
 * may resume on another thread after each call that suspends, so what is thread-local (errno,
 * _Thread_local variables) must not be held across such a call; see docs/tls.md.
 */
#ifndef GOLIB_GO_H_
#define GOLIB_GO_H_

#include <golib/base.h>
#include <golib/macros.h>

GO_EXTERN_C_BEGIN_

/* Starts fn(arg) as a goroutine. The pointer is passed as it is: what it points at must live long
 * enough. Never suspends; goroutines start in no promised order. Returns 0; GO_ENOMEM (no memory or
 * address space), GO_EAGAIN (go_config.max_goroutines reached, or no thread could be made). fn NULL
 * is a fatal error. Go: the go statement. */
GO_API GO_NODISCARD int go_spawn(void (*fn)(void *), void *arg);

/* The same with a copy of `size` bytes at `args`, which fn gets a pointer to: aligned for any type,
 * the goroutine's own, gone when fn returns. Up to half the stack size; GO_EINVAL beyond. */
GO_API GO_NODISCARD int go_spawn_copy(void (*fn)(void *), const void *args, size_t size);

/* What go_spawn_opt can ask for; all-zero means the defaults. */
typedef struct go_spawn_opts {
  const char *name;  /* for dumps and reports; copied, 31 bytes are kept */
  size_t stack_size; /* bytes, 16 KiB to 1 GiB, rounded up to a power of two; 0: the program's.
                          A sixteenth, at least a page, is guard */
  bool pinned;       /* stays on one thread of its own, as after go_lock_thread() */
  int preempt; /* enum go_preempt: whether it may be stopped in the middle of its code; 0: as go_config says.
                          Where that cannot be done, or not in an embedded golib, it has no effect */
  uint64_t reserved_[4];
} go_spawn_opts;

/* go_spawn_copy with options (NULL: none); with size 0, args is passed as it is. GO_EINVAL for a
 * stack size or a `preempt` out of range; other errors as go_spawn. */
GO_API GO_NODISCARD int go_spawn_opt(const go_spawn_opts *o, void (*fn)(void *), const void *args,
                                     size_t size);

/* Lets other runnable goroutines run first. On a plain thread it yields the thread. Suspends.
 * Go: runtime.Gosched. */
GO_API void go_yield(void);

/* Yields only when the scheduler wants the P for others, else costs a few instructions: for long
 * loops. Returns whether it yielded. Suspends. */
GO_API bool go_checkpoint(void);

/* Sleeps for at least d ns, or until ctx is done. Returns 0, GO_ECANCELED, GO_ETIMEDOUT (the last two
 * from ctx). d <= 0 returns at once. GO_FOREVER sleeps until ctx is done. Suspends. Go: time.Sleep. */
GO_API int go_sleep(go_ctx *ctx, go_nsec d);

/* Ends the calling goroutine after running its deferred calls. In go_main's goroutine the others
 * run on, and the program ends with a deadlock report when they are gone. On a plain thread:
 * fatal. Go: runtime.Goexit. */
GO_API GO_NORETURN void go_exit(void);

/* The calling goroutine's number, from 1 (go_main's first goroutine), never reused; 0 on a plain thread. */
GO_API uint64_t go_id(void);

/* Names the calling goroutine in dumps and reports: copied, 31 bytes are kept. NULL removes it. */
GO_API void go_set_name(const char *name);

/* Wires the calling goroutine to its present thread until as many unlocks: it runs nowhere else and
 * nothing else runs there. A goroutine that ends while locked ends the thread with it. Goroutine
 * only (no effect on a plain thread). Go: runtime.LockOSThread. */
GO_API void go_lock_thread(void);
/* Undoes one go_lock_thread; more unlocks than locks have no effect. Go: runtime.UnlockOSThread. */
GO_API void go_unlock_thread(void);

/* errno of the thread that runs the caller now, read afresh: right where the expression `errno` may be
 * stale after a suspension. */
GO_API int go_errno(void);

/* What the macros below call: go_spawn_copy and the wait group's go, with the spawn site. */
struct go_wg;
GO_API GO_NODISCARD int go_spawn_site_(const char *site, void (*fn)(void *), const void *args,
                                       size_t size);
GO_API GO_NODISCARD int go_spawn_opt_site_(const char *site, const go_spawn_opts *o,
                                           void (*fn)(void *), const void *args, size_t size);
GO_API GO_NODISCARD int go_wg_spawn_site_(const char *site, struct go_wg *wg, void (*fn)(void *),
                                          const void *args, size_t size);

GO_EXTERN_C_END_

/* The functions record the spawn site as well when they are called by name. */
#define go_spawn(fn, arg) go_spawn_site_(GO_SITE_(#fn), (fn), (arg), 0)
#define go_spawn_copy(fn, args, size) go_spawn_site_(GO_SITE_(#fn), (fn), (args), (size))
#define go_spawn_opt(o, fn, args, size) go_spawn_opt_site_(GO_SITE_(#fn), (o), (fn), (args), (size))

/* GO_FUNC(name, (type, param), ...) { body }: defines void name(type param, ...), startable. */
#define GO_FUNC(...) GO_PICK_(GO_FUNC_, __VA_ARGS__)(__VA_ARGS__)
#define GO_FUNC_0_(name)                                                         \
  static void name(void);                                                        \
  GO_UNUSED static void name##_tramp_(GO_UNUSED void *p_) { name(); }            \
  GO_UNUSED static inline int name##_go_(const char *site_) {                    \
    return go_spawn_site_(site_, name##_tramp_, NULL, 0);                        \
  }                                                                              \
  GO_UNUSED static inline int name##_wg_(const char *site_, struct go_wg *wg_) { \
    return go_wg_spawn_site_(site_, wg_, name##_tramp_, NULL, 0);                \
  }                                                                              \
  static void name(void)
#define GO_FUNC_N_(name, ...)                                                          \
  struct name##_args_ {                                                                \
    GO_MAP_(GO_FIELD_, GO_EMPTY_, __VA_ARGS__)                                         \
  };                                                                                   \
  static void name(GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__));                        \
  GO_UNUSED static void name##_tramp_(void *p_) {                                      \
    struct name##_args_ *a_ = (struct name##_args_ *)p_;                               \
    name(GO_MAP_(GO_ARG_, GO_COMMA_, __VA_ARGS__));                                    \
  }                                                                                    \
  GO_UNUSED static inline int name##_go_(const char *site_,                            \
                                         GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__)) { \
    struct name##_args_ a_ = {GO_MAP_(GO_NAME_, GO_COMMA_, __VA_ARGS__)};              \
    return go_spawn_site_(site_, name##_tramp_, &a_, sizeof a_);                       \
  }                                                                                    \
  GO_UNUSED static inline int name##_wg_(const char *site_, struct go_wg *wg_,         \
                                         GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__)) { \
    struct name##_args_ a_ = {GO_MAP_(GO_NAME_, GO_COMMA_, __VA_ARGS__)};              \
    return go_wg_spawn_site_(site_, wg_, name##_tramp_, &a_, sizeof a_);               \
  }                                                                                    \
  static void name(GO_MAP_(GO_PARAM_, GO_COMMA_, __VA_ARGS__))

/* GO(name, args...): starts a GO_FUNC. Value and errors as go_spawn. */
#define GO(...) GO_PICK_(GO_GO_, __VA_ARGS__)(__VA_ARGS__)
#define GO_GO_0_(name) name##_go_(GO_SITE_(#name))
#define GO_GO_N_(name, ...) name##_go_(GO_SITE_(#name), __VA_ARGS__)

#endif /* GOLIB_GO_H_ */
