/* os/windows/windows.h: what the files of this directory share, and poll/iocp besides.
 *
 * Windows 10 or later. Sources that gcc (mingw-w64) and clang compile; what only newer systems or not every emulator has is
 * looked up at run time.
 */
#ifndef GOLIB_OS_WINDOWS_WINDOWS_H_
#define GOLIB_OS_WINDOWS_WINDOWS_H_

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>

#include <windows.h>

#include "core/os.h"

/* The calling thread's last error and errno are the user's: functions of core/os.h leave them as they found them. */
#define GO_KEEP_ERRORS_BEGIN()               \
  const DWORD last_before_ = GetLastError(); \
  const int errno_before_ = errno
#define GO_KEEP_ERRORS_END() (SetLastError(last_before_), (void)(errno = errno_before_))

/* -errno for an error of the system's, or of its sockets (WSA...). -EIO for those that have no better name. */
int go_windows_error_(unsigned long code);
/* The system's own function of that name, or NULL. */
void *go_windows_function_(const wchar_t *module, const char *name);
/* UTF-8 as the system wants it, from malloc; NULL without memory, or if it is no UTF-8. */
wchar_t *go_windows_wide_(const char *text);

#endif /* GOLIB_OS_WINDOWS_WINDOWS_H_ */
