/* golib/cxx.h: what golib.hpp and the library need of each other. Nothing here is for users.
 *
 * The library is C and knows nothing of exceptions. golib.hpp, in a program that has them, registers how a
 * panic becomes one (throw_), where they are caught (call_), and whether there are frames that want
 * to be unwound (frame_).
 */
#ifndef GOLIB_CXX_H_
#define GOLIB_CXX_H_

#include <golib/base.h>
#include <golib/defer.h>
#include <golib/go.h>

GO_EXTERN_C_BEGIN_

#define GO_THROWN_PCS_ 24

/* A panic on its way through C++ frames, or the exception that ends a goroutine. */
typedef struct go_thrown_ {
  go_panic_info info;
  int n; /* of pcs: where it was raised; 0: not known */
  void *pcs[GO_THROWN_PCS_];
} go_thrown_;

/* How a call ended. */
enum go_call_how_ { GO_CALL_RETURNED_, GO_CALL_THREW_, GO_CALL_EXIT_ };

typedef struct go_cxx_ {
  /* Calls fn(arg) and returns how that ended. When an exception left fn, caught(to, what it is) is called first, while
   * it is being handled. The exception is gone then: so is go_exit's, and the caller has to exit again. */
  int (*call_)(void (*fn)(void *), void *arg, void (*caught)(void *to, const go_thrown_ *),
               void *to);
  /* The stack pointer of the innermost frame, outwards from the one with frame address `from`,
   * that has cleanups or handlers. NULL: there is none, or the stack cannot be walked. frame_ NULL: golib finds it. */
  void *(*frame_)(const void *from);
  /* Throws a panic; NULL: what go_exit throws. Does not return. */
  void (*throw_)(const go_thrown_ *what);
} go_cxx_;

/* Registers, for good; *c is static. Goroutines that began before keep to C's ways. */
GO_API void go_cxx_enable_(const go_cxx_ *c);

/* A goroutine whose arguments are constructed where they are used. */
typedef struct go_making_ {
  const char *site;
  const go_spawn_opts *opts; /* NULL: none */
  void (*fn)(void *);
  size_t size;
  void (*make)(void *to, void *from); /* constructs `size` bytes of arguments at `to` */
  void *from;
  void (*on_end)(
      void *); /* NULL, or called with end_arg when the goroutine ends. May not suspend */
  void *end_arg;
} go_making_;

/* Starts it; errors as go_spawn_opt, and make has not been called then: it comes last and must not fail. */
GO_API GO_NODISCARD int go_spawn_make_(const go_making_ *how);

GO_EXTERN_C_END_

#endif /* GOLIB_CXX_H_ */
