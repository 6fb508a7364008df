// go_offload, with contexts that end while a call is queued, runs, or is over.
#include <golib/golib.h>
#include <unistd.h>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

void Busy(uint32_t n) {
  for (volatile uint32_t i = n; i > 0; i = i - 1) {}
}

struct Job {
  uint32_t how = 0;
  uint64_t magic = 0;
  bool ran = false;
};

void There(void *p) {
  Job *j = static_cast<Job *>(p);
  if (j->how % 8 == 0) usleep(j->how % 100);
  Busy(j->how % 300);
  j->ran = true;
  j->magic = ~j->magic;
  if (j->how % 13 == 0) go_panic("%u", j->how);
}

// One call with a context that ends some time.
void Once(Rng &rng) {
  Job j;
  j.how = rng.Below(1000);
  const uint64_t magic = j.magic = rng.Next();
  go_ctx *ctx = rng.Below(3) != 0 ? go_ctx_with_cancel(nullptr) : nullptr;
  go_wg wg{};
  if (ctx != nullptr && rng.Below(4) != 0) {
    uint32_t late = rng.Below(2000), sleep = rng.Below(3);
    SPAWN_WG(&wg, [=] {
      Busy(late);
      if (sleep == 0) (void)go_sleep(nullptr, late * 50);
      go_ctx_cancel(ctx);
    });
  }
  struct Call {
    go_ctx *ctx;
    Job *j;
    int rc;
  } call{ctx, &j, 1};
  bool panicked = go_try(
                      [](void *p) {
                        Call *c = static_cast<Call *>(p);
                        c->rc = go_offload(c->ctx, There, c->j);
                      },
                      &call, nullptr) != 0;
  EXPECT_EQ(panicked, j.ran && j.how % 13 == 0);
  EXPECT_EQ(j.magic, j.ran ? ~magic : magic);
  EXPECT_EQ(call.rc, panicked ? 1 : j.ran ? 0 : GO_ECANCELED);
  go_wg_wait(&wg);
  go_ctx_unref(ctx);
}

TEST(OffloadStress, Contexts) {
  for (int threads : {1, 4, 0}) {
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    go_config cfg{};
    cfg.offload_threads = threads;
    EXPECT_EQ(go_init(&cfg), 0);
    const go_nsec end = go_now() + (StressEnd() - go_now()) / 3;
    RunGo([&] {
      go_wg wg{};
      for (int i = 0; i < 16; i++) {
        SPAWN_WG(&wg, [&, i] {
          Rng rng(static_cast<uint64_t>(i) + 7);
          while (go_now() < end) Once(rng);
        });
      }
      go_wg_wait(&wg);
    });
  }
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

// The pool is stopped and made again.
TEST(OffloadStress, Shutdown) {
  const go_nsec end = StressEnd();
  Rng rng(1);
  while (go_now() < end) {
    uint32_t n = rng.Below(20);
    RunGo([&] {
      go_wg wg{};
      for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = rng.Next();
        SPAWN_WG(&wg, [seed] {
          Rng own(seed);
          Once(own);
        });
      }
      go_wg_wait(&wg);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    EXPECT_EQ(go_count(), 0);
  }
}

}  // namespace
