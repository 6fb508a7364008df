// What waits for ever on channels, and what is said of it: nil channels, and channels whose last
// reference went.

#include <golib/golib.h>

#include <atomic>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

std::atomic<int> g_before, g_after;

template <class F>
void Block(F f) {
  g_before++;
  f();
  g_after++;
}

// Go: test/chan/select3.go: nil channels block for ever both ways, in every form, and so does an
// empty select.
TEST(NilChannel, BlocksForEver) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          void (*forms[])(void *) = {
              [](void *) { Block([] { (void)go_chan_recv(nullptr, nullptr); }); },
              [](void *) {
                Block([] {
                  int v = 1;
                  go_chan_send(nullptr, &v);
                });
              },
              [](void *) { Block([] { (void)!go_chan_recv_ctx(nullptr, nullptr, nullptr); }); },
              [](void *) {
                Block([] {
                  int v = 1;
                  (void)!go_chan_send_ctx(nullptr, nullptr, &v);
                });
              },
              [](void *) { Block([] { (void)go_select(nullptr, nullptr, 0); }); },
              [](void *) {
                Block([] {
                  int v = 1;
                  go_case k[2] = {};
                  k[1].op = GO_SEND;
                  k[1].val = &v;
                  (void)go_select(nullptr, k, 2);
                });
              },
              [](void *) {
                Block([] {
                  go_case k[1] = {};
                  (void)go_select(nullptr, k, 1);
                });
              },
          };
          for (auto f : forms) CHILD_CHECK(go_spawn(f, nullptr) == 0);
          while (g_before < 7) go_yield();
          for (int i = 0; i < 100; i++) go_yield();
          (void)go_sleep(nullptr, 50 * GO_MS);
          CHILD_CHECK(g_after == 0);
          CHILD_CHECK(go_count() == 8);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

GO_FUNC(waits_on, (go_chan *, c)) {
  go_set_name("forgotten");
  g_before++;
  go_chan_recv(c, nullptr);
}
GO_FUNC(offers_on, (go_chan *, c)) {
  int v = 1;
  g_before++;
  go_chan_send(c, &v);
}
GO_FUNC(selects_on, (go_chan *, c)) {
  go_case k[1] = {};
  k[0].ch = c;
  g_before++;
  go_select(nullptr, k, 1);
}

// The last reference goes while goroutines wait: they are named, and the program goes on.
TEST(ChannelLeak, IsReportedAtTheLastUnref) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_chan *c = go_chan_new(sizeof(int), 0);
          CHILD_CHECK(GO(waits_on, c) == 0);
          while (g_before < 1) go_yield();
          for (int i = 0; i < 10; i++) go_yield();
          (void)go_sleep(nullptr, 20 * GO_MS);
          go_chan_unref(c);
          go_yield();
          (void)go_sleep(nullptr, 20 * GO_MS);
          CHILD_CHECK(go_count() == 2);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("leak")) << r;
  EXPECT_TRUE(r.Said("forgotten")) << r;
  EXPECT_TRUE(r.Said("waits_on@")) << r;
  EXPECT_TRUE(r.Said("chan receive")) << r;
}

TEST(ChannelLeak, NamesSendersAndSelects) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_chan *c = go_chan_new(sizeof(int), 0);
          for (int i = 0; i < 3; i++) CHILD_CHECK(GO(offers_on, c) == 0);
          go_chan *d = go_chan_new(sizeof(int), 0);
          for (int i = 0; i < 2; i++) CHILD_CHECK(GO(selects_on, d) == 0);
          while (g_before < 5) go_yield();
          for (int i = 0; i < 10; i++) go_yield();
          (void)go_sleep(nullptr, 20 * GO_MS);
          go_chan_unref(c);
          go_chan_unref(d);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("leak")) << r;
  EXPECT_EQ(r.Count("offers_on@"), 3) << r;
  EXPECT_EQ(r.Count("selects_on@"), 2) << r;
}

// Nobody waits: nothing is said.
TEST(ChannelLeak, SilentWithoutWaiters) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          for (int i = 0; i < 100; i++) {
            go_chan *c = go_chan_new(sizeof(int), 1);
            CHILD_CHECK(GO(waits_on, c) == 0);
            go_chan_send(c, &i);
            go_chan_send(c, &i);
            while (go_count() > 1) go_yield();
            go_chan_unref(c);
          }
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

// A select's cases with a negative count or none of the known directions are the caller's bug: no
// memory is touched beyond the array.
TEST(SelectMisuse, TooManyCases) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          static go_case k[70000];
          return go_select_try(k, 70000) == GO_EAGAIN ? 0 : 1;
        },
        0, nullptr);
  });
  // Documented as 0 to 65,535: refused loudly or done, never silence with garbage.
  EXPECT_TRUE(r.code == 0 || r.code == 2 || r.signal == SIGABRT) << r;
}

}  // namespace
