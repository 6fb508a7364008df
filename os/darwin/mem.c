/* os/darwin/mem.c: address space for stacks, and guards in it.
 *
 * A guard is a part of a mapping without access. It splits the mapping, of which the kernel allows any number.
 */
#include <mach/mach.h>
#include <mach/vm_map.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/atomic.h"
#include "darwin.h"

/* As vmmap(1) and Instruments show it: a type that is the application's own. */
#define OUR_TAG VM_MAKE_TAG(VM_MEMORY_APPLICATION_SPECIFIC_1)

size_t go_os_page_(void) {
  static go_a64 page; /* racing writers write the same */
  uint64_t p = go_ld_rlx(&page);
  if (p == 0) {
    p = (uint64_t)sysconf(_SC_PAGESIZE);
    go_st_rlx(&page, p);
  }
  return (size_t)p;
}

/* ---- reserving ---- */

static char *map(void *at, size_t size, int flags) {
  return mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | flags,
              OUR_TAG, 0);
}

void *go_os_reserve_(size_t size, size_t align) {
  GO_KEEP_ERRNO_BEGIN();
  size_t page = go_os_page_();
  size_t slack = align > page ? align - page : 0;
  char *p = MAP_FAILED;
  if (size + slack > size || slack == 0) p = map(NULL, size + slack, 0);
  if (p != MAP_FAILED) {
    size_t lead = (size_t)(-(uintptr_t)p & (align - 1));
    if (lead > 0) munmap(p, lead);
    p += lead;
    if (slack > lead) munmap(p + size, slack - lead);
  }
  GO_KEEP_ERRNO_END();
  return p == MAP_FAILED ? NULL : p;
}

void go_os_release_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  munmap(p, size);
  GO_KEEP_ERRNO_END();
}

/* ---- dropping contents ---- */

/* The next part of [p, end) that is writable: false if there is none. */
static bool next_writable(char *p, char *end, char **ret_start, char **ret_end) {
  while (p < end) {
    vm_address_t start = (vm_address_t)p;
    vm_size_t size;
    vm_region_basic_info_data_64_t info;
    mach_msg_type_number_t count = VM_REGION_BASIC_INFO_COUNT_64;
    mach_port_t object; /* always null */
    if (vm_region_64(mach_task_self(), &start, &size, VM_REGION_BASIC_INFO_64,
                     (vm_region_info_t)&info, &count, &object) != KERN_SUCCESS ||
        start >= (vm_address_t)end)
      return false;
    if ((char *)start > p) p = (char *)start;
    char *stop = (char *)(start + size) < end ? (char *)(start + size) : end;
    if (info.protection & VM_PROT_WRITE) {
      *ret_start = p;
      *ret_end = stop;
      return true;
    }
    p = stop;
  }
  return false;
}

/* By mapping anew all but the guards. madvise has nothing that fits: after MADV_FREE, and MADV_FREE_REUSABLE,
 * pages may still have their contents, and after MADV_FREE they count as used until others need the memory;
 * MADV_DONTNEED drops nothing. */
void go_os_decommit_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  char *end = (char *)p + size, *start, *stop;
  for (char *at = p; next_writable(at, end, &start, &stop); at = stop)
    (void)map(start, (size_t)(stop - start), MAP_FIXED);
  GO_KEEP_ERRNO_END();
}

void go_os_decommit_all_(char *const *starts, uint32_t n, size_t size) {
  for (uint32_t i = 0; i < n && size > 0; i++) go_os_decommit_(starts[i], size);
}

/* ---- guards ---- */

bool go_os_guard_is_cheap_(void) { return true; } /* no limit on their number */

size_t go_os_guards_left_(const char **ret_why) {
  (void)ret_why;
  return SIZE_MAX;
}

/* Mapped anew first, as protecting alone would keep the contents. */
int go_os_guard_(void *p, size_t size, const char **ret_why) {
  GO_KEEP_ERRNO_BEGIN();
  int err = mmap(p, size, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | MAP_FIXED, OUR_TAG,
                 0) == MAP_FAILED
                ? errno
                : 0;
  if (err != 0 && ret_why != NULL) *ret_why = "no memory for mappings";
  GO_KEEP_ERRNO_END();
  return -err;
}

int go_os_guard_all_(char *const *at, size_t size, char *const *pages, uint32_t n,
                     const char **ret_why) {
  (void)pages; /* there is no call to make them present */
  int r = 0;
  for (uint32_t i = 0; i < n && r == 0; i++) r = go_os_guard_(at[i], size, ret_why);
  return r;
}

int go_os_unguard_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  int err = mprotect(p, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
  GO_KEEP_ERRNO_END();
  return -err;
}
