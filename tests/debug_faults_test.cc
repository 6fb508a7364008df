// go_debug_listen where the system gives no memory, or no thread: a code, nothing left behind, and the next call works. pthread_create and
// calloc are defined here, in libc's place.

#include <dirent.h>
#include <dlfcn.h>
#include <golib/golib.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "tests/support/golib_test.h"

using golib_test::RunGo;

// Not a sanitizer's, and there is another name for libc's.
#if defined(__GLIBC__) && !defined(GOLIB_TEST_TSAN_) && !defined(GOLIB_TEST_ASAN_)
#define GOLIB_TEST_CALLOC_ 1
#else
#define GOLIB_TEST_CALLOC_ 0
#endif

namespace {

constexpr bool kCalloc = GOLIB_TEST_CALLOC_ != 0;

std::atomic<int> no_threads{0};      // EAGAIN or ENOMEM from pthread_create
std::atomic<bool> no_memory{false};  // for what the server needs: more than anybody else here

using Create = int(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
Create *const real = reinterpret_cast<Create *>(dlsym(RTLD_NEXT, "pthread_create"));

}  // namespace

extern "C" {
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) noexcept {
  return no_threads != 0 ? no_threads.load() : real(t, a, fn, arg);
}
#if GOLIB_TEST_CALLOC_
void *__libc_calloc(size_t, size_t);
void *calloc(size_t n, size_t size) noexcept {
  return no_memory && n * size > 65536 ? nullptr : __libc_calloc(n, size);
}
#endif
}

namespace {

// A directory with a short name, as sockets' paths have to be.
struct Dir {
  std::string name = "/tmp/golib_XXXXXX";
  Dir() { EXPECT_NE(mkdtemp(&name[0]), nullptr); }
  ~Dir() { EXPECT_EQ(rmdir(name.c_str()), 0) << name; }  // and nothing is left in it
};

int Descriptors() {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (readdir(d) != nullptr) n++;
  closedir(d);
  return n;
}

bool CanConnect(const std::string &path) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  bool ok = connect(fd, reinterpret_cast<const sockaddr *>(&a), sizeof a) == 0;
  close(fd);
  return ok;
}

template <class Off, class On>
void Refused(int code, Off off, On on) {
  Dir d;
  std::string path = d.name + "/s";
  go_debug_opts tcp{};
  tcp.http = "127.0.0.1:0";
  RunGo([] {});  // golib's own threads are there
  for (const go_debug_opts *o :
       {static_cast<const go_debug_opts *>(nullptr), static_cast<const go_debug_opts *>(&tcp)}) {
    int before = Descriptors();
    for (int i = 0; i < 3; i++) {
      off();
      int r = go_debug_listen(nullptr, path.c_str(), o);
      on();
      EXPECT_EQ(r, code) << go_strerror(r);
      struct stat st;
      EXPECT_NE(lstat(path.c_str(), &st), 0);
    }
    EXPECT_EQ(Descriptors(), before);
    EXPECT_EQ(go_debug_listen(nullptr, path.c_str(), o), 0);
    EXPECT_TRUE(CanConnect(path));
    go_debug_close();
  }
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

TEST(DebugFaults, NoThread) {
  for (int code : {EAGAIN, ENOMEM}) {
    Refused(
        code == EAGAIN ? GO_EAGAIN : GO_ENOMEM, [code] { no_threads = code; },
        [] { no_threads = 0; });
  }
}

TEST(DebugFaults, NoMemory) {
  if (!kCalloc) GTEST_SKIP() << "calloc is somebody else's";
  Refused(
      GO_ENOMEM, [] { no_memory = true; }, [] { no_memory = false; });
}

// GOLIB_DEBUG=listen=PATH: the program runs without being seen, and says so.
TEST(DebugFaults, FromTheEnvironment) {
  if (!kCalloc) GTEST_SKIP() << "calloc is somebody else's";
  Dir d;
  setenv("GOLIB_DEBUG", ("listen=" + d.name + "/s").c_str(), 1);
  no_memory = true;
  testing::internal::CaptureStderr();
  int ran = 0;
  int r = golib_test::TryRunGo([&] { ran = 1; });
  std::string err = testing::internal::GetCapturedStderr();
  no_memory = false;
  unsetenv("GOLIB_DEBUG");
  EXPECT_EQ(r, 0);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(err, "golib: GOLIB_DEBUG: listen=" + d.name + "/s: out of memory\n");
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

}  // namespace
