// core/stack.c: slots, guards, credits, the depot, giving back. First the depot alone, with golib
// stopped; then under a running scheduler; then as on kernels where a guard costs a mapping.
#if defined(__linux__)

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
#include "core/stack.h"
}

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Whether the kernel can read there.
bool Readable(const char *p) { return access(p, F_OK) == 0 || errno != EFAULT; }

constexpr size_t Size(uint32_t cls) { return static_cast<size_t>(1) << cls; }

size_t GuardSize(uint32_t cls, char *top) {
  return static_cast<size_t>(top - go_stack_high_(cls, top));
}

go_stack_stats_ Stats() {
  go_stack_stats_ s{};
  go_stack_stats_read_(&s);
  return s;
}

// ---- Classes.

TEST(StackClass, RoundsUp) {
  EXPECT_EQ(go_stack_class_(0), 0u);
  EXPECT_EQ(go_stack_class_(1), 0u);
  EXPECT_EQ(go_stack_class_(Size(GO_STACK_CLASS_MIN_) - 1), 0u);
  EXPECT_EQ(go_stack_class_(Size(GO_STACK_CLASS_MAX_) + 1), 0u);
  EXPECT_EQ(go_stack_class_(SIZE_MAX), 0u);
  const uint32_t least = go_stack_class_(Size(GO_STACK_CLASS_MIN_));
  EXPECT_EQ(Size(least), std::max(Size(GO_STACK_CLASS_MIN_), 4 * go_os_page_()));
  for (uint32_t cls = GO_STACK_CLASS_MIN_; cls <= GO_STACK_CLASS_MAX_; cls++) {
    EXPECT_EQ(go_stack_class_(Size(cls)), std::max(cls, least));
    if (cls > GO_STACK_CLASS_MIN_) {
      EXPECT_EQ(go_stack_class_(Size(cls) - 1), std::max(cls, least));
      EXPECT_EQ(go_stack_class_(Size(cls - 1) + 1), std::max(cls, least));
    }
  }
}

// Of every class: the parts of a slot lie where they should. Nothing is touched.
TEST(StackClass, PartsOfASlot) {
  size_t page = go_os_page_();
  for (uint32_t cls = go_stack_class_(Size(GO_STACK_CLASS_MIN_)); cls <= GO_STACK_CLASS_MAX_;
       cls++) {
    for (uintptr_t n = 1; n < 300; n++) {
      char *top = reinterpret_cast<char *>((n + 1000) << cls);
      EXPECT_EQ(go_stack_low_(cls, top), top - Size(cls));
      size_t guard = GuardSize(cls, top);
      EXPECT_EQ(guard % page, 0u);
      EXPECT_GE(guard, page);
      EXPECT_EQ(guard, std::max(page, std::min<size_t>(Size(cls) / 16, 65536)));
      char *start = go_stack_start_(cls, top);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(start) % 16, 0u);
      EXPECT_LE(start, go_stack_high_(cls, top));
      // Staggering costs little of it.
      EXPECT_LE(static_cast<size_t>(go_stack_high_(cls, top) - start), Size(cls) / 64 + page / 2);
    }
  }
}

// Starts of neighbours lie on different lines of the cache, and on different page-table entries
// where slots are 2 MiB or more apart. The smallest stacks need all that they have.
TEST(StackClass, NeighboursStartStaggered) {
  size_t page = go_os_page_();
  for (uint32_t cls : {16u, 20u, 21u, 26u, 30u}) {
    std::set<uintptr_t> lines, pages;
    int same = 0;
    uintptr_t before = 0;
    for (uintptr_t n = 0; n < 256; n++) {
      auto start = reinterpret_cast<uintptr_t>(
          go_stack_start_(cls, reinterpret_cast<char *>((n + 4321) << cls)));
      uintptr_t in_slot = (start - 1) & (Size(cls) - 1);
      same += in_slot == before ? 1 : 0;
      before = in_slot;
      lines.insert(in_slot / GO_CACHE_LINE_ % (page / GO_CACHE_LINE_));
      pages.insert(in_slot / page % 512);
    }
    EXPECT_EQ(same, 0) << cls;
    EXPECT_GE(lines.size(), 24u) << cls;
    EXPECT_GE(pages.size(), cls >= 26 ? 24u : 1u) << cls;
  }
}

// ---- The depot alone.

class Depot : public testing::Test {
 protected:
  static constexpr uint32_t kCls = 18;
  static constexpr uint32_t kProcs = 2;
  void SetUp() override {
    ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
    ASSERT_EQ(go_stack_init_(kCls, true, kProcs), 0);
  }
  void TearDown() override { go_stack_fini_(); }

  // n slots, checked.
  std::vector<char *> Take(uint32_t cls, size_t n) {
    std::vector<char *> tops;
    for (size_t i = 0; i < n; i++) {
      char *top = go_stack_get_(cls);
      EXPECT_NE(top, nullptr);
      if (top == nullptr) break;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(top) % Size(cls), 0u);
      tops.push_back(top);
    }
    std::vector<char *> sorted = tops;
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 1; i < sorted.size(); i++) {
      EXPECT_GE(static_cast<size_t>(sorted[i] - sorted[i - 1]), Size(cls)) << "slots overlap";
    }
    return tops;
  }
  static void Put(uint32_t cls, const std::vector<char *> &tops) {
    for (char *t : tops) go_stack_put_(cls, t);
  }
  // The lowest slot of a reservation has a guard of its own, inside.
  static char *Low(uint32_t cls, char *top) {
    char *low = go_stack_low_(cls, top);
    return Readable(low) ? low : low + GuardSize(cls, top);
  }
  static void ExpectConsistent() {
    go_stack_stats_ s = Stats();
    EXPECT_EQ(s.in_use + s.warm + s.cold, s.reserved);
    EXPECT_GE(s.reserved, s.credits + GO_STACK_CACHE_ * kProcs);
  }
};

TEST_F(Depot, SlotsDoNotOverlap) {
  for (uint32_t cls : {14u, 16u, 18u, 20u, 22u}) {
    std::vector<char *> tops = Take(cls, 300);
    std::set<char *> first(tops.begin(), tops.end());
    EXPECT_EQ(first.size(), 300u);
    Put(cls, tops);
    std::vector<char *> again = Take(cls, 300);  // the same ones
    EXPECT_EQ(std::set<char *>(again.begin(), again.end()), first);
    Put(cls, again);
  }
}

TEST_F(Depot, GuardsAreAroundEverySlot) {
  for (uint32_t cls : {14u, 16u, 18u, 21u}) {
    std::vector<char *> tops = Take(cls, 100);
    int wrong = 0;
    for (char *top : tops) {
      char *low = Low(cls, top), *high = go_stack_high_(cls, top);
      if (Readable(high) || Readable(top - 1)) wrong++;
      if (Readable(low - 1) || Readable(low - GuardSize(cls, top))) wrong++;
      if (!Readable(low) || !Readable(high - 1)) wrong++;
    }
    EXPECT_EQ(wrong, 0) << cls;
    Put(cls, tops);
  }
}

// From the lowest to the highest byte, by the kernel and by hand.
TEST_F(Depot, TheWholeSlotIsMemory) {
  int zero = open("/dev/zero", O_RDONLY);
  ASSERT_GE(zero, 0);
  for (uint32_t cls : {14u, 15u, 16u, 20u, kSanitized ? 20u : 26u}) {
    for (char *top : Take(cls, 3)) {
      char *low = Low(cls, top), *high = go_stack_high_(cls, top);
      auto size = static_cast<size_t>(high - low);
      EXPECT_GE(size, Size(cls) - 2 * GuardSize(cls, top));
      memset(low, 0x5a, size);
      EXPECT_EQ(low[0], 0x5a);
      EXPECT_EQ(high[-1], 0x5a);
      size_t done = 0;
      while (done < size) {
        ssize_t n = read(zero, low + done, size - done);
        ASSERT_GT(n, 0);
        done += static_cast<size_t>(n);
      }
      EXPECT_EQ(low[0], 0);
      EXPECT_EQ(high[-1], 0);
      EXPECT_EQ(std::count(low, high, 0), static_cast<ptrdiff_t>(size));
      ssize_t n = read(zero, high - 16, 32);  // across the guard: what fits, or nothing
      EXPECT_TRUE(n == 16 || (n < 0 && errno == EFAULT)) << n;
      go_stack_put_(cls, top);
    }
  }
  close(zero);
}

void Touch(char *p) { *reinterpret_cast<volatile char *>(p) = 1; }

TEST_F(Depot, TouchingAGuardIsAFault) {
  for (uint32_t cls : {14u, 18u, 20u}) {
    for (bool above : {false, true}) {
      ChildResult r = RunChild([=] {
        for (int sig : {SIGSEGV, SIGBUS}) signal(sig, SIG_DFL);
        (void)go_stack_get_(cls);
        char *top = go_stack_get_(cls);  // has a neighbour below
        char *low = Low(cls, top), *high = go_stack_high_(cls, top);
        Touch(low);
        Touch(high - 1);
        Touch(above ? high : low - 1);
        return 0;
      });
      EXPECT_TRUE(r.signal == SIGSEGV || r.signal == SIGBUS) << r;
    }
  }
}

TEST_F(Depot, CreditsAreCovered) {
  Rng rng(4);
  ExpectConsistent();
  std::vector<uint32_t> out;
  uint64_t sum = 0;
  for (int step = 0; step < 3000; step++) {
    if (out.empty() || rng.Below(5) < 3) {
      uint32_t n = 1 + rng.Below(64);
      ASSERT_EQ(go_stack_credit_(n), 0);
      out.push_back(n);
      sum += n;
    } else {
      size_t i = rng.Below(static_cast<uint32_t>(out.size()));
      go_stack_uncredit_(out[i]);
      sum -= out[i];
      out.erase(out.begin() + static_cast<ptrdiff_t>(i));
    }
    go_stack_stats_ s = Stats();
    ASSERT_EQ(s.credits, sum);
    ASSERT_GE(s.reserved, s.credits + GO_STACK_CACHE_ * kProcs);
    ASSERT_EQ(s.in_use, 0u);
  }
  ExpectConsistent();
  // All credits can be cashed in, beside full caches, without asking the system for anything.
  go_stack_stats_ before = Stats();
  size_t n = std::min<size_t>(before.credits, 2000) + GO_STACK_CACHE_ * kProcs;
  std::vector<char *> tops = Take(kCls, n);
  EXPECT_EQ(Stats().reserved, before.reserved);
  EXPECT_EQ(Stats().in_use, n);
  ExpectConsistent();
  Put(kCls, tops);
  EXPECT_GE(Stats().warm, n);  // some may have been made ready beyond n
  EXPECT_LT(Stats().warm, n + 16);
  ExpectConsistent();
  go_stack_uncredit_(static_cast<uint32_t>(sum));
  EXPECT_EQ(Stats().credits, 0u);
}

TEST_F(Depot, MorePsAreCovered) {
  ASSERT_EQ(go_stack_credit_(50), 0);
  for (uint32_t procs : {3u, 1u, 64u, 5u, 1024u}) {
    ASSERT_EQ(go_stack_procs_(procs), 0);
    EXPECT_GE(Stats().reserved, 50u + procs * GO_STACK_CACHE_);
  }
  uint64_t reserved = Stats().reserved;
  ASSERT_EQ(go_stack_procs_(2), 0);
  EXPECT_EQ(Stats().reserved, reserved);
  ASSERT_EQ(go_stack_credit_(100), 0);  // beside those for 1024
  EXPECT_GE(Stats().reserved, 150u + 1024 * GO_STACK_CACHE_);
  go_stack_uncredit_(150);
}

// What demand no longer needs is given back by and by; contents go, guards stay.
TEST_F(Depot, TrimGivesBack) {
  constexpr size_t kN = 1000;
  ASSERT_EQ(go_stack_credit_(kN), 0);
  std::vector<char *> tops = Take(kCls, kN);
  for (char *top : tops) {
    Touch(go_stack_high_(kCls, top) - 1);
    Touch(go_stack_high_(kCls, top) - 8192);
  }
  std::vector<char *> kept(tops.begin(), tops.begin() + 10);
  Put(kCls, std::vector<char *>(tops.begin() + 10, tops.end()));
  EXPECT_EQ(Stats().warm, kN - 10);
  uint64_t warm = Stats().warm;
  int calls = 0, next;
  while ((next = go_stack_trim_(64)) != GO_TRIM_DONE_) {
    ASSERT_LT(++calls, 1000);
    EXPECT_LE(Stats().warm, warm);
    EXPECT_GE(Stats().warm + 64, warm) << "more than asked for";
    warm = Stats().warm;
    ExpectConsistent();
  }
  EXPECT_EQ(Stats().warm, 0u);
  EXPECT_EQ(Stats().in_use, 10u);
  EXPECT_EQ(go_stack_trim_(64), GO_TRIM_DONE_);
  int dirty = 0, open_guards = 0;
  for (size_t i = 0; i < kN; i++) {
    char *high = go_stack_high_(kCls, tops[i]);
    bool zero = high[-1] == 0 && high[-8192] == 0;
    if (zero != (i >= 10)) dirty++;
    if (Readable(high)) open_guards++;
  }
  EXPECT_EQ(dirty, 0);
  EXPECT_EQ(open_guards, 0);
  Put(kCls, kept);
  // The cold ones are used again before anything new is.
  std::set<char *> first(tops.begin(), tops.end());
  for (char *top : Take(kCls, kN)) EXPECT_EQ(first.count(top), 1u);
  Put(kCls, tops);
  go_stack_uncredit_(kN);
}

// Steady demand keeps its stacks warm.
TEST_F(Depot, TrimLeavesWhatIsInDemand) {
  std::vector<char *> tops = Take(kCls, 100);
  Put(kCls, tops);
  for (int round = 0; round < 20; round++) {
    (void)go_stack_trim_(64);
    EXPECT_EQ(Stats().warm, 100u);
    Put(kCls, Take(kCls, 100));
  }
}

TEST_F(Depot, OtherClassesDoNotCount) {
  go_stack_stats_ before = Stats();
  Put(20, Take(20, 50));
  EXPECT_EQ(Stats().reserved, before.reserved);
  EXPECT_EQ(Stats().in_use, 0u);
  EXPECT_EQ(Stats().warm, 0u);
}

TEST_F(Depot, FreesAndStartsAnew) {
  for (int i = 0; i < 50; i++) {
    std::vector<char *> tops = Take(kCls, 40);
    Put(kCls, tops);
    go_stack_fini_();
    EXPECT_FALSE(Readable(tops[0] - 100));
    ASSERT_EQ(go_stack_init_(kCls, true, kProcs), 0);
    EXPECT_EQ(Stats().warm, 0u);
    ExpectConsistent();
  }
}

TEST_F(Depot, OverflowIsWithinAGuard) {
  (void)go_stack_get_(kCls);
  go_g_ g{};
  g.stack_top = go_stack_get_(kCls);
  g.stack_class = kCls;
  char *low = go_stack_low_(kCls, g.stack_top);
  EXPECT_TRUE(go_stack_overflowed_(&g, low - 1));
  EXPECT_TRUE(go_stack_overflowed_(&g, low - GuardSize(kCls, g.stack_top)));
  EXPECT_FALSE(go_stack_overflowed_(&g, low - GuardSize(kCls, g.stack_top) - 1));
  EXPECT_FALSE(go_stack_overflowed_(&g, go_stack_high_(kCls, g.stack_top)));
  EXPECT_FALSE(go_stack_overflowed_(&g, nullptr));
}

// ---- Under a scheduler.

size_t ResidentBytes() {
  size_t size = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == nullptr || fscanf(f, "%zu %zu", &size, &resident) != 2) resident = 0;
  if (f != nullptr) fclose(f);
  return resident * go_os_page_();
}

__attribute__((noinline)) int UseStack(size_t bytes) {
  volatile char frame[1024];
  for (size_t i = 0; i < sizeof frame; i += 64) frame[i] = static_cast<char>(bytes);
  return bytes > sizeof frame ? UseStack(bytes - sizeof frame) + frame[64] : frame[0];
}

TEST(Stacks, MemoryFallsAfterASpike) {
  RunGo([] {
    Procs procs(2);
    const int n = kSanitized ? 500 : 5000;
    const bool exact = !kSanitized && !Emulated();  // resident bytes are the program's alone
    for (int round = Rounds(2); round > 0; round--) {
      size_t before = ResidentBytes();
      Chan<Unit> hold(0);
      go_wg wg{};
      std::atomic<int> deep{0};
      for (int i = 0; i < n; i++) {
        SPAWN_WG(&wg, [&] {
          (void)UseStack(16 << 10);
          deep++;
          (void)hold.Recv(nullptr);
        });
      }
      Until([&] { return deep == n; });
      go_stack_stats_ s = Stats();
      EXPECT_GE(s.in_use, static_cast<uint64_t>(n));
      EXPECT_GE(s.credits, static_cast<uint64_t>(n));
      EXPECT_EQ(s.in_use + s.warm + s.cold, s.reserved);
      if (exact) {
        EXPECT_GT(ResidentBytes(), before + static_cast<size_t>(n) * (16 << 10));
      }
      hold.Close();
      go_wg_wait(&wg);
      size_t limit = before + static_cast<size_t>(n) * (4 << 10);
      int64_t end = go_now() + 20 * GO_SEC;
      while (go_now() < end && (Stats().warm > 0 || (exact && ResidentBytes() > limit))) {
        (void)go_sleep(nullptr, 5 * GO_MS);
      }
      s = Stats();
      EXPECT_EQ(s.warm, 0u);
      EXPECT_LE(s.in_use, 2u * GO_STACK_CACHE_ + 10);
      EXPECT_EQ(s.in_use + s.warm + s.cold, s.reserved);
      if (exact) {
        EXPECT_LE(ResidentBytes(), limit);
      }
    }
  });
}

// The credits of goroutines that live, and of Ps that come and go, are covered.
TEST(Stacks, CreditsUnderLoad) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    std::atomic<bool> done{false};
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&wg, [&] {
        while (!done) {
          go_wg inner{};
          for (int k = 0; k < 40; k++) {
            SPAWN_WG(&inner, [k] {
              if (k % 4 == 0) go_yield();
            });
          }
          go_wg_wait(&inner);
        }
      });
    }
    for (int i = 0; i < Rounds(300); i++) {
      (void)go_procs(1 + i % 5);
      go_stack_stats_ s = Stats();
      EXPECT_GE(s.reserved, s.credits + GO_STACK_CACHE_);
      EXPECT_EQ(s.in_use + s.warm + s.cold, s.reserved);
      EXPECT_GE(s.credits, 9u);
      (void)go_sleep(nullptr, 100 * GO_US);
    }
    done = true;
    go_wg_wait(&wg);
  });
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
}

// Stacks of sizes of their own go back to where they came from.
TEST(Stacks, OfOtherSizesAreUsedAgain) {
  RunGo([] {
    Procs procs(1);
    for (size_t size : {size_t(16) << 10, size_t(100) << 10, size_t(512) << 10}) {
      std::set<char *> tops;
      go_spawn_opts o{};
      o.stack_size = size;
      for (int i = 0; i < 200; i++) {
        go_wg wg{};
        go_wg_add(&wg, 1);
        MustStart(SpawnOptAt("sized", o, [&] {
          go_g_ *g = go_enter_()->cur;
          EXPECT_EQ(g->stack_class, go_stack_class_(size));
          char here;
          EXPECT_GT(&here, go_stack_low_(g->stack_class, g->stack_top));
          EXPECT_LT(&here, go_stack_high_(g->stack_class, g->stack_top));
          tops.insert(g->stack_top);
          go_wg_done(&wg);
        }));
        go_wg_wait(&wg);
        go_yield();
      }
      EXPECT_LE(tops.size(), 4u) << size;
    }
  });
}

// ---- Where guards are mappings: kernels before 6.13, by a filter that turns the new advice down. The
// kernel is asked once a process, so this program starts itself again.

constexpr char kOldKernel[] = "GOLIB_TEST_OLD_KERNEL";

void DenyGuardMarks() {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),           // the call's number
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 440, 3, 0),  // process_madvise
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16 + 2 * 8),  // its third argument
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {sizeof code / sizeof code[0], code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
    _exit(77);
}

// Runs this program anew with a filter, for the tests of one name.
void RunFiltered(const char *tests) {
  if (getenv(kOldKernel) != nullptr) GTEST_SKIP();
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  std::string filter = std::string("--gtest_filter=") + tests;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    setenv(kOldKernel, "1", 1);
    for (const char *name : {"XML_OUTPUT_FILE", "GTEST_OUTPUT", "TEST_TOTAL_SHARDS"})
      unsetenv(name);
    DenyGuardMarks();
    execl("/proc/self/exe", "test", filter.c_str(), static_cast<char *>(nullptr));
    _exit(76);
  }
  ASSERT_GT(pid, 0);
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no filters here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Guards, AsMappings) { RunFiltered("OldKernel.*:Depot.*-Depot.FreesAndStartsAnew"); }

class OldKernel : public testing::Test {
 protected:
  void SetUp() override {
    if (getenv(kOldKernel) == nullptr) GTEST_SKIP() << "run by Guards.AsMappings";
    ASSERT_FALSE(go_os_guard_is_cheap_());
  }
};

TEST_F(OldKernel, AThousandGoroutines) {
  RunGo([] {
    Procs procs(4);
    Chan<int> out(0);
    go_wg wg{};
    for (int i = 0; i < 1000; i++) {
      SPAWN_WG(&wg, [&out, i] {
        (void)UseStack(4 << 10);
        out.Send(i);
      });
    }
    int sum = 0;
    for (int i = 0; i < 1000; i++) sum += out.Take();
    EXPECT_EQ(sum, 999 * 1000 / 2);
    go_wg_wait(&wg);
  });
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
}

__attribute__((noinline)) int Endless(int n) {
  volatile char frame[256];
  frame[0] = static_cast<char>(n);
  return n < 0 ? 0 : Endless(n + 1) + frame[0];
}

TEST_F(OldKernel, OverflowIsReported) {
  for (size_t size : {size_t(0), size_t(64) << 10}) {
    ChildResult r = RunChild([=] {
      RunGo([=] {
        go_spawn_opts o{};
        o.stack_size = size;
        o.name = "deep one";
        CHILD_CHECK(SpawnOptAt("deep", o, [] { (void)Endless(0); }) == 0);
        (void)go_sleep(nullptr, GO_HOUR);
      });
      return 0;
    });
    EXPECT_EQ(r.signal, SIGABRT) << r;
    EXPECT_TRUE(r.Said("golib: stack overflow: goroutine")) << r;
    EXPECT_TRUE(r.Said("\"deep one\" exceeded")) << r;
  }
}

size_t MaxMappings() {
  std::ifstream f("/proc/sys/vm/max_map_count");
  size_t max = 0;
  f >> max;
  return max;
}

// Goroutines that wait until no more can be started: an error, which passes.
int UntilFull(const go_spawn_opts &o, int most, int *ret_rc) {
  go_wg wg{};
  go_mutex gate{};
  go_mutex_lock(&gate);
  int n = 0;
  *ret_rc = 0;
  for (; n < most && *ret_rc == 0; n++) {
    go_wg_add(&wg, 1);
    *ret_rc = SpawnOptAt("waiter", o, [&] {
      GO_DEFER([](void *w) { go_wg_done(static_cast<go_wg *>(w)); }, &wg);
      go_mutex_lock(&gate);
      go_mutex_unlock(&gate);
    });
    if (*ret_rc != 0) {
      go_wg_done(&wg);
      n--;
    }
  }
  go_mutex_unlock(&gate);
  go_wg_wait(&wg);
  return n;
}

TEST_F(OldKernel, RunningOutOfMappingsIsAnError) {
  size_t max = MaxMappings();
  if (max == 0 || max > 200000) GTEST_SKIP() << "too many to try";
  if (kTsan) GTEST_SKIP() << "a minute of making fibers";
  RunGo([=] {
    Procs procs(1);  // they run when all have been started, or could not be
    int most = static_cast<int>(max);
    int rc = 0;
    int first = UntilFull(go_spawn_opts{}, most, &rc);
    EXPECT_EQ(rc, GO_ENOMEM);
    EXPECT_GT(first, 1000);
    EXPECT_NE(std::string(go_stack_why_()).find("vm.max_map_count"), std::string::npos)
        << go_stack_why_();
    // Those slots are there: as many can live again.
    int second = UntilFull(go_spawn_opts{}, most, &rc);
    EXPECT_EQ(rc, GO_ENOMEM);
    EXPECT_GE(second + 200, first);
    // Other sizes have none left, or few, and say so too.
    go_spawn_opts o{};
    o.stack_size = 64 << 10;
    (void)UntilFull(o, most, &rc);
    EXPECT_EQ(rc, GO_ENOMEM);
    go_wg wg{};
    SPAWN_WG(&wg, [] { (void)UseStack(4096); });
    go_wg_wait(&wg);
  });
  // Stopping gives all of them back: there is room for as many as before.
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  RunGo([=] {
    Procs procs(1);
    int rc = 0;
    EXPECT_GT(UntilFull(go_spawn_opts{}, 3000, &rc), 1000);
  });
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
}

// The same by credits alone: they run out late, are not lost when they do, and come back.
TEST_F(OldKernel, CreditsRunOut) {
  size_t max = MaxMappings();
  if (max == 0 || max > 200000) GTEST_SKIP() << "too many to try";
  for (int round = 0; round < 3; round++) {
    ASSERT_EQ(go_stack_init_(16, true, 2), 0);
    uint32_t n = 0;
    while (n < max && go_stack_credit_(16) == 0) n += 16;
    EXPECT_LT(n, max / 2);
    EXPECT_GT(n, max / 4) << "room for guards was given away";
    go_stack_stats_ s = Stats();
    EXPECT_EQ(s.credits, n);
    EXPECT_GE(s.reserved, n + 2 * GO_STACK_CACHE_);
    EXPECT_NE(std::string(go_stack_why_()).find("vm.max_map_count"), std::string::npos)
        << go_stack_why_();
    go_stack_uncredit_(16);
    EXPECT_EQ(go_stack_credit_(16), 0);
    go_stack_fini_();
  }
}

// However often: guards that are gone count no more.
TEST_F(OldKernel, StartsAndStops) {
  for (int i = 0; i < 500; i++) {
    ASSERT_EQ(go_stack_init_(18, true, 4), 0) << i << ": " << go_stack_why_();
    go_stack_fini_();
  }
}

}  // namespace

#endif  // __linux__
