/* context/ctx.h: contexts, as the files of context/ see them.
 *
 * Two counts. refs: users, children, callbacks that wait; at 0 the context has ended: it leaves its parent
 * and gives up what it has. holds: those who may still look at its memory: all refs together, and a timer
 * that runs. So a timer needs no ref, and a context with a deadline far away is gone with its last user.
 *
 * Tree. A child counts as a ref of its parent, which its values and its leaving need, done or not. The
 * parent's list of children does not count: who finds a child there, under the parent's lock, gets a
 * ref by go_ctx_try_ref_, or finds that the child has ended and is about to take that lock to leave.
 *
 * Cancelling. Invariant: a child leaves the list of its parent only when it has ended, or when it is done and
 * its own list is empty. Nobody joins the list of a context that is done: who makes a child then finds it
 * done, under its lock. So when the list of a context that is done is empty, all its descendants are done,
 * whoever has cancelled which of them. Whoever cancels walks down and up through the lists until that holds;
 * several may walk through the same tree and help each other. A descendant gets code and cause of
 * its parent. The walk needs neither stack nor memory, and never holds two contexts' locks. Likewise unref: the parent
 * is unreferenced after the child, in a loop.
 *
 * Locks: under a context's lock a channel's is taken (to close `done`), and nothing else but what waking
 * takes. Users' code (destroy) is called without locks and never on g0: see context/late.c.
 */
#ifndef GOLIB_CONTEXT_CTX_H_
#define GOLIB_CONTEXT_CTX_H_

#include <golib/context.h>

#include "core/sched.h"

typedef struct go_ctx_after_ go_ctx_after_;

enum go_ctx_kind_ { GO_CTX_PLAIN_, GO_CTX_VALUE_, GO_CTX_TIMED_ };

struct go_ctx {
  go_cancel_ cancel; /* first: core knows it only */
  go_a32 refs;
  go_a32 holds;
  int cause;        /* stored under lock before err is */
  uint8_t kind;     /* constant */
  bool linked;      /* in parent's list; under parent's lock */
  go_ctx *parent;   /* constant; a ref; NULL: the background */
  go_ctx *values;   /* constant; the nearest that carries one, itself included: a parent keeps it */
  go_nsec deadline; /* constant */
  go_ctx *next, *prev;   /* siblings, under parent's lock; once it has ended: late.c's */
  go_ctx *children;      /* under lock */
  go_ctx_after_ *afters; /* under lock */
  go_aptr done;          /* go_chan *: stored once, under lock; a ref of it */
};

/* kind VALUE */
typedef struct go_ctx_value_ {
  go_ctx c;
  const void *key;
  void *val;
  void (*destroy)(void *);
} go_ctx_value_;

/* kind TIMED. Its timer is in a heap from before the context is linked until it fires, is cancelled, or ends. */
typedef struct go_ctx_timed_ {
  go_ctx c;
  go_tm_ tm;
} go_ctx_timed_;

/* A callback that waits. refs: 1 of the list's, 1 of the handle's. The list's goes to whoever takes state away from
 * WAITS, and the ref of ctx with it. */
struct go_ctx_after_ {
  go_ctx_after_ *next, *prev; /* listed: under ctx's lock; else of whoever took it out */
  go_a32 refs;
  go_a32 state; /* enum go_ctx_after_state_ */
  bool listed;  /* under ctx's lock */
  go_ctx *ctx;  /* NULL: the background */
  void (*fn)(void *);
  void *arg;
  const char *site;
};

enum go_ctx_after_state_ { GO_CTX_WAITS_, GO_CTX_STARTED_, GO_CTX_STOPPED_ };

/* ---- context.c ---- */

/* A child of parent, not linked yet, of `size` bytes; NULL: no memory. */
go_ctx *go_ctx_make_(go_ctx *parent, size_t size, uint8_t kind);
/* Puts a child that go_ctx_make_ made into its parent's list, or makes it done as the parent is. */
void go_ctx_link_(go_ctx *c);
/* Makes c, which the caller has a ref of, and all its descendants done. m: the calling thread's, or NULL. */
void go_ctx_end_(go_m_ *m, go_ctx *c, int err, int cause);
/* A ref, if there is one still. The caller knows that the memory is there. */
bool go_ctx_try_ref_(go_ctx *c);
/* The last of `holds` frees the memory. */
void go_ctx_unhold_(go_ctx *c);
/* Afterwards nobody finds c through its parent. */
void go_ctx_leave_(go_ctx *c);
/* Refs of c are 0: gives all up, and returns the parent, to be unreferenced. */
go_ctx *go_ctx_dispose_(go_ctx *c);

/* ---- deadline.c ---- */

/* The timer of c is not needed any more. */
void go_ctx_disarm_(go_ctx *c);

/* ---- after.c ---- */

/* c's lock is held and c done: takes out up to n callbacks; those that nobody has stopped go to *list. Returns
 * whether there are more. */
bool go_ctx_take_afters_(go_ctx *c, go_ctx_after_ **list, int n);
/* Starts them. */
void go_ctx_start_afters_(go_ctx_after_ *list);
/* Starts one, if a goroutine can be had. */
bool go_ctx_start_after_(go_ctx_after_ *a);

/* ---- late.c ---- */

/* No goroutine can be started for a: later. */
void go_ctx_late_after_(go_ctx_after_ *a);
/* c, whose refs are 0, is to be disposed of by a goroutine. */
void go_ctx_late_dispose_(go_ctx *c);
/* Tries what is late again, unless there is nothing. */
void go_ctx_late_poke_(void);

static inline bool go_ctx_none_(const go_ctx *c) { return go_cancel_never_(c); }

#endif /* GOLIB_CONTEXT_CTX_H_ */
