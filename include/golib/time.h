/* golib/time.h: the clock. (Units and GO_FOREVER: golib/base.h. Sleeping: golib/go.h.) */
#ifndef GOLIB_TIME_H_
#define GOLIB_TIME_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* The monotonic clock in ns: never goes back, says nothing about the date. Go: time.Now. */
GO_API go_nsec go_now(void);

GO_EXTERN_C_END_

#endif /* GOLIB_TIME_H_ */
