// os/darwin/lot.c, where threads wait on words on macOS before 14.4; run on Linux.
extern "C" {
#define _Noreturn [[noreturn]]
#include "os/darwin/darwin.h"
#undef _Noreturn
}

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kMs = 1000000;

uint32_t Load(uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
void Store(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

// A thread that waits until *word is not 0 any more.
std::thread Waiter(uint32_t *word, std::atomic<int> *ended) {
  return std::thread([word, ended] {
    while (Load(word) == 0) EXPECT_EQ(go_lot_wait_(word, 0, -1), 0);
    (*ended)++;
  });
}

TEST(Lot, ReturnsAtOnceWhenTheValueDiffers) {
  uint32_t word = 1;
  errno = 5;
  EXPECT_EQ(go_lot_wait_(&word, 0, -1), 0);
  EXPECT_EQ(go_lot_wait_(&word, 2, 0), 0);
  EXPECT_EQ(errno, 5);
}

TEST(Lot, TimesOutNotBefore) {
  uint32_t word = 0;
  errno = 5;
  for (int64_t ns : {int64_t{0}, int64_t{1}, 3 * kMs}) {
    int64_t began = go_os_now_();
    EXPECT_EQ(go_lot_wait_(&word, 0, ns), -ETIMEDOUT);
    EXPECT_GE(go_os_now_() - began, ns);
  }
  EXPECT_EQ(errno, 5);
}

TEST(Lot, WakesWhoeverWaitsForEverOrLong) {
  for (int64_t ns : {int64_t{-1}, INT64_MAX, int64_t{3600} * 1000 * kMs}) {
    uint32_t word = 0;
    std::thread t([&] {
      while (Load(&word) == 0) EXPECT_EQ(go_lot_wait_(&word, 0, ns), 0);
    });
    Store(&word, 1);
    go_lot_wake_(&word, 1);
    t.join();
  }
}

TEST(Lot, WakesOnlyThatWordAndOnlySoMany) {
  uint32_t words[2] = {0, 0};
  std::atomic<int> ended[2] = {{0}, {0}};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; i++) threads.push_back(Waiter(&words[i % 2], &ended[i % 2]));
  Store(&words[0], 1);
  for (int i = 0; i < 3; i++) go_lot_wake_(&words[0], 1);  // who is not in yet sees the value
  while (ended[0] != 3) std::this_thread::yield();
  EXPECT_EQ(ended[1], 0);
  go_lot_wake_(&words[1], 0);
  Store(&words[1], 1);
  go_lot_wake_(&words[1], INT32_MAX);
  for (auto &t : threads) t.join();
  EXPECT_EQ(ended[1], 3);
}

// Turns of two threads, each of which the other has to wake.
TEST(Lot, PingPong) {
  uint32_t turn = 0;
  constexpr uint32_t kTurns = 20000;
  auto play = [&turn](uint32_t parity) {
    for (uint32_t seen; (seen = Load(&turn)) < kTurns;) {
      if (seen % 2 != parity) {
        go_lot_wait_(&turn, seen, -1);
      } else {
        Store(&turn, seen + 1);
        go_lot_wake_(&turn, 1);
      }
    }
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
}

// Many words, of which some share a list; waits that time out among waits that are woken, in the middle and at the ends.
TEST(Lot, WakesAndTimeOutsTogether) {
  constexpr int kWords = 200, kThreads = 4, kRounds = 3000;
  auto words = std::make_unique<uint32_t[]>(kWords);
  std::atomic<bool> stop{false};
  std::atomic<long> woken{0}, late{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (unsigned i = static_cast<unsigned>(t); !stop; i = i * 1103515245 + 12345) {
        uint32_t *w = &words[i / 65536 % kWords];
        if (go_lot_wait_(w, Load(w), i % 3 == 0 ? 0 : i % 200000) == 0) {
          woken++;
        } else {
          late++;
        }
      }
    });
  }
  for (int i = 0; i < kRounds || woken == 0 || late == 0; i++) {
    uint32_t *w = &words[i % kWords];
    __atomic_fetch_add(w, 1, __ATOMIC_ACQ_REL);
    go_lot_wake_(w, i % 3);
  }
  stop = true;
  for (auto &t : threads) t.join();
}

TEST(Lot, SignalsNeitherEndNorStretchIt) {
  struct sigaction sa = {}, old;
  sa.sa_handler = [](int) {};
  sigaction(SIGUSR1, &sa, &old);
  std::atomic<bool> out{false};
  pthread_t self = pthread_self();
  std::thread t([&] {
    while (!out) {
      pthread_kill(self, SIGUSR1);
      usleep(500);
    }
  });
  uint32_t word = 0;
  int64_t began = go_os_now_();
  EXPECT_EQ(go_lot_wait_(&word, 0, 30 * kMs), -ETIMEDOUT);
  int64_t took = go_os_now_() - began;
  out = true;
  t.join();
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_GE(took, 30 * kMs);
  EXPECT_LT(took, 10000 * kMs);
}

// Wakers do not look at the word: core's notes may be gone.
TEST(Lot, WakeOfMemoryThatIsGoneDoesNoHarm) {
  auto *word = new uint32_t(1);
  volatile auto at = reinterpret_cast<uintptr_t>(word);  // the compiler need not know
  delete word;
  go_lot_wake_(reinterpret_cast<uint32_t *>(at), 1);
}

// A child of a fork starts with empty lists, though its parent's threads were in them, and perhaps held locks.
TEST(Lot, AChildStartsAfresh) {
  uint32_t words[64] = {};
  std::atomic<int> ended{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint32_t &w : words) threads.push_back(Waiter(&w, &ended));
  std::thread busy([&] {
    for (unsigned i = 0; !stop; i++) go_lot_wake_(&words[i % 64], 1);
  });
  for (int i = 0; i < 20; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      go_lot_forked_();
      alarm(60);  // a lock that is held for ever
      for (uint32_t &w : words) {
        go_lot_wake_(&w, 1);
        if (go_lot_wait_(&w, 0, 0) != -ETIMEDOUT) _exit(1);
      }
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  busy.join();
  for (uint32_t &w : words) {
    Store(&w, 1);
    go_lot_wake_(&w, 1);
  }
  for (auto &t : threads) t.join();
  EXPECT_EQ(ended, 64);
}

}  // namespace
