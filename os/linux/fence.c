/* os/linux/fence.c: a fence on all threads: membarrier(2), Linux 4.14.
 *
 * Registering waits for all CPUs when the process has several threads: some 10 ms. So then it is put off until it is needed.
 * Rejected: changing a page's protection, for the interrupts by which the CPUs forget the old one: some CPUs
 * need none. MEMBARRIER_CMD_GLOBAL, for Linux 4.3: who has that lives with fences in the calls.
 */
#include "linux.h"

#include <sys/syscall.h>
#include <unistd.h>

/* linux/membarrier.h, which not every system has. */
enum { QUERY = 0, PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };

static int membarrier(int cmd) {
  GO_KEEP_ERRNO_BEGIN();
  long r = syscall(SYS_membarrier, cmd, 0, 0);
  GO_KEEP_ERRNO_END();
  return (int)r;
}

bool go_os_fence_init_(void) {
  int can = membarrier(QUERY);
  if (can < 0 || (can & PRIVATE_EXPEDITED) == 0) {
    return false;
  }
  return go_os_thread_count_() != 1 || membarrier(REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool go_os_fence_all_(void) {
  return membarrier(PRIVATE_EXPEDITED) == 0 ||
         (membarrier(REGISTER_PRIVATE_EXPEDITED) == 0 && membarrier(PRIVATE_EXPEDITED) == 0);
}
