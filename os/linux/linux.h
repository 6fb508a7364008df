/* os/linux/linux.h: what the files of this directory share. */
#ifndef GOLIB_OS_LINUX_LINUX_H_
#define GOLIB_OS_LINUX_LINUX_H_

#include "os/posix/posix.h"

/* Timestamps of the raw system calls are taken to be the kernel's 64-bit ones. */
_Static_assert(sizeof(long) == 8, "64-bit Linux only");

/* What cgroups allow of CPU time below the directory `root` ("" for the real one, or a copy of the
 * files for tests), in whole CPUs, rounded up; 0 when nothing limits. */
int go_os_cgroup_cpus_(const char *root);

#endif /* GOLIB_OS_LINUX_LINUX_H_ */
