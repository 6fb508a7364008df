/* golib/defer.h: deferred calls, panics, and the boundary that catches them.
 *
 * A panic runs the deferred calls of its goroutine and ends that goroutine; the panic handler is
 * told, and the process goes on. A panic in go_main's goroutine ends the process with exit status
 * 2. go_try is the only boundary that a panic does not cross.
 */
#ifndef GOLIB_DEFER_H_
#define GOLIB_DEFER_H_

#include <golib/base.h>
#include <golib/macros.h>

GO_EXTERN_C_BEGIN_

/* One deferred call: lives in the frame that defers and is linked to its goroutine. */
typedef struct go_defer_rec_ {
  struct go_defer_rec_ *next_;
  void (*fn_)(void *);
  void *arg_;
} go_defer_rec_;

/* What a panic carries. Strings live until the handler, or go_try's caller, has returned. */
typedef struct go_panic_info {
  char text[256];     /* the message, cut to fit */
  void *value;        /* what go_panic_value was given, else NULL */
  uint64_t goroutine; /* go_id() of the goroutine, 0 for a thread */
  char name[32];      /* its name, or "" */
  const char *site;   /* where it was started, "worker@file.c:31", or "" */
} go_panic_info;

/* Panics with a printf-style message. Goroutine only; on a plain thread without go_try it is fatal.
 * Go: panic. */
GO_API GO_NORETURN GO_PRINTF(1, 2) void go_panic(const char *fmt, ...);
/* Panics with a value for go_try's caller; text says what it is. */
GO_API GO_NORETURN void go_panic_value(void *value, const char *text);

/* Calls fn(arg). Returns 0 when it returns; GO_EPANIC when it panicked, with *ret_info filled in
 * (NULL: not wanted). go_exit passes through. Go: recover. */
GO_API int go_try(void (*fn)(void *), void *arg, go_panic_info *ret_info);

/* Sets what is told of a panic that ends a goroutine; NULL brings back the default, which prints message,
 * name and spawn site on stderr. Runs on the goroutine that panicked, after its deferred calls; a
 * panic in the handler is printed and goes no further. */
GO_API void go_set_panic_handler(void (*fn)(const go_panic_info *));

GO_API void go_defer_push_(go_defer_rec_ *d);
GO_API void go_defer_run_(go_defer_rec_ *d);

GO_EXTERN_C_END_

/* GO_DEFER(fn, arg): calls fn(arg) when this block ends: by its end, return, break, goto, a panic or
 * go_exit. Several run last first. fn is void (*)(void *). */
#define GO_DEFER(fn, arg) GO_DEFER_2_(fn, arg, GO_UNIQUE_(go_defer_))
#define GO_DEFER_2_(fn, arg, rec)                                              \
  GO_CLEANUP(go_defer_run_) GO_UNUSED go_defer_rec_ rec = {NULL, (fn), (arg)}; \
  go_defer_push_(&rec)

#endif /* GOLIB_DEFER_H_ */
