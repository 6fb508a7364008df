/* preempt/suspend/program.h: which code is the program's own. */
#ifndef GOLIB_PREEMPT_SUSPEND_PROGRAM_H_
#define GOLIB_PREEMPT_SUSPEND_PROGRAM_H_

#include <stdbool.h>
#include <stdint.h>

/* Finds out; once is enough. 0; GO_ENOSYS: it cannot be told. */
int go_program_find_(void);
/* Whether pc is in a function of the program's own. Takes no lock. */
bool go_program_owns_(uintptr_t pc);

#endif /* GOLIB_PREEMPT_SUSPEND_PROGRAM_H_ */
