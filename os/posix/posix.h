/* os/posix/posix.h: what os/posix, and the systems that build on it (os/linux, os/darwin), share.
 *
 * os/posix holds those functions of core/os.h that POSIX is enough for. Beside it stands the directory of one
 * system, which defines the rest, and the functions at the end of this file.
 */
#ifndef GOLIB_OS_POSIX_POSIX_H_
#define GOLIB_OS_POSIX_POSIX_H_

#if defined(__linux__) && !defined(_GNU_SOURCE)
#error "compile with -D_GNU_SOURCE"
#endif

#include <errno.h>
#include <pthread.h>

#include "core/os.h"

/* Which sanitizer we are built with: gcc tells by macro, clang by feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GO_ASAN_ 1
#endif
#if __has_feature(thread_sanitizer)
#define GO_TSAN_ 1
#endif
#if __has_feature(memory_sanitizer)
#define GO_MSAN_ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(GO_ASAN_)
#define GO_ASAN_ 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(GO_TSAN_)
#define GO_TSAN_ 1
#endif

/* All functions of core/os.h leave errno as they found it: user code may look at it after a call of
 * golib's, and a signal handler that calls one must not change it. */
#define GO_KEEP_ERRNO_BEGIN() const int errno_before_ = errno
#define GO_KEEP_ERRNO_END() ((void)(errno = errno_before_))

#define GO_NS_PER_S_ 1000000000

/* ---- of the system ---- */

/* Of go_os_timer_: a descriptor, closed on exec, or a negative code; go_os_timer_set_; and a wait until it has gone off, once,
 * which may end with EINTR: -1, as system calls do. errno need not be kept. */
int go_posix_timer_open_(void);
void go_posix_timer_set_(int fd, int64_t ns);
int go_posix_timer_wait_(int fd);
/* Sets the size of a new thread's stack: 256 KiB, or 8 MiB if large, that are free for its use. 0 or an errno. */
int go_posix_stack_size_(pthread_attr_t *attr, bool large);
/* Bytes that the kernel puts onto the stack of a signal's handler, at most. Async-signal-safe. */
size_t go_posix_signal_frame_(void);

#endif /* GOLIB_OS_POSIX_POSIX_H_ */
