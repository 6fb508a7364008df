// go_local: values of goroutines and threads, and what becomes of them.

#include <golib/golib.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Rounds;
using golib_test::RunGo;

namespace {

void *Ptr(intptr_t n) { return reinterpret_cast<void *>(n); }
intptr_t Int(void *p) { return reinterpret_cast<intptr_t>(p); }

go_local New(void (*destroy)(void *) = nullptr) {
  go_local k{};
  EXPECT_EQ(go_local_new(&k, destroy), 0);
  return k;
}

TEST(Local, EachHasItsOwn) {
  go_local k = New();
  RunGo([&] {
    EXPECT_EQ(go_local_get(k), nullptr);
    EXPECT_EQ(go_local_set(k, Ptr(1)), 0);
    go_wg wg{};
    for (int i = 2; i < 50; i++) {
      SPAWN_WG(&wg, [k, i] {
        EXPECT_EQ(go_local_get(k), nullptr);
        EXPECT_EQ(go_local_set(k, Ptr(i)), 0);
        for (int n = 0; n < 10; n++) {
          go_yield();
          EXPECT_EQ(go_local_get(k), Ptr(i));
          EXPECT_EQ(go_local_set(k, Ptr(i)), 0);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(go_local_get(k), Ptr(1));
  });
  EXPECT_EQ(go_local_delete(k), 0);
}

// It follows the goroutine from thread to thread, and a thread's stays with the thread.
TEST(Local, StaysWithTheGoroutine) {
  go_local k = New();
  EXPECT_EQ(go_local_set(k, Ptr(7)), 0);
  RunGo([&] {
    EXPECT_EQ(go_local_get(k), nullptr);
    EXPECT_EQ(go_local_set(k, Ptr(8)), 0);
    golib_test::Settle();
    EXPECT_EQ(go_local_get(k), Ptr(8));
  });
  EXPECT_EQ(go_local_get(k), Ptr(7));
  std::thread([&] {
    EXPECT_EQ(go_local_get(k), nullptr);
    EXPECT_EQ(go_local_set(k, Ptr(9)), 0);
    EXPECT_EQ(go_local_get(k), Ptr(9));
  }).join();
  EXPECT_EQ(go_local_get(k), Ptr(7));
  EXPECT_EQ(go_local_delete(k), 0);
}

// A G that is used again starts with nothing.
TEST(Local, NothingIsInherited) {
  go_local k = New();
  RunGo([&] {
    for (int i = 0; i < 1000; i++) {
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_local_get(k), nullptr);
        EXPECT_EQ(go_local_set(k, Ptr(1)), 0);
      });
      go_wg_wait(&wg);
    }
  });
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, AllKeys) {
  std::vector<go_local> keys;
  go_local k{};
  int rc;
  while ((rc = go_local_new(&k, nullptr)) == 0) keys.push_back(k);
  EXPECT_EQ(rc, GO_EAGAIN);
  EXPECT_EQ(keys.size(), static_cast<size_t>(GO_LOCAL_KEYS));
  RunGo([&] {
    for (size_t i = 0; i < keys.size(); i += 3)
      EXPECT_EQ(go_local_set(keys[i], Ptr(static_cast<intptr_t>(i) + 1)), 0);
    for (size_t i = 0; i < keys.size(); i++)
      EXPECT_EQ(go_local_get(keys[i]), i % 3 == 0 ? Ptr(static_cast<intptr_t>(i) + 1) : nullptr);
  });
  for (go_local key : keys) EXPECT_EQ(go_local_delete(key), 0);
  EXPECT_EQ(go_local_new(&k, nullptr), 0);
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, ADeletedKeyIsNone) {
  go_local a = New();
  RunGo([&] {
    EXPECT_EQ(go_local_set(a, Ptr(1)), 0);
    EXPECT_EQ(go_local_delete(a), 0);
    EXPECT_EQ(go_local_get(a), nullptr);
    EXPECT_EQ(go_local_set(a, Ptr(2)), GO_EINVAL);
    EXPECT_EQ(go_local_delete(a), GO_EINVAL);
    go_local b = New();  // may well take its place
    EXPECT_EQ(go_local_get(b), nullptr);
    EXPECT_EQ(go_local_get(a), nullptr);
    EXPECT_EQ(go_local_delete(a), GO_EINVAL);
    EXPECT_EQ(go_local_set(b, Ptr(3)), 0);
    EXPECT_EQ(go_local_get(a), nullptr);
    EXPECT_EQ(go_local_delete(b), 0);
  });
}

TEST(Local, NoKeyAtAll) {
  go_local none{}, odd{};
  odd.key_ = ~static_cast<uint64_t>(0);
  for (go_local k : {none, odd}) {
    EXPECT_EQ(go_local_get(k), nullptr);
    EXPECT_EQ(go_local_set(k, Ptr(1)), GO_EINVAL);
    EXPECT_EQ(go_local_set(k, nullptr), GO_EINVAL);
    EXPECT_EQ(go_local_delete(k), GO_EINVAL);
  }
}

// ---- Destructors.

std::atomic<int> destroyed;
std::atomic<intptr_t> last;
void Count(void *v) {
  destroyed++;
  last = Int(v);
}

TEST(Local, DestroyedHoweverItEnds) {
  go_local k = New(Count);
  go_set_panic_handler([](const go_panic_info *) {});
  struct Case {
    void (*end)();
    int code;
  };
  for (Case c :
       {Case{[] {}, 0}, Case{[] { go_exit(); }, 0}, Case{[] { go_panic("boo"); }, GO_EPANIC},
        Case{[] {
               go_lock_thread();
               go_yield();
             },
             0}}) {
    destroyed = 0;
    EXPECT_EQ(golib_test::TryRunGo([&] {
                EXPECT_EQ(go_local_set(k, Ptr(5)), 0);
                EXPECT_EQ(go_local_set(k, Ptr(6)), 0);
                c.end();
              }),
              c.code);
    EXPECT_EQ(destroyed, 1);  // before whoever waits is woken
    EXPECT_EQ(last, 6);
  }
  destroyed = 0;
  RunGo([&] {
    EXPECT_EQ(go_local_set(k, Ptr(5)), 0);
    EXPECT_EQ(go_local_set(k, nullptr), 0);
  });
  RunGo([] {});
  EXPECT_EQ(destroyed, 0);
  go_set_panic_handler(nullptr);
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, DestroyedBeforeTheWaitGroupKnows) {
  go_local k = New(Count);
  destroyed = 0;
  RunGo([&] {
    for (int i = 1; i <= 200; i++) {
      go_wg wg{};
      SPAWN_WG(&wg, [&] { EXPECT_EQ(go_local_set(k, Ptr(1)), 0); });
      go_wg_wait(&wg);
      EXPECT_EQ(destroyed, i);
    }
  });
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, DestroyedAtTheEndOfAThread) {
  go_local k = New(Count);
  destroyed = 0;
  for (int i = 1; i <= 10; i++) {
    std::thread([&] { EXPECT_EQ(go_local_set(k, Ptr(i)), 0); }).join();
    EXPECT_EQ(destroyed, i);
    EXPECT_EQ(last, i);
    std::thread([&] { EXPECT_EQ(go_local_get(k), nullptr); }).join();
  }
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, NotDestroyedOnceTheKeyIsGone) {
  go_local k = New(Count);
  destroyed = 0;
  RunGo([&] {
    EXPECT_EQ(go_local_set(k, Ptr(5)), 0);
    EXPECT_EQ(go_local_delete(k), 0);
    go_local other = New(Count);
    EXPECT_EQ(go_local_set(other, nullptr), 0);
    EXPECT_EQ(go_local_delete(other), 0);
  });
  EXPECT_EQ(destroyed, 0);
}

// Destructors use golib: they wait, spawn, and look at values.
go_local using_key;
Chan<int> *using_chan;
TEST(Local, DestructorsMayWait) {
  using_key = New([](void *v) {
    EXPECT_EQ(go_local_get(using_key), nullptr);
    uint64_t id = go_id();
    using_chan->Send(static_cast<int>(Int(v)));
    (void)go_sleep(nullptr, GO_US);
    go_wg wg{};
    SPAWN_WG(&wg, [] { go_yield(); });
    go_wg_wait(&wg);
    EXPECT_EQ(go_id(), id);
    destroyed++;
  });
  destroyed = 0;
  Chan<int> c;
  using_chan = &c;
  RunGo([&] {
    go_wg wg{};
    for (int i = 0; i < 20; i++)
      SPAWN_WG(&wg, [i] { EXPECT_EQ(go_local_set(using_key, Ptr(i + 1)), 0); });
    int sum = 0;
    for (int i = 0; i < 20; i++) sum += c.Take();
    EXPECT_EQ(sum, 210);
    go_wg_wait(&wg);
  });
  EXPECT_EQ(destroyed, 20);
  EXPECT_EQ(go_local_delete(using_key), 0);
}

// What a destructor sets is destroyed in the next round; in the end it is dropped.
go_local again_key, far_key;
TEST(Local, Rounds) {
  far_key = New([](void *) { destroyed += 100; });
  again_key = New([](void *) {
    destroyed++;
    EXPECT_EQ(go_local_set(again_key, Ptr(1)), 0);
  });
  destroyed = 0;
  RunGo([&] { EXPECT_EQ(go_local_set(again_key, Ptr(1)), 0); });
  EXPECT_EQ(destroyed, GO_LOCAL_ROUNDS);
  EXPECT_EQ(go_local_delete(again_key), 0);

  again_key = New([](void *) { EXPECT_EQ(go_local_set(far_key, Ptr(1)), 0); });
  destroyed = 0;
  RunGo([&] { EXPECT_EQ(go_local_set(again_key, Ptr(1)), 0); });
  EXPECT_EQ(destroyed, 100);
  std::thread([&] { EXPECT_EQ(go_local_set(again_key, Ptr(1)), 0); }).join();
  EXPECT_EQ(destroyed, 200);
  EXPECT_EQ(go_local_delete(again_key), 0);
  EXPECT_EQ(go_local_delete(far_key), 0);
}

// A destructor that panics or ends its goroutine does not keep the others from running.
TEST(Local, DestructorsThatPanicAndExit) {
  static std::atomic<int> told;
  told = 0;
  go_set_panic_handler([](const go_panic_info *) { told++; });
  std::vector<go_local> keys;
  for (int i = 0; i < 30; i++) {
    keys.push_back(i % 3 == 0   ? New([](void *) {
      destroyed++;
      go_panic("destructor");
    })
                   : i % 3 == 1 ? New([](void *) {
                       destroyed++;
                       go_exit();
                     })
                                : New(Count));
  }
  destroyed = 0;
  EXPECT_EQ(golib_test::TryRunGo([&] {
              for (go_local k : keys) EXPECT_EQ(go_local_set(k, Ptr(1)), 0);
            }),
            GO_EPANIC);
  EXPECT_EQ(destroyed, 30);
  EXPECT_EQ(told, 10);
  RunGo([&] {
    for (go_local k : keys) EXPECT_EQ(go_local_get(k), nullptr);
  });
  go_set_panic_handler(nullptr);
  for (go_local k : keys) EXPECT_EQ(go_local_delete(k), 0);
}

// Names and values share what a G keeps.
TEST(Local, BesideAName) {
  go_local k = New(Count);
  destroyed = 0;
  RunGo([&] {
    go_set_name("x");
    EXPECT_EQ(go_local_get(k), nullptr);
    EXPECT_EQ(go_local_set(k, Ptr(1)), 0);
    go_set_name("y");
    EXPECT_EQ(go_local_get(k), Ptr(1));
    go_set_name(nullptr);
    EXPECT_EQ(go_local_get(k), Ptr(1));
  });
  EXPECT_EQ(destroyed, 1);
  EXPECT_EQ(go_local_delete(k), 0);
}

TEST(Local, KeysSurviveShutdown) {
  go_local k = New(Count);
  destroyed = 0;
  for (int i = 0; i < 3; i++) {
    RunGo([&] { EXPECT_EQ(go_local_set(k, Ptr(1)), 0); });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
  EXPECT_EQ(destroyed, 3);
  EXPECT_EQ(go_local_delete(k), 0);
}

}  // namespace
