/* tools/lockcheck/lockcheck.c: finds goroutines that leave their thread with a lock held that belongs to the thread; docs/tls.md
 * tells how to use it. A program that is linked with this file has its calls of pthread_mutex_lock and the like, those of
 * its shared libraries too, come by here, and golib told of them. Linux, programs that are not linked statically, and no
 * sanitizers, which do the same trick.
 *
 * Not for what a C library does inside, which suspends nowhere. pthread_cond_wait needs no care: it blocks the thread, and
 * has the mutex again afterwards.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <golib/lockcheck.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <time.h>

__attribute__((constructor)) static void enable(void) { go_lockcheck_enable_(); }

/* The C library's function of that name, found at its first call; several may find it at a time. */
static void *next(void **kept, const char *name) {
  void *f = __atomic_load_n(kept, __ATOMIC_RELAXED);
  if (f == NULL) {
    f = dlsym(RTLD_NEXT, name);
    __atomic_store_n(kept, f, __ATOMIC_RELAXED);
  }
  return f;
}

/* Calls it: f is a pointer to an object to C, but to POSIX the function's. */
#define CALL_NEXT(ret, name, types, args)           \
  do {                                              \
    static void *kept;                              \
    ret(*fn) types;                                 \
    void *found = next(&kept, #name);               \
    memcpy((void *)&fn, (void *)&found, sizeof fn); \
    result = fn args;                               \
  } while (0)

/* XX(function, kind, parameters, their types, arguments): 0 is success, after which `l` is held. EOWNERDEAD as well: the
 * next such call of the thread's finds it held still. */
#define LOCKS(XX)                                                                              \
  XX(pthread_mutex_lock, "mutex", (pthread_mutex_t * l), (pthread_mutex_t *), (l))             \
  XX(pthread_mutex_trylock, "mutex", (pthread_mutex_t * l), (pthread_mutex_t *), (l))          \
  XX(pthread_mutex_timedlock, "mutex", (pthread_mutex_t * l, const struct timespec *t),        \
     (pthread_mutex_t *, const struct timespec *), (l, t))                                     \
  XX(pthread_mutex_clocklock, "mutex",                                                         \
     (pthread_mutex_t * l, clockid_t c, const struct timespec *t),                             \
     (pthread_mutex_t *, clockid_t, const struct timespec *), (l, c, t))                       \
  XX(pthread_rwlock_rdlock, "rwlock", (pthread_rwlock_t * l), (pthread_rwlock_t *), (l))       \
  XX(pthread_rwlock_tryrdlock, "rwlock", (pthread_rwlock_t * l), (pthread_rwlock_t *), (l))    \
  XX(pthread_rwlock_timedrdlock, "rwlock", (pthread_rwlock_t * l, const struct timespec *t),   \
     (pthread_rwlock_t *, const struct timespec *), (l, t))                                    \
  XX(pthread_rwlock_wrlock, "rwlock", (pthread_rwlock_t * l), (pthread_rwlock_t *), (l))       \
  XX(pthread_rwlock_trywrlock, "rwlock", (pthread_rwlock_t * l), (pthread_rwlock_t *), (l))    \
  XX(pthread_rwlock_timedwrlock, "rwlock", (pthread_rwlock_t * l, const struct timespec *t),   \
     (pthread_rwlock_t *, const struct timespec *), (l, t))                                    \
  XX(pthread_spin_lock, "spin lock", (pthread_spinlock_t * l), (pthread_spinlock_t *), (l))    \
  XX(pthread_spin_trylock, "spin lock", (pthread_spinlock_t * l), (pthread_spinlock_t *), (l)) \
  XX(mtx_lock, "mutex", (mtx_t * l), (mtx_t *), (l))                                           \
  XX(mtx_trylock, "mutex", (mtx_t * l), (mtx_t *), (l))                                        \
  XX(mtx_timedlock, "mutex", (mtx_t *restrict l, const struct timespec *restrict t),           \
     (mtx_t *, const struct timespec *), (l, t))                                               \
  XX(ftrylockfile, "FILE", (FILE * l), (FILE *), (l))

#define LOCK(name, kind, parameters, types, args)                              \
  __attribute__((noinline)) int name parameters {                              \
    int result;                                                                \
    CALL_NEXT(int, name, types, args);                                         \
    if (result == 0) {                                                         \
      go_lockcheck_locked_((const void *)l, kind, __builtin_frame_address(0)); \
    }                                                                          \
    return result;                                                             \
  }
LOCKS(LOCK)

/* First told, as it may be destroyed, and another one lie there, when it is unlocked. */
#define UNLOCK(name, type)                      \
  __attribute__((noinline)) int name(type *l) { \
    int result;                                 \
    go_lockcheck_unlocked_((const void *)l);    \
    CALL_NEXT(int, name, (type *), (l));        \
    return result;                              \
  }
UNLOCK(pthread_mutex_unlock, pthread_mutex_t)
UNLOCK(pthread_rwlock_unlock, pthread_rwlock_t)
UNLOCK(pthread_spin_unlock, pthread_spinlock_t)
UNLOCK(mtx_unlock, mtx_t)

static void *file_function(void **kept, const char *name) { return next(kept, name); }

static void call_file(void *found, FILE *l) {
  void (*fn)(FILE *);
  memcpy((void *)&fn, (void *)&found, sizeof fn);
  fn(l);
}

__attribute__((noinline)) void flockfile(FILE *l) {
  static void *kept;
  call_file(file_function(&kept, "flockfile"), l);
  go_lockcheck_locked_(l, "FILE", __builtin_frame_address(0));
  __asm__ volatile(""); /* no tail call: this frame is what it walks from */
}

__attribute__((noinline)) void funlockfile(FILE *l) {
  static void *kept;
  go_lockcheck_unlocked_(l);
  call_file(file_function(&kept, "funlockfile"), l);
}
