/* os/posix/stack.c: where the first touch of a page is enough, stacks need nothing; nor does C++'s unwinder. */
#include <stdlib.h>

#include "core/os.h"

void *go_os_reserve_stacks_(size_t size, size_t align) { return go_os_reserve_(size, align); }

const bool go_os_stacks_grow_by_touch_ = true;

void *go_os_stack_ready_(void *low, void *start, size_t size) {
  (void)start;
  (void)size;
  return low;
}

void *go_os_alloc_(size_t align, size_t size) {
  return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

void go_os_free_(void *p) { free(p); }

void *go_os_cxx_frame_(const void *from, uintptr_t try_fn) {
  (void)from;
  (void)try_fn;
  return NULL; /* the C++ runtime finds it: golib/golib.hpp */
}
