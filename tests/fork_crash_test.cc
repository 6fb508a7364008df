// fork(2) in a program that uses golib: exec, _exit and exit work in the child; the rest says that it
// cannot, by code or by message, and nothing hangs. The parent goes on as if nothing had been.
//
// Here "child" is RunChild's, which uses golib; what it forks is the grandchild.

#include <golib/golib.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::RunChild;

extern char **environ;

// A grandchild has none of the other threads' stacks, and what only they refer to looks leaked.
extern "C" __attribute__((visibility("default"))) const char *__asan_default_options() {
  return "detect_leaks=0";
}

namespace {

// Forks; the grandchild does f() and exits with its value. Returns its wait status.
template <class F>
int InFork(F f) {
  fflush(stdout);
  pid_t pid = fork();
  CHILD_CHECK(pid >= 0);
  if (pid == 0) {
    alarm(60);  // a grandchild that hangs fails the test, not the runner
    _exit(f());
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return status;
}
template <class F>
bool ForkSays(F f, int code) {
  int status = InFork(f);
  if (WIFEXITED(status) && WEXITSTATUS(status) == code) return true;
  fprintf(stderr, "grandchild's status: %#x\n", status);
  return false;
}
template <class F>
bool ForkAborts(F f) {
  int status = InFork([&] {
    f();
    return 0;
  });
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
template <class F>
int OnGoroutine(F f) {
  return go_run(golib_test::CallRef<F>, golib_test::RefOf(f)) == 0 ? 0 : 1;
}

// Other goroutines that keep the scheduler and its locks busy while we fork.
struct Crowd {
  go_wg wg{};
  std::atomic<bool> stop{false};
  go_chan *c = go_chan_new(sizeof(int), 1);
  Crowd() {
    for (int i = 0; i < 20; i++) {
      CHILD_CHECK(go_wg_spawn_site_("crowd", &wg, Work, Ref(), sizeof(Crowd *)) == 0);
    }
  }
  void End() {
    stop = true;
    go_wg_wait(&wg);
    go_chan_unref(c);
  }
  Crowd **Ref() {
    self = this;
    return &self;
  }
  static void Work(void *p) {
    Crowd *me = *static_cast<Crowd **>(p);
    int v = 0;
    while (!me->stop) {
      (void)!go_chan_try_send(me->c, &v);
      (void)!go_chan_try_recv(me->c, &v);
      (void)go_sleep(nullptr, 10 * GO_US);
      void *m = malloc(100);
      free(m);
      go_yield();
    }
  }
  Crowd *self = nullptr;
};

TEST(Fork, ExecAndExit) {
  ChildResult r = RunChild([] {
    auto body = [] {
      Crowd crowd;
      for (int i = 0; i < 20; i++) {
        CHILD_CHECK(ForkSays(
            [] {
              execl("/bin/sh", "sh", "-c", "exit 7", static_cast<char *>(nullptr));
              return 1;
            },
            7));
        CHILD_CHECK(ForkSays([] { return 9; }, 9));
        CHILD_CHECK(ForkSays(
            []() -> int {
              std::string s(1000, 'x');  // malloc works
              exit(s.size() == 1000 ? 11 : 1);
            },
            11));
      }
      crowd.End();
    };
    if (OnGoroutine(body) != 0) return 1;
    body();  // and on a plain thread, which golib knows
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

TEST(Fork, VforkSpawnSystemPopen) {
  ChildResult r = RunChild([] {
    auto body = [] {
      Crowd crowd;
      for (int i = 0; i < 10; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
          execl("/bin/true", "true", static_cast<char *>(nullptr));
          _exit(1);
        }
        int status = 1;
        CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        go_yield();
        char arg0[] = "true";
        char *argv[] = {arg0, nullptr};
        CHILD_CHECK(posix_spawn(&pid, "/bin/true", nullptr, nullptr, argv, environ) == 0);
        CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHILD_CHECK(system("exit 3") == 3 << 8);
        FILE *f = popen("echo hello", "r");
        char line[32] = "";
        CHILD_CHECK(f != nullptr && fgets(line, sizeof line, f) != nullptr);
        CHILD_CHECK(std::string(line) == "hello\n");
        CHILD_CHECK(pclose(f) == 0);
        go_yield();
      }
      crowd.End();
    };
    if (OnGoroutine(body) != 0) return 1;
    body();
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

void Nothing(void *) {}

// Every function that returns a code.
int Codes() {
  go_chan *c = go_chan_new(sizeof(int), 1);
  int v = 1;
#define CHECK_FORKED(call) CHILD_CHECK((call) == GO_EFORKED)
  CHECK_FORKED(go_spawn(Nothing, nullptr));
  CHECK_FORKED(go_spawn_copy(Nothing, &v, sizeof v));
  char large[1000] = {0};
  CHECK_FORKED(go_spawn_copy(Nothing, large, sizeof large));
  go_spawn_opts o{};
  o.name = "x";
  CHECK_FORKED(go_spawn_opt(&o, Nothing, nullptr, 0));
  o.pinned = true;
  CHECK_FORKED(go_spawn_opt(&o, Nothing, nullptr, 0));
  CHECK_FORKED(go_post(Nothing, nullptr));
  go_wg wg{};
  CHECK_FORKED(go_wg_spawn_site_("x", &wg, Nothing, nullptr, 0));
  go_wg_wait(&wg);  // is zero
  CHECK_FORKED(go_run(Nothing, nullptr));
  CHECK_FORKED(go_main([](int, char **) { return 0; }, 0, nullptr));
  CHECK_FORKED(go_init(nullptr));
  CHECK_FORKED(go_shutdown(0));
  CHECK_FORKED(go_procs(0));
  CHECK_FORKED(go_procs(3));
  CHECK_FORKED(go_sleep(nullptr, 1));
  CHECK_FORKED(go_sleep(nullptr, GO_FOREVER));
  CHECK_FORKED(go_step(1));
  CHECK_FORKED(go_wake_fd());
  CHILD_CHECK(go_step_wait() == 0);

  // What would wait.
  CHECK_FORKED(go_chan_recv_ctx(nullptr, c, &v));
  CHECK_FORKED(go_chan_try_recv(c, &v));
  CHECK_FORKED(go_chan_recv_ctx(nullptr, nullptr, &v));
  CHECK_FORKED(go_chan_send_ctx(nullptr, nullptr, &v));
  CHILD_CHECK(go_chan_send_ctx(nullptr, c, &v) == 0);  // there is room: it is memory
  CHECK_FORKED(go_chan_send_ctx(nullptr, c, &v));
  CHECK_FORKED(go_chan_try_send(c, &v));
  CHILD_CHECK(go_chan_try_recv(c, &v) == 0);
  go_case k = golib_test::RecvCase(c, &v);
  CHECK_FORKED(go_select(nullptr, &k, 1));
  CHECK_FORKED(go_select_try(&k, 1));
  go_mutex mu{};
  go_mutex_lock(&mu);  // nobody holds it
  CHECK_FORKED(go_mutex_lock_ctx(nullptr, &mu));
  go_mutex_unlock(&mu);
  go_wg_add(&wg, 1);
  CHECK_FORKED(go_wg_wait_ctx(nullptr, &wg));
  go_wg_done(&wg);
  go_rwmutex rw{};
  CHILD_CHECK(go_rwmutex_rlock_ctx(nullptr, &rw) == 0);
  CHECK_FORKED(go_rwmutex_lock_ctx(nullptr, &rw));
  go_rwmutex_runlock(&rw);
  CHILD_CHECK(go_rwmutex_lock_ctx(nullptr, &rw) == 0);
  CHECK_FORKED(go_rwmutex_rlock_ctx(nullptr, &rw));
  go_rwmutex_unlock(&rw);
  go_sem sem = GO_SEM_INIT(1);
  CHILD_CHECK(go_sem_acquire(nullptr, &sem, 1) == 0);
  CHECK_FORKED(go_sem_acquire(nullptr, &sem, 1));
  go_sem_release(&sem, 1);
  go_cond cond{};
  go_mutex_lock(&mu);
  CHECK_FORKED(go_cond_wait_ctx(nullptr, &cond, &mu));
  go_mutex_unlock(&mu);
  CHECK_FORKED(go_offload(nullptr, Nothing, nullptr));
  CHECK_FORKED(go_fd_wait(nullptr, 0, GO_FD_READ));
  intptr_t file;
  CHECK_FORKED(go_file_open(nullptr, "/", GO_FILE_READ, 0, &file));

  // Contexts are memory, but for deadlines and callbacks.
  go_ctx *ctx = go_ctx_with_cancel(nullptr);
  CHILD_CHECK(go_ctx_with_timeout(ctx, GO_HOUR) == nullptr);
  go_ctx_cancel(ctx);
  CHILD_CHECK(go_ctx_err(ctx) == GO_ECANCELED);
  CHECK_FORKED(go_ctx_after(ctx, Nothing, nullptr, nullptr));
  go_ctx_unref(ctx);

  // What only looks.
  CHILD_CHECK(go_id() == 0);
  CHILD_CHECK(go_count() == 0);
  CHILD_CHECK(go_now() > 0 && go_cpus() > 0);
  CHILD_CHECK(std::string(go_error_name(GO_EFORKED)) == "GO_EFORKED");
  CHILD_CHECK(std::string(go_strerror(GO_EFORKED)) == "not possible in a forked child");
  go_local l{};
  CHILD_CHECK(go_local_new(&l, nullptr) == 0 && go_local_get(l) == nullptr);
  CHILD_CHECK(go_local_delete(l) == 0);
  go_set_hooks(nullptr);
  go_dump(2);
  go_chan_close(c);
  go_chan_unref(c);
  return 0;
}

TEST(Fork, FunctionsThatReturnACode) {
  ChildResult r = RunChild([] {
    auto body = [] {
      Crowd crowd;
      for (int i = 0; i < 20; i++) CHILD_CHECK(ForkSays(Codes, 0));
      crowd.End();
    };
    if (OnGoroutine(body) != 0) return 1;
    body();
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

go_chan *waited;
go_mutex held;
go_wg counted;

// And every one that cannot: none hangs, none goes on.
TEST(Fork, FunctionsThatDie) {
  struct Call {
    const char *name;
    void (*fn)();
  };
  static const Call calls[] = {
      {"go_yield", [] { go_yield(); }},
      {"go_checkpoint", [] { (void)go_checkpoint(); }},
      {"go_lock_thread", [] { go_lock_thread(); }},
      {"go_unlock_thread", [] { go_unlock_thread(); }},
      {"go_set_name", [] { go_set_name("x"); }},
      {"go_exit", [] { go_exit(); }},
      {"go_panic", [] { go_panic("in the child"); }},
      {"go_try", [] { (void)go_try(Nothing, nullptr, nullptr); }},
      {"GO_DEFER", [] { GO_DEFER(Nothing, nullptr); }},
      {"go_chan_recv", [] { (void)go_chan_recv(go_chan_new(0, 0), nullptr); }},
      {"go_chan_send", [] { go_chan_send(go_chan_new(0, 0), nullptr); }},
      {"go_chan_recv of NULL", [] { (void)go_chan_recv(nullptr, nullptr); }},
      {"go_chan_send to one who waits", [] { go_chan_send(waited, nullptr); }},
      {"go_chan_close of one who waits", [] { go_chan_close(waited); }},
      {"go_mutex_lock", [] { go_mutex_lock(&held); }},
      {"go_wg_wait", [] { go_wg_wait(&counted); }},
      {"go_rwmutex_lock",
       [] {
         go_rwmutex rw{};
         go_rwmutex_rlock(&rw);
         go_rwmutex_lock(&rw);
       }},
      {"go_cond_wait",
       [] {
         go_cond c{};
         go_mutex mu{};
         go_mutex_lock(&mu);
         go_cond_wait(&c, &mu);
       }},
      {"go_timer_start",
       [] {
         go_timer t{};
         (void)!go_timer_start(&t, GO_HOUR, Nothing, nullptr);
       }},
      {"go_ticker_new", [] { (void)!go_ticker_new(GO_HOUR); }},
      {"go_after", [] { (void)!go_after(GO_HOUR); }},
      {"go_local_set",
       [] {
         go_local l{};
         (void)!go_local_new(&l, nullptr);
         (void)!go_local_set(l, &l);
       }},
  };
  ChildResult r = RunChild([] {
    waited = go_chan_new(0, 0);
    go_mutex_lock(&held);
    go_wg_add(&counted, 1);
    auto body = [] {
      CHILD_CHECK(go_spawn([](void *) { (void)go_chan_recv(waited, nullptr); }, nullptr) == 0);
      for (int i = 0; i < 20; i++) go_yield();
      for (const Call &c : calls) {
        if (!ForkAborts(c.fn)) {
          fprintf(stderr, "%s did not\n", c.name);
          return;
        }
      }
      go_chan_close(waited);
    };
    if (OnGoroutine(body) != 0) return 1;
    fprintf(stderr, "done\n");
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_FALSE(r.Said("did not")) << r;
  EXPECT_TRUE(r.Said("done")) << r;
  EXPECT_EQ(r.Count("forked child"), static_cast<int>(sizeof calls / sizeof *calls)) << r;
  EXPECT_TRUE(r.Said("panic in a forked child: in the child")) << r;
}

// Returning from the goroutine: nobody waits for it in the grandchild.
TEST(Fork, TheGoroutineReturns) {
  ChildResult r = RunChild([] {
    static pid_t pid;
    auto body = [] { pid = fork(); };
    int rc = OnGoroutine(body);
    CHILD_CHECK(pid > 0);
    int status = 0;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid);
    CHILD_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return rc;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("forked child"), 1) << r;
}

// Returning from main's goroutine is what it always is: the end of the process.
TEST(Fork, TheMainGoroutineReturns) {
  for (bool main_thread : {false, true}) {
    ChildResult r = RunChild([=] {
      go_config c{};
      c.main_thread = main_thread;
      CHILD_CHECK(go_init(&c) == 0);
      return go_main(
          [](int, char **) {
            pid_t pid = fork();
            if (pid == 0) return 21;
            int status = 0;
            CHILD_CHECK(waitpid(pid, &status, 0) == pid);
            CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 21);
            return 5;
          },
          0, nullptr);
    });
    EXPECT_EQ(r.code, 5) << r;
    EXPECT_EQ(r.err, "");
  }
}

// A thread that golib knows ends in the grandchild.
TEST(Fork, TheThreadEnds) {
  if (golib_test::kTsan) GTEST_SKIP() << "ThreadSanitizer itself crashes there, without golib too";
  if (golib_test::kSanitized) GTEST_SKIP() << "AddressSanitizer waits for a lock of its own there";
  ChildResult r = RunChild([] {
    static pid_t pid;
    pthread_t t;
    CHILD_CHECK(pthread_create(
                    &t, nullptr,
                    [](void *) -> void * {
                      go_run(Nothing, nullptr) == 0 ? (void)0 : abort();
                      pid = fork();
                      if (pid == 0) alarm(60);
                      return nullptr;
                    },
                    nullptr) == 0);
    CHILD_CHECK(pthread_join(t, nullptr) == 0);
    int status = 1;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid);
    CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return go_run(Nothing, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

// A grandchild that forks again.
TEST(Fork, Twice) {
  ChildResult r = RunChild([] {
    return OnGoroutine([] { CHILD_CHECK(ForkSays([] { return ForkSays(Codes, 0) ? 4 : 1; }, 4)); });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Nothing to lose: before the first use, and after go_shutdown, the child may use golib.
TEST(Fork, WhileGolibIsDown) {
  ChildResult r = RunChild([] {
    auto use = [] { return go_run(Nothing, nullptr) == 0 && go_shutdown(GO_FOREVER) == 0 ? 6 : 1; };
    for (int i = 0; i < 3; i++) {
      CHILD_CHECK(ForkSays(use, 6));
      CHILD_CHECK(use() == 6);
    }
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(Fork, OfAnEmbeddedHost) {
  ChildResult r = RunChild([] {
    go_config c{};
    c.embedded = true;
    CHILD_CHECK(go_init(&c) == 0);
    CHILD_CHECK(go_wake_fd() >= 0);
    CHILD_CHECK(go_post(Nothing, nullptr) == 0);
    CHILD_CHECK(ForkSays(Codes, 0));
    CHILD_CHECK(go_step(10) == 1);
    return go_shutdown(GO_FOREVER);
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
