/* bench/harness.h: what a program of benchmarks is made of, whatever it measures: arguments in, one
 * line out. Each benchmark is a function that runs once, checks its own result and fills in a
 * bench_result. golib's program is bench.c; those of other libraries are in peers/. */
#ifndef BENCH_HARNESS_H_
#define BENCH_HARNESS_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bench_result {
  int64_t wall; /* ns that the measured section took */
  int64_t ops;  /* operations in it */
  char extra[256];
} bench_result;

/* n: how much work. width: how many goroutines, producers, channels... share it; 0 where there is
 * nothing to widen. */
typedef void bench_fn(int64_t n, int64_t width, bench_result *r);

typedef struct bench {
  const char *name;
  int64_t n; /* defaults */
  int64_t width;
  bench_fn *fn;
} bench;

/* Runs what the arguments ask for: NAME [procs] [n] [width], or --list. set_procs is called before
 * the benchmark. Returns the exit status. */
int bench_main(const bench *table, int count, void (*set_procs)(int procs), int argc, char **argv);

/* Ends the program with a message unless ok. */
void bench_check(bool ok, const char *what);
/* Appends key:value to the line's extras. */
void bench_add(bench_result *r, const char *key, double value);
/* What the kernel says of this process under that key of its status file ("VmRSS:"), in bytes; 0 on a
 * system that has no such file. */
int64_t bench_memory(const char *key);
/* CPU time of the process in ms. */
double bench_cpu_ms(void);
/* splitmix64: the next pseudo-random number of a sequence. */
uint64_t bench_random(uint64_t *state);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_HARNESS_H_ */
