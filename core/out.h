/* core/out.h: writing reports where nothing else works: no malloc, no stdio, no locks.
 *
 * Async-signal-safe. Lines are gathered and written whole, so that reports of several threads mix by
 * the line at worst.
 */
#ifndef GOLIB_CORE_OUT_H_
#define GOLIB_CORE_OUT_H_

#include "core/g.h"

typedef struct go_out_ {
  int fd;
  uint32_t n;
  char buf[1024];
} go_out_;

void go_out_init_(go_out_ *o, int fd);
void go_out_str_(go_out_ *o, const char *s);
void go_out_u64_(go_out_ *o, uint64_t v);
/* "64 MiB" */
void go_out_size_(go_out_ *o, uint64_t bytes);
/* Of "worker@reader.c:31", `spawned at worker@reader.c:31`; of "go_main@", `started by go_main`. */
void go_out_site_(go_out_ *o, const char *site);
/* What one line says of a goroutine that goes on living meanwhile: all of one life, though not all of one
 * moment. */
typedef struct go_seen_ {
  uint64_t id;
  const char *site;
  bool thread, locked, foreign;
  bool on_cpu; /* no context yet, or no more */
  uint8_t state, reason;
  uint8_t stack_class;
  char *stack_top;      /* NULL: none */
  const void *sp;       /* suspended: see go_arch_ctx_; in foreign code: see core/block.c */
  const void *entry_pc; /* in foreign code: where it went in */
  const void *waits;    /* claimed_by */
  int64_t since;
  char name[GO_NAME_SIZE_];
} go_seen_;
/* Whether it lives. From anywhere, a signal handler too. */
bool go_see_(const go_g_ *g, go_seen_ *ret_seen);
/* Whether it waits, and has no right to run, and is still in the same wait. */
bool go_still_waits_(const go_g_ *g, const go_seen_ *seen);
/* "3 ms", "12 s", "5 min": rounded down. */
void go_out_ns_(go_out_ *o, int64_t ns);
/* `goroutine 12 "reader" spawned at worker@reader.c:31` */
void go_out_seen_(go_out_ *o, const go_seen_ *seen);
/* The same, of a goroutine that cannot end meanwhile. */
void go_out_goroutine_(go_out_ *o, const go_g_ *g);
void go_out_flush_(go_out_ *o);

#endif /* GOLIB_CORE_OUT_H_ */
