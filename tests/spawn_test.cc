// Starting goroutines: pointers, copies, options, the macros.

#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = UnsetEnv("GOLIB_STACK");

TEST(Spawn, PointerIsPassedAsItIs) {
  RunGo([] {
    static void *seen;
    static go_wg wg;
    seen = nullptr;
    go_wg_add(&wg, 1);
    int x;
    EXPECT_EQ(go_spawn(
                  [](void *p) {
                    seen = p;
                    go_wg_done(&wg);
                  },
                  &x),
              0);
    go_wg_wait(&wg);
    EXPECT_EQ(seen, &x);
    go_wg_add(&wg, 1);
    EXPECT_EQ(go_spawn(
                  [](void *p) {
                    seen = p;
                    go_wg_done(&wg);
                  },
                  nullptr),
              0);
    go_wg_wait(&wg);
    EXPECT_EQ(seen, nullptr);
  });
}

// The functions behind the macros, for those who take their addresses.
TEST(Spawn, AsFunctions) {
  RunGo([] {
    static Chan<int> *out;
    Chan<int> c(0);
    out = &c;
    auto send = +[](void *p) { out->Send(*static_cast<int *>(p)); };
    int (*spawn)(void (*)(void *), void *) = go_spawn;
    int (*copy)(void (*)(void *), const void *, size_t) = go_spawn_copy;
    int (*opt)(const go_spawn_opts *, void (*)(void *), const void *, size_t) = go_spawn_opt;
    int v = 1, w = 2;
    EXPECT_EQ(spawn(send, &v), 0);
    EXPECT_EQ(c.Take(), 1);
    EXPECT_EQ(copy(send, &w, sizeof w), 0);
    EXPECT_EQ(c.Take(), 2);
    go_spawn_opts o{};
    o.name = "by function";
    EXPECT_EQ(opt(&o, send, &v, 0), 0);
    EXPECT_EQ(c.Take(), 1);
    EXPECT_EQ(opt(nullptr, send, &w, sizeof w), 0);
    EXPECT_EQ(c.Take(), 2);
    EXPECT_EQ(copy(send, &w, SIZE_MAX), GO_EINVAL);
  });
}

// ---- go_spawn_copy.

// What is copied: a size, a wait group, and a pattern.
struct Head {
  size_t size;
  go_wg *wg;
  std::atomic<int> *bad;
  uint64_t seed;
};
unsigned char PatternAt(uint64_t seed, size_t i) {
  return static_cast<unsigned char>(seed + i * 131 + (i >> 8));
}

void FillCopyArgs(std::vector<unsigned char> *bytes, const Head &h) {
  for (size_t i = 0; i < bytes->size(); i++) (*bytes)[i] = PatternAt(h.seed, i);
  memcpy(bytes->data(), &h, sizeof h);
}

void CheckCopyArgs(void *p) {
  Head h;
  memcpy(&h, p, sizeof h);
  const unsigned char *bytes = static_cast<unsigned char *>(p);
  if (reinterpret_cast<uintptr_t>(p) % alignof(std::max_align_t) != 0) ++*h.bad;
  go_yield();  // they stay while others start and end
  for (size_t i = sizeof h; i < h.size; i++) {
    if (bytes[i] != PatternAt(h.seed, i)) {
      ++*h.bad;
      break;
    }
  }
  go_wg_done(h.wg);
}

TEST(SpawnCopy, EverySizeUpToHalfAStack) {
  RunGo([] {
    Procs procs(4);
    constexpr size_t kStack = static_cast<size_t>(64) << 10;
    std::atomic<int> bad{0};
    go_wg wg{};
    std::vector<size_t> sizes;
    for (size_t s = sizeof(Head); s < 300; s++) sizes.push_back(s);
    for (size_t s = 512; s <= kStack / 2; s *= 2) {
      sizes.push_back(s - 1);
      sizes.push_back(s);
      if (s < kStack / 2) sizes.push_back(s + 1);
    }
    uint64_t seed = 0;
    for (size_t size : sizes) {
      std::vector<unsigned char> bytes(size);
      for (int i = 0; i < 3; i++) {
        FillCopyArgs(&bytes, Head{size, &wg, &bad, ++seed});
        go_spawn_opts o{};
        o.stack_size = kStack;
        go_wg_add(&wg, 2);
        EXPECT_EQ(go_spawn_opt(&o, CheckCopyArgs, bytes.data(), size), 0) << size;
        EXPECT_EQ(go_spawn_copy(CheckCopyArgs, bytes.data(), size), 0) << size;
        memset(bytes.data(), 0xee, size);  // the caller's bytes are the caller's again
      }
    }
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
  });
}

TEST(SpawnCopy, LargeFractionsOfAStack) {
  RunGo([] {
    std::atomic<int> bad{0};
    go_wg wg{};
    for (size_t size : {kDefaultStack / 8, kDefaultStack / 3 + 17}) {
      std::vector<unsigned char> bytes(size);
      FillCopyArgs(&bytes, Head{size, &wg, &bad, size});
      go_wg_add(&wg, 1);
      EXPECT_EQ(go_spawn_copy(CheckCopyArgs, bytes.data(), size), 0);
      go_wg_wait(&wg);
    }
    EXPECT_EQ(bad, 0);
  });
}

// Small sizes: fewer bytes than any header.
TEST(SpawnCopy, OneToEightBytes) {
  RunGo([] {
    static Chan<uint64_t> *out;
    Chan<uint64_t> c(0);
    out = &c;
    const unsigned char bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    EXPECT_EQ(go_spawn_copy([](void *p) { out->Send(*static_cast<unsigned char *>(p)); }, bytes, 1),
              0);
    EXPECT_EQ(c.Take(), 1u);
    EXPECT_EQ(go_spawn_copy(
                  [](void *p) {
                    uint64_t v = 0;
                    memcpy(&v, p, 7);
                    out->Send(v);
                  },
                  bytes, 7),
              0);
    uint64_t seven = 0;
    memcpy(&seven, bytes, 7);
    EXPECT_EQ(c.Take(), seven);
  });
}

TEST(SpawnCopy, HostileSizesAreRefused) {
  RunGo([] {
    Until([] { return go_count() == 1; });  // those of earlier tests are on their last steps
    static bool ran;
    ran = false;
    char byte = 0;
    const size_t max = SIZE_MAX, pmax = static_cast<size_t>(PTRDIFF_MAX);
    for (size_t size : {max, max - 1, max - 15, max - 4095, max / 2, pmax, pmax + 1,
                        static_cast<size_t>(1) << 47, static_cast<size_t>(1) << 31}) {
      EXPECT_EQ(go_spawn_copy([](void *) { ran = true; }, &byte, size), GO_EINVAL) << size;
      EXPECT_EQ(go_spawn_opt(
                    nullptr, [](void *) { ran = true; }, &byte, size),
                GO_EINVAL)
          << size;
    }
    go_spawn_opts o{};
    for (size_t stack : {static_cast<size_t>(16) << 10, static_cast<size_t>(256) << 10}) {
      o.stack_size = stack;
      for (size_t size : {stack / 2 + 1, stack, stack + 1, 2 * stack, max}) {
        EXPECT_EQ(go_spawn_opt(
                      &o, [](void *) { ran = true; }, &byte, size),
                  GO_EINVAL)
            << size;
      }
    }
    EXPECT_EQ(go_count(), 1);
    for (int i = 0; i < 10; i++) go_yield();
    EXPECT_FALSE(ran);
  });
}

// The default stack is 64 MiB, or what GOLIB_STACK says: half of it can be arguments.
TEST(SpawnCopy, HalfOfTheDefaultStack) {
  if (getenv("GOLIB_STACK") != nullptr) GTEST_SKIP() << "another default is in force";
  RunGo([] {
    constexpr size_t kHalf = kDefaultStack / 2;
    std::vector<unsigned char> bytes(kHalf + 1);
    std::atomic<int> bad{0};
    go_wg wg{};
    FillCopyArgs(&bytes, Head{kHalf, &wg, &bad, 5});
    go_wg_add(&wg, 1);
    EXPECT_EQ(go_spawn_copy(CheckCopyArgs, bytes.data(), kHalf), 0);
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(go_spawn_copy(CheckCopyArgs, bytes.data(), kHalf + 1), GO_EINVAL);
  });
}

// ---- Options.

TEST(SpawnOpt, StackSizesOutOfRange) {
  RunGo([] {
    Until([] { return go_count() == 1; });
    for (size_t size :
         {static_cast<size_t>(1), static_cast<size_t>(8) << 10, (static_cast<size_t>(16) << 10) - 1,
          (static_cast<size_t>(1) << 30) + 1, static_cast<size_t>(1) << 31, SIZE_MAX}) {
      go_spawn_opts o{};
      o.stack_size = size;
      EXPECT_EQ(SpawnOptAt("bad", o, [] { ADD_FAILURE() << "must not run"; }), GO_EINVAL) << size;
    }
    EXPECT_EQ(go_count(), 1);
  });
}

TEST(SpawnOpt, AllZeroAndNullAreDefaults) {
  RunGo([] {
    Chan<int> c(0);
    go_spawn_opts o{};
    EXPECT_EQ(SpawnOptAt("default", o, [c] { c.Send(1); }), 0);
    EXPECT_EQ(c.Take(), 1);
    auto send = [](void *p) {
      int v = 2;
      go_chan_send(static_cast<go_chan *>(p), &v);
    };
    EXPECT_EQ(go_spawn_opt(nullptr, send, c.get(), 0), 0) << "with size 0 the pointer is passed";
    EXPECT_EQ(c.Take(), 2);
  });
}

// The name is copied, cut to 31 bytes, seen in a panic's information, and can be changed.
TEST(SpawnOpt, Name) {
  RunGo([] {
    Chan<go_panic_info> infos(1);
    auto name_of_panic = [&infos] {
      Caught c = Catch([] { go_panic("look"); });
      infos.Send(c.info);
    };
    go_spawn_opts o{};
    char name[80] = "worker seven";
    o.name = name;
    EXPECT_EQ(SpawnOptAt("named", o, name_of_panic), 0);
    memset(name, 'z', sizeof name - 1);
    EXPECT_STREQ(infos.Take().name, "worker seven");
    EXPECT_EQ(SpawnOptAt("named", o, name_of_panic), 0);
    EXPECT_EQ(std::string(infos.Take().name), std::string(31, 'z'));
    SPAWN([&] {
      go_set_name("renamed");
      name_of_panic();
      go_set_name(std::string(100, 'q').c_str());
      name_of_panic();
      go_set_name(nullptr);
      name_of_panic();
    });
    EXPECT_STREQ(infos.Take().name, "renamed");
    EXPECT_EQ(std::string(infos.Take().name), std::string(31, 'q'));
    EXPECT_STREQ(infos.Take().name, "");
    // A name belongs to its goroutine, not to the storage that the next one may get.
    SPAWN(name_of_panic);
    EXPECT_STREQ(infos.Take().name, "");
  });
}

// ---- GO_FUNC and GO.

GO_CHAN_TYPE(intchan, int);

std::atomic<int> g_calls{0};
GO_FUNC(no_args) { g_calls++; }
GO_FUNC(one_arg, (int *, p)) { *p = 1; }
GO_FUNC(square, (int, v), (intchan, out)) { intchan_send(out, v * v); }
struct Pair {
  double x;
  char tag[24];
};
GO_FUNC(eight, (char, a), (short, b), (int, c), (long, d), (float, e), (Pair, f), (const char *, g),
        (intchan, out)) {
  int ok = a == 'a' && b == -2 && c == 3 && d == 2000000000L && e == 5.5f && f.x == 6.25 &&
           strcmp(f.tag, "tag") == 0 && strcmp(g, "seven") == 0;
  intchan_send(out, ok);
}

TEST(GoMacro, ArgumentsOfEveryKind) {
  RunGo([] {
    intchan out = intchan_new(0);
    int v = 0;
    int before = g_calls;
    EXPECT_EQ(GO(no_args), 0);
    Until([before] { return g_calls == before + 1; });
    EXPECT_EQ(GO(square, 7, out), 0);
    EXPECT_TRUE(intchan_recv(out, &v));
    EXPECT_EQ(v, 49);
    Pair pair{6.25, "tag"};
    EXPECT_EQ(GO(eight, 'a', static_cast<short>(-2), 3, 2000000000L, 5.5f, pair, "seven", out), 0);
    EXPECT_TRUE(intchan_recv(out, &v));
    EXPECT_EQ(v, 1);
    intchan_unref(out);
  });
}

TEST(GoMacro, IsAnOrdinaryFunctionToo) {
  RunGo([] {
    int x = 0;
    one_arg(&x);
    EXPECT_EQ(x, 1);
    int before = g_calls;
    no_args();
    EXPECT_EQ(g_calls, before + 1);
  });
}

// Go: "the go statement evaluates the function value and parameters as usual in the calling
// goroutine".
TEST(GoMacro, ArgumentsAreEvaluatedNow) {
  RunGo([] {
    intchan out = intchan_new(16);
    for (int i = 0; i < 10; i++) EXPECT_EQ(GO(square, i, out), 0);
    int sum = 0;
    for (int i = 0; i < 10; i++) {
      int v = 0;
      EXPECT_TRUE(intchan_recv(out, &v));
      sum += v;
    }
    EXPECT_EQ(sum, 285);
    intchan_unref(out);
  });
}

TEST(GoMacro, WithWaitGroup) {
  RunGo([] {
    go_wg wg{};
    int x[10] = {};
    for (int &v : x) EXPECT_EQ(GO_WG(&wg, one_arg, &v), 0);
    EXPECT_EQ(GO_WG(&wg, no_args), 0);
    go_wg_wait(&wg);
    for (int v : x) EXPECT_EQ(v, 1);
  });
}

// ---- Many.

TEST(SpawnMany, BurstsOfShortOnes) {
  RunGo([] {
    Procs procs(4);
    std::atomic<int> n{0};
    constexpr int kBurst = Goroutines(20000);
    for (int round = 0; round < 5; round++) {
      go_wg wg{};
      for (int i = 0; i < kBurst; i++) SPAWN_WG(&wg, [&] { n++; });
      go_wg_wait(&wg);
    }
    EXPECT_EQ(n, 5 * kBurst);
  });
}

// Each goroutine starts the next: they come and go one by one.
void Relay(int left, const Chan<int> &end) {
  if (left == 0) {
    end.Send(1);
    return;
  }
  SPAWN([left, end] { Relay(left - 1, end); });
}
TEST(SpawnMany, Relay) {
  RunGo([] {
    Chan<int> end(0);
    Relay(Rounds(100000), end);
    EXPECT_EQ(end.Take(), 1);
  });
}

// A tree: every goroutine starts two and does not wait.
void Grow(int depth, std::atomic<int> *leaves, go_wg *wg) {
  if (depth == 0) {
    ++*leaves;
    return;
  }
  for (int i = 0; i < 2; i++) SPAWN_WG(wg, [=] { Grow(depth - 1, leaves, wg); });
}
TEST(SpawnMany, Tree) {
  RunGo([] {
    Procs procs(4);
    constexpr int kDepth = kSanitized ? 9 : 14;
    std::atomic<int> leaves{0};
    go_wg wg{};
    Grow(kDepth, &leaves, &wg);
    go_wg_wait(&wg);
    EXPECT_EQ(leaves, 1 << kDepth);
  });
}

}  // namespace
