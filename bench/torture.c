/* What starves others, and how much they notice: the rows of docs/torture.md that are numbers. bench torture NAME. */
#include "bench/bench.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- hogs beside a ticker ---- */

static _Atomic bool stop;

static bool stopped(void) { return atomic_load_explicit(&stop, memory_order_relaxed); }

static void spin(GO_UNUSED uint64_t *seed) {
  while (!stopped()) {}
}

static int by_value(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static void in_libc(uint64_t *seed) {
  enum { N = 20000 };
  int *v = malloc(2 * N * sizeof *v), *w = v + N;
  char text[64];
  bench_check(v != NULL, "no memory");
  while (!stopped()) {
    for (int i = 0; i < N; i++) {
      v[i] = (int)bench_random(seed);
    }
    memcpy(w, v, N * sizeof *v);
    qsort(w, N, sizeof *w, by_value);
    bench_check(snprintf(text, sizeof text, "%d %f", w[0], 1.0 / (w[1] | 1)) > 0, "snprintf");
  }
  free(v);
}

static void in_malloc(uint64_t *seed) {
  FILE *f = tmpfile();
  bench_check(f != NULL, "no temporary file");
  while (!stopped()) {
    size_t n = 1 + bench_random(seed) % 5000;
    unsigned char *p = malloc(n), c = (unsigned char)bench_random(seed);
    bench_check(p != NULL, "no memory");
    memset(p, c, n);
    fprintf(f, "%p\n", (void *)p);
    bench_check(p[0] == c && p[n / 2] == c && p[n - 1] == c, "a block has changed");
    free(p);
    rewind(f);
  }
  fclose(f);
}

typedef void hog_fn(uint64_t *seed);
GO_FUNC(hog, (hog_fn *, fn), (uint64_t, seed)) { fn(&seed); }

static void start_hogs(go_wg *wg, int64_t width, hog_fn *fn) {
  atomic_store(&stop, false);
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(wg, hog, fn, (uint64_t)i));
  }
}

static void end_hogs(go_wg *wg) {
  atomic_store(&stop, true);
  go_wg_wait(wg);
}

/* How many of n ticks of 10 ms come in their time, and how late they are received. */
static void ticks(int64_t n, int64_t width, bench_result *r, hog_fn *fn) {
  go_wg wg = {0};
  go_nsec at, late = 0, worst = 0, start = go_now();
  start_hogs(&wg, width, fn);
  go_ticker *t = go_ticker_new(10 * GO_MS);
  bench_check(t != NULL, "no ticker");
  int64_t got = 0;
  while (go_now() < start + n * 10 * GO_MS + 5 * GO_MS && go_chan_recv(go_ticker_chan(t), &at)) {
    go_nsec since = go_now() - start, by = since % (10 * GO_MS);
    late += by;
    worst = by > worst ? by : worst;
    got += since <= n * 10 * GO_MS + 5 * GO_MS;
  }
  r->wall = go_now() - start;
  r->ops = n;
  end_hogs(&wg);
  go_ticker_free(t);
  bench_add(r, "ticks", (double)got);
  bench_add(r, "mean_late_us", got == 0 ? 0 : (double)late / (double)got / 1e3);
}

void torture_hog(int64_t n, int64_t width, bench_result *r) { ticks(n, width, r, spin); }
void torture_libc(int64_t n, int64_t width, bench_result *r) { ticks(n, width, r, in_libc); }
void torture_malloc(int64_t n, int64_t width, bench_result *r) { ticks(n, width, r, in_malloc); }

/* ---- blocking ---- */

static void block(void *ms) {
  for (int left = *(int *)ms; left > 0; left -= 500) {
    usleep((left < 500 ? (unsigned)left : 500u) * 1000);
  }
}

GO_FUNC(blocker, (int, ms), (bool, announced)) {
  if (announced) {
    go_blocking(block, &ms);
  } else {
    block(&ms);
  }
}

/* n calls that block for 100 ms, side by side. */
void torture_sidebyside(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  go_wg wg = {0};
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    bench_started(GO_WG(&wg, blocker, 100, true));
  }
  go_wg_wait(&wg);
  r->wall = go_now() - start;
  r->ops = n;
  bench_add(r, "wall_ms", (double)r->wall / 1e6);
}

/* On each P a call that blocks for n ms; when a sleep of 20 ms ends. */
static void sleep_beside(int64_t n, bench_result *r, bool announced) {
  go_wg wg = {0};
  for (int i = 0; i < go_procs(0); i++) {
    bench_started(GO_WG(&wg, blocker, (int)n, announced));
  }
  go_nsec start = go_now();
  bench_check(go_sleep(NULL, 20 * GO_MS) == 0, "sleep");
  r->wall = go_now() - start;
  r->ops = 1;
  go_wg_wait(&wg);
  bench_add(r, "woke_ms", (double)r->wall / 1e6);
}

void torture_blocking(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  sleep_beside(n, r, true);
}
void torture_syscall(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  sleep_beside(n, r, false);
}

/* ---- sleeping ---- */

static int by_time(const void *a, const void *b) {
  go_nsec x = *(const go_nsec *)a, y = *(const go_nsec *)b;
  return (x > y) - (x < y);
}

/* n sleeps of 1 ms, one after the other: how late they end. */
void torture_sleep(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  go_nsec *late = malloc((size_t)n * sizeof *late), begin = go_now();
  bench_check(late != NULL, "no memory");
  for (int64_t i = 0; i < n; i++) {
    go_nsec start = go_now();
    bench_check(go_sleep(NULL, GO_MS) == 0, "sleep");
    late[i] = go_now() - start - GO_MS;
  }
  r->wall = go_now() - begin;
  r->ops = n;
  qsort(late, (size_t)n, sizeof *late, by_time);
  bench_add(r, "median_late_us", (double)late[n / 2] / 1e3);
  bench_add(r, "p99_late_us", (double)late[n - 1 - n / 100] / 1e3);
  bench_add(r, "max_late_us", (double)late[n - 1] / 1e3);
  free(late);
}

/* ---- one P ---- */

GO_FUNC(yielder, (int64_t, seed)) {
  volatile int64_t x = seed;
  while (!stopped()) {
    for (int i = 0; i < 1000; i++) {
      x += i;
    }
    go_yield();
  }
  (void)x;
}

/* `width` goroutines compute and yield on two Ps; then one is taken away: CPU time by time, for n ms. */
void torture_procs(int64_t n, int64_t width, bench_result *r) {
  go_wg wg = {0};
  go_procs(2);
  atomic_store(&stop, false);
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&wg, yielder, i));
  }
  go_sleep(NULL, 20 * GO_MS);
  go_procs(1);
  double used = bench_cpu_ms();
  go_nsec start = go_now();
  go_sleep(NULL, n * GO_MS);
  r->wall = go_now() - start;
  used = bench_cpu_ms() - used;
  r->ops = n;
  end_hogs(&wg);
  bench_add(r, "cpu_percent", used * 1e8 / (double)r->wall);
}

/* ---- chance ---- */

/* n selects over three channels that are all ready: chi-square of which one goes, two degrees of freedom. */
void torture_select(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  intchan c[3];
  int64_t v, went[3] = {0};
  for (int i = 0; i < 3; i++) {
    c[i] = bench_chan(0);
    intchan_close(c[i]);
  }
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    went[GO_SELECT(NULL, intchan_recv_case(c[0], &v), intchan_recv_case(c[1], &v),
                   intchan_recv_case(c[2], &v))]++;
  }
  r->wall = go_now() - start;
  r->ops = n;
  double x = 0, expected = (double)n / 3;
  for (int i = 0; i < 3; i++) {
    intchan_unref(c[i]);
    x += ((double)went[i] - expected) * ((double)went[i] - expected) / expected;
  }
  bench_add(r, "chi_square", x);
}

/* ---- nothing to do ---- */

/* The number behind that key in a status file of /proc; 0: there is none. */
static int64_t status(const char *path, const char *key) {
  FILE *f = fopen(path, "r");
  long long n = 0;
  size_t length = strlen(key);
  for (char line[256]; f != NULL && n == 0 && fgets(line, sizeof line, f) != NULL;) {
    n = strncmp(line, key, length) == 0 ? strtoll(line + length, NULL, 10) : 0;
  }
  if (f != NULL) {
    fclose(f);
  }
  return n;
}

/* Context switches of all threads but the calling one. */
static int64_t switches(void) {
  int64_t own = status("/proc/thread-self/status", "Pid:"), sum = 0;
  DIR *d = opendir("/proc/self/task");
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    char path[300];
    if (e->d_name[0] != '.' && atoll(e->d_name) != own) {
      snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
      sum += status(path, "voluntary_ctxt_switches:") + status(path, "nonvoluntary_ctxt_switches:");
    }
  }
  if (d != NULL) {
    closedir(d);
  }
  return sum;
}

enum { WAITERS = 100 };

typedef struct idling {
  int seconds;
  int64_t switched;
  double cpu_ms;
} idling;

static void rest(int seconds) {
  while (seconds-- > 0) {
    usleep(999999);
  }
}

static void look_on(void *arg) {
  idling *i = arg;
  rest(i->seconds + 1); /* in which threads that are not needed any more end */
  double cpu = bench_cpu_ms();
  int64_t before = switches();
  rest(i->seconds);
  i->switched = switches() - before;
  i->cpu_ms = bench_cpu_ms() - cpu;
}

GO_FUNC(receiver, (intchan, c)) {
  int64_t v;
  bench_check(!intchan_recv(c, &v), "nobody has sent");
}

/* n seconds in which goroutines wait, some time after work: how often any thread wakes up but the one that looks, which
 * uses some CPU time for that. 0 as well where the system does not tell. */
void torture_idle(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  go_wg wg = {0}, waiting = {0};
  start_hogs(&wg, 2, spin);
  intchan c = bench_chan(0);
  for (int i = 0; i < WAITERS; i++) {
    bench_started(GO_WG(&waiting, receiver, c));
  }
  go_sleep(NULL, 20 * GO_MS);
  end_hogs(&wg);
  idling i = {(int)n, 0, 0};
  go_nsec start = go_now();
  go_blocking(look_on, &i);
  r->wall = go_now() - start;
  r->ops = n;
  intchan_close(c);
  go_wg_wait(&waiting);
  intchan_unref(c);
  bench_add(r, "wakeups", (double)i.switched);
  bench_add(r, "cpu_ms", i.cpu_ms);
}
