/* core/lockcheck.h: goroutines that leave their thread with a lock of the thread's held; golib/lockcheck.h for the program's
 * side. */
#ifndef GOLIB_CORE_LOCKCHECK_H_
#define GOLIB_CORE_LOCKCHECK_H_

#include "core/g.h"

/* 1: for good: locks are checked. */
extern go_a32 go_lockcheck_on_;

/* On g0: g has left its stack, which is complete, or has ended there. */
void go_lockcheck_left_(go_m_ *m, const go_g_ *g, bool ended);

#endif /* GOLIB_CORE_LOCKCHECK_H_ */
