/* core/out.c: see core/out.h. */
#include "core/out.h"

#include <string.h>

#include "core/os.h"

void go_out_init_(go_out_ *o, int fd) {
  o->fd = fd;
  o->n = 0;
}

void go_out_flush_(go_out_ *o) {
  go_os_write_(o->fd, o->buf, o->n);
  o->n = 0;
}

static void put(go_out_ *o, char c) {
  if (o->n == sizeof o->buf) {
    go_out_flush_(o);
  }
  o->buf[o->n++] = c;
}

void go_out_str_(go_out_ *o, const char *s) {
  while (*s != '\0') {
    put(o, *s++);
  }
}

void go_out_u64_(go_out_ *o, uint64_t v) {
  char digits[20];
  int n = 0;
  do {
    digits[n++] = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  while (n > 0) {
    put(o, digits[--n]);
  }
}

void go_out_size_(go_out_ *o, uint64_t bytes) {
  static const char *const units[] = {" B", " KiB", " MiB", " GiB"};
  int u = 0;
  while (u < 3 && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    u++;
  }
  go_out_u64_(o, bytes);
  go_out_str_(o, units[u]);
}

void go_out_site_(go_out_ *o, const char *site) {
  size_t n = strlen(site);
  bool by = n > 0 && site[n - 1] == '@'; /* no place in the source */
  go_out_str_(o, by ? "started by " : "spawned at ");
  for (size_t i = 0; i < n - by; i++) {
    put(o, site[i]);
  }
}

/* Reads what its owner may be writing: no value that it can find there is harmful, and go_see_ finds out
 * when it comes of two lives. */
GO_NO_TSAN_ static void peek(const go_g_ *g, go_seen_ *seen) {
  const volatile go_g_ *v = g;
  seen->id = v->id;
  seen->state = v->state;
  seen->reason = v->reason;
  seen->foreign = (v->flags & GO_G_THREAD_) && v->stack_top != NULL;
  seen->thread = (v->flags & GO_G_THREAD_) && !seen->foreign;
  seen->locked = v->locked_m != NULL && (!seen->foreign || v->lock_count != 0);
  seen->on_cpu = v->on_cpu.v != 0;
  seen->stack_top = v->stack_top;
  seen->stack_class = v->stack_class;
  seen->sp = v->ctx.sp;
  seen->entry_pc = seen->foreign ? v->link : NULL;
  seen->waits = v->claimed_by;
  seen->since = v->since;
  seen->site = v->site;
  const volatile char *name = v->name; /* stays allocated as long as the G */
  uint32_t n = 0;
  if (name != NULL) {
    while (n + 1 < sizeof seen->name && (seen->name[n] = name[n]) != '\0') {
      n++;
    }
  }
  seen->name[n] = '\0';
}

/* A number is never used again, and a new life writes it before its site. */
GO_NO_TSAN_ static bool same_life(const go_g_ *g, const go_seen_ *seen) {
  const volatile go_g_ *v = g;
  go_fence_sc(); /* what peek has read was read before */
  return v->id == seen->id && v->state != GO_G_DEAD_;
}

bool go_see_(const go_g_ *g, go_seen_ *seen) {
  for (int tries = 0; tries < 100; tries++) {
    peek(g, seen);
    if (seen->state == GO_G_DEAD_) {
      return false;
    }
    if (same_life(g, seen)) {
      return true;
    }
  }
  return false; /* it lives too fast to be seen */
}

void go_out_seen_(go_out_ *o, const go_seen_ *seen) {
  go_out_str_(o, seen->thread ? "thread " : "goroutine ");
  go_out_u64_(o, seen->id);
  if (seen->name[0] != '\0') {
    go_out_str_(o, " \"");
    go_out_str_(o, seen->name);
    go_out_str_(o, "\"");
  }
  if (seen->site != NULL) {
    put(o, ' ');
    go_out_site_(o, seen->site);
  }
}

GO_NO_TSAN_ bool go_still_waits_(const go_g_ *g, const go_seen_ *seen) {
  const volatile go_g_ *v = g;
  go_fence_sc(); /* what the caller has read was read before */
  return v->id == seen->id && v->state == GO_G_WAITING_ && v->on_cpu.v == 0 &&
         v->ctx.sp == seen->sp && v->since == seen->since && v->claimed_by == seen->waits;
}

void go_out_ns_(go_out_ *o, int64_t ns) {
  bool min = ns >= 2 * GO_MIN, s = ns >= 10 * GO_SEC;
  go_out_u64_(o, (uint64_t)(ns / (min ? GO_MIN : s ? GO_SEC : GO_MS)));
  go_out_str_(o, min ? " min" : s ? " s" : " ms");
}

void go_out_goroutine_(go_out_ *o, const go_g_ *g) {
  go_seen_ seen;
  peek(g, &seen);
  go_out_seen_(o, &seen);
}
