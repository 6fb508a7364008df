// Who may use a socket, and who closes it: net/fdmu.h by itself. Go: internal/poll/fd_mutex_test.go.

#include <gtest/gtest.h>

// What is C, but not quite C++17.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#pragma GCC diagnostic ignored "-Wc99-extensions"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
extern "C" {
#include "core/netpoll.h"
#include "net/fdmu.h"
}
#pragma GCC diagnostic pop

#include <vector>

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

int Lock(go_fdmu_ *f, int dir, go_ctx *ctx = nullptr) {
  return go_fdmu_lock_(ctx, f, dir, dir == GO_PD_READ_ ? GO_WAIT_READ_ : GO_WAIT_WRITE_);
}

// As net/sock.c does it. Returns whether the caller was not the last.
bool Close(go_fdmu_ *f, std::atomic<int> *destroyed) {
  if (!go_fdmu_close_(f)) return false;
  if (go_fdmu_unref_(f)) {
    ++*destroyed;
  } else {
    go_fdmu_wait_done_(f, GO_WAIT_CLOSE_);
  }
  return true;
}
void Leave(go_fdmu_ *f, bool last, std::atomic<int> *destroyed) {
  if (last) {
    ++*destroyed;
    go_fdmu_done_(f);
  }
}

// Go: TestMutexLock.
TEST(Fdmu, LocksAndReferences) {
  RunGo([] {
    go_fdmu_ f{};
    EXPECT_TRUE(go_fdmu_ref_(&f));
    EXPECT_FALSE(go_fdmu_unref_(&f));
    for (int dir : {GO_PD_READ_, GO_PD_WRITE_}) {
      EXPECT_EQ(Lock(&f, dir), 0);
      EXPECT_FALSE(go_fdmu_unlock_(&f, dir));
    }
    EXPECT_EQ(Lock(&f, GO_PD_READ_), 0);  // beside each other
    EXPECT_EQ(Lock(&f, GO_PD_WRITE_), 0);
    EXPECT_TRUE(go_fdmu_ref_(&f));
    EXPECT_FALSE(go_fdmu_unref_(&f));
    EXPECT_FALSE(go_fdmu_unlock_(&f, GO_PD_WRITE_));
    EXPECT_FALSE(go_fdmu_unlock_(&f, GO_PD_READ_));
    EXPECT_EQ(go_ld_rlx(&f.word), 0u);
  });
}

// Go: TestMutexClose.
TEST(Fdmu, NothingAfterClose) {
  RunGo([] {
    go_fdmu_ f{};
    EXPECT_TRUE(go_fdmu_close_(&f));
    EXPECT_FALSE(go_fdmu_ref_(&f));
    EXPECT_EQ(Lock(&f, GO_PD_READ_), GO_ECLOSED);
    EXPECT_EQ(Lock(&f, GO_PD_WRITE_), GO_ECLOSED);
    EXPECT_FALSE(go_fdmu_close_(&f));
    EXPECT_TRUE(go_fdmu_unref_(&f)) << "the closer was alone";
  });
}

// Go: TestMutexCloseUnblock.
TEST(Fdmu, CloseWakesThoseWhoWait) {
  RunGo([] {
    for (int dir : {GO_PD_READ_, GO_PD_WRITE_}) {
      go_fdmu_ f{};
      std::atomic<int> destroyed{0}, refused{0};
      go_wg wg{};
      EXPECT_EQ(Lock(&f, dir), 0);
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&] {
          EXPECT_EQ(Lock(&f, dir), GO_ECLOSED);
          refused++;
        });
      }
      Settle();
      EXPECT_EQ(refused, 0);
      SPAWN_WG(&wg, [&] { EXPECT_TRUE(Close(&f, &destroyed)); });
      Until([&] { return refused == 4; });
      EXPECT_EQ(destroyed, 0) << "somebody is inside";
      Leave(&f, go_fdmu_unlock_(&f, dir), &destroyed);
      go_wg_wait(&wg);
      EXPECT_EQ(destroyed, 1);
    }
  });
}

// The last to leave destroys, whoever he is.
TEST(Fdmu, TheLastDestroys) {
  RunGo([] {
    go_fdmu_ f{};
    std::atomic<int> destroyed{0};
    EXPECT_TRUE(go_fdmu_ref_(&f));
    EXPECT_EQ(Lock(&f, GO_PD_READ_), 0);
    go_wg wg{};
    std::atomic<bool> closed{false};
    SPAWN_WG(&wg, [&] {
      EXPECT_TRUE(Close(&f, &destroyed));
      closed = true;
    });
    Until([&] { return (go_ld_rlx(&f.word) & GO_FDMU_CLOSED_) != 0; });
    Leave(&f, go_fdmu_unlock_(&f, GO_PD_READ_), &destroyed);
    Settle();
    EXPECT_FALSE(closed);
    Leave(&f, go_fdmu_unref_(&f), &destroyed);
    go_wg_wait(&wg);
    EXPECT_EQ(destroyed, 1);
  });
}

// First come, first served; whoever gives up is passed over.
TEST(Fdmu, TurnsInOrder) {
  RunGo([] {
    go_fdmu_ f{};
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::vector<int> order;
    go_wg wg{};
    EXPECT_EQ(Lock(&f, GO_PD_WRITE_), 0);
    for (int i = 0; i < 6; i++) {
      std::atomic<bool> begun{false};
      SPAWN_WG(&wg, [&, i] {
        begun = true;
        if (i % 2 == 0) {
          EXPECT_EQ(Lock(&f, GO_PD_WRITE_, ctx), GO_ECANCELED);
          return;
        }
        EXPECT_EQ(Lock(&f, GO_PD_WRITE_), 0);
        order.push_back(i);
        EXPECT_FALSE(go_fdmu_unlock_(&f, GO_PD_WRITE_));
      });
      Until([&] { return begun.load(); });
      Settle();
    }
    go_ctx_cancel(ctx);
    Settle();
    EXPECT_FALSE(go_fdmu_unlock_(&f, GO_PD_WRITE_));
    go_wg_wait(&wg);
    EXPECT_EQ(order, (std::vector<int>{1, 3, 5}));
    EXPECT_EQ(go_ld_rlx(&f.word), 0u);
    EXPECT_EQ(Lock(&f, GO_PD_WRITE_, ctx), 0) << "a turn that is free is taken without looking";
    EXPECT_FALSE(go_fdmu_unlock_(&f, GO_PD_WRITE_));
    go_ctx_unref(ctx);
  });
}

// Go: TestMutexOverflowPanic.
TEST(Fdmu, TooManyInside) {
  RunGo([] {
    go_fdmu_ f{};
    go_st_rlx(&f.word, UINT32_MAX / GO_FDMU_REF_ * GO_FDMU_REF_);
    Caught c = Catch([&] { (void)go_fdmu_ref_(&f); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "too many concurrent operations on a socket");
    EXPECT_TRUE(Panics([&] { (void)Lock(&f, GO_PD_READ_); }));
  });
}

// Go: TestMutexStress: locks, references and contexts from all sides; at the end one who closes, and one who destroys.
TEST(Fdmu, Stress) {
  const go_nsec end = StressEnd();
  do {
    go_fdmu_ f{};
    uint64_t count[2] = {0, 0};  // under its lock
    std::atomic<uint64_t> counted[2] = {{0}, {0}};
    std::atomic<int> destroyed{0}, closers{0};
    Crowd(8, 4, [&](int me) {
      Rng rng(static_cast<uint64_t>(me) + 5);
      for (int i = 0; i < Rounds(3000); i++) {
        int dir = static_cast<int>(rng.Below(2));
        switch (rng.Below(4)) {
          case 0:
            if (!go_fdmu_ref_(&f)) return;
            Leave(&f, go_fdmu_unref_(&f), &destroyed);
            break;
          default: {
            int r = 0;
            if (rng.Below(4) == 0) {
              (void)WithDoomedCtx(rng, [&](go_ctx *ctx) {
                r = Lock(&f, dir, ctx);
                return r == GO_ECLOSED ? 0 : r;
              });
            } else {
              r = Lock(&f, dir);
            }
            if (r == GO_ECLOSED) return;
            if (r != 0) break;
            EXPECT_EQ(destroyed, 0);
            count[dir]++;
            counted[dir]++;
            Leave(&f, go_fdmu_unlock_(&f, dir), &destroyed);
          }
        }
      }
      closers += Close(&f, &destroyed);
    });
    EXPECT_EQ(closers, 1);
    EXPECT_EQ(destroyed, 1);
    for (int dir = 0; dir < 2; dir++) EXPECT_EQ(count[dir], counted[dir].load());
  } while (go_now() < end);
}

}  // namespace
