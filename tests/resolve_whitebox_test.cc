// go_resolve: the system's names, and with a resolver of the test's own: sharing, cancelling, bounds.
#include <golib/golib.h>
#include <golib/net.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

extern "C" {
#include "net/names.h"
}
#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

struct Found {
  int rc = 1;
  std::vector<go_addr> at;
  bool Has(const char *text) const {
    for (const go_addr &a : at) {
      if (std::string(go_addr_str(&a)) == text) return true;
    }
    return false;
  }
};

Found Resolve(go_ctx *ctx, const char *host) {
  Found f;
  go_addrs *a = nullptr;
  f.rc = go_resolve(ctx, host, &a);
  EXPECT_EQ(f.rc == 0, a != nullptr);
  if (a != nullptr) f.at.assign(a->at, a->at + a->n);
  go_addrs_free(a);
  return f;
}

class Names : public testing::TestWithParam<bool> {
 protected:
  static void On(const std::function<void()> &f) {
    if (GetParam()) {
      RunGo(f);
    } else {
      f();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, Names, testing::Bool());

TEST_P(Names, Numeric) {
  On([] {
    EXPECT_EQ(go_sleep(nullptr, GO_US), 0);
    const int before = ThreadCount();
    for (const char *host : {"127.0.0.1", "::1", "8.8.4.4", "2001:db8::5", "0.0.0.0", "::"}) {
      Found f = Resolve(nullptr, host);
      EXPECT_EQ(f.rc, 0) << host;
      EXPECT_EQ(f.at.size(), 1u) << host;
      if (f.at.size() != 1) continue;
      std::string h = host;
      bool six = h.find(':') != std::string::npos;
      EXPECT_EQ(f.at[0].family, six ? GO_ADDR_IP6 : GO_ADDR_IP4);
      EXPECT_EQ(f.at[0].port, 0);
      EXPECT_EQ(go_addr_str(&f.at[0]), six ? "[" + h + "]:0" : h + ":0");
    }
    EXPECT_EQ(ThreadCount(), before);  // nobody was asked
  });
}

// Go: TestLookupLocalhost's kin; also what getaddrinfo wants of stack.
TEST_P(Names, Localhost) {
  On([] {
    Found f = Resolve(nullptr, "localhost");
    EXPECT_EQ(f.rc, 0) << go_strerror(f.rc);
    EXPECT_TRUE(f.Has("127.0.0.1:0") || f.Has("[::1]:0"));
    for (const go_addr &a : f.at) EXPECT_EQ(a.port, 0);
    for (size_t i = 0; i < f.at.size(); i++) {  // each once
      for (size_t k = 0; k < i; k++) EXPECT_STRNE(go_addr_str(&f.at[i]), go_addr_str(&f.at[k]));
    }
  });
}

// The first name of /etc/hosts that is not localhost's.
TEST_P(Names, HostsFile) {
  FILE *hosts = fopen("/etc/hosts", "r");
  if (hosts == nullptr) GTEST_SKIP() << "no /etc/hosts";
  char line[512], ip[256], name[256];
  std::string want_ip, want;
  while (want.empty() && fgets(line, sizeof line, hosts) != nullptr) {
    if (line[0] != '#' && sscanf(line, "%255s %255s", ip, name) == 2 &&
        strchr(ip, ':') == nullptr && strstr(name, "local") == nullptr) {
      want = name;
      want_ip = ip;
    }
  }
  fclose(hosts);
  if (want.empty()) GTEST_SKIP() << "/etc/hosts names nothing else";
  On([&] {
    Found f = Resolve(nullptr, want.c_str());
    EXPECT_EQ(f.rc, 0) << want << ": " << go_strerror(f.rc);
    EXPECT_TRUE(f.Has((want_ip + ":0").c_str())) << want;
  });
}

// A name that cannot exist (RFC 2606). Without a name server that cannot be known.
TEST_P(Names, NoSuchHost) {
  On([] {
    Found f = Resolve(nullptr, "nobody.invalid");
    EXPECT_TRUE(f.rc == GO_ENOHOST || f.rc == GO_EDNS) << f.rc;
  });
}

TEST_P(Names, Arguments) {
  On([] {
    go_addrs *a = nullptr;
    EXPECT_EQ(go_resolve(nullptr, nullptr, &a), GO_EINVAL);
    EXPECT_EQ(go_resolve(nullptr, "", &a), GO_EINVAL);
    EXPECT_EQ(go_resolve(nullptr, "localhost", nullptr), GO_EINVAL);
    std::string much(256, 'a');
    EXPECT_EQ(go_resolve(nullptr, much.c_str(), &a), GO_ENOHOST);
    much.assign(1 << 20, ':');
    EXPECT_EQ(go_resolve(nullptr, much.c_str(), &a), GO_ENOHOST);
    go_ctx *ctx = go_ctx_with_timeout(nullptr, -1);
    EXPECT_EQ(go_resolve(ctx, "127.0.0.1", &a), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    EXPECT_EQ(a, nullptr);
    go_addrs_free(nullptr);
  });
}

// ---- A resolver of our own.

// Names mean: "fail:X" code X; "wait:..." waits for the gate; "n:K" K addresses, each told twice; else 10.0.0.1.
std::mutex mu;
std::condition_variable cv;
bool gate_open;
int inside, most;
std::map<std::string, int> asked;

void OpenGate(bool open) {
  std::lock_guard<std::mutex> l(mu);
  gate_open = open;
  cv.notify_all();
}
int Inside() {
  std::lock_guard<std::mutex> l(mu);
  return inside;
}
int Asked(const std::string &name) {
  std::lock_guard<std::mutex> l(mu);
  return asked[name];
}

int OurResolver(const char *host, void (*each)(void *, int, const uint8_t *, uint32_t), void *arg) {
  std::string h = host;
  {
    std::unique_lock<std::mutex> l(mu);
    asked[h]++;
    inside++;
    most = std::max(most, inside);
    if (h.find("wait:") == 0) cv.wait(l, [] { return gate_open; });
    inside--;
  }
  if (h.find("fail:") == 0) return atoi(host + 5);
  int n = h.find("n:") == 0 ? atoi(host + 2) : 1;
  uint8_t ip[4] = {10, 0, 0, 1};
  for (int i = 0; i < n; i++) {
    ip[2] = static_cast<uint8_t>(i >> 8);
    ip[3] = static_cast<uint8_t>(i);
    if (n == 1) ip[3] = 1;
    each(arg, 4, ip, 0);
    each(arg, 4, ip, 0);
  }
  return 0;
}

void AbandonOnceBegun(const char *name) {
  go_ctx *ctx = go_ctx_with_cancel(nullptr);
  go_wg wg{};
  SPAWN_WG(&wg, [&] { EXPECT_EQ(Resolve(ctx, name).rc, GO_ECANCELED); });
  Until([] { return Inside() == 1; });
  go_ctx_cancel(ctx);
  go_wg_wait(&wg);
  go_ctx_unref(ctx);
}

class OwnNames : public Names {
 protected:
  OwnNames() {
    go_resolver_set_(OurResolver);
    OpenGate(false);
    std::lock_guard<std::mutex> l(mu);
    asked.clear();
    most = 0;
  }
  ~OwnNames() override {
    OpenGate(true);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    go_resolver_set_(nullptr);
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, OwnNames, testing::Bool());

TEST_P(OwnNames, OrderAndErrors) {
  On([] {
    Found f = Resolve(nullptr, "n:300");
    EXPECT_EQ(f.rc, 0);
    EXPECT_EQ(f.at.size(), 300u);
    for (size_t i = 0; i < f.at.size(); i++) {
      EXPECT_EQ(f.at[i].ip[2] * 256u + f.at[i].ip[3], i);
      EXPECT_EQ(f.at[i].family, GO_ADDR_IP4);
    }
    EXPECT_STREQ(go_addr_str(&f.at[299]), "10.0.1.43:0");
    EXPECT_EQ(Resolve(nullptr, "n:0").rc, GO_ENOHOST);
    for (int err : {static_cast<int>(GO_ENOHOST), static_cast<int>(GO_EDNS),
                    static_cast<int>(GO_ENOMEM), -EIO}) {
      EXPECT_EQ(Resolve(nullptr, ("fail:" + std::to_string(err)).c_str()).rc, err);
    }
  });
}

// Go: singleflight's TestDoDupSuppress.
TEST_P(OwnNames, SameNameIsAskedOnce) {
  On([] {
    go_wg wg{};
    std::atomic<int> begun{0};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [&] {
        begun++;
        Found f = Resolve(nullptr, "wait:same");
        EXPECT_EQ(f.rc, 0);
        EXPECT_TRUE(f.Has("10.0.0.1:0"));
      });
    }
    Until([&] { return begun == 50 && Inside() == 1; });
    Settle();
    OpenGate(true);
    go_wg_wait(&wg);
    EXPECT_LE(Asked("wait:same"), 2);  // a late one may have come after the answer
    EXPECT_EQ(Resolve(nullptr, "wait:same").rc, 0);
    EXPECT_GE(Asked("wait:same"), 2);  // answers are not kept
  });
}

TEST_P(OwnNames, BoundedAndFirstComeFirstServed) {
  On([] {
    go_wg wg{};
    for (int i = 0; i < 40; i++) {
      SPAWN_WG(&wg,
               [i] { EXPECT_EQ(Resolve(nullptr, ("wait:" + std::to_string(i)).c_str()).rc, 0); });
    }
    Until([] { return Inside() == 8; });
    // Nobody else is kept: neither numeric names nor go_offload.
    EXPECT_EQ(Resolve(nullptr, "1.2.3.4").rc, 0);
    EXPECT_EQ(go_offload(
                  nullptr, [](void *) {}, nullptr),
              0);
    Settle();
    EXPECT_EQ(Inside(), 8);
    OpenGate(true);
    go_wg_wait(&wg);
    EXPECT_EQ(most, 8);
  });
}

TEST_P(OwnNames, CancelAbandons) {
  On([] {
    AbandonOnceBegun("wait:x");
    // Whoever wants it now shares what goes on still.
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_wg wg{};
    std::atomic<int> begun{0};
    SPAWN_WG(&wg, [&] {
      begun++;
      EXPECT_EQ(Resolve(nullptr, "wait:x").rc, 0);
    });
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [&] {
        begun++;
        EXPECT_EQ(Resolve(ctx, "wait:x").rc, GO_ECANCELED);
      });
    }
    Until([&] { return begun == 11; });
    Settle();
    go_ctx_cancel(ctx);
    Settle();
    OpenGate(true);
    go_wg_wait(&wg);
    EXPECT_EQ(Asked("wait:x"), 1);
    go_ctx_unref(ctx);
  });
}

// What nobody waits for any more, and was not begun, is not done.
TEST_P(OwnNames, CancelInTheQueue) {
  On([] {
    go_wg wg{};
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&wg,
               [i] { EXPECT_EQ(Resolve(nullptr, ("wait:" + std::to_string(i)).c_str()).rc, 0); });
    }
    Until([] { return Inside() == 8; });
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::atomic<int> ended{0};
    for (int i = 0; i < 6; i++) {
      SPAWN_WG(&wg, [&, i] {
        EXPECT_EQ(Resolve(ctx, i % 2 ? "queued" : "queued too").rc, GO_ECANCELED);
        ended++;
      });
    }
    SPAWN_WG(&wg, [] { EXPECT_EQ(Resolve(nullptr, "queued too").rc, 0); });
    Settle();
    go_ctx_cancel(ctx);
    Until([&] { return ended == 6; });
    OpenGate(true);
    go_wg_wait(&wg);
    EXPECT_EQ(Asked("queued"), 0);
    EXPECT_EQ(Asked("queued too"), 1);
    go_ctx_unref(ctx);
  });
}

// go_shutdown waits for a look-up that nobody waits for, as long as it may.
TEST_P(OwnNames, ShutdownWaits) {
  On([] { AbandonOnceBegun("wait:y"); });
  EXPECT_EQ(go_shutdown(GO_MS), GO_ETIMEDOUT);
  OpenGate(true);
  const int most_now = ThreadCount();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  while (ThreadCount() >= most_now) sched_yield();  // a joined thread is counted for a moment still
}

// With everything that can happen, at random.
TEST_P(OwnNames, Storm) {
  OpenGate(true);
  const go_nsec end = go_now() + (kSanitized ? 500 : 1000) * GO_MS;
  auto one = [end](uint64_t seed) {
    Rng rng(seed);
    while (go_now() < end) {
      std::string name = rng.Below(4) == 0 ? "fail:-5" : "name" + std::to_string(rng.Below(12));
      go_ctx *ctx = rng.Below(2) == 0 ? go_ctx_with_timeout(nullptr, rng.Below(60000)) : nullptr;
      Found f = Resolve(ctx, name.c_str());
      EXPECT_TRUE(f.rc == (name[0] == 'f' ? -5 : 0) || (ctx != nullptr && f.rc == GO_ETIMEDOUT))
          << f.rc;
      EXPECT_TRUE(f.rc != 0 || f.Has("10.0.0.1:0"));
      go_ctx_unref(ctx);
    }
  };
  std::vector<std::thread> threads;
  if (!GetParam()) {
    for (uint64_t i = 0; i < 4; i++) threads.emplace_back([=] { one(i + 100); });
  }
  RunGo([&] {
    go_wg wg{};
    for (uint64_t i = 0; i < 20; i++) SPAWN_WG(&wg, [=] { one(i); });
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
}

}  // namespace
