/* os/darwin/darwin.h: what the files of this directory share. */
#ifndef GOLIB_OS_DARWIN_DARWIN_H_
#define GOLIB_OS_DARWIN_DARWIN_H_

#include "os/posix/posix.h"

_Static_assert(sizeof(void *) == 8, "64-bit macOS only");

/* go_os_futex_wait_ and go_os_futex_wake_ for systems that have no such calls: os/darwin/lot.c. */
int go_lot_wait_(uint32_t *addr, uint32_t val, int64_t ns);
void go_lot_wake_(uint32_t *addr, int n);
/* In the child of a fork: nobody waits, whoever held a lock is gone. */
void go_lot_forked_(void);

#endif /* GOLIB_OS_DARWIN_DARWIN_H_ */
