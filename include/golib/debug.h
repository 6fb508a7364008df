/* golib/debug.h: seeing what goroutines do. */
#ifndef GOLIB_DEBUG_H_
#define GOLIB_DEBUG_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* Writes one line per goroutine to file descriptor fd: number, name, state or wait reason and since
 * when, spawn site. Does not stop the goroutines: each line is right, all of them need not be of one
 * instant. Never suspends, allocates nothing. */
GO_API void go_dump(int fd);

GO_EXTERN_C_END_

#endif /* GOLIB_DEBUG_H_ */
