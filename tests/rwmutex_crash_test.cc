// Misuse of reader-writer mutexes. Go: TestMutexMisuse (sync/mutex_test.go): it ends the process, also
// within go_try, and says which call it was.

#include <golib/golib.h>

#include <csignal>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

enum { kLock = 1, kRLock, kUnlock, kRUnlock, kReadALot };

void Do(go_rwmutex *rw, int step) {
  switch (step) {
    case kLock: go_rwmutex_lock(rw); break;
    case kRLock: go_rwmutex_rlock(rw); break;
    case kUnlock: go_rwmutex_unlock(rw); break;
    case kRUnlock: go_rwmutex_runlock(rw); break;
    default:
      for (int i = 0; i < 5000; i++) {
        go_rwmutex_rlock(rw);
        go_rwmutex_runlock(rw);
      }
  }
}

struct Misuse {
  const char *says;
  int steps[4];
};
const Misuse kMisuses[] = {
    {"go_rwmutex_unlock", {kUnlock}},
    {"go_rwmutex_unlock", {kRLock, kUnlock}},
    {"go_rwmutex_unlock", {kLock, kUnlock, kUnlock}},
    {"go_rwmutex_unlock", {kReadALot, kUnlock}},
    {"go_rwmutex_unlock", {kReadALot, kRLock, kUnlock}},
    {"go_rwmutex_runlock", {kRUnlock}},
    {"go_rwmutex_runlock", {kLock, kRUnlock}},
    {"go_rwmutex_runlock", {kRLock, kRUnlock, kRUnlock}},
    {"go_rwmutex_runlock", {kReadALot, kRUnlock}},
    {"go_rwmutex_runlock", {kReadALot, kRLock, kRUnlock, kRUnlock}},
    {"go_rwmutex_runlock", {kReadALot, kLock, kRUnlock}},
};

class RWMutexMisuse : public testing::TestWithParam<Misuse> {};
INSTANTIATE_TEST_SUITE_P(Steps, RWMutexMisuse, testing::ValuesIn(kMisuses));

void ExpectDeath(const ChildResult &r, const Misuse &m) {
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said(std::string(m.says) + " of an rwmutex that is not locked")) << r;
}

const Misuse *now;
void Steps(void *) {
  go_rwmutex rw{};
  for (int step : now->steps) {
    if (step != 0) Do(&rw, step);
  }
}

TEST_P(RWMutexMisuse, OnAGoroutineWithinTry) {
  now = &GetParam();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          (void)go_procs(2);
          (void)go_try(Steps, nullptr, nullptr);
          return 0;
        },
        0, nullptr);
  });
  ExpectDeath(r, GetParam());
}

TEST_P(RWMutexMisuse, OnAPlainThread) {
  now = &GetParam();
  ChildResult r = RunChild([] {
    Steps(nullptr);
    return 0;
  });
  ExpectDeath(r, GetParam());
}

TEST(RWMutexMisuse, TooManyReaders) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_rwmutex rw{};
          rw.state_ = uint64_t{1} << 38;  // 2^30 of them
          go_rwmutex_rlock(&rw);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_rwmutex_rlock: too many readers")) << r;
}

// Go: RWMutex: a read lock inside a read lock waits for ever when a writer waits in between.
TEST(RWMutexMisuse, RecursiveReadLockBehindAWriterIsADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_rwmutex rw{};
          go_rwmutex_rlock(&rw);
          CHILD_CHECK(
              go_spawn([](void *p) { go_rwmutex_lock(static_cast<go_rwmutex *>(p)); }, &rw) == 0);
          while (go_rwmutex_tryrlock(&rw)) {
            go_rwmutex_runlock(&rw);
            go_yield();
          }
          go_rwmutex_rlock(&rw);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("[rwmutex rlock")) << r;
  EXPECT_TRUE(r.Said("[rwmutex lock")) << r;
}

}  // namespace
