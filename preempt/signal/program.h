/* preempt/signal/program.h: which code is the program's own. */
#ifndef GOLIB_PREEMPT_SIGNAL_PROGRAM_H_
#define GOLIB_PREEMPT_SIGNAL_PROGRAM_H_

#include <stdbool.h>
#include <stdint.h>

/* gcc tells by macro, clang by feature. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GO_TSAN_ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(GO_TSAN_)
#define GO_TSAN_ 1
#endif

/* What the handler calls. */
#if defined(GO_TSAN_)
#define RAW __attribute__((no_sanitize("thread")))
#else
#define RAW
#endif

/* Finds out; once is enough. 0; GO_ENOSYS: it cannot be told. */
int go_program_find_(void);
/* Whether pc is in a function of the executable, and not in golib. Async-signal-safe. */
bool go_program_owns_(uintptr_t pc);

#endif /* GOLIB_PREEMPT_SIGNAL_PROGRAM_H_ */
