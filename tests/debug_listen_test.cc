// go_debug_listen: its codes, its socket, and what it must not be taken for. What it answers: tests/seeing/serve_test.py.

#include <fcntl.h>
#include <golib/golib.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/support/golib_test.h"

using golib_test::RunGo;

namespace {

// A directory with a short name, as sockets' paths have to be.
struct Dir {
  std::string name = "/tmp/golib_XXXXXX";
  Dir() { EXPECT_NE(mkdtemp(&name[0]), nullptr); }
  ~Dir() { EXPECT_EQ(rmdir(name.c_str()), 0) << name; }  // and nothing is left in it
  std::string operator/(const char *file) const { return name + "/" + file; }
};

int Connect(const std::string &path) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<const sockaddr *>(&a), sizeof a) == 0) return fd;
  close(fd);
  return -1;
}

// What it answers to one request, until it closes.
std::string Ask(const std::string &path, const std::string &target) {
  int fd = Connect(path);
  if (fd < 0) return "";
  std::string q = "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", all;
  EXPECT_EQ(send(fd, q.data(), q.size(), MSG_NOSIGNAL), static_cast<ssize_t>(q.size()));
  char buf[4096];
  for (ssize_t n; (n = recv(fd, buf, sizeof buf, 0)) > 0;) all.append(buf, static_cast<size_t>(n));
  close(fd);
  return all;
}

bool Answers(const std::string &path) {
  return Ask(path, "/stats.json").rfind("HTTP/1.1 200 OK\r\n", 0) == 0;
}

bool Exists(const std::string &path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

int Listen(const std::string &path, const go_debug_opts *o = nullptr, go_ctx *ctx = nullptr) {
  return go_debug_listen(ctx, path.c_str(), o);
}

// What a program leaves that was killed.
void LeaveSocket(const std::string &path) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr *>(&a), sizeof a), 0);
  EXPECT_EQ(listen(fd, 1), 0);
  close(fd);
}

TEST(DebugListen, WrongArguments) {
  go_debug_opts o = {};
  EXPECT_EQ(go_debug_listen(nullptr, nullptr, nullptr), GO_EINVAL);
  EXPECT_EQ(go_debug_listen(nullptr, nullptr, &o), GO_EINVAL);
  EXPECT_EQ(Listen(""), GO_EINVAL);
  // Loopback only, and numbers are what they look like.
  for (const char *bad : {"",
                          ":80",
                          "80",
                          "localhost",
                          "127.0.0.1",
                          "0.0.0.0:0",
                          "192.168.1.1:0",
                          "[::]:0",
                          "::1:0",
                          "[::1]",
                          "127.0.0.1:65536",
                          "127.0.0.1:-1",
                          "127.0.0.1: 1",
                          "127.0.0.256:1",
                          "127.0.0:1",
                          "1270.0.0.1:1",
                          "127.0.0.1:",
                          "localhost.evil.org:1",
                          "127.0.0.1.evil.org:1",
                          "127.0.0.1:1x",
                          "localhost:000001",
                          "[::1]:1:2",
                          "example.org:80"}) {
    o.http = bad;
    EXPECT_EQ(go_debug_listen(nullptr, nullptr, &o), GO_EINVAL) << bad;
  }
}

TEST(DebugListen, PlacesWhereItCannotBe) {
  Dir d;
  EXPECT_EQ(Listen(d / "no/such"), -ENOENT);
  EXPECT_EQ(Listen(d / std::string(120, 'x').c_str()), -ENAMETOOLONG);
  EXPECT_EQ(Listen(d / std::string(1000, 'x').c_str()), -ENAMETOOLONG);
  if (geteuid() != 0) {
    EXPECT_EQ(chmod(d.name.c_str(), 0500), 0);
    EXPECT_EQ(Listen(d / "s"), -EACCES);
    EXPECT_EQ(chmod(d.name.c_str(), 0700), 0);
  }
}

// Whatever the umask, and with nothing beside it.
TEST(DebugListen, OnlyTheOwnerMayConnect) {
  Dir d;
  for (mode_t mask : {0000, 0022, 0777}) {
    mode_t before = umask(mask);
    int r = Listen(d / "s");
    umask(before);
    if (mask == 0777 && geteuid() != 0) {  // its own directory is closed to it as well
      EXPECT_EQ(r, -EACCES);
      continue;
    }
    EXPECT_EQ(r, 0);
    struct stat st;
    EXPECT_EQ(lstat((d / "s").c_str(), &st), 0);
    EXPECT_TRUE(S_ISSOCK(st.st_mode));
    EXPECT_EQ(st.st_mode & 07777, 0600u);
    EXPECT_EQ(st.st_uid, geteuid());
    EXPECT_TRUE(Answers(d / "s"));
    go_debug_close();
    EXPECT_FALSE(Exists(d / "s"));
  }
}

TEST(DebugListen, OneAtATime) {
  Dir d;
  EXPECT_EQ(Listen(d / "s"), 0);
  EXPECT_EQ(Listen(d / "s"), GO_EBUSY);
  EXPECT_EQ(Listen(d / "t"), GO_EBUSY);
  EXPECT_FALSE(Exists(d / "t"));
  go_debug_close();
  go_debug_close();  // there is none
  EXPECT_EQ(Listen(d / "t"), 0);
  EXPECT_TRUE(Answers(d / "t"));
  go_debug_close();
  EXPECT_EQ(Connect(d / "t"), -1);
}

TEST(DebugListen, ReplacesWhatIsStale) {
  Dir d;
  LeaveSocket(d / "s");
  EXPECT_EQ(Connect(d / "s"), -1);
  EXPECT_EQ(Listen(d / "s"), 0);
  EXPECT_TRUE(Answers(d / "s"));
  go_debug_close();
}

TEST(DebugListen, TouchesNothingElse) {
  Dir d;
  close(open((d / "file").c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_EQ(Listen(d / "file"), -EADDRINUSE);
  EXPECT_EQ(mkfifo((d / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(Listen(d / "fifo"), -EADDRINUSE);
  LeaveSocket(d / "stale");
  EXPECT_EQ(symlink("stale", (d / "link").c_str()), 0);
  EXPECT_EQ(Listen(d / "link"), -EADDRINUSE);  // where it leads is not ours to say
  for (const char *name : {"file", "fifo", "link", "stale"})
    EXPECT_EQ(unlink((d / name).c_str()), 0) << name;

  // Somebody who is there, also if he does not accept.
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  (d / "live").copy(a.sun_path, sizeof a.sun_path - 1);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr *>(&a), sizeof a), 0);
  EXPECT_EQ(listen(fd, 0), 0);
  EXPECT_EQ(Listen(d / "live"), -EADDRINUSE);
  EXPECT_EQ(Listen(d / "live"), -EADDRINUSE);
  close(fd);
  EXPECT_EQ(unlink((d / "live").c_str()), 0);
}

// Another has taken the name meanwhile: that is not removed at the end.
TEST(DebugListen, RemovesOnlyItsOwn) {
  Dir d;
  EXPECT_EQ(Listen(d / "s"), 0);
  EXPECT_EQ(unlink((d / "s").c_str()), 0);
  close(open((d / "s").c_str(), O_CREAT | O_WRONLY, 0600));
  go_debug_close();
  EXPECT_EQ(unlink((d / "s").c_str()), 0);
}

TEST(DebugListen, HttpOnLoopback) {
  Dir d;
  int port = 0;
  go_debug_opts o = {};
  o.http = "127.0.0.1:0";
  o.ret_port = &port;
  EXPECT_EQ(Listen(d / "s", &o), 0);
  EXPECT_GT(port, 0);
  EXPECT_TRUE(Answers(d / "s"));
  go_debug_close();
  // The port is taken: there is no socket either.
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a = {};
  socklen_t n = sizeof a;
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr *>(&a), sizeof a), 0);
  EXPECT_EQ(listen(fd, 1), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&a), &n), 0);
  std::string taken = "localhost:" + std::to_string(ntohs(a.sin_port));
  o.http = taken.c_str();
  port = -1;
  EXPECT_EQ(Listen(d / "s", &o), -EADDRINUSE);
  EXPECT_EQ(port, -1);
  EXPECT_FALSE(Exists(d / "s"));
  close(fd);
}

TEST(DebugListen, NoDescriptors) {
  Dir d;
  EXPECT_EQ(Listen(d / "s"), 0);
  go_debug_close();
  rlimit before, none;
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = before;
  none.rlim_cur = 0;
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  int r = Listen(d / "s");
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(r, -EMFILE);
  EXPECT_FALSE(Exists(d / "s"));
}

TEST(DebugListen, EndsWithItsContext) {
  Dir d;
  RunGo([&] {
    go_ctx *ctx = go_ctx_with_cancel(nullptr), *late = go_ctx_with_timeout(nullptr, 0);
    EXPECT_EQ(Listen(d / "s", nullptr, late), GO_ETIMEDOUT);
    EXPECT_EQ(Listen(d / "s", nullptr, ctx), 0);
    EXPECT_TRUE(Answers(d / "s"));
    go_ctx_cancel(ctx);
    while (Exists(d / "s")) (void)go_sleep(nullptr, GO_MS);
    EXPECT_EQ(Listen(d / "s", nullptr, ctx), GO_ECANCELED);
    // What the first context does is over: the next one decides.
    go_ctx *next = go_ctx_with_cancel(nullptr);
    EXPECT_EQ(Listen(d / "s", nullptr, next), 0);
    EXPECT_TRUE(Answers(d / "s"));
    go_debug_close();
    go_ctx_cancel(next);
    EXPECT_EQ(Listen(d / "s", nullptr, go_ctx_background()), 0);
    while (go_test_leaks(-1) != 0) (void)go_sleep(nullptr, GO_MS);
    EXPECT_TRUE(Answers(d / "s"));
    go_debug_close();
    go_ctx_unref(ctx);
    go_ctx_unref(late);
    go_ctx_unref(next);
  });
}

TEST(DebugListen, IsNoGoroutine) {
  Dir d;
  RunGo([&] {
    int64_t before = go_count();
    EXPECT_EQ(Listen(d / "s"), 0);
    EXPECT_TRUE(Answers(d / "s"));
    EXPECT_EQ(go_count(), before);
    EXPECT_EQ(go_test_leaks(-1), 0);
    go_debug_close();
  });
}

TEST(DebugListen, ShutdownEndsIt) {
  Dir d;
  EXPECT_EQ(Listen(d / "s"), 0);
  int fd = Connect(d / "s");  // a client that asks nothing
  EXPECT_GE(fd, 0);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_FALSE(Exists(d / "s"));
  char c;
  EXPECT_LE(recv(fd, &c, 1, 0), 0);  // the end, or a reset if it had not been accepted
  close(fd);
  EXPECT_EQ(Listen(d / "s"), 0);  // it starts golib anew
  EXPECT_TRUE(Answers(d / "s"));
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

// A trace that is on when it ends is ended too, and so is one whose client has gone.
TEST(DebugListen, EndsATrace) {
  Dir d;
  std::string q = "GET /trace?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n";
  int null = open("/dev/null", O_WRONLY);
  auto status = [&] { return Ask(d / "s", "/trace?seconds=0.01").substr(9, 3); };
  for (bool client_goes : {false, true}) {
    EXPECT_EQ(Listen(d / "s"), 0);
    int fd = Connect(d / "s");
    EXPECT_EQ(send(fd, q.data(), q.size(), 0), static_cast<ssize_t>(q.size()));
    EXPECT_EQ(status(), "409");  // it has come later, so it is answered later
    EXPECT_EQ(go_trace_start(null), GO_EBUSY);
    if (client_goes) {
      close(fd);
      while (status() == "409") usleep(1000);
    }
    go_debug_close();
    EXPECT_EQ(go_trace_start(null), 0);
    go_trace_stop();
    if (!client_goes) close(fd);
  }
  // The program's own is not touched.
  EXPECT_EQ(Listen(d / "s"), 0);
  EXPECT_EQ(go_trace_start(null), 0);
  EXPECT_EQ(status(), "409");
  go_debug_close();
  EXPECT_EQ(go_trace_start(null), GO_EBUSY);
  go_trace_stop();
  close(null);
}

TEST(DebugListen, AForkedChildHasNoPartInIt) {
  Dir d;
  EXPECT_EQ(Listen(d / "s"), 0);
  pid_t pid = fork();
  if (pid == 0) {
    bool good = go_debug_listen(nullptr, (d / "t").c_str(), nullptr) == GO_EFORKED;
    go_debug_close();
    exit(good && Exists(d / "s") ? 0 : 1);  // and what exit does leaves the parent's socket alone
  }
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Answers(d / "s"));
  go_debug_close();
}

// Many at a time, who close and listen and ask: whoever gets an answer gets a whole one.
TEST(DebugListen, Concurrently) {
  Dir d;
  std::atomic<int> on{0}, answers{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < golib_test::Rounds(50); i++) {
        if (t < 2) {
          int r = Listen(d / "s");
          EXPECT_TRUE(r == 0 || r == GO_EBUSY) << r;
          on += r == 0;
          if (i % 2 == 0) go_debug_close();
        } else {
          std::string s = Ask(d / "s", "/goroutines.json");
          answers += !s.empty() && s.substr(s.size() - 2) == "}\n";
        }
      }
    });
  }
  for (auto &t : threads) t.join();
  go_debug_close();
  EXPECT_GT(on, 0);
  EXPECT_FALSE(Exists(d / "s"));
}

}  // namespace
