/* golib/lockcheck.h: what golib and its lock checker (tools/lockcheck, docs/tls.md) need of each other. Nothing here is for
 * users, but for those who have locks of their own that belong to a thread, and want them checked too.
 */
#ifndef GOLIB_LOCKCHECK_H_
#define GOLIB_LOCKCHECK_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* From now on a goroutine that leaves its thread with one of the locks below held is reported on stderr, with where it
 * locked it and where it waits, once for each place where it is locked. For good; before goroutines run. Each switch
 * costs as much as with go_set_hooks, which may be used beside it. */
GO_API void go_lockcheck_enable_(void);

/* The calling goroutine has locked `lock`, a `kind` ("mutex"), which belongs to its thread. `frame`: the caller's
 * __builtin_frame_address(0); whoever called it is who has locked. Nothing on plain threads, which lose no lock, and for
 * the 9th lock at a time and further ones. Never suspends. */
GO_API void go_lockcheck_locked_(const void *lock, const char *kind, const void *frame);
/* And has unlocked it; nothing if it is not known to hold it. */
GO_API void go_lockcheck_unlocked_(const void *lock);

GO_EXTERN_C_END_

#endif /* GOLIB_LOCKCHECK_H_ */
