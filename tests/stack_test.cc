// Stacks: deep, wide, small, many; and they never move.

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = UnsetEnv("GOLIB_STACK");

// Sanitizers make frames several times as large and the default stack smaller.
constexpr size_t kUsable = kSanitized ? kDefaultStack / 8 : kDefaultStack;

// `levels` frames of about 400 bytes, all written, checked on the way back.
__attribute__((noinline)) uint64_t Recurse(int levels, uint64_t salt) {
  volatile uint64_t frame[44];
  for (size_t i = 0; i < 44; i++) frame[i] = salt + i;
  uint64_t below = levels > 1 ? Recurse(levels - 1, salt + 1) : 0;
  for (size_t i = 0; i < 44; i++) {
    if (frame[i] != salt + i) return 0;
  }
  return below + frame[0] - salt + 1;
}

// 100,000 levels of 400-byte frames: 40 MiB.
TEST(Stack, DeepRecursion) {
  RunGo([] {
    constexpr int kLevels = static_cast<int>(kUsable / 640);
    EXPECT_EQ(Recurse(kLevels, 7), static_cast<uint64_t>(kLevels));
  });
}

TEST(Stack, ManyDeepOnesAtATime) {
  RunGo([] {
    Procs procs(4);
    constexpr int kLevels = static_cast<int>(kUsable / 640 / 8);
    go_wg wg{};
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&wg, [i] {
        for (int round = 0; round < 3; round++) {
          EXPECT_EQ(Recurse(kLevels, static_cast<uint64_t>(i)), static_cast<uint64_t>(kLevels));
          go_yield();
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// Deep stacks are taken over by shallow goroutines and back again.
TEST(Stack, DeepThenShallowThenDeep) {
  RunGo([] {
    Procs procs(2);
    for (int round = 0; round < 5; round++) {
      go_wg wg{};
      for (int i = 0; i < 40; i++) {
        SPAWN_WG(&wg, [i] {
          int levels = i % 4 == 0 ? static_cast<int>(kUsable / 640 / 8) : 3;
          EXPECT_EQ(Recurse(levels, 1), static_cast<uint64_t>(levels));
          go_yield();
        });
      }
      go_wg_wait(&wg);
    }
  });
}

// Suspended at depth.
__attribute__((noinline)) int DescendAndYield(int levels) {
  volatile char frame[1000];
  frame[0] = 1;
  frame[999] = 2;
  if (levels % 16 == 0) go_yield();
  int below = levels > 0 ? DescendAndYield(levels - 1) : 0;
  return below + frame[0] + frame[999] - 2;
}
TEST(Stack, SuspendsAtEveryDepth) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < 16; i++) {
      SPAWN_WG(&wg, [] {
        constexpr int kLevels = static_cast<int>(kUsable / 16384);
        EXPECT_EQ(DescendAndYield(kLevels), kLevels + 1);
      });
    }
    go_wg_wait(&wg);
  });
}

// One frame of a mebibyte, or most of a stack.
template <size_t Size>
__attribute__((noinline)) uint64_t WideFrame() {
  volatile unsigned char block[Size];
  block[0] = 7;  // the far end first: nothing has come near the pages between
  for (size_t i = 1; i < Size; i += 512) block[i] = static_cast<unsigned char>(i);
  go_yield();
  uint64_t bad = block[0] != 7 ? 1 : 0;
  for (size_t i = 1; i < Size; i += 512) bad += block[i] != static_cast<unsigned char>(i) ? 1 : 0;
  return bad;
}

TEST(Stack, WideFrames) {
  RunGo([] {
    go_wg wg{};
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [] { EXPECT_EQ(WideFrame<static_cast<size_t>(64) << 10>(), 0u); });
      SPAWN_WG(&wg, [] { EXPECT_EQ(WideFrame<static_cast<size_t>(256) << 10>(), 0u); });
    }
    go_wg_wait(&wg);
    if (kSanitized) return;
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [] { EXPECT_EQ(WideFrame<static_cast<size_t>(1) << 20>(), 0u); });
      SPAWN_WG(&wg, [] { EXPECT_EQ(WideFrame<static_cast<size_t>(3) << 20>(), 0u); });
    }
    SPAWN_WG(&wg, [] { EXPECT_EQ(WideFrame<static_cast<size_t>(48) << 20>(), 0u); });
    go_wg_wait(&wg);
  });
}

// A wide local is memory like any other: for other goroutines, for threads, and for the kernel,
// though its owner has not touched the pages between.
constexpr size_t kWide = static_cast<size_t>(kSanitized ? 256 << 10 : 5 << 20);

__attribute__((noinline)) void LendWideLocal() {
  char wide[kWide];
  go_wg wg{};
  for (int i = 0; i < 4; i++) {
    SPAWN_WG(&wg, [&wide, i] {
      for (size_t at = static_cast<size_t>(i) * kWide / 4;
           at < static_cast<size_t>(i + 1) * kWide / 4; at += 256) {
        wide[at] = static_cast<char>(at >> 8);
      }
    });
  }
  go_wg_wait(&wg);
  size_t bad = 0;
  for (size_t at = 0; at < kWide; at += 256) bad += wide[at] != static_cast<char>(at >> 8) ? 1 : 0;
  EXPECT_EQ(bad, 0u);
}
TEST(Stack, WideLocalsAreOthersToo) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < 4; i++) SPAWN_WG(&wg, [] { LendWideLocal(); });
    go_wg_wait(&wg);
  });
}

__attribute__((noinline)) void ReadIntoWideLocal(int fd) {
  char wide[kWide];
  EXPECT_EQ(ReadAt(fd, wide, sizeof wide, 0), static_cast<ptrdiff_t>(sizeof wide))
      << strerror(go_errno());
  size_t bad = 0;
  for (size_t at = 0; at < kWide; at += 256) bad += wide[at] != 'r' ? 1 : 0;
  EXPECT_EQ(bad, 0u);
}
TEST(Stack, SystemCallsIntoWideLocals) {
  int fd = TempFile();
  ASSERT_GE(fd, 0);
  std::string block(kWide, 'r');
  EXPECT_EQ(write(fd, block.data(), block.size()), static_cast<ssize_t>(block.size()));
  RunGo([fd] {
    go_wg wg{};
    for (int i = 0; i < 4; i++) SPAWN_WG(&wg, [fd] { ReadIntoWideLocal(fd); });
    go_wg_wait(&wg);
  });
  close(fd);
}

// ---- Sizes chosen at the spawn.

__attribute__((noinline)) int UseStack(size_t bytes) {
  volatile char frame[1024];
  frame[0] = 1;
  frame[1023] = 1;
  int below = bytes > sizeof frame + 128 ? UseStack(bytes - sizeof frame - 128) : 0;
  return below + frame[0] + frame[1023] - 1;
}

TEST(StackSize, EveryPowerOfTwo) {
  RunGo([] {
    for (size_t size = static_cast<size_t>(16) << 10; size <= static_cast<size_t>(1) << 30;
         size *= 2) {
      go_spawn_opts o{};
      o.stack_size = size;
      go_wg wg{};
      for (int i = 0; i < 3; i++) {
        go_wg_add(&wg, 1);
        int rc = SpawnOptAt(GO_SITE_("sized"), o, [size, &wg] {
          // Of 16 KiB, guards, staggering and golib's own frames take more than half.
          size_t use = std::min(size / 4, static_cast<size_t>(32) << 20);
          if (kSanitized) use /= 4;
          EXPECT_GT(UseStack(use), 0);
          go_yield();
          go_wg_done(&wg);
        });
        EXPECT_EQ(rc, 0) << size;
        if (rc != 0) go_wg_done(&wg);
      }
      go_wg_wait(&wg);
    }
  });
}

// A size between two powers is rounded up: what was asked for can be used, bar what golib and the
// guard take.
TEST(StackSize, RoundedUp) {
  RunGo([] {
    for (size_t size :
         {static_cast<size_t>(17000), static_cast<size_t>(100000), static_cast<size_t>(3000000)}) {
      go_spawn_opts o{};
      o.stack_size = size;
      go_wg wg{};
      go_wg_add(&wg, 1);
      EXPECT_EQ(SpawnOptAt(GO_SITE_("sized"), o,
                           [size, &wg] {
                             EXPECT_GT(UseStack(kSanitized ? size / 8 : size * 3 / 4), 0);
                             go_wg_done(&wg);
                           }),
                0);
      go_wg_wait(&wg);
    }
  });
}

// A gibibyte is really more than the default: 300 frames of a mebibyte, of which little is touched.
__attribute__((noinline)) int Sparse(int levels) {
  volatile char frame[1 << 20];
  frame[0] = 1;
  frame[sizeof frame - 1] = 1;
  return (levels > 1 ? Sparse(levels - 1) : 0) + frame[0] + frame[sizeof frame - 1] - 1;
}
TEST(StackSize, Gibibyte) {
  if (kSanitized) GTEST_SKIP() << "frames are instrumented";
  RunGo([] {
    go_spawn_opts o{};
    o.stack_size = static_cast<size_t>(1) << 30;
    go_wg wg{};
    go_wg_add(&wg, 1);
    EXPECT_EQ(SpawnOptAt(GO_SITE_("sized"), o,
                         [&wg] {
                           EXPECT_EQ(Sparse(300), 300);
                           go_wg_done(&wg);
                         }),
              0);
    go_wg_wait(&wg);
  });
}

TEST(StackSize, SmallOnesWork) {
  RunGo([] {
    Procs procs(4);
    go_spawn_opts o{};
    o.stack_size = 16 << 10;
    go_wg wg{};
    std::atomic<int> n{0};
    Chan<int> c(0);
    constexpr int kGos = Goroutines(1000);
    for (int i = 0; i < kGos; i++) {
      go_wg_add(&wg, 1);
      EXPECT_EQ(SpawnOptAt(GO_SITE_("small"), o,
                           [&] {
                             (void)c.Take();
                             go_yield();
                             (void)go_sleep(nullptr, 10 * GO_US);
                             n++;
                             go_wg_done(&wg);
                           }),
                0);
    }
    for (int i = 0; i < kGos; i++) c.Send(i);
    go_wg_wait(&wg);
    EXPECT_EQ(n, kGos);
  });
}

// ---- They never move.

// TORTURE: a pointer to a local, used by others while the stack of its owner grows and it changes
// threads.
__attribute__((noinline)) int Grow(int levels) {
  volatile char frame[512];
  frame[0] = 1;
  if (levels % 64 == 0) go_yield();
  return levels == 0 ? 0 : Grow(levels - 1) + frame[0];
}
TEST(StackAddress, LocalsStayWhereTheyAre) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int g = 0; g < 8; g++) {
      SPAWN_WG(&wg, [] {
        std::atomic<int64_t> local{0};
        int plain[16] = {};
        std::atomic<int64_t> *address = &local;
        constexpr int kWriters = 8, kAdds = 200;
        go_wg writers{};
        for (int w = 0; w < kWriters; w++) {
          SPAWN_WG(&writers, [&local, &plain, w] {
            for (int i = 0; i < kAdds; i++) {
              local++;
              plain[w]++;
              if (i % 16 == 0) go_yield();
            }
          });
        }
        (void)Grow(static_cast<int>(kUsable / 8192));
        EXPECT_EQ(&local, address);
        go_wg_wait(&writers);
        EXPECT_EQ(local, kWriters * kAdds);
        for (int w = 0; w < kWriters; w++) EXPECT_EQ(plain[w], kAdds);
      });
    }
    go_wg_wait(&wg);
  });
}

// Registers and floating-point state across switches: sums kept in many locals.
TEST(StackAddress, RegistersSurviveSwitches) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int g = 0; g < 16; g++) {
      SPAWN_WG(&wg, [g] {
        uint64_t a = 1, b = 2, c = 3, d = 5, e = 7, f = 11, h = 13, k = 17;
        double x = 0.25 * g, y = 1.0 / 3, z = 2;
        for (int i = 0; i < 2000; i++) {
          go_yield();
          a += b, b += c, c += d, d += e, e += f, f += h, h += k, k += a;
          x += y, z *= 1.0001, y += 0.5;
        }
        uint64_t a2 = 1, b2 = 2, c2 = 3, d2 = 5, e2 = 7, f2 = 11, h2 = 13, k2 = 17;
        double x2 = 0.25 * g, y2 = 1.0 / 3, z2 = 2;
        for (int i = 0; i < 2000; i++) {
          a2 += b2, b2 += c2, c2 += d2, d2 += e2, e2 += f2, f2 += h2, h2 += k2, k2 += a2;
          x2 += y2, z2 *= 1.0001, y2 += 0.5;
        }
        EXPECT_TRUE(a == a2 && b == b2 && c == c2 && d == d2 && e == e2 && f == f2 && h == h2 &&
                    k == k2);
        EXPECT_TRUE(x == x2 && y == y2 && z == z2);
      });
    }
    go_wg_wait(&wg);
  });
}

// Stacks are aligned as the calling convention wants it.
TEST(StackAddress, Aligned) {
  RunGo([] {
    go_wg wg{};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [] {
        alignas(16) volatile char v[16];
        v[0] = 0;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(&v[0]) % 16, 0u);
        long double ld = 1.5L;  // printf needs an aligned stack for this
        char text[64];
        snprintf(text, sizeof text, "%Lf", ld);
        EXPECT_STREQ(text, "1.500000");
      });
    }
    go_wg_wait(&wg);
  });
}

// libc functions that need room.
TEST(Stack, LibcOnGoroutineStacks) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < 32; i++) {
      SPAWN_WG(&wg, [i] {
        char text[512];
        for (int j = 0; j < 50; j++) {
          snprintf(text, sizeof text, "%d %s %.17g %300s", j, "text", j / 3.0, "pad");
          EXPECT_EQ(atoi(text), j);
          std::vector<int> v(static_cast<size_t>(200 + i));
          for (size_t k = 0; k < v.size(); k++) v[k] = static_cast<int>((k * 7919u) % 1000u);
          qsort(v.data(), v.size(), sizeof(int), [](const void *a, const void *b) {
            return *static_cast<const int *>(a) - *static_cast<const int *>(b);
          });
          bool sorted = true;
          for (size_t k = 1; k < v.size(); k++) sorted = sorted && v[k - 1] <= v[k];
          EXPECT_TRUE(sorted);
          go_yield();
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// ---- Memory comes back.

// After a spike of deep goroutines, most of their pages go back to the system before long.
TEST(StackMemory, FallsAfterASpike) {
  if (getenv("GOLIB_RUN") != nullptr) GTEST_SKIP() << "the emulator's own memory would count";
  if (kSanitized) GTEST_SKIP() << "sanitizers keep memory of their own";
  RunGo([] {
    Procs procs(2);
    size_t before = ResidentBytes();
    Chan<Unit> hold(0);
    go_wg wg{};
    std::atomic<int> deep{0};
    constexpr int kGos = 2000;
    for (int i = 0; i < kGos; i++) {
      SPAWN_WG(&wg, [&] {
        (void)UseStack(64 << 10);
        deep++;
        (void)hold.Recv(nullptr);
      });
    }
    Until([&] { return deep == kGos; });
    size_t peak = ResidentBytes();
    EXPECT_GT(peak, before + kGos * static_cast<size_t>(48 << 10));
    hold.Close();
    go_wg_wait(&wg);
    // It takes its time, but not for ever.
    Until([&] { return ResidentBytes() < before + (peak - before) / 2; });
  });
}

}  // namespace
