/* os/linux/thread.c: what of threads is Linux's. */
#include <link.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux.h"

enum { STACK_BYTES = 256 << 10, LARGE_STACK_BYTES = 8 << 20 };

/* ---- their stacks ---- */

#if !defined(GO_ASAN_) && !defined(GO_TSAN_) && !defined(GO_MSAN_)
static int add_tls_size(struct dl_phdr_info *info, size_t size, void *total) {
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
    if (ph->p_type == PT_TLS) *(size_t *)total += ph->p_memsz + ph->p_align;
  }
  return 0;
}

static size_t stack_size; /* of the smaller ones */

/* glibc takes the program's thread-locals out of the stack that we ask for, and a program may have
 * megabytes of them. Reckoned once: dl_iterate_phdr takes the loader's lock, which must not be
 * waited for later, when somebody may wait for us in a library's constructor. */
static void reckon_stack_size(void) {
  size_t tls = 0;
  dl_iterate_phdr(add_tls_size, &tls);
  long min = sysconf(_SC_THREAD_STACK_MIN);
  size_t page = go_os_page_();
  stack_size = (STACK_BYTES + tls + (min > 0 ? (size_t)min : 0) + page - 1) & ~(page - 1);
}

int go_posix_stack_size_(pthread_attr_t *attr, bool large) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, reckon_stack_size);
  return pthread_attr_setstacksize(attr,
                                   stack_size + (large ? LARGE_STACK_BYTES - STACK_BYTES : 0));
}
#else
/* Instrumented code and the sanitizers' own needs are several times larger: keep the default. */
int go_posix_stack_size_(pthread_attr_t *attr, bool large) {
  return large ? pthread_attr_setstacksize(attr, LARGE_STACK_BYTES) : 0;
}
#endif

/* ---- of the calling thread ---- */

void go_os_thread_name_(const char *name) {
  char text[16]; /* the kernel's limit */
  strncpy(text, name, sizeof text - 1);
  text[sizeof text - 1] = 0;
  GO_KEEP_ERRNO_BEGIN();
  pthread_setname_np(pthread_self(), text);
  GO_KEEP_ERRNO_END();
}

void go_os_thread_exact_(void) {
  GO_KEEP_ERRNO_BEGIN();
  prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
  GO_KEEP_ERRNO_END();
}

/* ---- how many ---- */

#if defined(GO_TSAN_)
enum { SANITIZER_THREADS = 1 }; /* ThreadSanitizer's background thread */
#else
enum { SANITIZER_THREADS = 0 };
#endif

/* A directory has a link from its parent, one from itself, and one from each directory in it: one a
 * thread. One system call instead of opening and listing. */
int go_os_thread_count_(void) {
  GO_KEEP_ERRNO_BEGIN();
  struct stat st;
  int n = stat("/proc/self/task", &st) == 0 && st.st_nlink > 2 ? (int)st.st_nlink - 2 : -1;
  GO_KEEP_ERRNO_END();
  return n > SANITIZER_THREADS ? n - SANITIZER_THREADS : n;
}
