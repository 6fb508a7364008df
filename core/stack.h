/* core/stack.h: goroutine stacks. They never move.
 *
 * A stack is a slot of address space of 2^cls bytes, aligned to its size, cut from large reservations; the
 * kernel commits the pages that are touched. It is named by its top (one past its highest byte).
 *
 * Guards. The highest 1/16 (at most 64 KiB) of each slot is the guard of the slot above it; the lowest slot of a
 * reservation has one of its own. So a guard lies next to pages that its slot touches anyway and costs no
 * page-table page, and the whole slot below it is plain memory for everybody, system calls included. It is
 * laid when the slot is used for the first time (or somewhat earlier, several at once: `prepare`); slots are used from low to high, so the guard below a slot
 * is there before the slot is. (Rejected: a trap 2 MiB below the top that the fault handler moves down: the
 * kernel, and other goroutines that write into this stack, run into it as well.)
 * Where guards cost a mapping each, they are laid when the slot is reserved, so that running out of
 * mappings is an error of the spawn.
 *
 * Who holds a slot: a G (bound), a P's cache (hot), the depot (warm: touched; cold: not, or given
 * back). A goroutine binds a stack only when it first runs, on any P; so that this cannot fail, its spawn takes
 * a credit. Invariant: slots of the default class >= credits out + GO_STACK_CACHE_ * Ps. Credits are
 * out while a P holds them or a goroutine lives. Other classes are bound at the spawn.
 *
 * Warm slots beyond recent demand go back to the kernel: go_stack_trim_.
 */
#ifndef GOLIB_CORE_STACK_H_
#define GOLIB_CORE_STACK_H_

#include "core/g.h"

#define GO_STACK_CLASS_MIN_ 14u /* 16 KiB */
#define GO_STACK_CLASS_MAX_ 30u /* 1 GiB */
#if GO_SANITIZED_
#define GO_STACK_CLASS_DEFAULT_ 20u /* their shadow of the address space is small */
#else
#define GO_STACK_CLASS_DEFAULT_ 26u /* 64 MiB */
#endif

/* The class of a size in bytes, rounded up; 0 when it is out of range. */
uint32_t go_stack_class_(size_t size);
/* The class of the slots that stacks of that class get: larger where an overflow needs some room. */
uint32_t go_stack_slot_class_(uint32_t cls);
/* Reserves the first slots of the default class and picks a smaller one when the address space does not
 * allow it (unless `fixed`). Stores GO_S->stack_class. 0, GO_ENOMEM. */
int go_stack_init_(uint32_t cls, bool fixed, uint32_t procs);
/* Frees everything; no goroutine lives. */
void go_stack_fini_(void);

/* Takes n credits, reserving slots as needed: 0 or GO_ENOMEM (go_stack_why_ tells more). */
int go_stack_credit_(uint32_t n);
void go_stack_uncredit_(uint32_t n);
/* Raises the number of Ps that the invariant counts with. 0 or GO_ENOMEM. */
int go_stack_procs_(uint32_t procs);

/* Takes a slot of a class from the depot. NULL: none could be reserved (never for the default class
 * with a credit). */
char *go_stack_get_(uint32_t cls);
/* Puts one back. */
void go_stack_put_(uint32_t cls, char *top);

/* The highest address that a goroutine uses on this stack. Starts are staggered within the page, so that a thousand
 * parked goroutines do not compete for one set of the cache; and, on large stacks, by pages, so that the
 * page-table entries do not either (slots are multiples of 2 MiB apart). 16-byte aligned. */
char *go_stack_start_(uint32_t cls, char *top);
/* The slot's usable addresses: [low, high). */
char *go_stack_low_(uint32_t cls, char *top);
char *go_stack_high_(uint32_t cls, char *top);

/* Gives warm slots back that recent demand did not need: at most `max`. Returns when to go on. */
enum go_trim_ { GO_TRIM_DONE_, GO_TRIM_LATER_, GO_TRIM_NOW_ };
int go_stack_trim_(uint32_t max);
/* Why the last reservation failed: static text. */
const char *go_stack_why_(void);

/* For the fault handler: whether an access of g to addr hit its stack's guard. */
bool go_stack_overflowed_(const go_g_ *g, const char *addr);

/* Calls f for every reservation that stacks are cut from. Async-signal-safe. */
void go_stack_each_chunk_(void (*f)(void *arg, const void *lo, const void *hi), void *arg);

/* For dumps and tests. */
typedef struct go_stack_stats_ {
  uint64_t reserved; /* slots of the default class */
  uint64_t in_use;   /* not in the depot */
  uint64_t warm, cold;
  uint64_t credits;
  uint64_t peak;  /* most in use at a time */
  uint64_t bytes; /* of address space, all classes */
} go_stack_stats_;
void go_stack_stats_read_(go_stack_stats_ *ret);

#endif /* GOLIB_CORE_STACK_H_ */
