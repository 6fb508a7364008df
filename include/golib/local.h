/* golib/local.h: values of a goroutine's own.
 *
 *   static go_local user;                        // made once: go_local_new(&user, free)
 *   if (go_local_set(user, strdup("ann")) != 0) ...
 *   const char *u = go_local_get(user);          // this goroutine's, or NULL
 *
 * A key names one value per goroutine, NULL at first; plain threads have values of their own as well.
 * A _Thread_local variable belongs to whatever thread runs the goroutine at the moment; this is
 * what stays with the goroutine. A goroutine that is started inherits nothing: pass arguments, or
 * a context (golib/context.h).
 *
 * When a goroutine ends, by return, go_exit or panic, after its deferred calls and before whoever waits for
 * it is woken (GO_WG, go_run), the destructors of its values that are not NULL run on it, in no
 * promised order; each value is NULL by then. Destructors may use all of golib. What they set is destroyed in
 * another round, of which there are GO_LOCAL_ROUNDS; what is left then is dropped. For a plain thread they
 * run when the thread ends, which for the main thread is not the end of the program.
 * POSIX: pthread_key_create and its kin.
 */
#ifndef GOLIB_LOCAL_H_
#define GOLIB_LOCAL_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* A key. All-zero is none: it has no values. Copied freely. */
typedef struct go_local {
  uint64_t key_;
} go_local;

#define GO_LOCAL_KEYS 1024
#define GO_LOCAL_ROUNDS 4

/* Makes a key; destroy, if not NULL, is called with each value that its goroutine leaves behind. GO_EAGAIN when
 * GO_LOCAL_KEYS exist. Never suspends. */
GO_API GO_NODISCARD int go_local_new(go_local *ret, void (*destroy)(void *));

/* Ends a key. Values that still exist are forgotten, not destroyed. GO_EINVAL when there is no such key (any
 * more). Never suspends. */
GO_API int go_local_delete(go_local key);

/* Sets the caller's value. NULL needs no memory. GO_EINVAL when there is no such key; GO_ENOMEM; GO_ENOTGO in
 * hooks at the end of a goroutine. Never suspends. */
GO_API GO_NODISCARD int go_local_set(go_local key, void *value);

/* The caller's value: NULL if none was set, or there is no such key. Some nanoseconds. Never suspends. */
GO_API void *go_local_get(go_local key);

GO_EXTERN_C_END_

#endif /* GOLIB_LOCAL_H_ */
