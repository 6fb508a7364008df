// tests/support/child.h: code that is expected to end its process, run in a child process.
//
// The child is a plain fork: lambdas stand in the test that judges them, and it works under an
// emulator too. In return the parent must never have used golib itself, as its threads would be missing in
// the child: such tests live in *_crash_test.cc, whose parent only forks and compares.
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
#define CHILD_CHECK(cond)                                                                 \
  do {                                                                                    \
    if (!(cond)) {                                                                        \
      fprintf(stderr, "%s:%d: child check failed: %s\n", __FILE__, __LINE__, #cond);       \
      fflush(stderr);                                                                     \
      _exit(::golib_test::kCheckFailed);                                                  \
    }                                                                                     \
  } while (0)

// Runs f() in a child process, which exits with what f returns (an int), and tells how that ended.
template <class F>
ChildResult RunChild(F f) {
  ChildResult r;
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
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) {
    r.code = WEXITSTATUS(status);
  } else if (WIFSIGNALED(status)) {
    r.signal = WTERMSIG(status);
  }
  return r;
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CHILD_H_
