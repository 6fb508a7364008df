// What networking does to a whole process: running out of descriptors, deadlocks that are none, signals, fork.

#include <golib/golib.h>
#if !defined(_WIN32)
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#endif
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/dump.h"
#include "tests/support/net.h"

using golib_test::ChildResult;
using golib_test::Conn;
using golib_test::Dial;
using golib_test::Listener;
using golib_test::ReadN;
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

// Windows has no limit on descriptors that could be set, and no fork.
#if !defined(_WIN32)

// No descriptor is left while connections come: accept waits, says so once, and loses none.
TEST(NetCrash, OutOfDescriptors) {
  ChildResult r = Child([] {
    RunGo([] {
      Listener l("unix", ("@golib_emfile_" + std::to_string(getpid())).c_str());
      constexpr int kClients = 20;
      std::vector<Conn> clients;
      for (int i = 0; i < kClients; i++) {
        clients.push_back(Dial("unix", l.Addr()));
        CHILD_CHECK(Write(clients.back(), std::string(1, static_cast<char>(i))) == 1);
      }
      struct rlimit lim;
      CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &lim) == 0);
      std::vector<int> used;  // all there are up to a small limit
      lim.rlim_cur = 200;
      CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
      for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) used.push_back(fd);
      CHILD_CHECK(errno == EMFILE);
      go_conn *c = nullptr;
      CHILD_CHECK(go_dial(nullptr, "unix", l.Addr().c_str(), &c) == -EMFILE);
      go_listener *l2 = nullptr;
      CHILD_CHECK(go_listen(nullptr, "tcp", "127.0.0.1:0", &l2) == -EMFILE);
      CHILD_CHECK(go_conn_dup(clients[0]) == nullptr);
      // A deadline and a context end the wait.
      CHILD_CHECK(go_listener_set_deadline(l, go_now() + 20 * GO_MS) == 0);
      CHILD_CHECK(go_accept(nullptr, l, &c) == GO_ETIMEDOUT);
      CHILD_CHECK(go_listener_set_deadline(l, 0) == 0);
      go_ctx *ctx = go_ctx_with_timeout(nullptr, 20 * GO_MS);
      CHILD_CHECK(go_accept(ctx, l, &c) == GO_ETIMEDOUT);
      go_ctx_unref(ctx);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        (void)go_sleep(nullptr, 30 * GO_MS);
        for (int fd : used) close(fd);
      });
      for (int i = 0; i < kClients; i++) {
        Conn s = l.Accept();
        CHILD_CHECK(ReadN(s, 1) == std::string(1, static_cast<char>(i)));
      }
      go_wg_wait(&wg);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("go_accept: no descriptor"), 1) << r;
}

// Closing the listener ends the wait for a descriptor.
TEST(NetCrash, CloseWhileOutOfDescriptors) {
  ChildResult r = Child([] {
    RunGo([] {
      Listener l("unix", ("@golib_emfile2_" + std::to_string(getpid())).c_str());
      Conn c = Dial("unix", l.Addr());
      struct rlimit lim;
      CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &lim) == 0);
      lim.rlim_cur = 100;
      CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
      while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {}
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        go_conn *s = nullptr;
        CHILD_CHECK(go_accept(nullptr, l, &s) == GO_ECLOSED);
      });
      (void)go_sleep(nullptr, 30 * GO_MS);
      CHILD_CHECK(go_listener_close(l) == 0);
      go_wg_wait(&wg);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Go: TestNetpollDeadlock and issue 61454: whoever waits for a descriptor may be woken from outside.
TEST(NetCrash, WaitingForAPeerIsNoDeadlock) {
  ChildResult r = Child([] {
    int fds[2];
    CHILD_CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    if (pid == 0) {  // another process, so that nothing in this one can end the wait
      close(fds[1]);
      char path[100];
      ssize_t n = read(fds[0], path, sizeof path - 1);
      CHILD_CHECK(n > 0);
      path[n] = '\0';
      usleep(150 * 1000);
      RunGo([&] {
        Conn c = Dial("unix", path);
        usleep(150 * 1000);
        CHILD_CHECK(Write(c, "x") == 1);
        CHILD_CHECK(golib_test::ReadAll(c) == "y");
      });
      _exit(0);
    }
    RunGo([&] {
      Listener l("unix", ("@golib_wait_" + std::to_string(getpid())).c_str());
      std::string addr = l.Addr();
      CHILD_CHECK(write(fds[1], addr.data(), addr.size()) == static_cast<ssize_t>(addr.size()));
      Conn c = l.Accept();
      CHILD_CHECK(ReadN(c, 1) == "x");
      CHILD_CHECK(Write(c, "y") == 1);
    });
    int status = -1;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  });
  EXPECT_EQ(r.code, 0) << r;
}

#endif

// Connections that nobody waits for do not hide a deadlock.
TEST(NetCrash, OpenSocketsDoNotHideADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = Child([] {
    RunGo([] {
      Listener l;
      Conn c = Dial("tcp", l.Addr());
      golib_test::Chan<int> ch;
      (void)ch.Take();
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep")) << r;
  EXPECT_TRUE(r.Said("[chan receive")) << r;
}

// What dumps say about those who wait.
TEST(NetCrash, DumpsNameTheWait) {
  ChildResult r = Child([] {
    RunGo([] {
      Listener l;
      Conn c = Dial("tcp", l.Addr());
      Conn s = l.Accept();
      golib_test::Pair quiet;
      std::string big(16 << 20, 'x');  // more than fits on the way
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        go_conn *n = nullptr;
        CHILD_CHECK(go_accept(nullptr, l, &n) == GO_ECLOSED);
      });
      SPAWN_WG(&wg, [&] {
        char b;
        CHILD_CHECK(go_read(nullptr, quiet.a, &b, 1) == GO_ECLOSED);
      });
      SPAWN_WG(&wg, [&] { CHILD_CHECK(Write(s, big) == GO_ECLOSED); });
      std::string dump;
      do {  // until all have come to wait
        (void)go_sleep(nullptr, 10 * GO_MS);
        dump = golib_test::Dump();
      } while (dump.find("[net accept") == std::string::npos ||
               dump.find("[net read") == std::string::npos ||
               dump.find("[net write") == std::string::npos);
      CHILD_CHECK(go_conn_close(s) == 0);
      CHILD_CHECK(go_conn_close(quiet.a) == 0);
      CHILD_CHECK(go_listener_close(l) == 0);
      go_wg_wait(&wg);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

#if !defined(_WIN32)
TEST(NetCrash, InAForkedChild) {
  ChildResult r = Child([] {
    RunGo([] {
      Listener l;
      Conn c = Dial("tcp", l.Addr());
      pid_t pid = fork();
      if (pid == 0) {
        char b;
        go_conn *n = nullptr;
        go_listener *m = nullptr;
        bool ok = go_read(nullptr, c, &b, 1) == GO_EFORKED &&
                  go_write(nullptr, c, "x", 1) == GO_EFORKED &&
                  go_accept(nullptr, l, &n) == GO_EFORKED && go_conn_close(c) == GO_EFORKED &&
                  go_listen(nullptr, "tcp", "127.0.0.1:0", &m) == GO_EFORKED &&
                  go_dial(nullptr, "tcp", "127.0.0.1:1", &n) == GO_EFORKED &&
                  go_conn_set_deadline(c, 1) == GO_EFORKED && go_conn_dup(c) == nullptr;
        _exit(ok ? 0 : 1);
      }
      int status = -1;
      CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
      Conn s = l.Accept();  // the parent's are as they were
      CHILD_CHECK(Write(c, "x") == 1);
      CHILD_CHECK(ReadN(s, 1) == "x");
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

#endif

// golib stops and starts anew while connections are open: they are closed then.
TEST(NetCrash, ShutdownWithOpenConnections) {
  ChildResult r = Child([] {
    Listener l;
    Conn c = Dial("tcp", l.Addr());
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    char b;
    CHILD_CHECK(go_read(nullptr, c, &b, 1) == GO_ECLOSED);
    for (int i = 0; i < 3; i++) {
      golib_test::Pair p;
      CHILD_CHECK(Write(p.a, "x") == 1);
      CHILD_CHECK(ReadN(p.b, 1) == "x");
    }
    CHILD_CHECK(go_conn_close(c) == 0);
    CHILD_CHECK(go_listener_close(l) == 0);
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
  });
  EXPECT_EQ(r.code, 0) << r;
}

// ---- misuse

TEST(NetCrash, FreedWhileInUse) {
  ChildResult r = Child([] {
    RunGo([] {
      Listener l;
      go_conn *c = nullptr;
      CHILD_CHECK(go_dial(nullptr, "tcp", l.Addr().c_str(), &c) == 0);
      SPAWN([c] {
        char b;
        CHILD_CHECK(go_read(nullptr, c, &b, 1) != 0);
      });
      (void)go_sleep(nullptr, 20 * GO_MS);
      go_conn_unref(c);
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(
      r.Said("go_conn_unref: the last reference was given back while another goroutine uses it"))
      << r;
}

}  // namespace
