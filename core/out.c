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

void go_out_goroutine_(go_out_ *o, const go_g_ *g) {
  go_out_str_(o, g->flags & GO_G_THREAD_ ? "thread " : "goroutine ");
  go_out_u64_(o, g->id);
  if (g->name != NULL && g->name[0] != '\0') {
    go_out_str_(o, " \"");
    go_out_str_(o, g->name);
    go_out_str_(o, "\"");
  }
  if (g->site != NULL) {
    put(o, ' ');
    go_out_site_(o, g->site);
  }
}
