// tests/support/child.h: code that is expected to end its process, run in a child process.
//
// The child is a plain fork: lambdas stand in the test that judges them, and it works under an
// emulator too. In return the parent must never have used golib itself, as its threads would be
// missing in the child: such tests live in *_crash_test.cc, whose parent only forks and compares.
//
// ThreadSanitizer keeps a thread of its own twice in a forked child, which looks like a thread
// that may wake a goroutine; Windows has no fork. So there the child starts this very test anew and skips what is not
// its part.
#ifndef GOLIB_TESTS_SUPPORT_CHILD_H_
#define GOLIB_TESTS_SUPPORT_CHILD_H_

#include <gtest/gtest.h>
#include <stdio.h>

#include <csignal>
#include <cstdlib>
#include <ostream>
#include <string>

#include "tests/support/system.h"

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
#define SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED()                                               \
  if (::golib_test::kWindows) GTEST_SKIP() << "no limit on address space that can be set"; \
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

// Which RunChild of this test is which, for children that start the test anew.
inline constexpr char kChildEnv[] = "GOLIB_TEST_CHILD";
inline int NextChild() {
  static const testing::TestInfo *test;
  static int n;
  const testing::TestInfo *now = testing::UnitTest::GetInstance()->current_test_info();
  if (now != test) n = 0;
  test = now;
  return ++n;
}
// What is to be set in the environment of one, and the argument that it needs.
inline std::string PrepareNewChild(int n) {
  const testing::TestInfo *t = testing::UnitTest::GetInstance()->current_test_info();
  SetEnv(kChildEnv, std::to_string(n).c_str());
  for (const char *name :
       {"TEST_TOTAL_SHARDS", "GTEST_TOTAL_SHARDS", "XML_OUTPUT_FILE", "GTEST_OUTPUT"}) {
    UnsetEnv(name);
  }
  return std::string("--gtest_filter=") + t->test_suite_name() + "." + t->name();
}

}  // namespace golib_test

#if defined(_WIN32)
#include "tests/support/child_windows.h"
#else
#include "tests/support/child_posix.h"
#endif

namespace golib_test {

// Runs f() in a child process, which exits with what f returns (an int), and tells how that ended.
template <class F>
ChildResult RunChild(F f) {
  int number = NextChild();
  if (const char *mine = getenv(kChildEnv)) {
    if (atoi(mine) != number) return {};  // another one's part
    UnsetEnv(kChildEnv);
    PrepareChild();
    _exit(f());
  }
  fflush(stdout);
  fflush(stderr);
  return StartChild(number, f);
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CHILD_H_
