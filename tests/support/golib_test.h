// tests/support/golib_test.h: what the tests share: goroutines from lambdas, channels that free
// themselves, sizes that suit the build.
//
// Rules for tests:
// - EXPECT_ works on goroutines and threads alike. ASSERT_ returns from the lambda it stands in,
//   so it is for lambdas that hold nothing.
// - Never suspend inside an EXPECT_'s message: GoogleTest may hold its own lock there.
// - A panic and go_exit run GO_DEFER's calls, not C++ destructors: what lies between Catch() and
//   the panic owns nothing.
// - Every goroutine is joined (wait group, channel) before the locals it refers to go.
#ifndef GOLIB_TESTS_SUPPORT_GOLIB_TEST_H_
#define GOLIB_TESTS_SUPPORT_GOLIB_TEST_H_

#include <golib/golib.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace golib_test {

// ---- The build we are in.

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GOLIB_TEST_TSAN_ 1
#endif
#if __has_feature(address_sanitizer)
#define GOLIB_TEST_ASAN_ 1
#endif
#if __has_feature(memory_sanitizer)
#define GOLIB_TEST_MSAN_ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define GOLIB_TEST_TSAN_ 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GOLIB_TEST_ASAN_ 1
#endif

#if defined(GOLIB_TEST_TSAN_)
inline constexpr bool kTsan = true;
#else
inline constexpr bool kTsan = false;
#endif
#if defined(GOLIB_TEST_ASAN_)
inline constexpr bool kAsan = true;
#else
inline constexpr bool kAsan = false;
#endif
#if defined(GOLIB_TEST_MSAN_)
inline constexpr bool kMsan = true;
#else
inline constexpr bool kMsan = false;
#endif
inline constexpr bool kSanitized = kTsan || kAsan || kMsan;

// How many goroutines a test may have alive: TSan knows at most some 8,000 fibers and threads.
inline constexpr int Goroutines(int n) {
  return kTsan ? (n < 2000 ? n : 2000) : kSanitized ? (n < 10000 ? n : 10000) : n;
}
// A goroutine's stack when nobody says otherwise. Sanitizers shadow the address space: less there.
inline constexpr size_t kDefaultStack = static_cast<size_t>(kTsan || kAsan ? 1 : 64) << 20;
// How often a test repeats what it repeats: sanitizers cost a factor of about ten.
inline constexpr int Rounds(int n) { return kSanitized ? (n < 10 ? 1 : n / 10) : n; }
// How many of what a test makes a million of: $GOLIB_TEST_SCALE divides it, 10 under an emulator (tools/emu).
inline int Many(int n) {
  const char *s = std::getenv("GOLIB_TEST_SCALE");
  int by = s != nullptr ? std::atoi(s) : 1;
  return by > 1 ? n / by : n;
}

// ---- Goroutines from lambdas.

// A lambda on the heap. It is freed by a deferred call, which go_exit and panics run as well.
template <class Fn>
struct Boxed {
  static void Delete(void *p) { delete static_cast<Fn *>(p); }
  static void Run(void *p) {
    GO_DEFER(Delete, p);
    (*static_cast<Fn *>(p))();
  }
};

template <class F>
int SpawnAt(const char *site, F &&f) {
  using Fn = std::decay_t<F>;
  Fn *box = new Fn(std::forward<F>(f));
  int rc = go_spawn_site_(site, Boxed<Fn>::Run, box, 0);
  if (rc != 0) delete box;
  return rc;
}

template <class F>
int SpawnOptAt(const char *site, const go_spawn_opts &o, F &&f) {
  using Fn = std::decay_t<F>;
  Fn *box = new Fn(std::forward<F>(f));
  int rc = go_spawn_opt_site_(site, &o, Boxed<Fn>::Run, box, 0);
  if (rc != 0) delete box;
  return rc;
}

template <class F>
int SpawnWgAt(const char *site, go_wg *wg, F &&f) {
  using Fn = std::decay_t<F>;
  Fn *box = new Fn(std::forward<F>(f));
  int rc = go_wg_spawn_site_(site, wg, Boxed<Fn>::Run, box, 0);
  if (rc != 0) delete box;
  return rc;
}

inline void MustStart(int rc) {
  EXPECT_EQ(rc, 0) << "a goroutine could not be started: " << go_strerror(rc);
}

// Start the lambda as a goroutine; the second counts it in a wait group until it has ended and its
// captures are gone. A failure to start is a failure of the test.
#define SPAWN(...) ::golib_test::MustStart(::golib_test::SpawnAt(GO_SITE_("lambda"), __VA_ARGS__))
#define SPAWN_WG(wg, ...) \
  ::golib_test::MustStart(::golib_test::SpawnWgAt(GO_SITE_("lambda"), (wg), __VA_ARGS__))

template <class F>
void CallRef(void *p) {
  (*static_cast<F *>(p))();
}
template <class F>
void *RefOf(F &f) {
  return const_cast<void *>(static_cast<const void *>(std::addressof(f)));
}

// go_run of a lambda; returns go_run's code.
template <class F>
int TryRunGo(F &&f) {
  return go_run(CallRef<std::remove_reference_t<F>>, RefOf(f));
}
template <class F>
void RunGo(F &&f) {
  int rc = TryRunGo(f);
  EXPECT_EQ(rc, 0) << go_strerror(rc);
}

// go_try of a lambda. Not its own frame's destructors but go_try's contract is what is under test,
// so the lambda owns nothing.
struct Caught {
  int rc = 0;
  go_panic_info info{};
  std::string text() const { return info.text; }
};
template <class F>
Caught Catch(F &&f) {
  Caught c;
  c.rc = go_try(CallRef<std::remove_reference_t<F>>, RefOf(f), &c.info);
  return c;
}
template <class F>
bool Panics(F &&f) {
  return go_try(CallRef<std::remove_reference_t<F>>, RefOf(f), nullptr) == GO_EPANIC;
}

// ---- Waiting without believing in time.

// Gives other goroutines a fair chance to get where they will block. Only for tests that are right
// whatever happens here, and merely sharper when the others got there.
inline void Settle() {
  for (int i = 0; i < 10; i++) go_yield();
  (void)go_sleep(nullptr, 200 * GO_US);
  for (int i = 0; i < 10; i++) go_yield();
}

// Waits until pred() holds. If it never does the test runner's timeout ends the test.
template <class Pred>
void Until(Pred pred) {
  for (int i = 0; !pred(); i++) {
    if (i < 100) {
      go_yield();
    } else {
      (void)go_sleep(nullptr, 100 * GO_US);
    }
  }
}

// ---- Small things.

// GOMAXPROCS for the length of a block.
class Procs {
 public:
  explicit Procs(int n) : old_(go_procs(n)) {}
  ~Procs() { go_procs(old_); }
  Procs(const Procs &) = delete;
  Procs &operator=(const Procs &) = delete;

 private:
  int old_;
};

// splitmix64: small, seeded, the same everywhere.
class Rng {
 public:
  explicit Rng(uint64_t seed) : s_(seed) {}
  uint64_t Next() {
    uint64_t z = (s_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(Next() % n); }

 private:
  uint64_t s_;
};

// When a stress test shall end: $GOLIB_STRESS_SECONDS from now, 1 if unset.
inline go_nsec StressEnd() {
  const char *s = std::getenv("GOLIB_STRESS_SECONDS");
  double seconds = s != nullptr ? std::atof(s) : 1.0;
  return go_now() + static_cast<go_nsec>(seconds * static_cast<double>(GO_SEC));
}

// A channel of Ts with one reference; copies share it.
template <class T>
class Chan {
  static_assert(std::is_trivially_copyable<T>::value, "a channel copies bytes");

 public:
  explicit Chan(size_t cap = 0) : c_(go_chan_new(sizeof(T), cap)) {
    if (c_ == nullptr) ADD_FAILURE() << "go_chan_new(" << sizeof(T) << ", " << cap << ")";
  }
  Chan(const Chan &o) : c_(go_chan_ref(o.c_)) {}
  Chan(Chan &&o) noexcept : c_(o.c_) { o.c_ = nullptr; }
  Chan &operator=(Chan o) noexcept {
    std::swap(c_, o.c_);
    return *this;
  }
  ~Chan() { go_chan_unref(c_); }

  go_chan *get() const { return c_; }
  void Send(const T &v) const { go_chan_send(c_, &v); }
  bool Recv(T *v) const { return go_chan_recv(c_, v); }
  // The next element; a closed channel gives T{}.
  T Take() const {
    T v{};
    (void)go_chan_recv(c_, &v);
    return v;
  }
  int TrySend(const T &v) const { return go_chan_try_send(c_, &v); }
  int TryRecv(T *v) const { return go_chan_try_recv(c_, v); }
  void Close() const { go_chan_close(c_); }
  size_t Len() const { return go_chan_len(c_); }
  size_t Cap() const { return go_chan_cap(c_); }

 private:
  go_chan *c_;
};

inline go_case RecvCase(go_chan *c, void *v = nullptr) {
  go_case k{};
  k.ch = c;
  k.val = v;
  k.op = GO_RECV;
  return k;
}
inline go_case SendCase(go_chan *c, const void *v) {
  go_case k{};
  k.ch = c;
  k.val = const_cast<void *>(v);
  k.op = GO_SEND;
  return k;
}
template <class T>
go_case RecvCase(const Chan<T> &c, T *v) {
  return RecvCase(c.get(), static_cast<void *>(v));
}
template <class T>
go_case RecvCase(const Chan<T> &c) {
  return RecvCase(c.get(), nullptr);
}
template <class T>
go_case SendCase(const Chan<T> &c, const T *v) {
  return SendCase(c.get(), static_cast<const void *>(v));
}

// go_select over an array whose length the compiler knows.
template <int N>
int Select(go_case (&cases)[N]) {
  return go_select(nullptr, cases, N);
}
template <int N>
int SelectTry(go_case (&cases)[N]) {
  return go_select_try(cases, N);
}

// An element for signals only.
struct Unit {
  char c;
};

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_GOLIB_TEST_H_
