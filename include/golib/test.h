/* golib/test.h: for tests of programs that use goroutines. */
#ifndef GOLIB_TEST_H_
#define GOLIB_TEST_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* How many goroutines are alive but the caller, which is one or is not: 0 at the end of a test that leaves
 * nothing behind. Goroutines that are about to end are given a second; those that wait for something are counted
 * at once. They are listed on file descriptor fd as go_dump does (negative: not), and those that nothing can
 * wake any more are marked "leaked": whose channels nobody but such goroutines could still use.
 *
 * May suspend. GO_EFORKED in a forked child. From any thread; not in a hook. */
GO_API GO_NODISCARD int go_test_leaks(int fd);

GO_EXTERN_C_END_

#endif /* GOLIB_TEST_H_ */
