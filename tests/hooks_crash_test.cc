// What hooks must not do.

#include <golib/golib.h>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

void ExpectFatal(const ChildResult &r, const char *text) {
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said(text)) << r;
}

go_chan *chan;
go_hooks hooks;
int RunWithHooks() {
  chan = go_chan_new(0, 0);
  go_set_hooks(&hooks);
  int rc = go_run([](void *) {}, nullptr);
  CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);  // so that its end is told of as well
  return rc;
}

TEST(HooksCrash, SwitchInMustNotWait) {
  ChildResult r = RunChild([] {
    hooks.switch_in = [](void *, uint64_t) { (void)go_chan_recv(chan, nullptr); };
    return RunWithHooks();
  });
  ExpectFatal(r, "a hook of go_set_hooks must not suspend");
}

TEST(HooksCrash, SwitchOutMustNotSleep) {
  ChildResult r = RunChild([] {
    hooks.switch_out = [](void *, uint64_t) { (void)go_sleep(nullptr, GO_MIN); };
    return RunWithHooks();
  });
  ExpectFatal(r, "a hook of go_set_hooks must not suspend");
}

TEST(HooksCrash, SpawnMustNotWaitEvenOnAThread) {
  ChildResult r = RunChild([] {
    hooks.spawn = [](void *, uint64_t, const char *) { (void)go_chan_recv(chan, nullptr); };
    return RunWithHooks();
  });
  ExpectFatal(r, "a hook of go_set_hooks must not suspend");
}

TEST(HooksCrash, MustNotSpawn) {
  ChildResult r = RunChild([] {
    hooks.spawn = [](void *, uint64_t, const char *) { (void)!go_spawn([](void *) {}, nullptr); };
    return RunWithHooks();
  });
  ExpectFatal(r, "a hook of go_set_hooks must not start goroutines");
  r = RunChild([] {
    hooks.exit = [](void *, uint64_t) { (void)!go_post([](void *) {}, nullptr); };
    return RunWithHooks();
  });
  ExpectFatal(r, "a hook of go_set_hooks must not start goroutines");
}

TEST(HooksCrash, MustNotPanic) {
  ChildResult r = RunChild([] {
    hooks.exit = [](void *, uint64_t) { go_panic("in a hook"); };
    return RunWithHooks();
  });
  ExpectFatal(r, "panic on a thread outside go_try: in a hook");
}

TEST(HooksCrash, MustNotExit) {
  ChildResult r = RunChild([] {
    hooks.switch_in = [](void *, uint64_t) { go_exit(); };
    return RunWithHooks();
  });
  ExpectFatal(r, "go_exit on a plain thread");
}

}  // namespace
