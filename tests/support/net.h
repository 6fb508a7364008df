// tests/support/net.h: connections for tests, and the count of what they leave behind.
#ifndef GOLIB_TESTS_SUPPORT_NET_H_
#define GOLIB_TESTS_SUPPORT_NET_H_

#include <golib/net.h>
#if !defined(_WIN32)
#include <dirent.h>
#endif

#include <string>
#include <utility>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

namespace golib_test {

// Descriptors that are open. Windows counts threads' handles and others' among the process's: nothing is told there.
inline int OpenFds() {
  int n = 0;
#if !defined(_WIN32)
  DIR *d = opendir("/proc/self/fd");
  while (d != nullptr && readdir(d) != nullptr) n++;
  if (d != nullptr) closedir(d);
#endif
  return n;
}

// For tests that need Unix sockets: golib has only streams on Windows, not all of which have them.
#define SKIP_IF_NO_UNIX_SOCKETS() \
  if (::golib_test::kWindows) GTEST_SKIP() << "no Unix sockets"

// One reference.
class Conn {
 public:
  explicit Conn(go_conn *c = nullptr) : c_(c) {}
  Conn(Conn &&o) noexcept : c_(o.c_) { o.c_ = nullptr; }
  Conn(const Conn &o) : c_(go_conn_ref(o.c_)) {}
  Conn &operator=(Conn o) noexcept {
    std::swap(c_, o.c_);
    return *this;
  }
  ~Conn() { go_conn_unref(c_); }
  go_conn *get() const { return c_; }
  operator go_conn *() const { return c_; }

 private:
  go_conn *c_;
};

class Listener {
 public:
  explicit Listener(const char *net = "tcp", const char *addr = "127.0.0.1:0",
                    const go_listen_opts *o = nullptr) {
    int r = go_listen_opt(o, nullptr, net, addr, &l_);
    EXPECT_EQ(r, 0) << net << " " << addr << ": " << go_strerror(r);
  }
  Listener(const Listener &) = delete;
  Listener &operator=(const Listener &) = delete;
  ~Listener() { go_listener_unref(l_); }
  go_listener *get() const { return l_; }
  operator go_listener *() const { return l_; }
  std::string Addr() const {
    go_addr a{};
    EXPECT_EQ(go_listener_addr(l_, &a), 0);
    return go_addr_str(&a);
  }
  Conn Accept() const {
    go_conn *c = nullptr;
    int r = go_accept(nullptr, l_, &c);
    EXPECT_EQ(r, 0) << go_strerror(r);
    return Conn(c);
  }

 private:
  go_listener *l_ = nullptr;
};

inline Conn Dial(const char *net, const std::string &addr) {
  go_conn *c = nullptr;
  int r = go_dial(nullptr, net, addr.c_str(), &c);
  EXPECT_EQ(r, 0) << net << " " << addr << ": " << go_strerror(r);
  return Conn(c);
}

// Two ends of one connection over loopback; what a test closes itself is closed twice, and that is no error here.
struct Pair {
  Conn a, b;
  explicit Pair(const char *net = "tcp", const char *addr = "127.0.0.1:0") {
    Listener l(net, addr);
    a = Dial(net, l.Addr());
    b = l.Accept();
  }
};

// A network and an address of this machine's own for it, for the fastest connections that there are: Unix sockets where
// `name` can be that of one.
struct Local {
  const char *net = kWindows ? "tcp" : "unix";
  std::string addr;
  explicit Local(const std::string &name)
      : addr(kWindows ? "127.0.0.1:0" : "@golib_" + name + "_" + std::to_string(getpid())) {}
};

// Reads until n bytes have come, or the stream ends.
inline std::string ReadN(go_conn *c, size_t n) {
  std::string s(n, '\0');
  size_t got = 0;
  while (got < n) {
    ptrdiff_t r = go_read(nullptr, c, &s[got], n - got);
    EXPECT_GE(r, 0) << go_strerror(static_cast<int>(r));
    if (r <= 0) break;
    got += static_cast<size_t>(r);
  }
  s.resize(got);
  return s;
}
inline std::string ReadAll(go_conn *c) {
  std::string s;
  char buf[4096];
  ptrdiff_t r;
  while ((r = go_read(nullptr, c, buf, sizeof buf)) > 0) s.append(buf, static_cast<size_t>(r));
  EXPECT_EQ(r, 0) << go_strerror(static_cast<int>(r));
  return s;
}
inline ptrdiff_t Write(go_conn *c, const std::string &s) {
  return go_write(nullptr, c, s.data(), s.size());
}

// Every test leaves as many descriptors and goroutines as it found.
class NetTest : public testing::Test {
 protected:
  void SetUp() override {
    RunGo([] {});
    Until([] { return go_count() == 0; });
    fds_ = OpenFds();
  }
  void TearDown() override {
    Until([] { return go_count() == 0; });
    EXPECT_EQ(OpenFds(), fds_);
  }

 private:
  int fds_ = 0;
};

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_NET_H_
