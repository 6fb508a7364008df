// Threads that cannot be made, now and then or for a while: pthread_create is defined here, in libc's place. Whoever has
// a thread already goes on; calls that need one are made, or say that they were not.

#include <dlfcn.h>
#include <errno.h>
#include <golib/golib.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

std::atomic<int> fail_of_100{0};
std::atomic<unsigned> delay_us{0};
std::atomic<unsigned> tried{0}, failed{0};

using Create = int(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
Create *const real = reinterpret_cast<Create *>(dlsym(RTLD_NEXT, "pthread_create"));

}  // namespace

extern "C" int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *),
                              void *arg) noexcept {
  if (static_cast<int>(tried++ * 37 % 100) < fail_of_100) {
    failed++;
    return EAGAIN;
  }
  if (delay_us != 0) (void)usleep(delay_us);
  return real(t, a, fn, arg);
}

namespace {

class ThreadFaults : public testing::Test {
 protected:
  void SetUp() override { Restart(0); }
  void TearDown() override {
    fail_of_100 = 0;
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
  static void Restart(int offload_threads) {
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    go_config cfg{};
    cfg.procs = 4;
    cfg.offload_threads = offload_threads;
    EXPECT_EQ(go_init(&cfg), 0);
    RunGo([] {});
    tried = failed = 0;
  }
};

// A plain thread waits for one that starts the scheduler meanwhile, and is in no hurry: no deadlock.
TEST_F(ThreadFaults, StartTakesLong) {
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    Chan<int> c(0);
    std::thread t([&] { EXPECT_EQ(c.Take(), 7); });
    delay_us = 100'000;
    EXPECT_EQ(go_init(nullptr), 0);
    delay_us = 0;
    c.Send(7);
    t.join();
  }
}

// A call was made if and only if it says so, whatever happens to threads and contexts meanwhile.
TEST_F(ThreadFaults, Offload) {
  for (int percent : {30, 90, 100}) {
    Restart(8);
    std::atomic<int> made{0}, refused{0}, cancelled{0};
    fail_of_100 = percent;
    RunGo([&] {
      go_wg wg{};
      for (int k = 0; k < 20; k++) {
        SPAWN_WG(&wg, [&, k] {
          Rng rng(static_cast<uint64_t>(k) + 1);
          for (int i = 0; i < Rounds(200); i++) {
            int ran = 0;
            go_ctx *ctx =
                rng.Below(3) == 0 ? go_ctx_with_timeout(nullptr, rng.Below(200) * GO_US) : nullptr;
            int r = go_offload(
                ctx, [](void *p) { ++*static_cast<int *>(p); }, &ran);
            EXPECT_EQ(ran, r == 0);
            EXPECT_TRUE(r == 0 || r == GO_EAGAIN || (ctx != nullptr && r == GO_ETIMEDOUT)) << r;
            made += r == 0;
            refused += r == GO_EAGAIN;
            cancelled += r == GO_ETIMEDOUT;
            go_ctx_unref(ctx);
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_GT(failed, 0u);
      if (percent == 100) {
        EXPECT_EQ(made, 0);
        EXPECT_GT(refused, 0);
      }
      // And all is well again.
      fail_of_100 = 0;
      for (int i = 0; i < 20; i++) {
        int ran = 0;
        EXPECT_EQ(go_offload(
                      nullptr, [](void *p) { ++*static_cast<int *>(p); }, &ran),
                  0);
        EXPECT_EQ(ran, 1);
      }
    });
  }
}

// The pool is at its limit, and its only threads are busy: who comes waits, and none is asked for.
TEST_F(ThreadFaults, PoolAtItsLimit) {
  Restart(2);
  RunGo([] {
    std::atomic<int> inside{0}, ran{0};
    std::atomic<bool> open{false};
    struct Gate {
      std::atomic<int> *inside, *ran;
      std::atomic<bool> *open;
    } gate{&inside, &ran, &open};
    go_wg wg{};
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_offload(
                      nullptr,
                      [](void *p) {
                        auto *g = static_cast<Gate *>(p);
                        ++*g->inside;
                        while (!*g->open) usleep(100);
                        ++*g->ran;
                      },
                      &gate),
                  0);
      });
    }
    Until([&] { return inside == 2; });
    Settle();
    fail_of_100 = 100;
    unsigned before = tried;
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 2 * GO_MS);
    EXPECT_EQ(go_offload(
                  ctx, [](void *) {}, nullptr),
              GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    EXPECT_EQ(tried, before);
    EXPECT_EQ(inside, 2);
    open = true;
    go_wg_wait(&wg);
    EXPECT_EQ(ran, 10);
    fail_of_100 = 0;
  });
}

// Names and files are calls of that kind, too.
TEST_F(ThreadFaults, NamesAndFiles) {
  RunGo([] {
    fail_of_100 = 100;
    go_addrs *a = nullptr;
    EXPECT_EQ(go_resolve(nullptr, "localhost", &a), GO_EAGAIN);
    EXPECT_EQ(a, nullptr);
    go_conn *c = nullptr;
    EXPECT_EQ(go_dial(nullptr, "tcp", "localhost:1", &c), GO_EAGAIN);
    go_listener *l = nullptr;
    EXPECT_EQ(go_listen(nullptr, "tcp", "localhost:0", &l), GO_EAGAIN);
    void *data = nullptr;
    EXPECT_EQ(go_file_read_all(nullptr, "/etc/hosts", &data, nullptr), GO_EAGAIN);
    EXPECT_EQ(data, nullptr);
    fail_of_100 = 0;
    EXPECT_EQ(go_file_read_all(nullptr, "/proc/self/status", &data, nullptr), 0);
    free(data);
    // Without one, closing is done by the caller.
    intptr_t file = -1;
    EXPECT_EQ(go_file_open(nullptr, "/dev/null", GO_FILE_READ, 0, &file), 0);
    EXPECT_EQ(go_file_close(file), 0);
    EXPECT_EQ(go_file_close(file), -EBADF);
  });
}

// No thread for the others while one goroutine blocks: they run when there is one, none is lost.
TEST_F(ThreadFaults, Blocking) {
  for (int percent : {50, 100}) {
    Restart(0);
    fail_of_100 = percent;
    std::atomic<int> ran{0};
    RunGo([&] {
      go_wg wg{};
      for (int i = 0; i < 50; i++) {
        SPAWN_WG(&wg, [&] {
          for (int k = 0; k < Rounds(20); k++) {
            go_blocking([](void *) { usleep(50); }, nullptr);
            go_yield();
          }
          ran++;
        });
      }
      go_wg_wait(&wg);
    });
    EXPECT_EQ(ran, 50);
    fail_of_100 = 0;
  }
}

// Timers and connections need none of their own.
TEST_F(ThreadFaults, Everything) {
  fail_of_100 = 100;
  RunGo([] {
    go_listener *l = nullptr;
    ASSERT_EQ(go_listen(nullptr, "tcp", "127.0.0.1:0", &l), 0);
    go_addr at;
    EXPECT_EQ(go_listener_addr(l, &at), 0);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_conn *s = nullptr;
      EXPECT_EQ(go_accept(nullptr, l, &s), 0);
      char c;
      while (go_read(nullptr, s, &c, 1) == 1) EXPECT_EQ(go_write(nullptr, s, &c, 1), 1);
      go_conn_unref(s);
    });
    go_conn *c = nullptr;
    EXPECT_EQ(go_dial(nullptr, "tcp", go_addr_str(&at), &c), 0);
    for (int i = 0; i < 100; i++) {
      char b = 'b';
      EXPECT_EQ(go_write(nullptr, c, &b, 1), 1);
      EXPECT_EQ(go_read(nullptr, c, &b, 1), 1);
      EXPECT_EQ(go_sleep(nullptr, 10 * GO_US), 0);
    }
    go_conn_unref(c);
    go_wg_wait(&wg);
    go_listener_unref(l);
  });
}

}  // namespace
