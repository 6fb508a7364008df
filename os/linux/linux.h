/* os/linux/linux.h: what the files of this directory share. */
#ifndef GOLIB_OS_LINUX_LINUX_H_
#define GOLIB_OS_LINUX_LINUX_H_

#ifndef _GNU_SOURCE
#error "compile with -D_GNU_SOURCE"
#endif

#include <errno.h>

#include "core/os.h"

/* Timestamps of the raw system calls are taken to be the kernel's 64-bit ones. */
_Static_assert(sizeof(long) == 8, "64-bit Linux only");

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

/* What cgroups allow of CPU time below the directory `root` ("" for the real one, or a copy of the
 * files for tests), in whole CPUs, rounded up; 0 when nothing limits. */
int go_os_cgroup_cpus_(const char *root);

#endif /* GOLIB_OS_LINUX_LINUX_H_ */
