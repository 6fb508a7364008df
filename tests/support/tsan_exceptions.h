// What TSan says of exceptions that several goroutines own, without reason.
#ifndef GOLIB_TESTS_SUPPORT_TSAN_EXCEPTIONS_H_
#define GOLIB_TESTS_SUPPORT_TSAN_EXCEPTIONS_H_

#include "tests/support/golib_test.h"

#if defined(GOLIB_TEST_TSAN_)
// The count of an exception's owners is in libstdc++, which TSan does not look into: that the last one frees it after the
// others have looked at it is not seen.
extern "C" __attribute__((weak)) const char *__tsan_default_suppressions() {  // NOLINT: its name
  return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif

#endif  // GOLIB_TESTS_SUPPORT_TSAN_EXCEPTIONS_H_
