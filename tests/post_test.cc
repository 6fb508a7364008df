// go_post: goroutines that foreign threads start.

#include <golib/golib.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Rounds;
using golib_test::RunGo;

namespace {

void Increment(void *p) { (*static_cast<std::atomic<int> *>(p))++; }

// It is the first use of golib, and does not wait.
TEST(Post, StartsTheScheduler) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  static std::atomic<bool> gate;
  static std::atomic<int> ran;
  gate = false;
  ran = 0;
  EXPECT_EQ(go_post(
                [](void *) {
                  golib_test::Until([] { return gate.load(); });
                  ran++;
                },
                nullptr),
            0);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(go_count(), 1);
  gate = true;
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(ran, 1);
}

TEST(Post, FromManyThreads) {
  constexpr int kThreads = 8;
  const int each = Rounds(2000);
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; i++) {
        EXPECT_EQ(go_post(Increment, &ran), 0);
        if (i % 100 == 0) sched_yield();
      }
    });
  }
  for (auto &t : threads) t.join();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(ran, kThreads * each);
}

// What the thread did before is visible to the goroutine, and the other way by a channel.
TEST(Post, Publishes) {
  struct Job {
    int in = 0, out = 0;
    Chan<golib_test::Unit> done{1};
  };
  for (int i = 0; i < Rounds(500); i++) {
    Job job;
    job.in = i;
    EXPECT_EQ(go_post(
                  [](void *p) {
                    Job *j = static_cast<Job *>(p);
                    j->out = j->in + 1;
                    Chan<golib_test::Unit> done = j->done;
                    done.Send({});
                  },
                  &job),
              0);
    (void)job.done.Take();
    EXPECT_EQ(job.out, i + 1);
  }
}

// On a goroutine it is go_spawn.
TEST(Post, FromAGoroutine) {
  std::atomic<int> ran{0};
  RunGo([&] {
    for (int i = 0; i < 100; i++) EXPECT_EQ(go_post(Increment, &ran), 0);
    golib_test::Until([&] { return ran == 100; });
  });
}

TEST(Post, LimitOfGoroutines) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config c{};
  c.max_goroutines = 2;
  ASSERT_EQ(go_init(&c), 0);
  go_chan *gate = go_chan_new(0, 0);
  auto wait = [](void *p) { (void)go_chan_recv(static_cast<go_chan *>(p), nullptr); };
  EXPECT_EQ(go_post(wait, gate), 0);
  EXPECT_EQ(go_post(wait, gate), 0);
  EXPECT_EQ(go_post(wait, gate), GO_EAGAIN);
  go_chan_close(gate);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_chan_unref(gate);
}

}  // namespace
