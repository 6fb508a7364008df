/* os/linux/mem.c: address space for stacks, and guards in it. */
#include "linux.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/atomic.h"

/* Headers may be older than the kernel that we run on. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif
/* Linux 6.14; any thread stands for the memory of its process. Not from the headers: the number of
 * the name for the whole process has changed since. */
#define SELF_PIDFD -10000
#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* Linux 5.10; the same number on all processors */
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

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

void *go_os_reserve_(size_t size, size_t align) {
  GO_KEEP_ERRNO_BEGIN();
  size_t page = go_os_page_();
  size_t slack = align > page ? align - page : 0;
  char *p = MAP_FAILED;
  /* Through libc, not by a raw system call: sanitizers have to see it.
   *
   * Without access first, because of mlockall(MCL_FUTURE): it would lock and so touch every page of
   * what is mapped accessible. Unlocked while it is still without, it stays untouched. */
  if (size + slack > size || slack == 0)
    p = mmap(NULL, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p != MAP_FAILED) {
    size_t lead = (size_t)(-(uintptr_t)p & (align - 1));
    if (lead > 0) munmap(p, lead);
    p += lead;
    if (slack > lead) munmap(p + size, slack - lead);
    munlock(p, size);
    if (mprotect(p, size, PROT_READ | PROT_WRITE) == 0) {
      /* A huge page under a stack would commit 2 MiB for the first frame. EINVAL: a kernel without
       * them. */
      madvise(p, size, MADV_NOHUGEPAGE);
      /* Seen in /proc/PID/maps; not every kernel can. */
      prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, size, "golib");
    } else {
      munmap(p, size);
      p = MAP_FAILED;
    }
  }
  GO_KEEP_ERRNO_END();
  return p == MAP_FAILED ? NULL : p;
}

void go_os_release_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  munmap(p, size);
  GO_KEEP_ERRNO_END();
}

void go_os_decommit_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  /* Not MADV_FREE: memory use has to be seen to fall. EINVAL: somebody locked all memory. */
  if (madvise(p, size, MADV_DONTNEED) != 0 && errno == EINVAL)
    madvise(p, size, MADV_DONTNEED_LOCKED);
  GO_KEEP_ERRNO_END();
}

/* One call takes less than 2 GiB altogether, and cuts the rest off. */
#define RANGES 32
#define RANGES_BYTES (1u << 30)

/* madvise on n ranges of one size, in few system calls. Returns how many of them, from the first,
 * it has done; at the first failure it notes that for good: ENOSYS, EPERM: an old kernel, or a
 * filter. EBADF: a kernel before 6.14, without that name for the process. EINVAL: one that takes no
 * such advice, but also locked memory, which is rare enough to give up. */
static uint32_t advise_all(char *const *starts, uint32_t n, size_t size, int advice,
                           go_a32 *failed) {
  uint32_t done = size > 0 ? 0 : n;
  while (done < n && go_ld_rlx(failed) == 0) {
    struct iovec ranges[RANGES];
    uint32_t k = 0;
    for (; k < RANGES && done + k < n && (k + 1) * (uint64_t)size <= RANGES_BYTES; k++)
      ranges[k] = (struct iovec){starts[done + k], size};
    long bytes = k > 1 ? syscall(SYS_process_madvise, SELF_PIDFD, ranges, (size_t)k, advice, 0) : 0;
    if (bytes < 0) go_st_rlx(failed, 1);
    if (bytes < (long)size) break;
    done += (uint32_t)((size_t)bytes / size);
  }
  return done;
}

void go_os_decommit_all_(char *const *starts, uint32_t n, size_t size) {
  static go_a32 failed;
  if (size == 0) return;
  GO_KEEP_ERRNO_BEGIN();
  uint32_t done = advise_all(starts, n, size, MADV_DONTNEED, &failed);
  for (; done < n; done++) go_os_decommit_(starts[done], size);
  GO_KEEP_ERRNO_END();
}

/* ---- guards ----
 *
 * Since Linux 6.13 a guard is a mark in the page table, and there may be any number. Before, it is
 * a mapping of its own without access, which splits the one it lies in: two more mappings a guard,
 * of which a process may have vm.max_map_count (65530 by default). */

static bool guards_are_marks; /* written by probe_guards only */
static long mapping_limit;    /* 0: unknown */
static char out_of_mappings[96];
static go_a64 split_guards; /* guards now that are mappings */

/* Whether the page cannot be read, asked without touching it: the kernel reads a path from it. Some
 * emulators accept advice that they do not know, so the return value of madvise tells nothing. */
static bool unreadable(const char *page) { return access(page, F_OK) != 0 && errno == EFAULT; }

static void probe_guards(void) {
  size_t page = go_os_page_();
  char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) {
    munlock(p, page); /* mlockall(MCL_FUTURE) again: locked memory takes no marks */
    guards_are_marks = madvise(p, page, MADV_GUARD_INSTALL) == 0 && unreadable(p);
    munmap(p, page);
  }
  if (!guards_are_marks) {
    char text[24] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      ssize_t n = read(fd, text, sizeof text - 1);
      if (n > 0) mapping_limit = strtol(text, NULL, 10);
      close(fd);
    }
  }
  snprintf(out_of_mappings, sizeof out_of_mappings,
           "out of mappings: raise vm.max_map_count (now %ld)", mapping_limit);
}

static void probe_guards_once(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, probe_guards);
}

bool go_os_guard_is_cheap_(void) {
  GO_KEEP_ERRNO_BEGIN();
  probe_guards_once();
  GO_KEEP_ERRNO_END();
  return guards_are_marks;
}

/* An eighth of the mappings is left to the program: it would not get far without any (malloc,
 * dlopen and thread stacks all map). */
static size_t may_split(void) {
  uint64_t max = (uint64_t)mapping_limit, used = go_ld_rlx(&split_guards);
  uint64_t all = (max - max / 8) / 2;
  return max == 0 ? SIZE_MAX : all > used ? (size_t)(all - used) : 0;
}

size_t go_os_guards_left_(const char **ret_why) {
  GO_KEEP_ERRNO_BEGIN();
  probe_guards_once();
  GO_KEEP_ERRNO_END();
  size_t left = guards_are_marks ? SIZE_MAX : may_split();
  if (left != SIZE_MAX) *ret_why = out_of_mappings;
  return left;
}

static int guard_by_mapping(void *p, size_t size, const char **ret_why) {
  int err = ENOMEM;
  if (may_split() > 0) {
    go_os_decommit_(p, size);
    err = mprotect(p, size, PROT_NONE) == 0 ? 0 : errno;
    if (err == 0) go_add_rlx(&split_guards, 1);
  }
  if (err == ENOMEM && ret_why != NULL) *ret_why = out_of_mappings;
  return -err;
}

int go_os_guard_(void *p, size_t size, const char **ret_why) {
  GO_KEEP_ERRNO_BEGIN();
  probe_guards_once();
  int rc = -1;
  if (guards_are_marks) rc = madvise(p, size, MADV_GUARD_INSTALL);
  /* EINVAL: the memory is locked (mlockall(MCL_CURRENT) since it was reserved). */
  if (rc != 0) rc = guard_by_mapping(p, size, ret_why);
  GO_KEEP_ERRNO_END();
  return rc;
}

int go_os_guard_all_(char *const *at, size_t size, char *const *pages, uint32_t n,
                     const char **ret_why) {
  static go_a32 no_guards, no_pages; /* in one call */
  int rc = 0;
  GO_KEEP_ERRNO_BEGIN();
  probe_guards_once();
  uint32_t done = guards_are_marks ? advise_all(at, n, size, MADV_GUARD_INSTALL, &no_guards) : 0;
  for (; done < n && rc == 0; done++) rc = go_os_guard_(at[done], size, ret_why);
  if (rc == 0) advise_all(pages, n, go_os_page_(), MADV_POPULATE_WRITE, &no_pages);
  GO_KEEP_ERRNO_END();
  return rc;
}

int go_os_unguard_(void *p, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  int err = 0;
  if (guards_are_marks && madvise(p, size, MADV_GUARD_REMOVE) != 0) err = errno;
  /* A guard made by the other means, if there are any. */
  if (go_ld_rlx(&split_guards) > 0) {
    err = mprotect(p, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
    if (err == 0 && !guards_are_marks) go_sub_ar(&split_guards, 1);
  }
  GO_KEEP_ERRNO_END();
  return -err;
}
