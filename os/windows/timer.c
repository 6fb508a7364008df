/* os/windows/timer.c: timers to sleep on. */
#include <errno.h>

#include "os/windows/windows.h"

#define A_WHILE 10 /* ms */

int go_os_timer_open_(go_os_timer_ *ret) {
  GO_KEEP_ERRORS_BEGIN();
  HANDLE h = CreateWaitableTimerW(NULL, FALSE, NULL); /* one waiter takes it back */
  int r = h == NULL ? go_windows_error_(GetLastError()) : 0;
  ret->handle = (intptr_t)h;
  GO_KEEP_ERRORS_END();
  return r;
}

void go_os_timer_close_(go_os_timer_ *t) {
  GO_KEEP_ERRORS_BEGIN();
  CloseHandle((HANDLE)t->handle);
  GO_KEEP_ERRORS_END();
}

void go_os_timer_set_(go_os_timer_ *t, int64_t ns) {
  GO_KEEP_ERRORS_BEGIN();
  LARGE_INTEGER at = {.QuadPart = -(ns / 100 + (ns % 100 != 0))}; /* from now on */
  SetWaitableTimer((HANDLE)t->handle, &at, 0, NULL, NULL, FALSE);
  GO_KEEP_ERRORS_END();
}

void go_os_timer_wait_(go_os_timer_ *t) {
  GO_KEEP_ERRORS_BEGIN();
  if (WaitForSingleObject((HANDLE)t->handle, INFINITE) != WAIT_OBJECT_0) Sleep(A_WHILE);
  GO_KEEP_ERRORS_END();
}
