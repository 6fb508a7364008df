// Buffered readers and writers without memory, and what a fork leaves of them.

#include <fcntl.h>
#include <golib/golib.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "tests/support/child.h"
#include "tests/support/net.h"

using golib_test::ChildResult;
using golib_test::kSanitized;
using golib_test::LimitAddressSpace;
using golib_test::Pair;
using golib_test::RunChild;
using golib_test::RunGo;
using golib_test::Write;

namespace {

template <class F>
ChildResult Child(F f) {
  return RunChild([f] {
    f();
    return testing::Test::HasFailure() ? 98 : 0;
  });
}

ptrdiff_t GiveX(go_ctx *, void *, void *buf, size_t n) {
  memset(buf, 'x', n);
  return static_cast<ptrdiff_t>(n);
}
ptrdiff_t Take(go_ctx *, void *arg, const void *, size_t n) {
  *static_cast<size_t *>(arg) += n;
  return static_cast<ptrdiff_t>(n);
}

TEST(BufioCrash, OutOfMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator does not fail";
  ChildResult r = Child([] {
    RunGo([] {
      constexpr size_t kMuch = 64 << 20;
      LimitAddressSpace(16 << 20);
      go_reader rd{};
      go_writer w{};
      size_t taken = 0;
      char *line = nullptr;
      CHILD_CHECK(go_reader_init_fn(&rd, GiveX, nullptr, nullptr, kMuch) == GO_ENOMEM);
      CHILD_CHECK(go_writer_init_fn(&w, Take, &taken, nullptr, kMuch) == GO_ENOMEM);
      // Growing gives up, and keeps all that has come.
      CHILD_CHECK(go_reader_init_fn(&rd, GiveX, nullptr, nullptr, 0) == 0);
      go_reader_set_max(&rd, kMuch);
      CHILD_CHECK(go_reader_read_line(nullptr, &rd, &line) == GO_ENOMEM);
      size_t n = go_reader_buffered(&rd, nullptr);
      CHILD_CHECK(n >= 1 << 20);
      CHILD_CHECK(go_reader_discard(nullptr, &rd, n) == static_cast<ptrdiff_t>(n));
      go_reader_fini(&rd);
      // Text for which there is no memory is not written; the writer goes on.
      CHILD_CHECK(go_writer_init_fn(&w, Take, &taken, nullptr, 0) == 0);
      CHILD_CHECK(go_writer_puts(nullptr, &w, "a") == 1);
      CHILD_CHECK(go_writer_printf(nullptr, &w, "%*d", static_cast<int>(kMuch), 1) == GO_ENOMEM);
      CHILD_CHECK(go_writer_err(&w) == 0);
      CHILD_CHECK(go_writer_puts(nullptr, &w, "b") == 1);
      CHILD_CHECK(go_writer_flush(nullptr, &w) == 0);
      CHILD_CHECK(taken == 2);
      go_writer_fini(&w);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

#if !defined(_WIN32)
// In a forked child what is buffered can still be had; nothing else can.
TEST(BufioCrash, InAForkedChild) {
  ChildResult r = Child([] {
    RunGo([] {
      Pair p;
      go_reader rd{};
      go_writer w{};
      CHILD_CHECK(go_reader_init(&rd, p.b, nullptr, 0) == 0);
      CHILD_CHECK(go_writer_init(&w, p.b, nullptr, 0) == 0);
      CHILD_CHECK(Write(p.a, "one\ntwo\n") == 8);
      const char *all = nullptr;
      CHILD_CHECK(go_reader_peek(nullptr, &rd, 8, &all) == 8);
      pid_t pid = fork();
      if (pid == 0) {
        char *line = nullptr;
        CHILD_CHECK(go_reader_read_line(nullptr, &rd, &line) == 3);
        CHILD_CHECK(go_reader_read_line(nullptr, &rd, &line) == 3);
        CHILD_CHECK(go_reader_read_line(nullptr, &rd, &line) == GO_EFORKED);
        CHILD_CHECK(go_writer_puts(nullptr, &w, "x") == 1);
        CHILD_CHECK(go_writer_flush(nullptr, &w) == GO_EFORKED);
        _exit(0);
      }
      int status = -1;
      CHILD_CHECK(waitpid(pid, &status, 0) == pid);
      CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      go_writer_fini(&w);
      go_reader_fini(&rd);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}
#endif

}  // namespace
