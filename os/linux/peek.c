/* os/linux/peek.c: looking at this process's memory from outside, as it were: what is mapped, what is
 * in it. No locks, no malloc, and no faults.
 */
#include "linux.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "maps.h"

/* A word per page in /proc/self/pagemap. */
#define PAGE_THERE ((uint64_t)1 << 63 | (uint64_t)1 << 62) /* in memory, in swap */

typedef struct run {
  bool (*f)(void *, uintptr_t, uintptr_t);
  void *arg;
  uintptr_t lo, hi; /* [lo, hi): pages in a row that are there; nothing: lo == hi */
} run;

static bool end_run(run *r) {
  bool go_on = r->lo == r->hi || r->f(r->arg, r->lo, r->hi);
  r->lo = r->hi = 0;
  return go_on;
}

static bool add_pages(run *r, uintptr_t lo, uintptr_t hi) {
  if (r->hi == lo && r->lo != r->hi) {
    r->hi = hi;
    return true;
  }
  if (!end_run(r)) return false;
  r->lo = lo;
  r->hi = hi;
  return true;
}

/* Of [lo, hi), what is there. pagemap < 0: all. */
static bool split(run *r, int pagemap, uintptr_t lo, uintptr_t hi) {
  uint64_t words[64];
  size_t page = go_os_page_();
  while (lo < hi) {
    size_t pages = (hi - lo) / page < 64 ? (hi - lo) / page : 64;
    if (pages == 0) break;
    ssize_t n = pagemap < 0 ? -1
                            : pread(pagemap, words, pages * sizeof words[0],
                                    (off_t)(lo / page * sizeof words[0]));
    for (size_t i = 0; i < pages; i++, lo += page) {
      bool known = n >= (ssize_t)((i + 1) * sizeof words[0]);
      if ((!known || (words[i] & PAGE_THERE)) && !add_pages(r, lo, lo + page)) return false;
    }
  }
  return end_run(r);
}

int go_os_each_writable_(bool (*f)(void *arg, uintptr_t lo, uintptr_t hi), void *arg) {
  GO_KEEP_ERRNO_BEGIN();
  go_os_maps_ maps = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  int err = maps.fd < 0 ? -ENOSYS : 0;
  go_os_mapping_ m;
  run r = {.f = f, .arg = arg};
  while (err == 0 && go_os_maps_next_(&maps, &m)) {
    if (m.writable && !m.shared && !split(&r, pagemap, m.start, m.end)) break;
  }
  if (maps.fd >= 0) close(maps.fd);
  if (pagemap >= 0) close(pagemap);
  GO_KEEP_ERRNO_END();
  return err;
}

bool go_os_peek_(void *to, const void *from, size_t n) {
  GO_KEEP_ERRNO_BEGIN();
  struct iovec local = {to, n}, remote = {(void *)(uintptr_t)from, n};
  ssize_t got = syscall(SYS_process_vm_readv, getpid(), &local, 1ul, &remote, 1ul, 0ul);
  GO_KEEP_ERRNO_END();
  return got == (ssize_t)n;
}
