// What C programs write: the macros, in C. (The rest of the tests is C++ and sees the C++ half of
// GO_SELECT.)

#include <golib/golib.h>
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

GO_CHAN_TYPE(intchan, int);
typedef struct point {
  double x, y;
} point;
GO_CHAN_TYPE(pointchan, point);

static char trace[64];
static void note(void *p) { strncat(trace, (const char *)p, sizeof trace - strlen(trace) - 1); }

// ---- GO_FUNC, GO, GO_WG.

static go_wg group;
GO_FUNC(nothing) {}
GO_FUNC(square, (int, v), (intchan, out)) { intchan_send(out, v * v); }
GO_FUNC(everything, (char, a), (short, b), (int, c), (long long, d), (float, e), (double, f),
        (const char *, g), (pointchan, out)) {
  point p = {a + b + c, (double)d + (double)e + f + (double)strlen(g)};
  pointchan_send(out, p);
}

static void test_spawn(void) {
  intchan out = intchan_new(0);
  int v = 0;
  CHECK(GO(square, 12, out) == 0);
  CHECK(intchan_recv(out, &v) && v == 144);
  intchan buffered = intchan_new(1);
  square(3, buffered); /* an ordinary function, too */
  CHECK(intchan_recv(buffered, &v) && v == 9);
  intchan_unref(buffered);
  pointchan points = pointchan_new(0);
  point p;
  CHECK(GO(everything, 1, 2, 3, 4000000000LL, 0.5f, 0.25, "four", points) == 0);
  CHECK(pointchan_recv(points, &p));
  CHECK(p.x == 6 && p.y == 4000000004.75);
  for (int i = 0; i < 10; i++) CHECK(GO_WG(&group, nothing) == 0);
  go_wg_wait(&group);
  intchan_unref(out);
  pointchan_unref(points);
}

// ---- GO_SELECT.

static int evaluated;
static intchan look_at(intchan c) {
  evaluated++;
  return c;
}

// Go: test/chan/select5.go: every operand is evaluated once, though the macro names it twice. (C
// leaves the order open.)
static void test_select(void) {
  intchan a = intchan_new(1), b = intchan_new(1);
  int v = 0, w = 7;
  intchan_send(a, 5);
  int went = GO_SELECT(NULL, intchan_recv_case(look_at(NULL), &v),
                       intchan_recv_case(look_at(a), &v), intchan_send_case(look_at(NULL), &w));
  CHECK(went == 1 && v == 5 && evaluated == 3);
  went = GO_SELECT_TRY(intchan_recv_case(look_at(a), &v), intchan_recv_case(look_at(b), &v));
  CHECK(went == GO_EAGAIN && evaluated == 5);
  switch (GO_SELECT(NULL, intchan_recv_case(a, &v), intchan_send_case(b, &w))) {
    case 0: CHECK(!"a is empty"); break;
    case 1: break;
    default: CHECK(!"no such case");
  }
  CHECK(intchan_recv(b, &v) && v == 7);
  intchan_close(a);
  go_case k[] = {intchan_recv_case(a, &v), intchan_recv_case(b, &v)};
  k[0].ok = true;
  CHECK(go_select(NULL, k, 2) == 0 && !k[0].ok && v == 0);
  intchan_unref(a);
  intchan_unref(b);
}

// ---- GO_DEFER.

static int returns(int early) {
  GO_DEFER(note, "1");
  if (early) {
    GO_DEFER(note, "2");
    return 1;
  }
  for (int i = 0; i < 2; i++) {
    GO_DEFER(note, "l");
    if (i == 1) break;
  }
  return 0;
}
static void panics(void *arg) {
  GO_DEFER(note, "p");
  go_panic("number %d", *(int *)arg);
}

static void test_defer(void) {
  (void)returns(1);
  CHECK(strcmp(trace, "21") == 0);
  trace[0] = '\0';
  (void)returns(0);
  CHECK(strcmp(trace, "ll1") == 0);
  trace[0] = '\0';
  go_panic_info info;
  int n = 42;
  CHECK(go_try(panics, &n, &info) == GO_EPANIC);
  CHECK(strcmp(trace, "p") == 0 && strcmp(info.text, "number 42") == 0);
}

GO_MAIN(argc, argv) {
  CHECK(argc >= 1 && argv[0] != NULL);
  CHECK(go_id() == 1);
  test_spawn();
  test_select();
  test_defer();
  return 0;
}
