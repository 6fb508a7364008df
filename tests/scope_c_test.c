// What C programs write with golib/scope.h: the macros, in C, and every way out of a GO_SCOPE.

#include <golib/golib.h>
#include <golib/scope.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)                                                            \
  do {                                                                         \
    if (!(cond)) {                                                             \
      fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #cond); \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

// The example of the header.
GO_TASK(square, (const int *, in), (int, i), (int *, out)) {
  out[i] = in[i] * in[i];
  return 0;
}

static int squares(go_ctx *ctx, const int *in, int n, int *out) {
  int err = 0;
  GO_SCOPE (s, ctx) {
    for (int i = 0; i < n; i++) (void)GO_IN(&s, square, in, i, out);
    err = go_scope_wait(&s);
  }
  return err;
}

static int counted;
GO_TASK(nothing) {
  counted++;
  return 17;
}
GO_TASK(eight, (char, a), (short, b), (int, c), (long long, d), (float, e), (double, f),
        (const char *, g), (double *, out)) {
  *out = a + b + c + (double)d + (double)e + f + (double)strlen(g);
  return (int)strlen(g);
}
typedef struct big {
  char bytes[300];
} big;
GO_TASK(sum_big, (big, b)) {
  int sum = 0;
  for (size_t i = 0; i < sizeof b.bytes; i++) sum += b.bytes[i];
  return sum;
}

static void test_macros(void) {
  int in[100], out[100];
  for (int i = 0; i < 100; i++) in[i] = i;
  CHECK(squares(NULL, in, 100, out) == 0);
  for (int i = 0; i < 100; i++) CHECK(out[i] == i * i);
  CHECK(square(in, 9, out) == 0 && out[9] == 81); /* ordinary functions, too */
  CHECK(nothing() == 17 && counted == 1);
  double x = 0, y = 0;
  CHECK(eight(1, 2, 3, 4000000000LL, 0.5f, 0.25, "four", &x) == 4);
  GO_SCOPE (s, NULL) {
    go_task *t = GO_IN(&s, nothing),
            *u = GO_IN(&s, eight, 1, 2, 3, 4000000000LL, 0.5f, 0.25, "four", &y);
    big b;
    memset(&b, 3, sizeof b);
    go_task *v = GO_IN(&s, sum_big, b);
    memset(&b, 9, sizeof b); /* a copy was taken */
    CHECK(go_task_join(t) == 17 && counted == 2);
    CHECK(go_task_join(u) == 4);
    CHECK(go_task_join(v) == 900);
  }
  CHECK(x == y && x == 4000000010.75);
}

// ---- plain function pointers

static int add_one(void *p) { return ++*(int *)p; }
static int count_bytes(void *p) { return (int)strlen((const char *)p); }

static void test_functions(void) {
  int n = 41;
  char text[] = "copied";
  go_scope s;
  memset(&s, 0, sizeof s);
  go_scope_begin(&s, NULL);
  go_task *t = go_scope_spawn(&s, add_one, &n);
  go_task *u = go_scope_spawn_copy(&s, count_bytes, text, sizeof text);
  go_task *v = (go_scope_spawn)(&s, add_one, &(int){1}); /* not the macro */
  go_task *w = (go_scope_spawn_copy)(&s, count_bytes, text, sizeof text);
  text[0] = '\0';
  CHECK(go_task_join(t) == 42 && go_task_join(u) == 6);
  CHECK(go_task_join(v) == 2 && go_task_join(w) == 6);
  int err = go_scope_end(&s);
  CHECK(err == 42 || err == 6 || err == 2);
  go_scope_begin(&s, NULL); /* again */
  CHECK(go_scope_end(&s) == 0);
}

// ---- ways out: each must have waited

static int finished;
GO_TASK(slow, (int, rounds)) {
  for (int i = 0; i < rounds; i++) go_yield();
  __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void start_three(go_scope *s) {
  for (int i = 1; i <= 3; i++) CHECK(GO_IN(s, slow, 20 * i) != NULL);
}
#define ALL_FINISHED() (__atomic_exchange_n(&finished, 0, __ATOMIC_SEQ_CST) == 3)

static int by_return(void) {
  GO_SCOPE (s, NULL) {
    start_three(&s);
    return 5;
  }
  return 6;
}

static void by_panic(void *arg) {
  (void)arg;
  GO_SCOPE (s, NULL) {
    start_three(&s);
    go_panic("out");
  }
}

static void test_ways_out(void) {
  GO_SCOPE (s, NULL) {
    start_three(&s);
  }
  CHECK(ALL_FINISHED());
  GO_SCOPE (s, NULL) {
    start_three(&s);
    break;
  }
  CHECK(ALL_FINISHED());
  int rounds = 0;
  for (int i = 0; i < 2; i++) {
    GO_SCOPE (s, NULL) {
      start_three(&s);
      continue; /* the block's own */
    }
    CHECK(ALL_FINISHED());
    rounds++;
  }
  CHECK(rounds == 2);
  CHECK(by_return() == 5);
  CHECK(ALL_FINISHED());
  GO_SCOPE (s, NULL) {
    start_three(&s);
    if (finished >= 0) goto out;
    CHECK(!"not here");
  }
out:
  CHECK(ALL_FINISHED());
  go_panic_info info;
  CHECK(go_try(by_panic, NULL, &info) == GO_EPANIC && strcmp(info.text, "out") == 0);
  CHECK(ALL_FINISHED());
}

// Scopes in scopes, in one function and with one name.
static void test_nested(void) {
  int in[3] = {1, 2, 3}, out[3] = {0, 0, 0};
  GO_SCOPE (s, NULL) {
    GO_SCOPE (inner, go_scope_ctx(&s)) {
      (void)GO_IN(&inner, square, in, 0, out);
      (void)GO_IN(&s, square, in, 1, out);
    }
    CHECK(out[0] == 1);
    CHECK(squares(go_scope_ctx(&s), in, 3, out) == 0);
  }
  CHECK(out[1] == 4 && out[2] == 9);
}

GO_MAIN(argc, argv) {
  test_macros();
  test_functions();
  test_ways_out();
  test_nested();
  return 0;
}
