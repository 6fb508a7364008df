// tests/support/child.h: code that is expected to end its process, run in a child process.
//
// The child is a plain fork: lambdas stand in the test that judges them, and it works under an
// emulator too. In return the parent must never have used golib itself, as its threads would be
// missing in the child: such tests live in *_crash_test.cc, whose parent only forks and compares.
//
// ThreadSanitizer keeps a thread of its own twice in a forked child, which looks like a thread
// that may wake a goroutine. So with it the child starts this very test anew and skips what is not
// its part.
#ifndef GOLIB_TESTS_SUPPORT_CHILD_H_
#define GOLIB_TESTS_SUPPORT_CHILD_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <string>

namespace golib_test {

struct ChildResult {
  int code = -1;    // exit status, -1 when a signal ended it
  int signal = 0;   // that signal
  std::string err;  // what it wrote on stderr
  bool Said(const std::string &s) const { return err.find(s) != std::string::npos; }
  // How often s stands in stderr.
  int Count(const std::string &s) const {
    int n = 0;
    for (size_t at = err.find(s); at != std::string::npos; at = err.find(s, at + s.size())) n++;
    return n;
  }
};

// Whether an emulator runs us: tools/emu sets this.
inline bool Emulated() { return getenv("GOLIB_RUN") != nullptr; }
// For tests whose child has to find that all are asleep: that check counts the threads of the process.
#define SKIP_IF_DEADLOCKS_GO_UNSEEN() \
  if (::golib_test::Emulated())       \
  GTEST_SKIP() << "the emulator has a thread of its own in the process: no deadlock is seen"
// For tests whose child leaves itself no address space.
#define SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED() \
  if (::golib_test::Emulated()) GTEST_SKIP() << "the emulator ignores RLIMIT_AS"

inline std::ostream &operator<<(std::ostream &os, const ChildResult &r) {
  if (r.signal != 0) {
    os << "signal " << r.signal;
  } else {
    os << "exit status " << r.code;
  }
  return os << ", stderr:\n" << r.err;
}

// The exit status of a child whose CHILD_CHECK failed: no status that golib uses.
inline constexpr int kCheckFailed = 99;

// Inside a child, where EXPECT_ would be heard by nobody.
#define CHILD_CHECK(cond)                                                            \
  do {                                                                               \
    if (!(cond)) {                                                                   \
      fprintf(stderr, "%s:%d: child check failed: %s\n", __FILE__, __LINE__, #cond); \
      fflush(stderr);                                                                \
      _exit(::golib_test::kCheckFailed);                                             \
    }                                                                                \
  } while (0)

#if defined(__SANITIZE_THREAD__)
#define GOLIB_TEST_EXEC_CHILD_ 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GOLIB_TEST_EXEC_CHILD_ 1
#endif
#endif

// Which RunChild of this test is which.
inline constexpr char kChildEnv[] = "GOLIB_TEST_CHILD";
inline int NextChild() {
  static const testing::TestInfo *test;
  static int n;
  const testing::TestInfo *now = testing::UnitTest::GetInstance()->current_test_info();
  if (now != test) n = 0;
  test = now;
  return ++n;
}
[[noreturn]] inline void ExecChild(int n) {
  const testing::TestInfo *t = testing::UnitTest::GetInstance()->current_test_info();
  std::string filter = std::string("--gtest_filter=") + t->test_suite_name() + "." + t->name();
  setenv(kChildEnv, std::to_string(n).c_str(), 1);
  for (const char *name :
       {"TEST_TOTAL_SHARDS", "GTEST_TOTAL_SHARDS", "XML_OUTPUT_FILE", "GTEST_OUTPUT"}) {
    unsetenv(name);
  }
  const char *options = getenv("TSAN_OPTIONS");  // it sleeps for a second at exit, else
  setenv("TSAN_OPTIONS",
         ((options != nullptr ? std::string(options) + ":" : "") + "atexit_sleep_ms=0").c_str(), 1);
  int null = open("/dev/null", O_WRONLY);
  dup2(null, 1);
  close(null);
  execl("/proc/self/exe", "child", filter.c_str(), static_cast<char *>(nullptr));
  perror("exec");
  _exit(98);
}

// Runs f() in a child process, which exits with what f returns (an int), and tells how that ended.
template <class F>
ChildResult RunChild(F f) {
  ChildResult r;
  int number = NextChild();
  if (const char *mine = getenv(kChildEnv)) {
    if (atoi(mine) != number) return r;  // another one's part
    unsetenv(kChildEnv);
    _exit(f());
  }
  int fds[2];
  if (pipe(fds) != 0) {
    ADD_FAILURE() << "pipe: " << strerror(errno);
    return r;
  }
  fflush(stdout);
  fflush(stderr);
  pid_t pid = fork();
  if (pid < 0) {
    ADD_FAILURE() << "fork: " << strerror(errno);
    close(fds[0]);
    close(fds[1]);
    return r;
  }
  if (pid == 0) {
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a child that hangs goes with a parent that is timed out
#endif
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    dup2(fds[1], 2);
    close(fds[0]);
    close(fds[1]);
#if defined(GOLIB_TEST_EXEC_CHILD_)
    ExecChild(number);
#endif
    int rc = f();
    fflush(stderr);
    _exit(rc);
  }
  close(fds[1]);
  char buf[4096];
  for (;;) {
    ssize_t n = read(fds[0], buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    r.err.append(buf, static_cast<size_t>(n));
  }
  close(fds[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status)) {
    r.code = WEXITSTATUS(status);
  } else if (WIFSIGNALED(status)) {
    r.signal = WTERMSIG(status);
  }
  return r;
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CHILD_H_
