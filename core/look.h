/* core/look.h: what a dump would say of each goroutine, for those who say it otherwise: debug/. */
#ifndef GOLIB_CORE_LOOK_H_
#define GOLIB_CORE_LOOK_H_

#include "core/out.h"

#define GO_LOOK_PCS_ 32

typedef struct go_look_ {
  go_seen_ seen;
  const char *state; /* "chan receive": static text */
  int64_t waits;     /* ns, as go_dump tells; -1: it does not wait */
  bool leaked;
  int npcs; /* return addresses; 0: not known, it runs */
  void *pcs[GO_LOOK_PCS_];
} go_look_;

/* Calls f for all goroutines, and threads that wait in golib. leaks: looks for leaked ones before, which reads all memory. Takes
 * no lock. Fills *look, the caller's, anew for each. From any thread, also one that golib does not know. */
void go_look_all_(bool leaks, go_look_ *look, void (*f)(void *arg, const go_look_ *look),
                  void *arg);

#endif /* GOLIB_CORE_LOOK_H_ */
