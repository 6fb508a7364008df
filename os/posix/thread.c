/* os/posix/thread.c: threads. */
#include "posix.h"

#include <sched.h>
#include <stdlib.h>

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
      err = go_posix_stack_size_(&attr, large);
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
