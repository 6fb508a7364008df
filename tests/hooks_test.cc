// go_set_hooks: who is told what, in which order, and what it costs the others.

#include <golib/golib.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Rounds;
using golib_test::RunGo;
using golib_test::Until;

namespace {

// What was told, of each goroutine in its order: s(pawn) i(n) o(ut) e(xit) L(slow).
struct Log {
  std::mutex mu;
  std::map<uint64_t, std::string> of;
  std::map<uint64_t, std::string> sites;
  std::atomic<int> wrong_id{0};

  void Add(uint64_t id, char what) {
    if (go_id() != id) wrong_id++;
    std::lock_guard<std::mutex> l(mu);
    of[id] += what;
  }
  static Log *Of(void *p) { return static_cast<Log *>(p); }
};

go_hooks HooksOf(Log *log) {
  go_hooks h{};
  h.arg = log;
  h.spawn = [](void *p, uint64_t id, const char *site) {
    Log::Of(p)->Add(id, 's');
    std::lock_guard<std::mutex> l(Log::Of(p)->mu);
    Log::Of(p)->sites[id] = site;
  };
  h.switch_in = [](void *p, uint64_t id) { Log::Of(p)->Add(id, 'i'); };
  h.switch_out = [](void *p, uint64_t id) { Log::Of(p)->Add(id, 'o'); };
  h.exit = [](void *p, uint64_t id) { Log::Of(p)->Add(id, 'e'); };
  return h;
}

// spawn, then pairs, then exit.
void ExpectWhole(const std::string &s) {
  ASSERT_GE(s.size(), 4u) << s;
  EXPECT_EQ(s.front(), 's') << s;
  EXPECT_EQ(s.back(), 'e') << s;
  EXPECT_EQ(s.size() % 2, 0u) << s;
  for (size_t i = 1; i + 1 < s.size(); i++) EXPECT_EQ(s[i], i % 2 == 1 ? 'i' : 'o') << s;
}

// go_shutdown joins all threads: nobody is in a hook afterwards.
void Stop() {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_set_hooks(nullptr);
}

class Hooks : public testing::Test {
 protected:
  void SetUp() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }  // nobody is left from before
};

TEST_F(Hooks, OneGoroutine) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  uint64_t id = 0;
  RunGo([&] { id = go_id(); });
  Stop();
  EXPECT_EQ(log.of.size(), 1u);
  EXPECT_EQ(log.of[id], "sioe");
  EXPECT_EQ(log.sites[id], "go_run@");
  EXPECT_EQ(log.wrong_id, 0);
}

TEST_F(Hooks, EverySwitchInPairs) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  constexpr int kGs = 50, kRounds = 20;
  RunGo([] {
    go_wg wg{};
    Chan<int> c, d;
    for (int g = 0; g < kGs; g++) {
      SPAWN_WG(&wg, [=] {
        for (int i = 0; i < kRounds; i++) {
          c.Send(i);
          (void)d.Take();
          go_yield();
        }
      });
    }
    for (int i = 0; i < kGs * kRounds; i++) {
      (void)c.Take();
      d.Send(i);
    }
    go_wg_wait(&wg);
  });
  Stop();
  EXPECT_EQ(log.of.size(), kGs + 1u);
  for (auto &g : log.of) ExpectWhole(g.second);
  EXPECT_EQ(log.wrong_id, 0);
}

// On one P nothing is in doubt: n yields beside another goroutine are n + 1 turns.
TEST_F(Hooks, YieldsAreSwitches) {
  golib_test::Procs one(1);
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  uint64_t ids[2] = {0, 0};
  RunGo([&] {
    go_wg wg{};
    for (uint64_t &id : ids) {
      SPAWN_WG(&wg, [&id] {
        id = go_id();
        for (int i = 0; i < 5; i++) go_yield();
      });
    }
    go_wg_wait(&wg);
  });
  Stop();
  for (uint64_t id : ids) EXPECT_EQ(log.of[id], "sioioioioioioe");
}

TEST_F(Hooks, HoweverItEnds) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_panic_handler([](const go_panic_info *) {});
  go_set_hooks(&h);
  EXPECT_EQ(golib_test::TryRunGo([] { go_exit(); }), 0);
  EXPECT_EQ(golib_test::TryRunGo([] { go_panic("boo"); }), GO_EPANIC);
  EXPECT_EQ(golib_test::TryRunGo([] {
              go_lock_thread();
              go_yield();
            }),
            0);
  Stop();
  go_set_panic_handler(nullptr);
  EXPECT_EQ(log.of.size(), 3u);
  for (auto &g : log.of) ExpectWhole(g.second);
}

TEST_F(Hooks, AllWaysToStart) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  std::atomic<int> ran{0};
  auto count = [](void *p) { (**static_cast<std::atomic<int> **>(p))++; };
  auto post = [](void *p) { (*static_cast<std::atomic<int> *>(p))++; };
  std::atomic<int> *ref = &ran;
  auto all = [&] {
    EXPECT_EQ(go_spawn(post, ref), 0);
    EXPECT_EQ(go_spawn_copy(count, &ref, sizeof ref), 0);
    char large[1000] = {0};
    memcpy(large, &ref, sizeof ref);
    EXPECT_EQ(go_spawn_copy(count, large, sizeof large), 0);
    go_spawn_opts o{};
    o.name = "named";
    o.stack_size = 1 << 16;
    o.pinned = true;
    EXPECT_EQ(go_spawn_opt(&o, post, ref, 0), 0);
    EXPECT_EQ(go_post(post, ref), 0);
  };
  all();
  RunGo([&] { all(); });
  while (ran < 10) sched_yield();
  Stop();
  EXPECT_EQ(log.of.size(), 11u);
  for (auto &g : log.of) ExpectWhole(g.second);
  int named = 0;
  for (auto &s : log.sites) named += s.second.find("hooks_test.cc:") != std::string::npos;
  EXPECT_EQ(named, 8);
}

TEST_F(Hooks, SomeOnly) {
  std::atomic<int> in{0};
  go_hooks h{};
  h.arg = &in;
  h.switch_in = [](void *p, uint64_t) { (*static_cast<std::atomic<int> *>(p))++; };
  go_set_hooks(&h);
  RunGo([] { go_yield(); });
  go_hooks none{};
  go_set_hooks(&none);
  RunGo([] { go_yield(); });
  Stop();
  EXPECT_EQ(in, 2);
}

// Set, replaced and removed in the middle: the pairs stay pairs, each with its own.
TEST_F(Hooks, ReplacedWhileRunning) {
  struct Pair {
    std::atomic<int64_t> in{0}, out{0}, spawned{0}, ended{0};
  };
  static Pair pairs[2];
  go_hooks h[2]{};
  for (int i = 0; i < 2; i++) {
    h[i].arg = &pairs[i];
    h[i].switch_in = [](void *p, uint64_t) { static_cast<Pair *>(p)->in++; };
    h[i].switch_out = [](void *p, uint64_t) { static_cast<Pair *>(p)->out++; };
  }
  RunGo([&] {
    go_wg wg{};
    std::atomic<bool> stop{false};
    for (int g = 0; g < 20; g++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) go_yield();
      });
    }
    for (int i = 0; i < Rounds(300); i++) {
      go_set_hooks(i % 3 == 2 ? nullptr : &h[i % 3]);
      for (int k = 0; k < 20; k++) go_yield();
    }
    go_set_hooks(&h[0]);
    int64_t before = pairs[0].in;
    Until([&] { return pairs[0].in > before + 100; });
    stop = true;
    go_wg_wait(&wg);
  });
  Stop();
  for (Pair &p : pairs) {
    EXPECT_GT(p.in, 0);
    EXPECT_EQ(p.in, p.out);
  }
}

// All that is spawned while hooks are set is told of at its end, on busy Ps as well.
TEST_F(Hooks, NoExitIsMissed) {
  static std::atomic<int64_t> spawned, ended;
  spawned = ended = 0;
  go_hooks h{};
  h.spawn = [](void *, uint64_t, const char *) { spawned++; };
  h.exit = [](void *, uint64_t) { ended++; };
  RunGo([&] {
    go_wg wg{};
    std::atomic<bool> stop{false};
    for (int g = 0; g < 20; g++) {  // keep all Ps in the middle of something
      SPAWN_WG(&wg, [&] {
        while (!stop) go_yield();
      });
    }
    for (int i = 0; i < 100; i++) go_yield();
    go_set_hooks(&h);
    for (int i = 0; i < 1000; i++) SPAWN_WG(&wg, [] { go_yield(); });
    stop = true;
    go_wg_wait(&wg);
  });
  Stop();
  EXPECT_EQ(spawned, 1000);
  EXPECT_GE(ended, 1000);
  EXPECT_LE(ended, 1021);  // those from before are told of or not
}

TEST_F(Hooks, SlowOnes) {
  struct Slow {
    std::atomic<int> n{0};
    std::atomic<int64_t> ran{0};
    std::atomic<uint64_t> id{0};
  };
  static Slow slow;
  go_hooks h{};
  h.arg = &slow;
  h.slow = [](void *p, uint64_t id, go_nsec ran) {
    Slow *s = static_cast<Slow *>(p);
    s->n++;
    s->id = id;
    s->ran = ran;
  };
  h.slow_after = GO_HOUR;
  go_set_hooks(&h);
  RunGo([] {});
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(slow.n, 0);
  h.slow_after = 3 * GO_MS;
  uint64_t id = 0;
  RunGo([&] {
    id = go_id();
    for (go_nsec end = go_now() + 5 * GO_MS; go_now() < end;) {}
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(slow.n, 1);
  EXPECT_EQ(slow.id, id);
  EXPECT_GE(slow.ran, 5 * GO_MS);
  h.slow_after = 0;  // 10 ms
  RunGo([&] {
    for (go_nsec end = go_now() + 12 * GO_MS; go_now() < end;) {}
  });
  Stop();
  EXPECT_EQ(slow.n, 2);
}

// What hooks may do: wake others, use the goroutine's values, ask the clock.
go_local key;
go_chan *told;
TEST_F(Hooks, MayUseWhatDoesNotSuspend) {
  ASSERT_EQ(go_local_new(&key, nullptr), 0);
  told = go_chan_new(sizeof(uint64_t), 1000);
  go_hooks h{};
  h.spawn = [](void *, uint64_t id, const char *) {
    EXPECT_EQ(go_local_set(key, reinterpret_cast<void *>(id)), 0);  // the new one's
  };
  h.switch_in = [](void *, uint64_t id) {
    EXPECT_EQ(go_local_get(key), reinterpret_cast<void *>(id));
    (void)go_now();
  };
  h.switch_out = [](void *, uint64_t id) { EXPECT_EQ(go_chan_try_send(told, &id), 0); };
  h.exit = [](void *, uint64_t) {
    EXPECT_EQ(go_local_get(key), nullptr);
    EXPECT_EQ(go_local_set(key, &key), GO_ENOTGO);
  };
  go_set_hooks(&h);
  uint64_t id = 0;
  RunGo([&] {
    id = go_id();
    EXPECT_EQ(go_local_get(key), reinterpret_cast<void *>(id));
    go_yield();
    EXPECT_EQ(go_local_get(key), reinterpret_cast<void *>(id));
  });
  std::thread([&] {  // a thread's own are another matter
    EXPECT_EQ(go_local_get(key), nullptr);
    EXPECT_EQ(go_local_set(key, &key), 0);
    RunGo([] { EXPECT_NE(go_local_get(key), &key); });
    EXPECT_EQ(go_local_get(key), &key);
  })
      .join();
  Stop();
  uint64_t first = 0;
  EXPECT_EQ(go_chan_try_recv(told, &first), 0);
  EXPECT_EQ(first, id);
  go_chan_unref(told);
  EXPECT_EQ(go_local_delete(key), 0);
}

// A goroutine that waits on a channel is woken by a hook.
TEST_F(Hooks, MayWake) {
  static Chan<int> c(0);
  go_hooks h{};
  h.exit = [](void *, uint64_t) {
    int v = 5;
    (void)!go_chan_try_send(c.get(), &v);
  };
  go_set_hooks(&h);
  RunGo([] {
    std::atomic<bool> got{false};
    SPAWN([&] {
      EXPECT_EQ(c.Take(), 5);
      got = true;
    });
    Until([&] {
      go_wg wg{};
      SPAWN_WG(&wg, [] {});
      go_wg_wait(&wg);
      return got.load();
    });
  });
  Stop();
}

TEST_F(Hooks, SurviveShutdown) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  for (int i = 0; i < 3; i++) {
    RunGo([] {});
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
  go_set_hooks(nullptr);
  RunGo([] {});
  Stop();
  int exits = 0;
  for (auto &g : log.of) {
    for (char c : g.second) exits += c == 'e';
  }
  EXPECT_EQ(exits, 3);
}

TEST_F(Hooks, WithALimitOfGoroutines) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_config c{};
  c.max_goroutines = 4;
  int reported = 0;
  for (int round = 0; round < 10; round++) {
    go_set_hooks(round % 2 == 0 ? &h : nullptr);
    ASSERT_EQ(go_init(&c), 0);
    RunGo([] {
      go_wg wg{};
      Chan<int> gate;
      for (int i = 0; i < 3; i++) SPAWN_WG(&wg, [=] { (void)gate.Take(); });
      int rc = go_wg_spawn_site_(
          "x", &wg, [](void *) {}, nullptr, 0);
      EXPECT_EQ(rc, GO_EAGAIN);
      gate.Close();
      go_wg_wait(&wg);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    for (auto &g : log.of) ExpectWhole(g.second);
    reported += static_cast<int>(log.of.size());
    log.of.clear();  // numbers begin anew
  }
  Stop();
  EXPECT_EQ(reported, 20);
}

TEST_F(Hooks, InAnEmbeddedScheduler) {
  Log log;
  go_hooks h = HooksOf(&log);
  go_set_hooks(&h);
  go_config c{};
  c.embedded = true;
  ASSERT_EQ(go_init(&c), 0);
  for (int g = 0; g < 3; g++) {
    SPAWN([] {
      for (int i = 0; i < 3; i++) go_yield();
    });
  }
  for (int left = 12; left > 0; left -= 5) EXPECT_EQ(go_step(5), left < 5 ? left : 5);
  EXPECT_EQ(go_step(5), 0);
  Stop();
  EXPECT_EQ(log.of.size(), 3u);
  for (auto &g : log.of) EXPECT_EQ(g.second, "sioioioioe");
}

}  // namespace
