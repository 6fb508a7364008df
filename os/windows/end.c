/* os/windows/end.c: last words. */
#include <errno.h>
#include <io.h>
#include <stdlib.h>

#include "os/windows/windows.h"

static HANDLE handle_of(int fd) {
  if (fd == 1 || fd == 2) { /* also where the C runtime has none: in a program with windows */
    return GetStdHandle(fd == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
  }
  return (HANDLE)_get_osfhandle(fd);
}

void go_os_write_(int fd, const char *text, size_t size) {
  GO_KEEP_ERRORS_BEGIN();
  HANDLE h = handle_of(fd);
  while (size > 0 && h != NULL && h != INVALID_HANDLE_VALUE) {
    DWORD n = 0;
    if (!WriteFile(h, text, size > 1u << 20 ? 1u << 20 : (DWORD)size, &n, NULL) || n == 0) {
      break;
    }
    text += n;
    size -= n;
  }
  GO_KEEP_ERRORS_END();
}

/* abort, for a program's handler of SIGABRT; but no window and no report that waits for somebody. */
void go_os_abort_(void) {
  (void)SetErrorMode(SetErrorMode(0) | SEM_NOGPFAULTERRORBOX);
  abort();
}
