/* os/linux/thread.c: threads. */
#include "linux.h"

#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STACK_BYTES = 256 << 10, LARGE_STACK_BYTES = 8 << 20 };

/* ---- start, join, detach ---- */

typedef struct start {
  void (*fn)(void *);
  void *arg;
} start;

static void *run(void *p) {
  start s = *(start *)p;
  free(p);
  s.fn(s.arg);
  return NULL;
}

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

static int set_stack_size(pthread_attr_t *attr, bool large) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, reckon_stack_size);
  return pthread_attr_setstacksize(attr,
                                   stack_size + (large ? LARGE_STACK_BYTES - STACK_BYTES : 0));
}
#else
/* Instrumented code and the sanitizers' own needs are several times larger: keep the default. */
static int set_stack_size(pthread_attr_t *attr, bool large) {
  return large ? pthread_attr_setstacksize(attr, LARGE_STACK_BYTES) : 0;
}
#endif

static int start_thread(go_os_thread_ *ret, void (*fn)(void *), void *arg, bool large) {
  GO_KEEP_ERRNO_BEGIN();
  int err = ENOMEM;
  start *s = malloc(sizeof *s);
  if (s != NULL) {
    *s = (start){fn, arg};
    pthread_t t;
    pthread_attr_t attr;
    err = pthread_attr_init(&attr);
    if (err == 0) {
      err = set_stack_size(&attr, large);
      if (err == 0) err = pthread_create(&t, &attr, run, s);
      pthread_attr_destroy(&attr);
    }
    if (err == 0) {
      ret->handle = (uintptr_t)t;
    } else {
      free(s);
    }
  }
  GO_KEEP_ERRNO_END();
  return -err;
}

int go_os_thread_start_(go_os_thread_ *ret, void (*fn)(void *), void *arg) {
  return start_thread(ret, fn, arg, false);
}

int go_os_thread_start_large_(go_os_thread_ *ret, void (*fn)(void *), void *arg) {
  return start_thread(ret, fn, arg, true);
}

void go_os_thread_join_(go_os_thread_ *t) { pthread_join((pthread_t)t->handle, NULL); }

void go_os_thread_detach_(go_os_thread_ *t) { pthread_detach((pthread_t)t->handle); }

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

void go_os_yield_(void) { sched_yield(); }

/* ---- the end of a thread ---- */

typedef struct at_exit {
  void (*fn)(void *);
  void *arg;
  bool waited;
} at_exit;

static pthread_key_t exit_key;
static int exit_key_err;

static void at_exit_run(void *p) {
  at_exit *e = p;
  /* Destructors of other keys may still use golib on this thread: let them go first, by asking for
   * another round (there are PTHREAD_DESTRUCTOR_ITERATIONS, at least 4). */
  if (!e->waited) {
    e->waited = true;
    if (pthread_setspecific(exit_key, e) == 0) return;
  }
  at_exit copy = *e;
  free(e);
  copy.fn(copy.arg);
}

static void make_exit_key(void) { exit_key_err = pthread_key_create(&exit_key, at_exit_run); }

int go_os_at_thread_exit_(void (*fn)(void *), void *arg) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  GO_KEEP_ERRNO_BEGIN();
  pthread_once(&once, make_exit_key);
  int err = exit_key_err;
  if (err == 0) {
    at_exit *e = malloc(sizeof *e);
    if (e != NULL) {
      *e = (at_exit){fn, arg, false};
      err = pthread_setspecific(exit_key, e);
      if (err != 0) free(e);
    } else {
      err = ENOMEM;
    }
  }
  GO_KEEP_ERRNO_END();
  return err == 0 ? 0 : -ENOMEM;
}

int go_os_at_fork_(void (*child)(void)) {
  return pthread_atfork(NULL, NULL, child) == 0 ? 0 : -ENOMEM;
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
