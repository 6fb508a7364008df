// core/os.h on Linux.
#if defined(__linux__)

extern "C" {
#define _Noreturn [[noreturn]]
#include "core/os.h"
#undef _Noreturn
// os/linux/linux.h, which is not for others to include.
int go_os_cgroup_cpus_(const char *root);
}

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child.h"

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || \
    __has_feature(memory_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

constexpr int64_t kMs = 1000000;

// Runs fn in a child process: its wait status, and what it wrote on standard error.
int InChild(const std::function<void()> &fn, std::string *said = nullptr) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    dup2(fds[1], 2);
    close(fds[0]);
    close(fds[1]);
    fn();
    _exit(0);
  }
  close(fds[1]);
  std::string text;
  char buf[4096];
  for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0;)
    text.append(buf, static_cast<size_t>(n));
  close(fds[0]);
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (golib_test::Emulated()) {  // what qemu has to say of a signal that ends the process
    size_t at = text.find("qemu: uncaught target signal");
    if (at != std::string::npos) text.erase(at, text.find('\n', at) + 1 - at);
  }
  if (said != nullptr) *said = text;
  return status;
}
bool DiedOf(int status, int sig) { return WIFSIGNALED(status) && WTERMSIG(status) == sig; }
bool Exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

// Whether the kernel can read there.
bool Readable(const void *p) {
  return access(static_cast<const char *>(p), F_OK) == 0 || errno != EFAULT;
}

size_t Page() { return go_os_page_(); }

// ---- threads

TEST(Thread, RunsAndJoins) {
  std::atomic<int> x{0};
  go_os_thread_ t;
  ASSERT_EQ(go_os_thread_start_(
                &t, [](void *p) { static_cast<std::atomic<int> *>(p)->store(7); }, &x),
            0);
  go_os_thread_join_(&t);
  EXPECT_EQ(x, 7);
}

TEST(Thread, DetachedOnesRunToo) {
  static std::atomic<int> runs{0};
  go_os_thread_ t;
  ASSERT_EQ(go_os_thread_start_(
                &t, [](void *) { runs++; }, nullptr),
            0);
  go_os_thread_detach_(&t);
  while (runs == 0) go_os_yield_();
}

TEST(Thread, HasRoomNameAndTheCallersSignals) {
  struct Seen {
    size_t size;
    char name[16];
    sigset_t mask;
  } seen;
  sigset_t usr1, old;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, &old);
  go_os_thread_ t;
  int rc = go_os_thread_start_(
      &t,
      [](void *p) {
        Seen *s = static_cast<Seen *>(p);
        pthread_attr_t attr;
        pthread_getattr_np(pthread_self(), &attr);
        pthread_attr_getstacksize(&attr, &s->size);
        pthread_attr_destroy(&attr);
        go_os_thread_name_("longer than fifteen bytes");
        pthread_getname_np(pthread_self(), s->name, sizeof s->name);
        pthread_sigmask(SIG_BLOCK, nullptr, &s->mask);
      },
      &seen);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ASSERT_EQ(rc, 0);
  go_os_thread_join_(&t);
  EXPECT_GE(seen.size, 256u << 10);
  EXPECT_STREQ(seen.name, "longer than fif");
  EXPECT_TRUE(sigismember(&seen.mask, SIGUSR1));
  EXPECT_FALSE(sigismember(&seen.mask, SIGUSR2));
}

// The stack holds 256 KiB whatever the program has of thread-locals.
thread_local char big_tls[600 << 10];
TEST(Thread, BigThreadLocalsDoNotEatTheStack) {
  go_os_thread_ t;
  ASSERT_EQ(go_os_thread_start_(
                &t,
                [](void *) {
                  volatile char room[200 << 10];
                  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = big_tls[i];
                  big_tls[1] = room[0];
                },
                nullptr),
            0);
  go_os_thread_join_(&t);
}

TEST(Thread, FailsWithACodeWhenThereMayBeNoMore) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers cannot do with little address space";
  int status = InChild([] {
    // Address space runs out: not even root has more.
    struct rlimit little = {64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &little);
    for (int i = 0; i < 1000; i++) {
      go_os_thread_ t = {123};
      errno = 5;
      int rc = go_os_thread_start_(
          &t, [](void *) { pause(); }, nullptr);
      if (errno != 5) _exit(1);
      if (rc != 0) _exit((rc == -EAGAIN || rc == -ENOMEM) && t.handle == 123 ? 0 : 2);
    }
    _exit(3);
  });
  EXPECT_TRUE(Exited(status, 0)) << status;
}

TEST(Thread, Count) {
  int before = go_os_thread_count_();
  ASSERT_GE(before, 1);
  uint32_t gate = 0;
  std::vector<go_os_thread_> threads(5);
  for (auto &t : threads)
    ASSERT_EQ(go_os_thread_start_(
                  &t,
                  [](void *g) {
                    auto *gate_p = static_cast<uint32_t *>(g);
                    while (__atomic_load_n(gate_p, __ATOMIC_ACQUIRE) == 0)
                      go_os_futex_wait_(gate_p, 0, -1);
                  },
                  &gate),
              0);
  EXPECT_EQ(go_os_thread_count_(), before + 5);
  __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
  go_os_futex_wake_(&gate, 100);
  for (auto &t : threads) go_os_thread_join_(&t);
  for (int i = 0; i < 1000 && go_os_thread_count_() != before; i++)
    usleep(1000);  // join returns a little early
  EXPECT_EQ(go_os_thread_count_(), before);
}

TEST(Thread, CountsOneInAProcessOfOne) {
  if (golib_test::Emulated()) GTEST_SKIP() << "the emulator has a thread of its own";
  int status = InChild([] { _exit(go_os_thread_count_()); });
  // A sanitizer's own thread does not live on in a forked child.
  EXPECT_TRUE(kSanitized || Exited(status, 1)) << status;
}

std::string exit_order;
TEST(Thread, AtExitRunsAfterOtherDestructors) {
  exit_order.clear();
  static pthread_key_t later;
  std::thread([] {
    EXPECT_EQ(go_os_at_thread_exit_([](void *p) { exit_order += static_cast<const char *>(p); },
                                    const_cast<char *>("golib ")),
              0);
    // Made later, so its destructor would come later in the same round.
    pthread_key_create(&later, [](void *) { exit_order += "key "; });
    pthread_setspecific(later, &later);
    struct Local {
      ~Local() { exit_order += "local "; }
    };
    static thread_local Local local;
    (void)&local;
    exit_order += "fn ";
  }).join();
  pthread_key_delete(later);
  EXPECT_EQ(exit_order, "fn local key golib ");
}

// ---- CPUs

TEST(Cpus, AtLeastOneAndNotMoreThanThereAre) {
  int n = go_os_cpus_();
  EXPECT_GE(n, 1);
  EXPECT_LE(n, sysconf(_SC_NPROCESSORS_CONF));
}

TEST(Cpus, AffinityCounts) {
  std::thread([] {
    cpu_set_t all, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
      if (CPU_ISSET(i, &all)) {
        CPU_SET(i, &one);
        break;
      }
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(go_os_cpus_(), 1);
  }).join();
}

// A directory tree that stands in for the system's files.
class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    const char *tmp = getenv("TEST_TMPDIR");
    std::string pattern = std::string(tmp != nullptr ? tmp : "/tmp") + "/cgroupXXXXXX";
    root_ = mkdtemp(&pattern[0]);
  }
  void Put(const std::string &path, const std::string &text) {
    for (size_t i = 1; (i = path.find('/', i)) != std::string::npos; i++)
      mkdir((root_ + path.substr(0, i)).c_str(), 0700);
    std::ofstream(root_ + path) << text;
  }
  int Cpus() { return go_os_cgroup_cpus_(root_.c_str()); }
  void Group(const std::string &s) { Put("/proc/self/cgroup", s); }
  void Mounts(const std::string &s) { Put("/proc/self/mountinfo", s); }
  const std::string kV2 =
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
  std::string root_;
};

TEST_F(Cgroup, NoneWithoutFiles) { EXPECT_EQ(Cpus(), 0); }

TEST_F(Cgroup, V2QuotaIsRoundedUp) {
  Group("0::/a/b\n");
  Mounts("22 1 8:1 / / rw - ext4 /dev/root rw\n" + kV2);
  Put("/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
  EXPECT_EQ(Cpus(), 3);
  Put("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cpus(), 2);
  Put("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
  EXPECT_EQ(Cpus(), 1);
  Put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(Cpus(), 0);
}

TEST_F(Cgroup, V2AncestorsCount) {
  Group("0::/a/b/c\n");
  Mounts(kV2);
  Put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  Put("/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
  Put("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
  EXPECT_EQ(Cpus(), 4);
  // The top of a container that has a namespace of its own.
  Put("/sys/fs/cgroup/cpu.max", "150000 50000\n");
  EXPECT_EQ(Cpus(), 3);
}

TEST_F(Cgroup, V2AtTheTop) {
  Group("0::/\n");
  Mounts(kV2);
  Put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Cpus(), 1);
}

TEST_F(Cgroup, V2MountOfAPart) {
  Group("0::/docker/0123/init\n");
  Mounts("30 23 0:26 /docker/0123 /cg rw - cgroup2 cgroup2 rw\n");
  Put("/cg/init/cpu.max", "max 100000\n");
  Put("/cg/cpu.max", "600000 100000\n");
  EXPECT_EQ(Cpus(), 6);
}

TEST_F(Cgroup, V2MountOfAnotherPart) {
  Group("0::/../other\n");
  Mounts(kV2);
  Put("/sys/fs/cgroup/cpu.max", "700000 100000\n");
  EXPECT_EQ(Cpus(), 7);
  Group("0::/elsewhere\n");
  Mounts("30 23 0:26 /else /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(Cpus(), 7);
}

TEST_F(Cgroup, V1) {
  Group("7:memory:/m\n4:cpu,cpuacct:/x/y\n3:cpuset:/z\n1:name=systemd:/cpu\n0::/u\n");
  Mounts(
      "31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
      std::string("30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"));
  const std::string dir = "/sys/fs/cgroup/cpu,cpuacct";
  Put(dir + "/x/y/cpu.cfs_quota_us", "-1\n");
  Put(dir + "/x/y/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 0);
  Put(dir + "/x/cpu.cfs_quota_us", "350000\n");
  Put(dir + "/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 4);
  // Both kinds at once: the smaller.
  Put("/sys/fs/cgroup/unified/u/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cpus(), 2);
}

TEST_F(Cgroup, OddPathsAndLongFiles) {
  Group("0::/a b\n");
  std::string mounts;
  for (int i = 0; i < 500; i++)
    mounts += "99 23 0:26 / /mnt/" + std::to_string(i) +
              " rw - overlay overlay rw,lowerdir=" + std::string(90, 'x') + "\n";
  Mounts(mounts + "30 23 0:26 / /my\\040cg rw - cgroup2 none rw");
  Put("/my cg/a b/cpu.max", "500000 100000");
  EXPECT_EQ(Cpus(), 5);
}

TEST_F(Cgroup, GarbageIsNoLimit) {
  Mounts(kV2);
  for (const char *text : {"", "\n", ":::\n", "0::", "0::/a", "x"}) {
    Group(text);
    for (const char *max :
         {"", "max", "-1 100000", "100000", "100000 0", "a b", "999999999999999999 1"}) {
      Put("/sys/fs/cgroup/a/cpu.max", max);
      EXPECT_EQ(Cpus(), 0) << text << "|" << max;
    }
  }
  for (const char *text :
       {"", " - ", "1 2 3 4 5 - cgroup2", "1 2 3 - cgroup2 a b\n\n - \n", "30 23 0:26 / /x rw"}) {
    Mounts(text);
    EXPECT_EQ(Cpus(), 0) << text;
  }
}

// ---- waiting

TEST(Futex, ReturnsAtOnceWhenTheValueDiffers) {
  uint32_t word = 1;
  errno = 5;
  EXPECT_EQ(go_os_futex_wait_(&word, 0, -1), 0);
  EXPECT_EQ(go_os_futex_wait_(&word, 0, 0), 0);
  EXPECT_EQ(errno, 5);
}

TEST(Futex, TimesOut) {
  uint32_t word = 0;
  errno = 5;
  EXPECT_EQ(go_os_futex_wait_(&word, 0, 0), -ETIMEDOUT);
  for (int64_t ns : {int64_t(1), 50000 * int64_t(1), 5 * kMs}) {
    int64_t t = go_os_now_();
    EXPECT_EQ(go_os_futex_wait_(&word, 0, ns), -ETIMEDOUT);
    EXPECT_GE(go_os_now_() - t, ns);
  }
  EXPECT_EQ(errno, 5);
}

struct Waiter {
  uint32_t word = 0;
  std::atomic<bool> in{false}, out{false};
  int rc = 99;
  int64_t ns = -1, took = 0;
  static void Run(void *p) {
    auto *w = static_cast<Waiter *>(p);
    w->in = true;
    int64_t t = go_os_now_();
    w->rc = go_os_futex_wait_(&w->word, 0, w->ns);
    w->took = go_os_now_() - t;
    w->out = true;
  }
};

TEST(Futex, Wakes) {
  for (int64_t ns : {int64_t(-1), INT64_MAX, 3600 * 1000 * kMs}) {
    Waiter w;
    w.ns = ns;
    go_os_thread_ t;
    ASSERT_EQ(go_os_thread_start_(&t, Waiter::Run, &w), 0);
    usleep(5000);
    EXPECT_FALSE(w.out);
    __atomic_store_n(&w.word, 1, __ATOMIC_RELEASE);
    go_os_futex_wake_(&w.word, 1);
    go_os_thread_join_(&t);
    EXPECT_EQ(w.rc, 0);
  }
}

TEST(Futex, SignalsNeitherEndNorStretchIt) {
  struct sigaction sa = {}, old;
  sa.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGUSR1, &sa, &old);
  Waiter w;
  w.ns = 50 * kMs;
  std::thread t(Waiter::Run, &w);
  while (!w.in) {}
  while (!w.out) {
    pthread_kill(t.native_handle(), SIGUSR1);
    usleep(1000);
  }
  t.join();
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(w.rc, -ETIMEDOUT);
  EXPECT_GE(w.took, 50 * kMs);
  EXPECT_LT(w.took, 5000 * kMs);
}

TEST(Futex, WakeOfMemoryThatIsGoneDoesNoHarm) {
  void *p = mmap(nullptr, Page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(p, Page());
  errno = 5;
  go_os_futex_wake_(static_cast<uint32_t *>(p), 1);
  EXPECT_EQ(errno, 5);
}

TEST(Clock, GoesForward) {
  int64_t last = go_os_now_();
  for (int i = 0; i < 1000; i++) {
    int64_t t = go_os_now_();
    EXPECT_GE(t, last);
    last = t;
  }
}

TEST(Random, DoesNotRepeat) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; i++) seen.insert(go_os_random_());
  EXPECT_EQ(seen.size(), 1000u);
}

// ---- memory

long Status(const char *key) {
  std::ifstream f("/proc/self/status");
  for (std::string line; std::getline(f, line);)
    if (line.compare(0, strlen(key), key) == 0)
      return strtol(line.c_str() + strlen(key) + 1, nullptr, 10);
  return -1;
}

// The flags of the mapping that p is in ("rd wr mr mw me nr nh").
std::string VmFlags(const void *p) {
  std::ifstream f("/proc/self/smaps");
  bool in = false;
  for (std::string line; std::getline(f, line);) {
    unsigned long lo, hi;
    if (sscanf(line.c_str(), "%lx-%lx ", &lo, &hi) == 2)
      in = lo <= (unsigned long)p && (unsigned long)p < hi;
    if (in && line.compare(0, 8, "VmFlags:") == 0) return line + " ";
  }
  return "";
}

TEST(Memory, ReserveIsAlignedZeroAndFree) {
  if (golib_test::Emulated()) GTEST_SKIP() << "the emulator leaves MADV_NOHUGEPAGE out";
  for (size_t align :
       {Page(), size_t(64) << 10, size_t(2) << 20, size_t(64) << 20, size_t(1) << 30}) {
    size_t size = size_t(1) << 30;
    long rss = Status("VmRSS:");
    char *p = static_cast<char *>(go_os_reserve_(size, align));
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % align, 0u);
    EXPECT_EQ(p[0], 0);
    p[0] = 1;
    p[size - 1] = 1;
    if (!kSanitized) {
      EXPECT_LT(Status("VmRSS:"), rss + 1024);
      std::string flags = VmFlags(p);
      if (!flags.empty()) {
        EXPECT_NE(flags.find(" nr "), std::string::npos) << flags;  // no swap reserved
        EXPECT_NE(flags.find(" nh "), std::string::npos) << flags;  // no huge pages
      }
    }
    go_os_release_(p, size);
    EXPECT_FALSE(Readable(p));
    EXPECT_FALSE(Readable(p + size - 1));
  }
}

TEST(Memory, ReserveTrims) {
  // Whatever is cut off is given back: a second reservation may lie anywhere, the first one ends
  // where it should.
  size_t align = size_t(64) << 20;
  char *p = static_cast<char *>(go_os_reserve_(Page(), align));
  ASSERT_NE(p, nullptr);
  std::ifstream f("/proc/self/maps");
  for (std::string line; std::getline(f, line);) {
    unsigned long lo, hi;
    ASSERT_EQ(sscanf(line.c_str(), "%lx-%lx", &lo, &hi), 2);
    bool in = lo <= (unsigned long)p && (unsigned long)p < hi;
    EXPECT_TRUE(!in || hi - lo < size_t(1) << 20) << line;
  }
  go_os_release_(p, Page());
}

TEST(Memory, ReserveSaysNo) {
  errno = 5;
  EXPECT_EQ(go_os_reserve_(size_t(1) << 62, Page()), nullptr);
  EXPECT_EQ(go_os_reserve_(SIZE_MAX - Page() + 1, size_t(1) << 30), nullptr);
  EXPECT_EQ(errno, 5);
}

TEST(Memory, ReserveIsNotTouchedByMlockall) {
  if (kSanitized) GTEST_SKIP() << "sanitizers ignore mlockall";
  int status = InChild([] {
    struct rlimit r;
    getrlimit(RLIMIT_MEMLOCK, &r);
    if (mlockall(MCL_FUTURE) != 0) _exit(3);
    char *p = static_cast<char *>(go_os_reserve_(size_t(256) << 20, Page()));
    if (p == nullptr) _exit(3);  // over the limit of locked memory
    if (Status("VmRSS:") > 100 << 10) _exit(1);
    if (go_os_guard_(p, Page(), nullptr) != 0 || Readable(p)) _exit(2);
  });
  EXPECT_TRUE(Exited(status, 0) || Exited(status, 3)) << status;
}

class Guard : public testing::Test {
 protected:
  void SetUp() override { p_ = static_cast<char *>(go_os_reserve_(16 * Page(), Page())); }
  void TearDown() override { go_os_release_(p_, 16 * Page()); }
  char *P(int i) { return p_ + static_cast<size_t>(i) * Page(); }
  char *p_;
};

TEST_F(Guard, FaultsAndLosesTheContents) {
  const char *why = nullptr;
  for (int i = 0; i < 16; i++) *P(i) = 1;
  errno = 5;
  ASSERT_EQ(go_os_guard_(P(4), 2 * Page(), &why), 0);
  EXPECT_EQ(errno, 5);
  EXPECT_EQ(why, nullptr);
  EXPECT_TRUE(Readable(P(3)));
  EXPECT_FALSE(Readable(P(4)));
  EXPECT_FALSE(Readable(P(5)));
  EXPECT_TRUE(Readable(P(6)));
  ASSERT_EQ(go_os_unguard_(P(4), 2 * Page()), 0);
  EXPECT_EQ(*P(4), 0);
  EXPECT_EQ(*P(5), 0);
  EXPECT_EQ(*P(3), 1);
  *P(5) = 1;
}

TEST_F(Guard, StaysWhenMemoryIsDropped) {
  for (int i = 0; i < 16; i++) *P(i) = 1;
  ASSERT_EQ(go_os_guard_(P(4), Page(), nullptr), 0);
  errno = 5;
  go_os_decommit_(p_, 16 * Page());
  EXPECT_EQ(errno, 5);
  EXPECT_FALSE(Readable(P(4)));
  for (int i = 0; i < 16; i++) EXPECT_TRUE(i == 4 || *P(i) == 0) << i;
  ASSERT_EQ(go_os_unguard_(P(4), Page()), 0);
  EXPECT_EQ(*P(4), 0);
}

TEST_F(Guard, ManyRangesAreDroppedAtOnce) {
  for (size_t n : {0, 1, 2, 33, 100}) {
    size_t slot = 4 * Page();
    char *p = static_cast<char *>(go_os_reserve_(100 * slot, Page()));
    std::vector<char *> starts;
    for (size_t i = 0; i < 100; i++) {
      p[i * slot] = p[i * slot + 2 * Page()] = p[i * slot + 3 * Page()] = 1;
      EXPECT_EQ(go_os_guard_(p + i * slot + Page(), Page(), nullptr), 0);
      if (i < n) starts.push_back(p + i * slot);
    }
    errno = 5;
    go_os_decommit_all_(starts.data(), static_cast<uint32_t>(n), 3 * Page());
    EXPECT_EQ(errno, 5);
    for (size_t i = 0; i < 100; i++) {
      EXPECT_EQ(p[i * slot], i < n ? 0 : 1) << i;
      EXPECT_FALSE(Readable(p + i * slot + Page()));
      EXPECT_EQ(p[i * slot + 2 * Page()], i < n ? 0 : 1) << i;
      EXPECT_EQ(p[i * slot + 3 * Page()], 1) << i;
      EXPECT_EQ(go_os_unguard_(p + i * slot + Page(), Page()), 0);
    }
    go_os_release_(p, 100 * slot);
  }
}

// Guards and pages of many slots, whatever there are system calls for.
TEST(Guards, AllAtOnce) {
  const size_t slot = 8 * Page();
  for (uint32_t n : {0u, 1u, 2u, 16u, 33u, 100u}) {
    char *p = static_cast<char *>(go_os_reserve_(100 * slot, Page()));
    ASSERT_NE(p, nullptr);
    std::vector<char *> guards, pages;
    for (uint32_t i = 0; i < n; i++) {
      guards.push_back(p + i * slot + 6 * Page());
      pages.push_back(p + i * slot + 5 * Page());
    }
    errno = 5;
    ASSERT_EQ(go_os_guard_all_(guards.data(), 2 * Page(), pages.data(), n, nullptr), 0);
    EXPECT_EQ(errno, 5);
    for (size_t i = 0; i < 100; i++) {
      EXPECT_EQ(Readable(p + i * slot + 6 * Page()), i >= n) << i;
      EXPECT_EQ(Readable(p + i * slot + 7 * Page()), i >= n) << i;
      EXPECT_TRUE(Readable(p + i * slot + 5 * Page())) << i;
      EXPECT_EQ(p[i * slot + 5 * Page()], 0);
      p[i * slot + 5 * Page()] = 1;
    }
    for (char *g : guards) EXPECT_EQ(go_os_unguard_(g, 2 * Page()), 0);
    go_os_release_(p, 100 * slot);
  }
}

TEST_F(Guard, TwiceIsOnce) {
  ASSERT_EQ(go_os_guard_(P(4), Page(), nullptr), 0);
  ASSERT_EQ(go_os_guard_(P(4), Page(), nullptr), 0);
  EXPECT_FALSE(Readable(P(4)));
  ASSERT_EQ(go_os_unguard_(P(4), Page()), 0);
  EXPECT_EQ(*P(4), 0);
}

TEST(Guards, MayBeMany) {
  if (!go_os_guard_is_cheap_()) GTEST_SKIP() << "Linux before 6.13";
  constexpr size_t kSlot = 64 << 10, kN = 100000;
  char *p = static_cast<char *>(go_os_reserve_(kN * kSlot, Page()));
  ASSERT_NE(p, nullptr);
  for (size_t i = 0; i < kN; i++) ASSERT_EQ(go_os_guard_(p + i * kSlot, Page(), nullptr), 0);
  EXPECT_FALSE(Readable(p + 77777 * kSlot));
  go_os_release_(p, kN * kSlot);
}

TEST(Guards, WorkInLockedMemory) {
  if (golib_test::Emulated()) GTEST_SKIP() << "the emulator claims to decommit locked memory";
  if (kSanitized) GTEST_SKIP() << "sanitizers ignore mlock";
  char *p = static_cast<char *>(go_os_reserve_(4 * Page(), Page()));
  if (mlock(p, 4 * Page()) != 0) GTEST_SKIP();
  p[0] = p[Page()] = 1;
  EXPECT_EQ(go_os_guard_(p + Page(), Page(), nullptr), 0);
  EXPECT_FALSE(Readable(p + Page()));
  go_os_decommit_(p, Page());
  EXPECT_EQ(p[0], 0);
  EXPECT_EQ(go_os_unguard_(p + Page(), Page()), 0);
  EXPECT_EQ(p[Page()], 0);
  go_os_release_(p, 4 * Page());
}

// What kernels before 6.13 do, by a filter that turns the new advice down. The probe is made once a
// process, so this program starts itself again.
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

TEST(Guards, OnOldKernels) {
  if (getenv(kOldKernel) != nullptr) GTEST_SKIP();
  std::string said;
  int status = InChild(
      [] {
        setenv(kOldKernel, "1", 1);
        unsetenv("XML_OUTPUT_FILE");
        DenyGuardMarks();
        dup2(2, 1);
        execl("/proc/self/exe", "test", "--gtest_filter=Guard.*:OldKernel.*:Fault.*", nullptr);
        _exit(76);
      },
      &said);
  if (Exited(status, 77)) GTEST_SKIP() << "no filters here";
  EXPECT_TRUE(Exited(status, 0)) << said;
}

TEST(OldKernel, GuardsAreMappingsUntilThereAreNoMore) {
  if (getenv(kOldKernel) == nullptr) GTEST_SKIP() << "run by Guards.OnOldKernels";
  ASSERT_FALSE(go_os_guard_is_cheap_());
  std::ifstream f("/proc/sys/vm/max_map_count");
  size_t max = 0;
  f >> max;
  if (max == 0 || max > 200000) GTEST_SKIP() << "too many to try";
  size_t n = 0, slot = 4 * Page(), size = max * slot;
  char *p = static_cast<char *>(go_os_reserve_(size, Page()));
  ASSERT_NE(p, nullptr);
  const char *why = nullptr, *why_few = nullptr;
  int rc = 0;
  size_t room = go_os_guards_left_(&why_few);
  while (n < max && (rc = go_os_guard_(p + n * slot, Page(), &why)) == 0) n++;
  EXPECT_EQ(rc, -ENOMEM);
  EXPECT_GT(n, max / 3);
  EXPECT_EQ(n, room);
  EXPECT_EQ(go_os_guards_left_(&why_few), 0u);
  ASSERT_NE(why, nullptr);
  EXPECT_EQ(why_few, why);
  EXPECT_EQ(std::string(why),
            "out of mappings: raise vm.max_map_count (now " + std::to_string(max) + ")");
  // The program has some left.
  for (int i = 0; i < 100; i++)
    EXPECT_NE(
        mmap(nullptr, Page(), i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        MAP_FAILED);
  // And guards that are undone can be made again.
  for (size_t i = 0; i < 100; i++) EXPECT_EQ(go_os_unguard_(p + i * slot, Page()), 0);
  EXPECT_EQ(go_os_guards_left_(&why_few), 100u);
  for (size_t i = 0; i < 100; i++) EXPECT_EQ(go_os_guard_(p + i * slot, Page(), nullptr), 0);
  EXPECT_EQ(go_os_guard_(p + n * slot, Page(), nullptr), -ENOMEM);
  for (size_t i = 0; i < n; i++) go_os_unguard_(p + i * slot, Page());
  go_os_release_(p, size);
}

// ---- timers to sleep on

TEST(Timer, WakesWhenItIsTimeAndNotBefore) {
  go_os_timer_ t;
  ASSERT_EQ(go_os_timer_open_(&t), 0);
  int64_t start = go_os_now_();
  go_os_timer_set_(&t, 20000000);
  go_os_timer_wait_(&t);
  EXPECT_GE(go_os_now_() - start, 20000000);
  // Off already: no wait, once.
  go_os_timer_set_(&t, 1);
  go_os_timer_wait_(&t);
  // The last time that was set counts, later or earlier.
  start = go_os_now_();
  go_os_timer_set_(&t, 1);
  go_os_timer_set_(&t, 20000000);
  go_os_timer_wait_(&t);
  EXPECT_GE(go_os_now_() - start, 20000000);
  go_os_timer_set_(&t, INT64_C(3600) * 1000000000);
  std::thread other([&t] { go_os_timer_set_(&t, 1); });
  go_os_timer_wait_(&t);
  other.join();
  go_os_timer_close_(&t);
}

TEST(Timer, WithoutDescriptors) {
  std::string said;
  int status = InChild(
      [] {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_NOFILE, &none);
        go_os_timer_ t;
        _exit(go_os_timer_open_(&t) == -EMFILE ? 0 : 1);
      },
      &said);
  EXPECT_TRUE(Exited(status, 0)) << said;
}

// A program that closes what is not its own does not make us spin.
TEST(Timer, ClosedByTheProgram) {
  go_os_timer_ t;
  ASSERT_EQ(go_os_timer_open_(&t), 0);
  close(static_cast<int>(t.handle));
  int64_t start = go_os_now_();
  go_os_timer_set_(&t, 1);
  go_os_timer_wait_(&t);
  EXPECT_GE(go_os_now_() - start, 1000000);
}

// ---- faults

void Say(const char *s) { go_os_write_(2, s, strlen(s)); }

char *trap;  // a guarded page
void *fault_addr;

void MakeTrap() {
  trap = static_cast<char *>(go_os_reserve_(Page(), Page()));
  if (go_os_guard_(trap, Page(), nullptr) != 0) _exit(90);
}
void Touch(char *p) { *reinterpret_cast<volatile char *>(p) = 1; }

TEST(Fault, IsTriedAgainWhenHandled) {
  int status = InChild([] {
    MakeTrap();
    if (go_os_on_fault_([](void *addr, void *) {
          fault_addr = addr;
          errno = 99;
          return go_os_unguard_(trap, Page()) == 0;
        }) != 0)
      _exit(1);
    errno = 5;
    Touch(trap + 12);
    int err = errno;
    _exit(*(trap + 12) != 1 ? 2 : fault_addr != trap + 12 ? 3 : err != 5 ? 4 : 0);
  });
  EXPECT_TRUE(Exited(status, 0)) << status;
}

TEST(Fault, DefaultIsToDie) {
  std::string said;
  int status = InChild(
      [] {
        MakeTrap();
        struct sigaction dfl = {};  // sanitizers have put theirs there
        sigaction(SIGSEGV, &dfl, nullptr);
        go_os_on_fault_([](void *, void *) {
          Say("seen;");
          return false;
        });
        Touch(trap);
      },
      &said);
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
  EXPECT_EQ(said, "seen;");
}

TEST(Fault, SentSignalsAreNotAskedAbout) {
  std::string said;
  int status = InChild(
      [] {
        struct sigaction dfl = {};
        sigaction(SIGSEGV, &dfl, nullptr);
        go_os_on_fault_([](void *, void *) {
          Say("seen;");
          return true;
        });
        kill(getpid(), SIGSEGV);
        for (;;) pause();
      },
      &said);
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
  EXPECT_EQ(said, "");
}

TEST(Fault, IgnoredOnesAreIgnoredOnlyWhenSent) {
  std::string said;
  int status = InChild(
      [] {
        MakeTrap();
        signal(SIGSEGV, SIG_IGN);
        go_os_on_fault_([](void *, void *) { return false; });
        kill(getpid(), SIGSEGV);
        Say("alive;");
        Touch(trap);
      },
      &said);
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
  EXPECT_EQ(said, "alive;");
}

TEST(Fault, EarlierHandlerIsCalledWithItsFlags) {
  std::string said;
  int status = InChild(
      [] {
        MakeTrap();
        struct sigaction sa = {};
        sa.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaddset(&sa.sa_mask, SIGUSR1);
        sa.sa_sigaction = [](int sig, siginfo_t *info, void *) {
          sigset_t now;
          pthread_sigmask(SIG_BLOCK, nullptr, &now);
          bool right = sig == SIGSEGV && info->si_addr == trap && sigismember(&now, SIGUSR1) == 1 &&
                       sigismember(&now, SIGSEGV) == 0;
          Say(right ? "right;" : "wrong;");
          go_os_unguard_(trap, Page());
        };
        sigaction(SIGSEGV, &sa, nullptr);
        go_os_on_fault_([](void *, void *) { return false; });
        Touch(trap);
        sigset_t now;
        pthread_sigmask(SIG_BLOCK, nullptr, &now);
        if (sigismember(&now, SIGUSR1) || sigismember(&now, SIGSEGV)) Say("mask left;");
      },
      &said);
  EXPECT_TRUE(Exited(status, 0)) << status;
  EXPECT_EQ(said, "right;");
}

TEST(Fault, OldStyleHandlerIsCalled) {
  std::string said;
  int status = InChild(
      [] {
        MakeTrap();
        signal(SIGSEGV, [](int) {
          Say("old;");
          go_os_unguard_(trap, Page());
        });
        go_os_on_fault_([](void *, void *) { return false; });
        Touch(trap);
      },
      &said);
  EXPECT_TRUE(Exited(status, 0)) << status;
  EXPECT_EQ(said, "old;");
}

TEST(Fault, FaultInTheHandlerEndsIt) {
  int status = InChild([] {
    MakeTrap();
    struct sigaction dfl = {};
    sigaction(SIGSEGV, &dfl, nullptr);
    go_os_on_fault_([](void *, void *) {
      Touch(trap);
      return true;
    });
    alarm(10);
    Touch(trap);
  });
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
}

TEST(Fault, OffRestoresWhatWasThere) {
  int status = InChild([] {
    struct sigaction mine = {}, now;
    mine.sa_handler = [](int) {};
    sigaction(SIGBUS, &mine, nullptr);
    go_os_on_fault_([](void *, void *) { return true; });
    go_os_off_fault_();
    sigaction(SIGBUS, nullptr, &now);
    if (now.sa_handler != mine.sa_handler) _exit(1);
    // And on again.
    MakeTrap();
    go_os_on_fault_([](void *, void *) { return go_os_unguard_(trap, Page()) == 0; });
    Touch(trap);
    _exit(0);
  });
  EXPECT_TRUE(Exited(status, 0)) << status;
}

struct sigaction ours;
TEST(Fault, OffAndOnBelowAHandlerThatCallsUs) {
  std::string said;
  int status = InChild(
      [] {
        MakeTrap();
        struct sigaction dfl = {}, now, theirs = {};
        sigaction(SIGSEGV, &dfl, nullptr);
        go_os_on_fault_([](void *, void *) { return false; });
        theirs.sa_flags = SA_SIGINFO;
        theirs.sa_sigaction = [](int sig, siginfo_t *info, void *context) {
          Say("theirs;");
          ours.sa_sigaction(sig, info, context);
        };
        sigaction(SIGSEGV, &theirs, &ours);
        go_os_off_fault_();
        sigaction(SIGSEGV, nullptr, &now);
        if (now.sa_sigaction != theirs.sa_sigaction) Say("taken away;");
        go_os_on_fault_([](void *, void *) {
          Say("golib;");
          return go_os_unguard_(trap, Page()) == 0;
        });
        alarm(10);
        Touch(trap);
        go_os_guard_(trap, Page(), nullptr);
        go_os_off_fault_();
        Touch(trap);  // theirs, then the default
      },
      &said);
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
  EXPECT_EQ(said, "theirs;golib;theirs;");
}

__attribute__((noinline)) int Overflow(int n) {
  volatile char room[512];
  room[0] = static_cast<char>(n);
  if (n == -1) return room[0];
  return Overflow(n + 1) + room[0];
}

TEST(Fault, StackOverflowIsHandledOnTheAlternateStack) {
  if (kSanitized) GTEST_SKIP() << "frames are counted by the sanitizer";
  std::string said;
  int status = InChild(
      [] {
        std::thread([] {
          void *alt = nullptr;
          if (go_os_fault_stack_(&alt) != 0) _exit(1);
          go_os_on_fault_([](void *addr, void *context) {
            void *pc, *sp, *fp;
            go_os_fault_regs_(context, &pc, &sp, &fp);
            char room[60 << 10];  // the stack promises 64 KiB
            memset(room, 0, sizeof room);
            asm volatile("" ::"r"(room) : "memory");
            auto near = [](void *a, void *b) {
              return std::abs(static_cast<char *>(a) - static_cast<char *>(b)) < 65536;
            };
            if (!near(addr, sp)) Say("sp;");
            if (near(room, sp)) Say("not on the alternate stack;");
            // At the function or after it in the file.
            if (!near(pc, reinterpret_cast<void *>(&Overflow))) Say("pc;");
            Say("overflow;");
            return false;
          });
          Overflow(0);
        }).join();
      },
      &said);
  EXPECT_TRUE(DiedOf(status, SIGSEGV)) << status;
  EXPECT_EQ(said, "overflow;");
}

TEST(FaultStack, IsGivenOnceAndTakenBack) {
  std::thread([] {
    stack_t none = {}, now;
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    void *alt = nullptr, *second = &alt;
    ASSERT_EQ(go_os_fault_stack_(&alt), 0);
    ASSERT_NE(alt, nullptr);
    sigaltstack(nullptr, &now);
    EXPECT_EQ(now.ss_sp, alt);
    EXPECT_GE(now.ss_size, 64u << 10);
    EXPECT_FALSE(Readable(static_cast<char *>(alt) - 1));
    ASSERT_EQ(go_os_fault_stack_(&second), 0);
    EXPECT_EQ(second, nullptr);
    go_os_fault_stack_free_(second);
    sigaltstack(nullptr, &now);
    EXPECT_EQ(now.ss_sp, alt);
    go_os_fault_stack_free_(alt);
    sigaltstack(nullptr, &now);
    EXPECT_TRUE(now.ss_flags & SS_DISABLE);
    EXPECT_FALSE(Readable(alt));
  }).join();
}

TEST(FaultStack, LeavesAnotherOnesAlone) {
  std::thread([] {
    static char theirs[64 << 10];
    void *alt = nullptr;
    stack_t none = {}, now;
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    ASSERT_EQ(go_os_fault_stack_(&alt), 0);
    stack_t s = {};
    s.ss_sp = theirs;
    s.ss_size = sizeof theirs;
    sigaltstack(&s, nullptr);
    go_os_fault_stack_free_(alt);
    sigaltstack(nullptr, &now);
    EXPECT_EQ(now.ss_sp, theirs);
    sigaltstack(&none, nullptr);
  }).join();
}

// ---- the end

TEST(Write, WaitsForASlowReader) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK), 0);
  std::string text(300000, 'x'), got;
  std::thread writer([&] {
    errno = 5;
    go_os_write_(fds[1], text.data(), text.size());
    EXPECT_EQ(errno, 5);
    close(fds[1]);
  });
  char buf[5000];
  for (;;) {
    ssize_t n = read(fds[0], buf, sizeof buf);
    if (n == 0) break;
    if (n > 0) got.append(buf, static_cast<size_t>(n));
  }
  writer.join();
  close(fds[0]);
  EXPECT_EQ(got, text);
}

TEST(Write, GivesUpOnABadDescriptor) {
  errno = 5;
  go_os_write_(-1, "x", 1);
  EXPECT_EQ(errno, 5);
}

TEST(Abort, Aborts) {
  EXPECT_TRUE(DiedOf(InChild([] {
                       signal(SIGABRT, SIG_DFL);
                       go_os_abort_();
                     }),
                     SIGABRT));
}

std::string Symbols(std::vector<void *> pcs) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  errno = 5;
  go_os_symbols_(fds[1], pcs.data(), static_cast<int>(pcs.size()));
  EXPECT_EQ(errno, 5);
  close(fds[1]);
  std::string text;
  char buf[4096];
  for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0;)
    text.append(buf, static_cast<size_t>(n));
  close(fds[0]);
  return text;
}

TEST(Symbols, NamesLocalAndLibraryFunctions) {
  auto at = [](auto *fn, intptr_t off) {
    return reinterpret_cast<void *>(reinterpret_cast<intptr_t>(fn) + off);
  };
  std::string text =
      Symbols({at(&Overflow, 1), at(&getenv, 3), reinterpret_cast<void *>(0x10), nullptr});
  std::istringstream lines(text);
  std::vector<std::string> line(4);
  for (auto &l : line) ASSERT_TRUE(std::getline(lines, l)) << text;
  EXPECT_EQ(line[0].substr(0, 2), "  ");
  EXPECT_NE(line[0].find("Overflow"), std::string::npos) << text;  // a function of this file alone
  EXPECT_NE(line[0].find("+0x1 ("), std::string::npos) << text;
  EXPECT_NE(line[1].find("getenv+0x3 ("), std::string::npos) << text;
  EXPECT_EQ(line[2], "  0x10");
  EXPECT_EQ(line[3], "  0x0");
}

TEST(Name, IsLinux) { EXPECT_STREQ(go_os_name_, "linux"); }

}  // namespace

#endif  // __linux__
