/* golib/base.h: what every golib header shares: attributes, time units, error codes.
 *
 * Conventions that hold in all headers and are not repeated there:
 *  - A name that ends in an underscore is not part of the contract.
 *  - "Suspends" says that a call may park the calling goroutine and resume it on another thread. On
 *    a plain thread the same call blocks that thread.
 *  - Unless a declaration says "goroutine only", a function may be called from any thread.
 *  - Durations and instants are go_nsec: nanoseconds, instants on the monotonic clock of go_now().
 *  - Fallible functions return 0 or a negative code and leave ret_ parameters untouched on failure.
 */
#ifndef GOLIB_BASE_H_
#define GOLIB_BASE_H_

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GO_VERSION "0.1.0"

#if defined(__cplusplus)
#define GO_EXTERN_C_BEGIN_ extern "C" {
#define GO_EXTERN_C_END_ }
#else
#define GO_EXTERN_C_BEGIN_
#define GO_EXTERN_C_END_
#endif

#define GO_API __attribute__((visibility("default")))
#define GO_NODISCARD __attribute__((warn_unused_result))
#define GO_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GO_UNUSED __attribute__((unused))
#define GO_NORETURN __attribute__((noreturn))
#define GO_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define GO_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Where something stands in the source: "text@file.c:31". One string literal, so one pointer. */
#define GO_STR2_(x) #x
#define GO_STR_(x) GO_STR2_(x)
#define GO_SITE_(text) text "@" __FILE__ ":" GO_STR_(__LINE__)

/* A duration, or an instant on the monotonic clock, in nanoseconds. */
typedef int64_t go_nsec;

#define GO_NS ((go_nsec)1)
#define GO_US ((go_nsec)1000)
#define GO_MS ((go_nsec)1000000)
#define GO_SEC ((go_nsec)1000000000)
#define GO_MIN (60 * GO_SEC)
#define GO_HOUR (60 * GO_MIN)
/* Later than every instant, longer than every duration. */
#define GO_FOREVER ((go_nsec)INT64_MAX)

/* The error codes that golib itself returns. Other system errors come as -errno.
 * XX(name, value, text) */
#define GO_ERRORS(XX)                                                     \
  XX(GO_EAGAIN, -EAGAIN, "not ready, or a resource is exhausted for now") \
  XX(GO_EINVAL, -EINVAL, "invalid argument")                              \
  XX(GO_ENOMEM, -ENOMEM, "out of memory")                                 \
  XX(GO_ECANCELED, -ECANCELED, "canceled")                                \
  XX(GO_ETIMEDOUT, -ETIMEDOUT, "deadline exceeded")                       \
  XX(GO_EBUSY, -EBUSY, "in use")                                          \
  XX(GO_ENOSYS, -ENOSYS, "not possible on this system")                   \
  XX(GO_ECLOSED, -4096, "closed")                                         \
  XX(GO_EPANIC, -4097, "ended by a panic")                                \
  XX(GO_EDEADLK, -4098, "would wait for ever")                            \
  XX(GO_ENOTGO, -4099, "not a goroutine")                                 \
  XX(GO_EFORKED, -4100, "not possible in a forked child")                 \
  XX(GO_ENOHOST, -4101, "no such host")                                   \
  XX(GO_EDNS, -4102, "the name could not be looked up, for now")          \
  XX(GO_EEOF, -4103, "end of the stream")                                 \
  XX(GO_ETRUNCATED, -4104, "the stream ended too early")                  \
  XX(GO_ETOOLONG, -4105, "does not fit into the buffer")

enum go_error {
#define GO_ERROR_ENUM_(name, value, text) name = (value),
  GO_ERRORS(GO_ERROR_ENUM_)
#undef GO_ERROR_ENUM_
};

/* How a goroutine that computes for long makes way for others: go_config, go_spawn_opts.
 *
 * GO_PREEMPT_RETAKE: it goes on, and they run beside it, on another thread. Always safe.
 *
 * GO_PREEMPT_SWITCH: it is stopped, by a signal, in the middle of its code, and they run on the same thread, as if it had
 * called go_yield there. No further threads, and no more goroutines at work than there are Ps; but while it
 * is stopped others run, and it may go on on another thread. So its code in the program's executable must do without locks
 * that are not golib's (and that others might want meanwhile) and without thread-local variables, other than errno
 * between two calls; go_nopreempt_begin and go_nopreempt_end enclose what cannot. It is only stopped in functions of the
 * executable itself, on its own stack: not in golib, nor in shared libraries such as libc (what the executable has linked statically, a C++
 * library or an allocator for instance, is its own); not in signal handlers; not during panics and exceptions. There
 * GO_PREEMPT_RETAKE's way is taken. A call of its that blocks, like poll or nanosleep, may return EINTR after a slice of 10 ms
 * while others wait; those that SA_RESTART restarts go on. */
enum go_preempt { GO_PREEMPT_DEFAULT, GO_PREEMPT_RETAKE, GO_PREEMPT_SWITCH };

GO_EXTERN_C_BEGIN_

/* The text of a golib or system error code; "success" for 0 and positive values. Never NULL, never
 * allocates, valid for ever for golib's own codes and until the thread's next call for others. */
GO_API const char *go_strerror(int code);
/* The name of a code, "GO_ECLOSED"; NULL for one that GO_ERRORS does not list. */
GO_API const char *go_error_name(int code);
/* golib's version, "0.1.0": the library's, where GO_VERSION is the header's. */
GO_API const char *go_version(void);

/* A context (golib/context.h): carries cancellation and a deadline. NULL means none, everywhere. */
typedef struct go_ctx go_ctx;

GO_EXTERN_C_END_

#endif /* GOLIB_BASE_H_ */
