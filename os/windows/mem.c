/* os/windows/mem.c: address space for stacks.
 *
 * Memory is reserved, and then committed before it is used; nothing is overcommitted. A stack grows as every thread's
 * does: below what is committed lies a page with PAGE_GUARD; who touches it has the kernel commit the next one, if it
 * lies within the stack that the thread's environment block tells of (arch/amd64/ctx_win64.S). What is merely reserved
 * faults: guards are that, and cost nothing.
 *
 *   low                                                       start
 *    | reserved ...             | guard page | committed ...    |
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "core/atomic.h"
#include "os/windows/windows.h"

void *go_os_alloc_(size_t align, size_t size) { return _aligned_malloc(size, align); }
void go_os_free_(void *p) { _aligned_free(p); }

static void system_info(SYSTEM_INFO *ret) { GetSystemInfo(ret); }

size_t go_os_page_(void) {
  static go_a64 page; /* racing writers write the same */
  uint64_t p = go_ld_rlx(&page);
  if (p == 0) {
    SYSTEM_INFO info;
    system_info(&info);
    p = info.dwPageSize;
    go_st_rlx(&page, p);
  }
  return (size_t)p;
}

/* ---- reserving ---- */

/* Somebody may take the place between finding and reserving it. */
#define TRIES 100

static void *reserve(size_t size, size_t align, DWORD type) {
  SYSTEM_INFO info;
  system_info(&info);
  if (align <= info.dwAllocationGranularity) {
    return VirtualAlloc(NULL, size, type, PAGE_READWRITE);
  }
  if (size + align < size) {
    return NULL;
  }
  for (int i = 0; i < TRIES; i++) {
    char *p = VirtualAlloc(NULL, size + align, MEM_RESERVE, PAGE_READWRITE);
    if (p == NULL) {
      return NULL;
    }
    (void)VirtualFree(p, 0, MEM_RELEASE);
    p += -(uintptr_t)p & (align - 1);
    p = VirtualAlloc(p, size, type, PAGE_READWRITE);
    if (p != NULL) {
      return p;
    }
  }
  return NULL;
}

void *go_os_reserve_(size_t size, size_t align) {
  GO_KEEP_ERRORS_BEGIN();
  void *p = reserve(size, align, MEM_RESERVE | MEM_COMMIT);
  GO_KEEP_ERRORS_END();
  return p;
}

/* ---- reservations for stacks ----
 *
 * Which of their stacks have pages is noted: to ask the system about one that has none may cost it a look at all that
 * follow. `used` of a stack belongs to who has the stack. Areas go only when nobody has a stack of theirs. */

typedef struct area {
  struct area *next; /* constant but under `areas_lock` */
  char *base;
  size_t size, stack; /* bytes of all, and of one */
  uint8_t used[];
} area;

static go_aptr areas;
static SRWLOCK areas_lock = SRWLOCK_INIT; /* to change the list */

static area *area_of(const char *p) {
  area *a = go_ld_acq(&areas); /* pairs with go_os_reserve_stacks_ */
  while (a != NULL && (p < a->base || (size_t)(p - a->base) >= a->size)) {
    a = a->next;
  }
  return a;
}

static uint8_t *used_of(char *low) {
  area *a = area_of(low);
  return &a->used[(size_t)(low - a->base) / a->stack];
}

void *go_os_reserve_stacks_(size_t size, size_t align) {
  GO_KEEP_ERRORS_BEGIN();
  area *a = calloc(1, sizeof *a + size / align);
  void *p = a != NULL ? reserve(size, align, MEM_RESERVE) : NULL;
  if (p != NULL) {
    a->base = p;
    a->size = size;
    a->stack = align;
    AcquireSRWLockExclusive(&areas_lock);
    a->next = go_ld_rlx(&areas);
    go_st_rel(&areas, a); /* pairs with area_of */
    ReleaseSRWLockExclusive(&areas_lock);
  } else {
    free(a);
  }
  GO_KEEP_ERRORS_END();
  return p;
}

static void forget_area(const char *base) {
  AcquireSRWLockExclusive(&areas_lock);
  area *before = NULL, *a = go_ld_rlx(&areas);
  while (a != NULL && a->base != base) {
    before = a;
    a = a->next;
  }
  if (a != NULL && before != NULL) {
    before->next = a->next;
  } else if (a != NULL) {
    go_st_rel(&areas, a->next); /* pairs with area_of */
  }
  ReleaseSRWLockExclusive(&areas_lock);
  free(a);
}

void go_os_release_(void *p, size_t size) {
  (void)size;
  GO_KEEP_ERRORS_BEGIN();
  forget_area(p);
  (void)VirtualFree(p, 0, MEM_RELEASE);
  GO_KEEP_ERRORS_END();
}

void go_os_decommit_(void *p, size_t size) {
  GO_KEEP_ERRORS_BEGIN();
  (void)VirtualFree(p, size, MEM_DECOMMIT);
  const area *a = area_of(p);
  if (a != NULL && size >= a->stack) {
    memset(used_of(p), 0, size / a->stack);
  }
  GO_KEEP_ERRORS_END();
}

void go_os_decommit_all_(char *const *starts, uint32_t n, size_t size) {
  for (uint32_t i = 0; i < n && size > 0; i++) {
    go_os_decommit_(starts[i], size);
  }
}

/* ---- stacks ---- */

const bool go_os_stacks_grow_by_touch_ = false;

/* Committed at once, besides what is asked for: a goroutine that does little then never has its stack grown. */
#define FIRST_BYTES 8192

/* Down to where the stack was committed when it was used before. NULL: it was not. */
static char *committed_from(char *low, const char *top) {
  MEMORY_BASIC_INFORMATION m;
  char *at = low;
  while (at < top) {
    if (VirtualQuery(at, &m, sizeof m) == 0) {
      return NULL;
    }
    char *end = (char *)m.BaseAddress + m.RegionSize;
    if (m.State == MEM_COMMIT) {
      return m.Protect & PAGE_GUARD ? end : at;
    }
    at = end;
  }
  return NULL;
}

static bool commit(char *from, const char *to, char *guard_below) {
  size_t page = go_os_page_();
  DWORD before;
  return VirtualAlloc(guard_below, (size_t)(to - guard_below), MEM_COMMIT, PAGE_READWRITE) !=
             NULL &&
         VirtualProtect(from, (size_t)(to - from), PAGE_READWRITE, &before) &&
         VirtualProtect(guard_below, page, PAGE_READWRITE | PAGE_GUARD, &before);
}

void *go_os_stack_ready_(void *low, void *start, size_t size) {
  GO_KEEP_ERRORS_BEGIN();
  size_t page = go_os_page_();
  char *top = (char *)(((uintptr_t)start + page - 1) & ~(page - 1));
  char *from = (char *)(((uintptr_t)start - size - FIRST_BYTES) & ~(page - 1));
  char *limit = NULL;
  /* Three pages stay for the end: the last guard, and what is kept for the handler of an overflow. */
  if ((uintptr_t)start > (uintptr_t)low &&
      (size_t)((char *)start - (char *)low) > size + FIRST_BYTES + 5 * page) {
    uint8_t *used = used_of(low);
    limit = *used ? committed_from(low, top) : NULL;
    *used = 1;
    if (limit == NULL || limit > from) {
      limit = commit(from, limit == NULL ? top : limit, from - page) ? from : NULL;
    }
  }
  GO_KEEP_ERRORS_END();
  return limit;
}

/* ---- guards ---- */

bool go_os_guard_is_cheap_(void) { return true; }

size_t go_os_guards_left_(const char **ret_why) {
  (void)ret_why;
  return SIZE_MAX;
}

int go_os_guard_(void *p, size_t size, const char **ret_why) {
  (void)ret_why;
  GO_KEEP_ERRORS_BEGIN();
  int r = VirtualFree(p, size, MEM_DECOMMIT) ? 0 : go_windows_error_(GetLastError());
  GO_KEEP_ERRORS_END();
  return r;
}

int go_os_guard_all_(char *const *at, size_t size, char *const *pages, uint32_t n,
                     const char **ret_why) {
  (void)pages; /* go_os_stack_ready_ */
  int r = 0;
  for (uint32_t i = 0; i < n && r == 0; i++) {
    r = go_os_guard_(at[i], size, ret_why);
  }
  return r;
}

int go_os_unguard_(void *p, size_t size) {
  GO_KEEP_ERRORS_BEGIN();
  int r = VirtualAlloc(p, size, MEM_COMMIT, PAGE_READWRITE) != NULL
              ? 0
              : go_windows_error_(GetLastError());
  GO_KEEP_ERRORS_END();
  return r;
}
