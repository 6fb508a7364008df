// Contexts without memory, without goroutines to be had, before and after the scheduler, and misused.

#include <golib/context.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

const char kKey = 0;

// ---- GO_ENOMEM.

// What malloc still has, once it gets no more: taken, in ever smaller pieces, and given back by its destructor.
class TakeAll {
 public:
  TakeAll() {
    for (size_t size = 1 << 20; size >= 16; size /= 2) {
      while (void **p = static_cast<void **>(malloc(size))) {
        *p = list_;
        list_ = p;
      }
    }
  }
  ~TakeAll() {
    while (list_ != nullptr) {
      void **next = static_cast<void **>(*list_);
      free(list_);
      list_ = next;
    }
  }

 private:
  void **list_ = nullptr;
};

TEST(ContextLimits, WithoutMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need the address space";
  ChildResult r = RunChild([] {
    return TryRunGo([] {
      static int destroyed;
      auto destroy = [](void *) { destroyed++; };
      int v = 0;
      go_ctx *parent = go_ctx_with_value(nullptr, &kKey, &v, nullptr);
      go_ctx_unref(go_ctx_with_timeout(parent, GO_HOUR));  // the clock and its heap are there
      go_ctx *fresh = go_ctx_with_cancel(parent);
      go_ctx_stop stop{};
      stop.p_ = &v;  // not touched by what fails
      LimitAddressSpace(0);
      {
        TakeAll all;
        CHILD_CHECK(go_ctx_with_cancel(parent) == nullptr);
        CHILD_CHECK(go_ctx_with_cancel(nullptr) == nullptr);
        CHILD_CHECK(go_ctx_with_deadline(parent, go_now() + GO_HOUR) == nullptr);
        CHILD_CHECK(go_ctx_with_timeout(parent, GO_HOUR) == nullptr);
        CHILD_CHECK(go_ctx_with_timeout(parent, 0) == nullptr);
        CHILD_CHECK(go_ctx_with_timeout(parent, GO_FOREVER) == nullptr);
        CHILD_CHECK(go_ctx_with_value(parent, &kKey, &v, destroy) == nullptr);
        CHILD_CHECK(go_ctx_without_cancel(parent) == nullptr);
        CHILD_CHECK(go_ctx_after(
                        parent, [](void *) {}, nullptr, &stop) == GO_ENOMEM);
        CHILD_CHECK(go_ctx_after(
                        nullptr, [](void *) {}, nullptr, &stop) == GO_ENOMEM);
        CHILD_CHECK(go_ctx_done(fresh) == nullptr);
      }
      CHILD_CHECK(destroyed == 0);
      CHILD_CHECK(stop.p_ == &v);
      // Nothing is left behind, and with memory all is as ever.
      go_chan *done = go_ctx_done(fresh);
      CHILD_CHECK(done != nullptr);
      go_ctx *c = go_ctx_with_value(parent, &kKey, &v, destroy);
      CHILD_CHECK(c != nullptr);
      go_ctx_cancel(parent);
      CHILD_CHECK(go_ctx_err(c) == GO_ECANCELED && !go_chan_recv(done, nullptr));
      for (go_ctx *x : {parent, fresh, c}) go_ctx_unref(x);
      CHILD_CHECK(destroyed == 1);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Cancelling allocates nothing.
TEST(ContextLimits, CancelWithoutMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need the address space";
  ChildResult r = RunChild([] {
    return TryRunGo([] {
      std::vector<go_ctx *> all;
      go_ctx *root = go_ctx_with_cancel(nullptr), *c = root;
      for (int i = 0; i < 1000; i++) {
        c = i % 2 == 0 ? go_ctx_with_cancel(c) : go_ctx_with_timeout(root, GO_HOUR);
        CHILD_CHECK(c != nullptr && go_ctx_done(c) != nullptr);
        all.push_back(c);
      }
      go_wg wg{};
      go_wg_add(&wg, 1);
      static go_ctx *waits;
      waits = c;
      CHILD_CHECK(go_spawn(
                      [](void *w) {
                        CHILD_CHECK(go_sleep(waits, GO_FOREVER) == GO_ECANCELED);
                        go_wg_done(static_cast<go_wg *>(w));
                      },
                      &wg) == 0);
      go_yield();
      LimitAddressSpace(0);
      {
        TakeAll none;
        go_ctx_cancel(root);
      }
      go_wg_wait(&wg);
      for (go_ctx *x : all) {
        CHILD_CHECK(go_ctx_err(x) == GO_ECANCELED);
        go_ctx_unref(x);
      }
      go_ctx_unref(root);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// ---- Callbacks when no goroutine is to be had.

TEST(ContextLimits, CallbackWaitsForAGoroutine) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.max_goroutines = 4;
    CHILD_CHECK(go_init(&cfg) == 0);
    return TryRunGo([] {
      static std::atomic<int> called;
      auto fn = [](void *) { called++; };
      auto wait = [](void *c) { (void)go_chan_recv(static_cast<go_chan *>(c), nullptr); };
      go_chan *gate = go_chan_new(0, 0);
      for (int i = 0; i < 3; i++) CHILD_CHECK(go_spawn(wait, gate) == 0);
      go_ctx *c = go_ctx_with_cancel(nullptr), *timed = go_ctx_with_timeout(nullptr, 50 * GO_MS);
      int registered = 10;
      for (int i = 0; i < 10; i++) {
        CHILD_CHECK(go_ctx_after(c, fn, nullptr, nullptr) == 0);
        int rc = go_ctx_after(timed, fn, nullptr, nullptr);
        CHILD_CHECK(rc == 0 || (rc == GO_EAGAIN && go_ctx_err(timed) != 0));  // we were slow
        registered += rc == 0 ? 1 : 0;
      }
      go_ctx_stop stop{};
      go_ctx_cancel(c);
      CHILD_CHECK(!go_chan_recv(go_ctx_done(timed), nullptr));
      CHILD_CHECK(go_ctx_after(c, fn, nullptr, &stop) == GO_EAGAIN);
      CHILD_CHECK(stop.p_ == nullptr);
      CHILD_CHECK(go_sleep(nullptr, 5 * GO_MS) == 0);  // it is tried again meanwhile
      CHILD_CHECK(called == 0);
      go_chan_close(gate);
      Until([&] { return called == registered; });
      go_ctx_unref(c);
      go_ctx_unref(timed);
      go_chan_unref(gate);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// So does the freeing of values whose last reference goes on g0.
TEST(ContextLimits, DestroyWaitsForAGoroutine) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.max_goroutines = 2;
    CHILD_CHECK(go_init(&cfg) == 0);
    return TryRunGo([] {
      static std::atomic<int> destroyed, called;
      go_chan *gate = go_chan_new(0, 0);
      auto wait = [](void *c) { (void)go_chan_recv(static_cast<go_chan *>(c), nullptr); };
      CHILD_CHECK(go_spawn(wait, gate) == 0);
      int v = 0;
      go_ctx *value = go_ctx_with_value(nullptr, &kKey, &v, [](void *) { destroyed++; });
      go_ctx *timed = go_ctx_with_timeout(value, 50 * GO_MS);
      go_ctx *watch = go_ctx_with_cancel(timed);
      go_chan *done = go_chan_ref(go_ctx_done(watch));
      int after = go_ctx_after(
          timed, [](void *) { called++; }, nullptr, nullptr);
      if (after != 0) _exit(0);  // we were so slow that nothing can be seen
      go_ctx_unref(value);
      go_ctx_unref(timed);
      CHILD_CHECK(!go_chan_recv(done, nullptr));
      go_ctx_unref(watch);
      CHILD_CHECK(go_sleep(nullptr, 3 * GO_MS) == 0);
      CHILD_CHECK(called == 0 && destroyed == 0);
      go_chan_close(gate);
      Until([] { return called == 1 && destroyed == 1; });
      go_chan_unref(gate);
      go_chan_unref(done);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// ---- Before, without and after the scheduler.

TEST(ContextLife, NeedsNoScheduler) {
  ChildResult r = RunChild([] {
    go_ctx *c = go_ctx_with_cancel(nullptr);
    go_ctx *value = go_ctx_with_value(c, &kKey, c, nullptr);
    go_ctx *detached = go_ctx_without_cancel(value), *past = go_ctx_with_timeout(value, 0);
    go_ctx *forever = go_ctx_with_timeout(value, GO_FOREVER);
    CHILD_CHECK(go_ctx_err(past) == GO_ETIMEDOUT && go_ctx_value(detached, &kKey) == c);
    go_chan *done = go_ctx_done(forever);
    go_ctx_stop stop;
    CHILD_CHECK(go_ctx_after(
                    c, [](void *) {}, nullptr, &stop) == 0);
    CHILD_CHECK(go_ctx_after_stop(&stop));
    std::thread([c] { go_ctx_cancel(c); }).join();
    CHILD_CHECK(go_ctx_err(forever) == GO_ECANCELED);
    CHILD_CHECK(go_chan_try_recv(done, nullptr) == GO_ECLOSED);
    for (go_ctx *x : {c, value, detached, past, forever}) go_ctx_unref(x);
    return go_init(nullptr) == 0 ? 0 : 1;  // nothing above has started it
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A deadline starts it; made on a plain thread, waited for on another.
TEST(ContextLife, DeadlineStartsTheScheduler) {
  ChildResult r = RunChild([] {
    go_ctx *c = go_ctx_with_timeout(nullptr, 5 * GO_MS);
    CHILD_CHECK(go_init(nullptr) == GO_EBUSY);
    int rc = 0;
    std::thread([&] { rc = go_sleep(c, GO_FOREVER); }).join();
    CHILD_CHECK(rc == GO_ETIMEDOUT);
    go_ctx_unref(c);
    return go_shutdown(0) == 0 ? 0 : 1;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// So does a callback's goroutine.
TEST(ContextLife, CallbackStartsTheScheduler) {
  ChildResult r = RunChild([] {
    static std::atomic<int> called;
    go_ctx *c = go_ctx_with_cancel(nullptr);
    CHILD_CHECK(go_ctx_after(
                    c, [](void *) { called++; }, nullptr, nullptr) == 0);
    go_ctx_cancel(c);
    go_ctx_unref(c);
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    return called == 1 ? 0 : 1;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// go_shutdown ends deadlines that are to come, and what hangs on them still happens.
TEST(ContextLife, ShutdownEndsDeadlines) {
  ChildResult r = RunChild([] {
    static std::atomic<int> called, destroyed;
    for (int round = 1; round <= 3; round++) {
      std::vector<go_ctx *> timed, below;
      static const char key = 0;
      CHILD_CHECK(TryRunGo([&] {
                    Procs procs(4);
                    for (int i = 0; i < 100; i++) {
                      timed.push_back(go_ctx_with_timeout(nullptr, GO_HOUR + i * GO_MS));
                      below.push_back(go_ctx_with_value(timed.back(), &key, nullptr,
                                                        [](void *) { destroyed++; }));
                      if (i % 8 == 0) go_yield();
                      auto fn = [](void *x) {
                        CHILD_CHECK(x == nullptr ||
                                    go_ctx_err(static_cast<go_ctx *>(x)) == GO_ECANCELED);
                        go_ctx *more = go_ctx_with_timeout(nullptr, GO_HOUR);  // told as well
                        CHILD_CHECK(go_ctx_after(
                                        more, [](void *) { called++; }, nullptr, nullptr) == 0);
                        go_ctx_unref(more);
                      };
                      CHILD_CHECK(go_ctx_after(below.back(), fn, below.back(), nullptr) == 0);
                    }
                  }) == 0);
      called = destroyed = 0;
      CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
      CHILD_CHECK(called == 100);
      for (go_ctx *c : timed)
        CHILD_CHECK(go_ctx_err(c) == GO_ECANCELED && go_ctx_cause(c) == GO_ECANCELED);
      for (go_ctx *c : below) CHILD_CHECK(go_ctx_err(c) == GO_ECANCELED);
      for (go_ctx *c : timed) go_ctx_unref(c);
      for (go_ctx *c : below) go_ctx_unref(c);
      CHILD_CHECK(destroyed == 100);
    }
    // One that is alive still is left alone when there was not enough time.
    go_ctx *c = go_ctx_with_timeout(nullptr, GO_HOUR);
    go_chan *gate = go_chan_new(0, 0);
    CHILD_CHECK(go_post([](void *g) { (void)go_chan_recv(static_cast<go_chan *>(g), nullptr); },
                        gate) == 0);
    CHILD_CHECK(go_shutdown(GO_MS) == GO_ETIMEDOUT);
    CHILD_CHECK(go_ctx_err(c) == 0);
    go_chan_close(gate);
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    CHILD_CHECK(go_ctx_err(c) == GO_ECANCELED);
    go_ctx_unref(c);
    go_chan_unref(gate);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// ---- Deadlocks: a deadline to come is something that can happen; a context that nobody can cancel is not.

TEST(ContextLife, WaitingForADeadlineIsNoDeadlock) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_ctx *c = go_ctx_with_timeout(nullptr, 20 * GO_MS);
          int rc = go_chan_recv_ctx(c, nullptr, nullptr);
          go_ctx_unref(c);
          return rc == GO_ETIMEDOUT ? 0 : 1;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(ContextLife, WaitingForNobodyIsADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          static go_ctx *volatile c;  // for ASan: no leak
          c = go_ctx_with_cancel(nullptr);
          (void)go_chan_recv(go_ctx_done(c), nullptr);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep")) << r;
}

// ---- Misuse.

TEST(ContextMisuse, LastReferenceGoesWhileSomebodyWaits) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.procs = 1;  // whoever has run is parked when we run again
    CHILD_CHECK(go_init(&cfg) == 0);
    return TryRunGo([] {
      static go_ctx *c;
      c = go_ctx_with_cancel(nullptr);
      static bool there;
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        there = true;
                        (void)go_sleep(c, GO_FOREVER);
                      },
                      nullptr) == 0);
      while (!there) go_yield();
      go_ctx_unref(c);
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_ctx_unref: the last reference goes while somebody waits")) << r;
}

TEST(ContextMisuse, DoneIsClosedBySomebodyElse) {
  ChildResult r = RunChild([] {
    go_ctx *c = go_ctx_with_cancel(nullptr);
    go_chan_close(go_ctx_done(c));
    go_ctx_cancel(c);
    return 0;
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("the channel of go_ctx_done was closed by somebody else")) << r;
}

TEST(ContextMisuse, AfterWithoutFunction) {
  ChildResult r = RunChild([] {
    return go_ctx_after(nullptr, static_cast<void (*)(void *)>(nullptr), nullptr, nullptr);
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_ctx_after of a NULL function")) << r;
}

}  // namespace
