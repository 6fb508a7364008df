#include "bench/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void bench_check(bool ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "bench: %s\n", what);
    abort();
  }
}

void bench_add(bench_result *r, const char *key, double value) {
  size_t used = strlen(r->extra);
  int decimals = value == (double)(int64_t)value ? 0 : 1;
  snprintf(r->extra + used, sizeof r->extra - used, "%s%s:%.*f", used == 0 ? " extra=" : ",", key,
           decimals, value);
}

int64_t bench_memory(const char *key) {
  FILE *f = fopen("/proc/self/status", "r");
  if (f == NULL) {
    return 0;
  }
  char line[256];
  long long kb = 0;
  size_t length = strlen(key);
  while (fgets(line, sizeof line, f) != NULL) {
    if (strncmp(line, key, length) == 0 && sscanf(line + length, "%lld", &kb) == 1) {
      break;
    }
  }
  fclose(f);
  return kb * 1024;
}

double bench_cpu_ms(void) { return (double)clock() * 1e3 / CLOCKS_PER_SEC; }

uint64_t bench_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/* The i-th argument as a positive number; the default where it is missing, -1 where it is none. */
static int64_t number(int i, int argc, char **argv, int64_t value) {
  if (i >= argc) {
    return value;
  }
  char *end;
  long long v = strtoll(argv[i], &end, 10);
  return *end == '\0' && v > 0 ? v : -1;
}

static int fail(const char *text) {
  fprintf(stderr, "bench: %s\n", text);
  return 2;
}

static int list(const bench *table, int count) {
  for (int i = 0; i < count; i++) {
    printf("%s %lld %lld\n", table[i].name, (long long)table[i].n, (long long)table[i].width);
  }
  return 0;
}

static const bench *find(const bench *table, int count, const char *name) {
  for (int i = 0; i < count; i++) {
    if (strcmp(table[i].name, name) == 0) {
      return &table[i];
    }
  }
  return NULL;
}

static void run(const bench *b, int64_t n, int64_t width, int procs) {
  bench_result r = {0};
  b->fn(n, width, &r);
  if (width != b->width) {
    bench_add(&r, "width", (double)width);
  }
  printf("name=%s procs=%d n=%lld ns_per_op=%.2f%s\n", b->name, procs, (long long)n,
         (double)r.wall / (double)r.ops, r.extra);
}

int bench_main(const bench *table, int count, void (*set_procs)(int procs), int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    return list(table, count);
  }
  if (argc < 2 || argc > 5) {
    return fail("usage: bench NAME [procs] [n] [width] | bench --list");
  }
  const bench *b = find(table, count, argv[1]);
  if (b == NULL) {
    return fail("no benchmark of that name: see --list");
  }
  int64_t procs = number(2, argc, argv, 1);
  int64_t n = number(3, argc, argv, b->n);
  int64_t width = number(4, argc, argv, b->width);
  if (procs < 1 || procs > 1024 || n < 1 || width < 0) {
    return fail("procs, n and width are positive numbers");
  }
  if (n < width || (b->width == 0 && width != 0)) {
    return fail(b->width == 0 ? "this benchmark has no width" : "n is at least the width");
  }
  set_procs((int)procs);
  run(b, n, width, (int)procs);
  return 0;
}
