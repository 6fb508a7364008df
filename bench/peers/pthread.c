/* What the same work costs with plain threads, a mutex and condition variables. Threads are no peer
 * for a million goroutines: the default sizes are smaller, an operation is the same. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "bench/harness.h"

enum { CAPACITY = 128, SMALL_STACK = 64 * 1024 };

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void start(pthread_t *t, void *(*fn)(void *), void *arg) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, SMALL_STACK);
  bench_check(pthread_create(t, &attr, fn, arg) == 0, "could not start a thread");
  pthread_attr_destroy(&attr);
}

static pthread_t *threads_for(int64_t count) {
  pthread_t *t = calloc((size_t)count, sizeof *t);
  bench_check(t != NULL, "no memory");
  return t;
}

/* Runs fn(arg) on `count` threads and returns how long that took. */
static int64_t run_on(int64_t count, void *(*fn)(void *), void *arg) {
  pthread_t *t = threads_for(count);
  int64_t begin = now();
  for (int64_t i = 0; i < count; i++) {
    start(&t[i], fn, arg);
  }
  for (int64_t i = 0; i < count; i++) {
    pthread_join(t[i], NULL);
  }
  int64_t wall = now() - begin;
  free(t);
  return wall;
}

static void *trivial(void *arg) { return arg; }

static void spawn(int64_t n, int64_t width, bench_result *r) {
  for (; r->ops < n; r->ops += width) {
    r->wall += run_on(width, trivial, NULL);
  }
}

static void *yielder(void *arg) {
  for (int64_t i = *(int64_t *)arg; i > 0; i--) {
    sched_yield();
  }
  return NULL;
}

static void yield(int64_t n, int64_t width, bench_result *r) {
  int64_t per = n / width;
  r->wall = run_on(width, yielder, &per);
  r->ops = per * width;
}

/* A bounded queue of up to CAPACITY items. */
typedef struct queue {
  pthread_mutex_t mu; /* protects what follows */
  pthread_cond_t not_empty, not_full;
  int64_t items[CAPACITY];
  unsigned head, length, capacity;
  bool closed;
} queue;

#define QUEUE_INIT(cap)                                                     \
  {                                                                         \
    .mu = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER, \
    .not_full = PTHREAD_COND_INITIALIZER, .capacity = (cap)                 \
  }

static void put(queue *q, int64_t v) {
  pthread_mutex_lock(&q->mu);
  while (q->length == q->capacity) {
    pthread_cond_wait(&q->not_full, &q->mu);
  }
  q->items[(q->head + q->length++) % CAPACITY] = v;
  pthread_mutex_unlock(&q->mu);
  pthread_cond_signal(&q->not_empty);
}

static bool take(queue *q, int64_t *v) {
  pthread_mutex_lock(&q->mu);
  while (q->length == 0 && !q->closed) {
    pthread_cond_wait(&q->not_empty, &q->mu);
  }
  bool ok = q->length > 0;
  if (ok) {
    *v = q->items[q->head++ % CAPACITY];
    q->length--;
  }
  pthread_mutex_unlock(&q->mu);
  pthread_cond_signal(&q->not_full);
  return ok;
}

static void close_queue(queue *q) {
  pthread_mutex_lock(&q->mu);
  q->closed = true;
  pthread_mutex_unlock(&q->mu);
  pthread_cond_broadcast(&q->not_empty);
}

typedef struct pair {
  queue ping, pong;
} pair;

static void *echo(void *arg) {
  pair *p = arg;
  for (int64_t v; take(&p->ping, &v);) {
    put(&p->pong, v);
  }
  return NULL;
}

static void pingpong(int64_t n, int64_t width, bench_result *r) {
  (void)width;
  pair p = {QUEUE_INIT(1), QUEUE_INIT(1)};
  pthread_t t;
  start(&t, echo, &p);
  int64_t begin = now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v = -1;
    put(&p.ping, i);
    take(&p.pong, &v);
    bench_check(v == i, "pingpong: wrong value");
  }
  r->wall = now() - begin;
  r->ops = n;
  close_queue(&p.ping);
  pthread_join(t, NULL);
}

typedef struct flow {
  queue q;
  int64_t per_producer;
  _Atomic int64_t total;
} flow;

static void *produce(void *arg) {
  flow *f = arg;
  for (int64_t i = 0; i < f->per_producer; i++) {
    put(&f->q, i);
  }
  return NULL;
}

static void *consume(void *arg) {
  flow *f = arg;
  int64_t sum = 0;
  for (int64_t v; take(&f->q, &v);) {
    sum += v;
  }
  f->total += sum;
  return NULL;
}

static void chanbuf(int64_t n, int64_t width, bench_result *r) {
  flow f = {.q = QUEUE_INIT(CAPACITY), .per_producer = n / width};
  pthread_t *consumers = threads_for(width);
  int64_t begin = now();
  for (int64_t i = 0; i < width; i++) {
    start(&consumers[i], consume, &f);
  }
  run_on(width, produce, &f);
  close_queue(&f.q);
  for (int64_t i = 0; i < width; i++) {
    pthread_join(consumers[i], NULL);
  }
  r->wall = now() - begin;
  r->ops = f.per_producer * width;
  free(consumers);
  bench_check(f.total == width * (f.per_producer * (f.per_producer - 1) / 2), "queue: wrong sum");
}

static void chanseq(int64_t n, int64_t width, bench_result *r) {
  (void)width;
  queue q = QUEUE_INIT(1);
  int64_t sum = 0, begin = now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v = 0;
    put(&q, i);
    take(&q, &v);
    sum += v;
  }
  r->wall = now() - begin;
  r->ops = n;
  bench_check(sum == n * (n - 1) / 2, "chanseq: wrong sum");
}

typedef struct counter {
  pthread_mutex_t mu; /* protects value */
  int64_t value, per_thread;
} counter;

static void *count(void *arg) {
  counter *c = arg;
  for (int64_t i = 0; i < c->per_thread; i++) {
    pthread_mutex_lock(&c->mu);
    c->value++;
    pthread_mutex_unlock(&c->mu);
  }
  return NULL;
}

static void mutex(int64_t n, int64_t width, bench_result *r) {
  counter c = {.mu = PTHREAD_MUTEX_INITIALIZER, .per_thread = n / width};
  r->wall = run_on(width, count, &c);
  r->ops = c.per_thread * width;
  bench_check(c.value == r->ops, "mutex: lost update");
}

typedef struct gathering {
  pthread_mutex_t mu; /* protects what follows */
  pthread_cond_t all_in, release;
  int64_t arrived, expected;
  bool released;
} gathering;

static void *idler(void *arg) {
  gathering *g = arg;
  pthread_mutex_lock(&g->mu);
  if (++g->arrived == g->expected) {
    pthread_cond_signal(&g->all_in);
  }
  while (!g->released) {
    pthread_cond_wait(&g->release, &g->mu);
  }
  pthread_mutex_unlock(&g->mu);
  return NULL;
}

static void idle(int64_t n, int64_t width, bench_result *r) {
  (void)width;
  gathering g = {
      PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, n, false};
  pthread_t *t = threads_for(n);
  int64_t rss = bench_memory("VmRSS:"), begin = now();
  for (int64_t i = 0; i < n; i++) {
    start(&t[i], idler, &g);
  }
  pthread_mutex_lock(&g.mu);
  while (g.arrived < n) {
    pthread_cond_wait(&g.all_in, &g.mu);
  }
  r->wall = now() - begin;
  r->ops = n;
  bench_add(r, "bytes_per_task", (double)(bench_memory("VmRSS:") - rss) / (double)n);
  g.released = true;
  pthread_mutex_unlock(&g.mu);
  pthread_cond_broadcast(&g.release);
  for (int64_t i = 0; i < n; i++) {
    pthread_join(t[i], NULL);
  }
  free(t);
}

static const bench benches[] = {
    {"spawn", 50000, 100, spawn},      {"yield", 2000000, 2, yield},
    {"yield1k", 2000000, 1000, yield}, {"pingpong", 100000, 0, pingpong},
    {"chanbuf", 2000000, 1, chanbuf},  {"chanmpmc", 1000000, 8, chanbuf},
    {"chanseq", 20000000, 0, chanseq}, {"mutex", 8000000, 8, mutex},
    {"idle", 5000, 0, idle},
};

/* Threads take what CPUs they may: procs is how many. */
static void set_procs(int procs) {
  cpu_set_t all, some;
  CPU_ZERO(&some);
  bench_check(sched_getaffinity(0, sizeof all, &all) == 0, "no CPU affinity");
  for (int cpu = 0; cpu < CPU_SETSIZE && procs > 0; cpu++) {
    if (CPU_ISSET(cpu, &all)) {
      CPU_SET(cpu, &some);
      procs--;
    }
  }
  bench_check(sched_setaffinity(0, sizeof some, &some) == 0, "no CPU affinity");
}

int main(int argc, char **argv) {
  return bench_main(benches, (int)(sizeof benches / sizeof benches[0]), set_procs, argc, argv);
}
