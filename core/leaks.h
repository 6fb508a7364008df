/* core/leaks.h: goroutines that nothing in the program can wake any more. */
#ifndef GOLIB_CORE_LEAKS_H_
#define GOLIB_CORE_LEAKS_H_

#include "core/g.h"

typedef struct go_leaks_ go_leaks_;

/* Looks for goroutines that wait on channels whose addresses lie nowhere but in stacks of such goroutines. NULL:
 * there are none, or it cannot be told. Async-signal-safe; to be freed. May take milliseconds. */
go_leaks_ *go_leaks_find_(void);
bool go_leaks_has_(const go_leaks_ *l, const go_g_ *g, uint64_t id);
/* Whether no thread of the program ran meanwhile, which might have had an address in a register, or moved it. */
bool go_leaks_certain_(const go_leaks_ *l);
void go_leaks_free_(go_leaks_ *l);

#endif /* GOLIB_CORE_LEAKS_H_ */
