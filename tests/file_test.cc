// go_file_*: every call, on goroutines and plain threads, and every error that its header names.
#include <golib/golib.h>
#include <limits.h>

#include <functional>
#include <string>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

class File : public testing::TestWithParam<bool> {
 protected:
  File() {
    dir_ = TempPath("_files");
#if defined(_WIN32)
    EXPECT_TRUE(CreateDirectoryA(dir_.c_str(), nullptr));
#else
    EXPECT_EQ(mkdir(dir_.c_str(), 0700), 0);
#endif
  }
  ~File() override {
    for (const char *n : {"a", "b", "many"}) unlink(Path(n).c_str());
    rmdir(dir_.c_str());
  }
  std::string Path(const char *name) const { return dir_ + "/" + name; }
  static void On(const std::function<void()> &f) {
    if (GetParam()) {
      RunGo(f);
    } else {
      f();
    }
  }
  intptr_t Open(const char *name, int flags) const {
    intptr_t f = -1;
    EXPECT_EQ(go_file_open(nullptr, Path(name).c_str(), flags, 0600, &f), 0);
    return f;
  }
  std::string Contents(const char *name) const {
    void *p = nullptr;
    size_t n = 0;
    EXPECT_EQ(go_file_read_all(nullptr, Path(name).c_str(), &p, &n), 0);
    std::string s(static_cast<char *>(p), n);
    free(p);
    return s;
  }

 private:
  std::string dir_;
};
INSTANTIATE_TEST_SUITE_P(Goroutine, File, testing::Bool());

const int kNew = GO_FILE_READ | GO_FILE_WRITE | GO_FILE_CREATE;

TEST_P(File, WriteAndRead) {
  On([&] {
    intptr_t f = Open("a", kNew);
    EXPECT_EQ(go_file_write(nullptr, f, "hello ", 6), 6);
    EXPECT_EQ(go_file_write(nullptr, f, "world", 5), 5);
    EXPECT_EQ(go_file_write(nullptr, f, "", 0), 0);
    EXPECT_EQ(go_file_size(nullptr, f), 11);
    EXPECT_EQ(go_file_sync(nullptr, f), 0);
    char buf[32] = "";
    EXPECT_EQ(go_file_read(nullptr, f, buf, sizeof buf), 0);  // at the end
    EXPECT_EQ(go_file_pread(nullptr, f, buf, sizeof buf, 6), 5);
    EXPECT_EQ(memcmp(buf, "world", 5), 0);
    EXPECT_EQ(go_file_pread(nullptr, f, buf, 3, 0), 3);
    EXPECT_EQ(memcmp(buf, "hel", 3), 0);
    EXPECT_EQ(go_file_pread(nullptr, f, buf, 3, 100), 0);
    EXPECT_EQ(go_file_pread(nullptr, f, buf, 0, 0), 0);
    EXPECT_EQ(go_file_pwrite(nullptr, f, "J", 1, 0), 1);
    EXPECT_EQ(go_file_pwrite(nullptr, f, "!", 1, 12), 1);  // with a hole
    EXPECT_EQ(go_file_close(f), 0);
    EXPECT_EQ(Contents("a"), std::string("Jello world\0!", 13));
    f = Open("a", GO_FILE_READ);
    EXPECT_EQ(go_file_read(nullptr, f, buf, 5), 5);
    EXPECT_EQ(go_file_read(nullptr, f, buf, 5), 5);  // moves on
    EXPECT_EQ(memcmp(buf, " worl", 5), 0);
    EXPECT_EQ(go_file_write(nullptr, f, "x", 1), -EBADF);
    EXPECT_EQ(go_file_close(f), 0);
  });
}

TEST_P(File, Flags) {
  On([&] {
    intptr_t f = -5;
    const std::string a = Path("a");
    EXPECT_EQ(go_file_open(nullptr, a.c_str(), GO_FILE_READ, 0, &f), -ENOENT);
    EXPECT_EQ(go_file_open(nullptr, Path("nowhere/x").c_str(), kNew, 0600, &f), -ENOENT);
    EXPECT_EQ(go_file_open(nullptr, "/", GO_FILE_WRITE, 0, &f), -EISDIR);
    for (int bad : {0, GO_FILE_APPEND | 0, GO_FILE_READ | GO_FILE_TRUNCATE,
                    GO_FILE_READ | GO_FILE_APPEND, GO_FILE_READ | GO_FILE_CREATE,
                    GO_FILE_WRITE | GO_FILE_EXCLUSIVE, 64 | GO_FILE_READ, -1}) {
      EXPECT_EQ(go_file_open(nullptr, a.c_str(), bad, 0600, &f), GO_EINVAL) << bad;
    }
    EXPECT_EQ(go_file_open(nullptr, nullptr, GO_FILE_READ, 0, &f), GO_EINVAL);
    EXPECT_EQ(go_file_open(nullptr, a.c_str(), GO_FILE_READ, 0, nullptr), GO_EINVAL);
    EXPECT_EQ(f, -5);
#if !defined(_WIN32)
    mode_t mask = umask(0);
#endif
    EXPECT_EQ(go_file_open(nullptr, a.c_str(), GO_FILE_WRITE | GO_FILE_CREATE | GO_FILE_EXCLUSIVE,
                           0640, &f),
              0);
#if !defined(_WIN32)  // of permissions there is one, and nothing is inherited
    umask(mask);
    struct stat st;
    EXPECT_EQ(fstat(static_cast<int>(f), &st), 0);
    EXPECT_EQ(st.st_mode & 0777u, 0640u);
    EXPECT_TRUE(fcntl(static_cast<int>(f), F_GETFD) & FD_CLOEXEC);
#endif
    char c;
    EXPECT_EQ(go_file_read(nullptr, f, &c, 1), -EBADF);
    EXPECT_EQ(go_file_write(nullptr, f, "one", 3), 3);
    EXPECT_EQ(go_file_close(f), 0);
    EXPECT_EQ(go_file_open(nullptr, a.c_str(), kNew | GO_FILE_EXCLUSIVE, 0600, &f), -EEXIST);
    f = Open("a", GO_FILE_WRITE | GO_FILE_APPEND);
    EXPECT_EQ(go_file_write(nullptr, f, "two", 3), 3);
    EXPECT_EQ(go_file_close(f), 0);
    EXPECT_EQ(Contents("a"), "onetwo");
    f = Open("a", GO_FILE_READ | GO_FILE_WRITE | GO_FILE_TRUNCATE);
    EXPECT_EQ(go_file_size(nullptr, f), 0);
    EXPECT_EQ(go_file_close(f), 0);
  });
}

TEST_P(File, BadArguments) {
  On([&] {
    char c = 0;
    for (intptr_t bad : {static_cast<intptr_t>(-1), static_cast<intptr_t>(INTPTR_MAX),
                         static_cast<intptr_t>(INT_MIN), static_cast<intptr_t>(1000000)}) {
      EXPECT_EQ(go_file_read(nullptr, bad, &c, 1), -EBADF);
      EXPECT_EQ(go_file_write(nullptr, bad, &c, 1), -EBADF);
      EXPECT_EQ(go_file_pread(nullptr, bad, &c, 1, 0), -EBADF);
      EXPECT_EQ(go_file_pwrite(nullptr, bad, &c, 1, 0), -EBADF);
      EXPECT_EQ(go_file_size(nullptr, bad), -EBADF);
      EXPECT_EQ(go_file_sync(nullptr, bad), -EBADF);
      EXPECT_EQ(go_file_close(bad), -EBADF);
    }
    intptr_t f = Open("a", kNew);
    EXPECT_EQ(go_file_pread(nullptr, f, &c, 1, -1), GO_EINVAL);
    EXPECT_EQ(go_file_pwrite(nullptr, f, &c, 1, -1), GO_EINVAL);
    EXPECT_EQ(go_file_pwrite(nullptr, f, &c, 2, INT64_MAX - 1), GO_EINVAL);
    EXPECT_EQ(go_file_read(nullptr, f, nullptr, 1), GO_EINVAL);
    EXPECT_EQ(go_file_write(nullptr, f, nullptr, 1), GO_EINVAL);
    EXPECT_EQ(go_file_read(nullptr, f, &c, SIZE_MAX), GO_EINVAL);
    EXPECT_EQ(go_file_write(nullptr, f, &c, SIZE_MAX), GO_EINVAL);
    EXPECT_EQ(go_file_close(f), 0);
    void *p = &c;
    size_t n = 9;
    EXPECT_EQ(go_file_read_all(nullptr, nullptr, &p, &n), GO_EINVAL);
    EXPECT_EQ(go_file_read_all(nullptr, Path("a").c_str(), nullptr, &n), GO_EINVAL);
    EXPECT_EQ(go_file_read_all(nullptr, Path("none").c_str(), &p, &n), -ENOENT);
    EXPECT_EQ(go_file_read_all(nullptr, "/", &p, &n), -EISDIR);
    EXPECT_EQ(p, &c);
    EXPECT_EQ(n, 9u);
    EXPECT_EQ(go_file_write_all(nullptr, nullptr, "", 0, 0600), GO_EINVAL);
    EXPECT_EQ(go_file_write_all(nullptr, Path("a").c_str(), nullptr, 1, 0600), GO_EINVAL);
    EXPECT_EQ(go_file_write_all(nullptr, "/", "", 0, 0600), -EISDIR);
  });
}

#if defined(__linux__)

// What a full disk says.
TEST_P(File, NoSpace) {
  On([] {
    intptr_t f = -1;
    EXPECT_EQ(go_file_open(nullptr, "/dev/full", GO_FILE_WRITE, 0, &f), 0);
    EXPECT_EQ(go_file_write(nullptr, f, "x", 1), -ENOSPC);
    EXPECT_EQ(go_file_close(f), 0);
    EXPECT_EQ(go_file_write_all(nullptr, "/dev/full", "x", 1, 0600), -ENOSPC);
  });
}

#endif

TEST_P(File, WholeFiles) {
  On([&] {
    for (size_t n :
         {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{100000}, size_t{3 << 20}}) {
      std::string s(n, 'a');
      for (size_t i = 0; i < n; i++) s[i] = static_cast<char>(i * 7 + i / 251);
      EXPECT_EQ(go_file_write_all(nullptr, Path("b").c_str(), s.data(), n, 0600), 0);
      EXPECT_EQ(Contents("b"), s);
    }
#if defined(__linux__)
    void *p = nullptr;
    EXPECT_EQ(go_file_read_all(nullptr, "/proc/self/status", &p, nullptr), 0);  // its size is 0
    EXPECT_NE(strstr(static_cast<char *>(p), "VmPTE"), nullptr);  // the 0 at the end is there
    free(p);
#endif
  });
}

TEST_P(File, Contexts) {
  On([&] {
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_ctx_cancel(ctx);
    intptr_t f = Open("a", kNew), none = -1;
    char c = 'x';
    void *p = nullptr;
    EXPECT_EQ(go_file_open(ctx, Path("b").c_str(), kNew, 0600, &none), GO_ECANCELED);
    EXPECT_EQ(access(Path("b").c_str(), F_OK), -1);
    EXPECT_EQ(go_file_write(ctx, f, &c, 1), GO_ECANCELED);
    EXPECT_EQ(go_file_pwrite(ctx, f, &c, 1, 0), GO_ECANCELED);
    EXPECT_EQ(go_file_read(ctx, f, &c, 1), GO_ECANCELED);
    EXPECT_EQ(go_file_pread(ctx, f, &c, 1, 0), GO_ECANCELED);
    EXPECT_EQ(go_file_size(ctx, f), GO_ECANCELED);
    EXPECT_EQ(go_file_sync(ctx, f), GO_ECANCELED);
    EXPECT_EQ(go_file_read_all(ctx, Path("a").c_str(), &p, nullptr), GO_ECANCELED);
    EXPECT_EQ(go_file_write_all(ctx, Path("b").c_str(), "x", 1, 0600), GO_ECANCELED);
    EXPECT_EQ(go_file_size(nullptr, f), 0);
    EXPECT_EQ(go_file_close(f), 0);
    go_ctx_unref(ctx);
  });
}

TEST_P(File, ManyAtATime) {
  On([&] {
    intptr_t f = Open("many", kNew);
    go_wg wg{};
    constexpr int kN = 50;
    for (int i = 0; i < kN; i++) {
      SPAWN_WG(&wg, [&, i] {
        int64_t v[16], got[16];
        for (int64_t &x : v) x = i;
        for (int k = 0; k < 10; k++) {
          EXPECT_EQ(go_file_pwrite(nullptr, f, v, sizeof v, i * 128), 128);
          EXPECT_EQ(go_file_pread(nullptr, f, got, sizeof got, i * 128), 128);
          EXPECT_EQ(memcmp(v, got, sizeof v), 0);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(go_file_size(nullptr, f), kN * 128);
    EXPECT_EQ(go_file_close(f), 0);
  });
}

}  // namespace
