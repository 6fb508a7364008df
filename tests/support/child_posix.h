// tests/support/child_posix.h: part of child.h.
#ifndef GOLIB_TESTS_SUPPORT_CHILD_POSIX_H_
#define GOLIB_TESTS_SUPPORT_CHILD_POSIX_H_

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstring>

namespace golib_test {

#if defined(__SANITIZE_THREAD__)
#define GOLIB_TEST_EXEC_CHILD_ 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GOLIB_TEST_EXEC_CHILD_ 1
#endif
#endif

// In a child that is this test anew.
inline void PrepareChild() {}

[[noreturn]] inline void ExecChild(int n) {
  std::string filter = PrepareNewChild(n);
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

template <class F>
ChildResult StartChild(int number, F f) {
  ChildResult r;
  (void)number;
  int fds[2];
  if (pipe(fds) != 0) {
    ADD_FAILURE() << "pipe: " << strerror(errno);
    return r;
  }
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

// In a child: from now on it gets no more than `more` bytes of address space; what it has stays. See
// SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED.
inline void LimitAddressSpace(size_t more) {
  size_t pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  CHILD_CHECK(f != nullptr && fscanf(f, "%zu", &pages) == 1);
  fclose(f);
  size_t size = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + more;
  struct rlimit l = {size, size};
  CHILD_CHECK(setrlimit(RLIMIT_AS, &l) == 0);
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CHILD_POSIX_H_
