/* os/darwin/peek.c: looking at this process's memory from outside, as it were: what is mapped, what is
 * in it. By calls to the kernel: no locks, no malloc, and no faults.
 */
#include <mach/mach.h>
#include <mach/vm_map.h>
#include <mach/vm_region.h>
#include <sys/mman.h>

#include "darwin.h"

enum { PAGES = 512 };

/* Of [lo, hi), runs of pages that are in memory, or were written and are paged out: the rest has never been touched.
 * Returns false to end it. */
static bool each_run(bool (*f)(void *, uintptr_t, uintptr_t), void *arg, uintptr_t lo,
                     uintptr_t hi) {
  char state[PAGES];
  size_t page = go_os_page_();
  uintptr_t start = lo; /* [start, lo) is there */
  while (lo < hi) {
    size_t n = (hi - lo) / page < PAGES ? (hi - lo) / page : PAGES;
    bool known = n > 0 && mincore((void *)lo, n * page, state) == 0;
    if (n == 0) break;
    for (size_t i = 0; i < n; i++, lo += page) {
      if (!known || (state[i] & (MINCORE_INCORE | MINCORE_PAGED_OUT))) continue;
      if (start < lo && !f(arg, start, lo)) return false;
      start = lo + page;
    }
  }
  return start >= lo || f(arg, start, lo);
}

/* Memory of this process's own, as far as it may be written. */
static bool is_own(const vm_region_submap_info_data_64_t *info) {
  bool own = info->share_mode == SM_PRIVATE || info->share_mode == SM_COW ||
             info->share_mode == SM_PRIVATE_ALIASED || info->share_mode == SM_LARGE_PAGE;
  return own && (info->protection & VM_PROT_WRITE) && (info->protection & VM_PROT_READ);
}

int go_os_each_writable_(bool (*f)(void *arg, uintptr_t lo, uintptr_t hi), void *arg) {
  GO_KEEP_ERRNO_BEGIN();
  int regions = 0;
  natural_t depth = 0;
  for (vm_address_t at = 0;;) {
    vm_size_t size = 0;
    vm_region_submap_info_data_64_t info;
    mach_msg_type_number_t count = VM_REGION_SUBMAP_INFO_COUNT_64;
    if (vm_region_recurse_64(mach_task_self(), &at, &size, &depth, (vm_region_recurse_info_t)&info,
                             &count) != KERN_SUCCESS)
      break;
    regions++;
    if (info.is_submap) {
      depth++; /* the same address again, one level down */
      continue;
    }
    if (is_own(&info) && !each_run(f, arg, at, at + size)) break;
    at += size;
  }
  GO_KEEP_ERRNO_END();
  return regions > 0 ? 0 : -ENOSYS;
}

bool go_os_peek_(void *to, const void *from, size_t n) {
  vm_size_t got = 0;
  return vm_read_overwrite(mach_task_self(), (vm_address_t)from, n, (vm_address_t)to, &got) ==
             KERN_SUCCESS &&
         got == n;
}
