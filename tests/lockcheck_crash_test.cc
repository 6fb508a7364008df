// The lock checker: a goroutine that leaves its thread with a thread's lock held is reported, and nobody else.
#include <golib/golib.h>
#include <golib/lockcheck.h>
#include <pthread.h>
#include <stdio.h>
#include <threads.h>
#include <unistd.h>

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

constexpr char kReport[] = "golib: lock check: ";

// f as the main goroutine of a child; returns what it wrote on stderr. One P, so that who waits for a lock of a goroutine that
// is not there waits for ever.
template <class F>
ChildResult Main(F f, const char *procs = "1") {
  static F *fn;
  fn = &f;
  return RunChild([=] {
    setenv("GOMAXPROCS", procs, 1);
    setenv("GOLIB_RETAKE", "0", 1);
    alarm(60);
    return go_main(
        [](int, char **) {
          (*fn)();
          return 0;
        },
        0, nullptr);
  });
}

#define EXPECT_SILENT(r)   \
  do {                     \
    ChildResult r_ = r;    \
    EXPECT_EQ(r_.code, 0); \
    EXPECT_EQ(r_.err, ""); \
  } while (0)

// One report, of that kind of lock, and all that belongs to it.
void ExpectReport(const ChildResult &r, const char *kind, const char *locker = "LockAndWait") {
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kReport), 1) << r;
  EXPECT_TRUE(r.Said(std::string("leaves its thread with a ") + kind + " locked")) << r;
  size_t locked = r.err.find(locker), leaves = r.err.find(" and leaves at\n");
  EXPECT_TRUE(locked != std::string::npos && locked < leaves) << r;
  EXPECT_TRUE(r.err.find(locker, leaves) != std::string::npos) << r;
}

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t spin;
mtx_t c11;
std::mutex std_mutex;
std::shared_mutex std_shared;

extern "C" {
#define LOCK_AND_WAIT(name, lock, wait, unlock)            \
  __attribute__((noinline)) void LockAndWait##name() {     \
    lock;                                                  \
    wait;                                                  \
    unlock;                                                \
    __asm__ volatile("" ::: "memory"); /* no tail calls */ \
  }
LOCK_AND_WAIT(Mutex, pthread_mutex_lock(&mutex), go_yield(), pthread_mutex_unlock(&mutex))
LOCK_AND_WAIT(Sleep, pthread_mutex_lock(&mutex), (void)go_sleep(nullptr, GO_MS),
              pthread_mutex_unlock(&mutex))
LOCK_AND_WAIT(Try, (void)pthread_mutex_trylock(&mutex), go_yield(), pthread_mutex_unlock(&mutex))
LOCK_AND_WAIT(Read, pthread_rwlock_rdlock(&rwlock), go_yield(), pthread_rwlock_unlock(&rwlock))
LOCK_AND_WAIT(Write, pthread_rwlock_wrlock(&rwlock), go_yield(), pthread_rwlock_unlock(&rwlock))
LOCK_AND_WAIT(Spin, pthread_spin_lock(&spin), go_yield(), pthread_spin_unlock(&spin))
LOCK_AND_WAIT(C11, (void)mtx_lock(&c11), go_yield(), (void)mtx_unlock(&c11))
LOCK_AND_WAIT(File, flockfile(stdout), go_yield(), funlockfile(stdout))
LOCK_AND_WAIT(Std, std_mutex.lock(), go_yield(), std_mutex.unlock())
LOCK_AND_WAIT(Shared, std_shared.lock_shared(), go_yield(), std_shared.unlock_shared())
}

TEST(LockCheck, EveryKind) {
  ExpectReport(Main(LockAndWaitMutex), "mutex");
  ExpectReport(Main(LockAndWaitSleep), "mutex");
  ExpectReport(Main(LockAndWaitTry), "mutex");
  ExpectReport(Main(LockAndWaitRead), "rwlock");
  ExpectReport(Main(LockAndWaitWrite), "rwlock");
  ExpectReport(Main([] {
                 pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
                 LockAndWaitSpin();
               }),
               "spin lock");
  ExpectReport(Main([] {
                 CHILD_CHECK(mtx_init(&c11, mtx_plain) == thrd_success);
                 LockAndWaitC11();
               }),
               "mutex");
  ExpectReport(Main(LockAndWaitFile), "FILE");
  ExpectReport(Main(LockAndWaitStd), "mutex");
  ExpectReport(Main(LockAndWaitShared), "rwlock");
}

// The goroutine is named, as in other reports.
TEST(LockCheck, NamesTheGoroutine) {
  ChildResult r = Main([] {
    go_wg wg{};
    go_wg_add(&wg, 1);
    CHILD_CHECK(go_spawn_site_(
                    "careless@test.c:5",
                    [](void *w) {
                      go_set_name("careless");
                      LockAndWaitMutex();
                      go_wg_done(static_cast<go_wg *>(w));
                    },
                    &wg, 0) == 0);
    go_wg_wait(&wg);
  });
  ExpectReport(r, "mutex");
  EXPECT_TRUE(
      r.Said("golib: lock check: goroutine 2 \"careless\" spawned at careless@test.c:5 "
             "leaves its thread with a mutex locked"))
      << r;
}

// A place is reported once, however often and by whomever; another place again; and each of several locks.
TEST(LockCheck, OncePerPlace) {
  ChildResult r = Main([] {
    for (int i = 0; i < 5; i++) LockAndWaitMutex();
    for (int i = 0; i < 5; i++) LockAndWaitRead();
    pthread_mutex_lock(&mutex);
    LockAndWaitStd();
    pthread_mutex_unlock(&mutex);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kReport), 4) << r;
}

// It ends with one: nobody will ever unlock it.
TEST(LockCheck, EndsWithOne) {
  ChildResult r = Main([] {
    CHILD_CHECK(go_spawn([](void *) { pthread_mutex_lock(&mutex); }, nullptr) == 0);
    while (go_count() > 1) go_yield();
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kReport), 1) << r;
  EXPECT_TRUE(r.Said(" ends with a mutex locked")) << r;
}

// What is right: unlocked before the wait, in any order, several deep, recursive, not got at all.
TEST(LockCheck, SilentWhenUnlocked) {
  EXPECT_SILENT(Main([] {
    static pthread_mutex_t many[12];
    for (pthread_mutex_t &m : many) pthread_mutex_init(&m, nullptr);
    for (int i = 0; i < 100; i++) {
      for (pthread_mutex_t &m : many) pthread_mutex_lock(&m);
      for (pthread_mutex_t &m : many) pthread_mutex_unlock(&m);  // the first one first
      go_yield();
    }
    std::recursive_mutex again;
    again.lock();
    again.lock();
    again.unlock();
    again.unlock();
    go_yield();
    pthread_mutex_t error;
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&error, &a);
    pthread_mutex_lock(&error);
    CHILD_CHECK(pthread_mutex_lock(&error) == EDEADLK && pthread_mutex_trylock(&error) == EBUSY);
    pthread_mutex_unlock(&error);
    (void)go_sleep(nullptr, GO_MS);
  }));
}

// A recursive one that is unlocked once too few.
TEST(LockCheck, RecursiveStillHeld) {
  ChildResult r = Main([] {
    static std::recursive_mutex again;
    again.lock();
    again.lock();
    again.unlock();
    go_yield();
    again.unlock();
    go_yield();
  });
  EXPECT_EQ(r.Count(kReport), 1) << r;
}

// go_mutex may be held over anything; so may a thread's lock by who is locked to the thread; blocking the thread is no switch.
TEST(LockCheck, SilentWhereItIsRight) {
  EXPECT_SILENT(Main([] {
    go_mutex mu{};
    go_mutex_lock(&mu);
    go_yield();
    go_mutex_unlock(&mu);
    go_lock_thread();
    pthread_mutex_lock(&mutex);
    (void)go_sleep(nullptr, GO_MS);
    pthread_mutex_unlock(&mutex);
    go_unlock_thread();
    pthread_mutex_lock(&mutex);
    go_blocking([](void *) { usleep(1000); }, nullptr);
    pthread_mutex_unlock(&mutex);
    go_yield();
    go_blocking([](void *) { pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex); }, nullptr);
    go_yield();
  }));
  // Not locked to it any more.
  ChildResult r = Main([] {
    go_lock_thread();
    pthread_mutex_lock(&mutex);
    go_yield();
    go_unlock_thread();
    go_yield();
    pthread_mutex_unlock(&mutex);
  });
  EXPECT_EQ(r.Count(kReport), 1) << r;
}

// Locks of plain threads are theirs: of others, and of one that runs goroutines between its own things.
TEST(LockCheck, PlainThreadsMayHoldThem) {
  EXPECT_SILENT(RunChild([] {
    std::mutex own;
    std::lock_guard<std::mutex> l(own);
    go_config cfg{};
    cfg.embedded = true;
    CHILD_CHECK(go_init(&cfg) == 0);
    CHILD_CHECK(go_spawn([](void *) { (void)go_sleep(nullptr, GO_MS); }, nullptr) == 0);
    CHILD_CHECK(go_step(10) > 0);
    (void)go_sleep(nullptr, 5 * GO_MS);
    return 0;
  }));
  EXPECT_SILENT(Main([] {
    std::thread t([] {
      std::lock_guard<std::mutex> l(std_mutex);
      (void)go_sleep(nullptr, GO_MS);
    });
    go_blocking([](void *p) { static_cast<std::thread *>(p)->join(); }, &t);
  }));
}

// Beside hooks of the program's, which are called as usual.
TEST(LockCheck, BesideHooks) {
  ChildResult r = Main([] {
    static std::atomic<int> in;
    static go_hooks h{};
    h.switch_in = [](void *, uint64_t) { in++; };
    go_set_hooks(&h);
    go_yield();
    LockAndWaitMutex();
    CHILD_CHECK(in > 0);
    go_set_hooks(nullptr);
    LockAndWaitRead();
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kReport), 2) << r;
}

// Many goroutines on several Ps that do it right, and thousands of switches: not a word, nothing lost.
TEST(LockCheck, SilentUnderLoad) {
  EXPECT_SILENT(Main(
      [] {
        static int64_t n;
        go_wg wg{};
        for (int g = 0; g < 50; g++) {
          go_wg_add(&wg, 1);
          CHILD_CHECK(go_spawn(
                          [](void *w) {
                            for (int i = 0; i < 200; i++) {
                              {
                                std::lock_guard<std::mutex> l(std_mutex);
                                n++;
                              }
                              go_yield();
                            }
                            go_wg_done(static_cast<go_wg *>(w));
                          },
                          &wg) == 0);
        }
        go_wg_wait(&wg);
        CHILD_CHECK(n == 50 * 200);
      },
      "4"));
}

// ---- goroutines that are stopped in the middle of their code

std::atomic<bool> computes, others_ran;

// Until it has been stopped once, and somebody else has run on its thread.
extern "C" __attribute__((noinline)) void LockAndCompute() {
  pthread_mutex_lock(&mutex);
  computes = true;
  while (!others_ran) {
    for (int i = 0; i < 1000; i++) __asm__ volatile("");
  }
  pthread_mutex_unlock(&mutex);
  __asm__ volatile("" ::: "memory");
}

// f on a goroutine that may be stopped, beside one that waits for its turn. One P, and stops only: nothing is retaken within the time.
ChildResult Stopped(void (*f)()) {
  static void (*fn)();
  fn = f;
  return RunChild([] {
    setenv("GOMAXPROCS", "1", 1);
    setenv("GOLIB_RETAKE", "100000", 1);
    setenv("GOLIB_PREEMPT", "switch", 1);
    alarm(60);
    return go_main(
        [](int, char **) {
          go_wg wg{};
          for (bool first : {true, false}) {
            go_wg_add(&wg, 1);
            auto *body = first ? +[](void *w) {
              fn();
              go_wg_done(static_cast<go_wg *>(w));
            } : +[](void *w) {
              while (!computes) go_yield();
              others_ran = true;
              go_wg_done(static_cast<go_wg *>(w));
            };
            CHILD_CHECK(go_spawn_site_("hog@test.c:1", body, &wg, 0) == 0);
          }
          go_wg_wait(&wg);
          go_stats s;
          go_stats_read(&s);
          fprintf(stderr, "switches %d\n", s.switches > 0);
          return 0;
        },
        0, nullptr);
  });
}

// Whoever is stopped leaves its thread, wherever that is.
TEST(LockCheck, StoppedWithALock) {
  ChildResult r = Stopped(LockAndCompute);
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("switches 1\n")) << r;
  EXPECT_EQ(r.Count(kReport), 1) << r;
  size_t report = r.err.find("spawned at hog@test.c:1 leaves its thread with a mutex locked");
  size_t locked = r.err.find("  LockAndCompute+0x"), leaves = r.err.find(" and leaves at\n");
  EXPECT_TRUE(report != std::string::npos && report < locked && locked < leaves &&
              leaves != std::string::npos)
      << r;
}

// Who says that it must not be stopped, with a lock held, is not, and so is not told of.
TEST(LockCheck, NotStoppedWithALock) {
  ChildResult r = Stopped([] {
    go_nopreempt_begin();
    pthread_mutex_lock(&mutex);
    computes = true;
    for (go_nsec until = go_now() + 500 * GO_MS; go_now() < until;) {}
    pthread_mutex_unlock(&mutex);
    go_nopreempt_end();
    while (!others_ran) {
      for (int i = 0; i < 1000; i++) __asm__ volatile("");
    }
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kReport), 0) << r;
}

}  // namespace
