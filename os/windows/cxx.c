/* os/windows/cxx.c: what the C++ runtime keeps per thread, and which frames are C++'s. */
#include <errno.h>
#include <string.h>

#include "os/windows/windows.h"

/* Itanium C++ ABI, 2.2.2, as mingw-w64's runtimes have it: struct { __cxa_exception *caughtExceptions; unsigned
 * uncaughtExceptions; }. Weak: C programs have no C++ runtime. */
__attribute__((weak)) void *__cxa_get_globals(void);

go_os_cxx_state_ *go_os_cxx_(void) {
  return __cxa_get_globals != NULL ? (go_os_cxx_state_ *)__cxa_get_globals() : NULL;
}

/* Of a function in another module a program has a jump to where its address is. */
static uintptr_t target_of(uintptr_t fn) {
  const unsigned char *code = (const unsigned char *)fn;
  int32_t off;
  uintptr_t to;
  if (fn == 0 || code[0] != 0xff || code[1] != 0x25) {
    return fn;
  }
  memcpy(&off, code + 2, sizeof off);
  memcpy(&to, code + 6 + off, sizeof to);
  return to;
}

/* What the tables say handles exceptions in the function: C++'s personality, of one with a try block. */
static uintptr_t handler_of(uintptr_t fn) {
  ULONG64 image;
  const RUNTIME_FUNCTION *f = RtlLookupFunctionEntry(fn, &image, NULL);
  if (f == NULL) {
    return 0;
  }
  const unsigned char *info = (const unsigned char *)(uintptr_t)image + f->UnwindData;
  if (((info[0] >> 3) & (UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER)) == 0) {
    return 0;
  }
  uint32_t rva; /* behind the header of 4 bytes and the codes, an even number of 2 bytes each */
  memcpy(&rva, info + 4 + 2 * ((info[2] + 1u) & ~1u), sizeof rva);
  return (uintptr_t)image + rva;
}

void *go_os_cxx_frame_(const void *from, uintptr_t try_fn) {
  uintptr_t cxx = target_of(handler_of(target_of(try_fn)));
  CONTEXT c;
  RtlCaptureContext(&c);
  while (cxx != 0 && c.Rip != 0) {
    ULONG64 image, establisher;
    void *data;
    uintptr_t sp = c.Rsp;
    RUNTIME_FUNCTION *f = RtlLookupFunctionEntry(c.Rip, &image, NULL);
    if (f == NULL) { /* no function that calls others, so none but the innermost */
      break;
    }
    uintptr_t handler = (uintptr_t)RtlVirtualUnwind(UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER, image,
                                                    c.Rip, f, &c, &data, &establisher, NULL);
    if (sp > (uintptr_t)from && handler != 0 && target_of(handler) == cxx) {
      return (void *)sp;
    }
    if (c.Rsp <= sp) {
      break;
    }
  }
  return NULL;
}
