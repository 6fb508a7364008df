// Select: choice, fairness, one instant for all cases, queues left whole.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

GO_CHAN_TYPE(intchan, int);

// ---- Atomicity of the non-blocking select.

// Go: TestNonblockSelectRace (runtime/chan_test.go): at each instant one of the two channels is
// ready, so a select that looks at both "at once" never finds none.
TEST(Select, TrySeesOneInstant) {
  RunGo([] {
    Procs procs(4);
    int missed = 0;
    for (int i = 0; i < Rounds(30000); i++) {
      Chan<int> c1(1), c2(1), result(1);
      c1.Send(1);
      SPAWN([c1, c2, result] {
        go_case k[] = {RecvCase(c1), RecvCase(c2)};
        result.Send(SelectTry(k));
      });
      c2.Send(1);
      int v;
      (void)c1.TryRecv(&v);
      if (result.Take() == GO_EAGAIN) missed++;
    }
    EXPECT_EQ(missed, 0);
  });
}

// Go: TestNonblockSelectRace2 (runtime/chan_test.go): the same when the second becomes ready by a
// close.
TEST(Select, TrySeesOneInstantWithClose) {
  RunGo([] {
    Procs procs(4);
    int missed = 0;
    for (int i = 0; i < Rounds(30000); i++) {
      Chan<int> c1(1), c2(0), result(1);
      c1.Send(1);
      SPAWN([c1, c2, result] {
        go_case k[] = {RecvCase(c1), RecvCase(c2)};
        result.Send(SelectTry(k));
      });
      c2.Close();
      int v;
      (void)c1.TryRecv(&v);
      if (result.Take() == GO_EAGAIN) missed++;
    }
    EXPECT_EQ(missed, 0);
  });
}

// The same with room to send instead of elements to receive.
TEST(Select, TrySendSeesOneInstant) {
  RunGo([] {
    Procs procs(4);
    int missed = 0;
    for (int i = 0; i < Rounds(20000); i++) {
      Chan<int> c1(1), c2(1), result(1);
      c2.Send(0);  // full; c1 has room
      SPAWN([c1, c2, result] {
        int v = 7;
        go_case k[] = {SendCase(c1, &v), SendCase(c2, &v)};
        result.Send(SelectTry(k));
      });
      (void)c2.Take();      // now both may have room
      (void)c1.TrySend(0);  // now perhaps only c2 has
      if (result.Take() == GO_EAGAIN) missed++;
    }
    EXPECT_EQ(missed, 0);
  });
}

// ---- Go: TestSelfSelect (runtime/chan_test.go): two goroutines that each offer to send and to
// receive on the same channel get along, and nobody receives what it sent itself over a channel
// without a buffer.
TEST(Select, SendAndReceiveOnTheSameChannel) {
  RunGo([] {
    Procs procs(2);
    for (size_t cap : {0u, 10u}) {
      Chan<int> c(cap);
      go_wg wg{};
      std::atomic<int> from_self{0};
      for (int p = 0; p < 2; p++) {
        SPAWN_WG(&wg, [&, p] {
          for (int i = 0; i < Rounds(20000); i++) {
            int out = p, in = -1;
            // Alternate the order of the cases.
            go_case send = SendCase(c, &out), recv = RecvCase(c, &in);
            go_case k[2];
            k[(p + i) % 2] = send;
            k[(p + i + 1) % 2] = recv;
            int went = Select(k);
            if (k[went].op == GO_RECV && c.Cap() == 0 && in == p) from_self++;
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(from_self, 0);
    }
  });
}

// Alone, a select does not match itself either.
TEST(Select, DoesNotMatchItself) {
  RunGo([] {
    Chan<int> c(0);
    int v = 1, w = 0;
    go_case k[] = {SendCase(c, &v), RecvCase(c, &w), SendCase(c, &v), RecvCase(c, &w)};
    EXPECT_EQ(SelectTry(k), GO_EAGAIN);
    Chan<Unit> stop(0);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_case all[] = {SendCase(c, &v), RecvCase(c, &w), RecvCase(stop)};
      EXPECT_EQ(Select(all), 2);
    });
    Settle();
    stop.Close();
    go_wg_wait(&wg);
    EXPECT_EQ(w, 0);
  });
}

// ---- Go: TestSelectStress (runtime/chan_test.go): plain senders and receivers and four-way
// selects, whose cases are switched off as each is done, over channels with and without buffers.
TEST(Select, StressOverFourChannels) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Rounds(40000);
    std::vector<Chan<int>> c;
    for (size_t cap : {0u, 0u, 2u, 3u}) c.emplace_back(cap);
    go_wg wg{};
    std::atomic<int64_t> sent{0}, received{0};
    for (int k = 0; k < 4; k++) {
      SPAWN_WG(&wg, [&, k] {
        int64_t sum = 0;
        for (int i = 0; i < n; i++) {
          c[k].Send(i);
          sum += i;
        }
        sent += sum;
      });
      SPAWN_WG(&wg, [&, k] {
        int64_t sum = 0;
        for (int i = 0; i < n; i++) sum += c[k].Take();
        received += sum;
      });
    }
    SPAWN_WG(&wg, [&] {
      int done[4] = {}, v = 0;
      int64_t sum = 0;
      go_case k[4];
      for (int i = 0; i < 4; i++) k[i] = SendCase(c[i], &v);
      for (int i = 0; i < 4 * n; i++) {
        v = i % 1000;
        int went = Select(k);
        sum += v;
        if (++done[went] == n) k[went].ch = nullptr;
      }
      sent += sum;
    });
    SPAWN_WG(&wg, [&] {
      int done[4] = {}, v[4] = {};
      int64_t sum = 0;
      go_case k[4];
      for (int i = 0; i < 4; i++) k[i] = RecvCase(c[i], &v[i]);
      for (int i = 0; i < 4 * n; i++) {
        int went = Select(k);
        EXPECT_TRUE(k[went].ok);
        sum += v[went];
        if (++done[went] == n) k[went].ch = nullptr;
      }
      received += sum;
    });
    go_wg_wait(&wg);
    EXPECT_EQ(sent.load(), received.load());
  });
}

// ---- Chance.

// Whether n of trials with chance p lies within ten sigma of what it should.
void ExpectShare(int n, int trials, double p) {
  double sigma = std::sqrt(p * (1 - p) * trials);
  EXPECT_LE(std::fabs(n - p * trials), 10 * sigma) << n << " of " << trials;
}

// Go: TestSelectFairness (runtime/chan_test.go): of four cases two are always ready.
TEST(SelectChance, TwoReadyOfFour) {
  RunGo([] {
    constexpr int kTrials = 10000;
    Chan<int> c1(kTrials + 1), c2(kTrials + 1), c3(0), c4(0);
    for (int i = 0; i <= kTrials; i++) {
      c1.Send(1);
      c2.Send(2);
    }
    int v = 0, count[3] = {};
    for (int i = 0; i < kTrials; i++) {
      go_case k[] = {RecvCase(c3, &v), RecvCase(c1, &v), RecvCase(c4, &v), RecvCase(c2, &v)};
      int went = Select(k);
      EXPECT_EQ(went, v == 1 ? 1 : 3);
      count[v]++;
    }
    ExpectShare(count[1], kTrials, 0.5);
    ExpectShare(count[2], kTrials, 0.5);
  });
}

// Several numbers of ready cases, by select and by select_try, each place with the same chance.
TEST(SelectChance, EveryPlaceTheSame) {
  RunGo([] {
    for (int n : {2, 3, 5, 8, 17}) {
      for (bool wait : {true, false}) {
        constexpr int kTrials = 6000;
        std::vector<Chan<int>> c;
        std::vector<go_case> k;
        for (int i = 0; i < n; i++) {
          c.emplace_back(0);
          c.back().Close();  // always ready
          k.push_back(RecvCase(c.back()));
        }
        std::vector<int> count(static_cast<size_t>(n));
        for (int t = 0; t < kTrials; t++) {
          int went = wait ? go_select(nullptr, k.data(), n) : go_select_try(k.data(), n);
          count[static_cast<size_t>(went)]++;
        }
        for (int i = 0; i < n; i++) ExpectShare(count[static_cast<size_t>(i)], kTrials, 1.0 / n);
      }
    }
  });
}

// Fair also between the goroutines of two Ps that select over the same ready channels.
TEST(SelectChance, FairForEachGoroutine) {
  RunGo([] {
    Procs procs(4);
    Chan<int> c1(0), c2(0);
    c1.Close();
    c2.Close();
    go_wg wg{};
    for (int g = 0; g < 8; g++) {
      SPAWN_WG(&wg, [&] {
        constexpr int kTrials = 5000;
        int first = 0;
        for (int i = 0; i < kTrials; i++) {
          go_case k[] = {RecvCase(c1), RecvCase(c2)};
          if (Select(k) == 0) first++;
        }
        ExpectShare(first, kTrials, 0.5);
      });
    }
    go_wg_wait(&wg);
  });
}

// Go: TestPseudoRandomSend (runtime/chan_test.go): select {c <- 0; c <- 1} sends both, each in
// more than a tenth of cases.
TEST(SelectChance, SameChannelTwice) {
  RunGo([] {
    Procs procs(2);
    for (size_t cap : {0u, 100u}) {
      constexpr int n = 300;
      Chan<int> c(cap);
      go_wg wg{};
      int ones = 0;
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < n; i++) ones += c.Take();
      });
      int zero = 0, one = 1;
      for (int i = 0; i < n; i++) {
        go_case k[] = {SendCase(c, &zero), SendCase(c, &one)};
        (void)Select(k);
      }
      go_wg_wait(&wg);
      // With no buffer the receiver is mostly there first, and then both cases are ready; else the
      // select is woken by the receiver through whichever case stands first in the queue, which
      // chance decides as well.
      EXPECT_GT(ones, n / 10) << "cap " << cap;
      EXPECT_LT(ones, n - n / 10) << "cap " << cap;
    }
  });
}

// ---- Go: TestMultiConsumer (runtime/chan_test.go).
TEST(Select, MultiConsumer) {
  RunGo([] {
    Procs procs(4);
    constexpr int kWorkers = 23, kItems = Rounds(271828);
    Chan<int> q(kWorkers * 3), r(kWorkers * 3);
    go_wg wg{};
    static const int kSteps[] = {2, 3, 7, 11, 13, 19, 29, 31};
    for (int w = 0; w < kWorkers; w++) {
      SPAWN_WG(&wg, [&, w] {
        int v;
        while (q.Recv(&v)) {
          if (kSteps[w % 8] == v) go_yield();  // put some disorder in
          r.Send(v);
        }
      });
    }
    int64_t expect = 0;
    SPAWN([&] {
      Rng rng(5);
      for (int i = 0; i < kItems; i++) {
        int v = kSteps[rng.Below(8)];
        expect += v;
        q.Send(v);
      }
      q.Close();
      go_wg_wait(&wg);
      r.Close();
    });
    int64_t sum = 0;
    int n = 0;
    for (int v; r.Recv(&v); n++) sum += v;
    EXPECT_EQ(n, kItems);
    EXPECT_EQ(sum, expect);
  });
}

// ---- Queues stay whole.

// Go: TestSelectDuplicateChannel (runtime/chan_test.go): a select that stands twice in c's queue,
// woken by d, takes both entries out, and the next in c's queue is found.
TEST(SelectQueue, SameChannelTwiceThenWokenByAnother) {
  RunGo([] {
    Procs procs(2);
    for (int round = 0; round < 50; round++) {
      Chan<int> c(0), d(0), e(0);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        go_case k[] = {RecvCase(c), RecvCase(c), RecvCase(d)};
        EXPECT_EQ(Select(k), 2);
        e.Send(9);
      });
      Settle();
      SPAWN_WG(&wg, [&] {
        int v = 0;
        EXPECT_TRUE(c.Recv(&v));
        EXPECT_EQ(v, 8);
      });
      Settle();
      d.Send(7);
      EXPECT_EQ(e.Take(), 9);
      c.Send(8);
      go_wg_wait(&wg);
    }
  });
}

// Go: test/chan/select6.go (issue 2075): wherever in a channel's queue a select stands when
// another of its channels lets it go, the others in that queue are still reached, old and new.
void QueuePosition(bool senders, int before, int after) {
  Chan<int> c(0), other(0);
  go_wg wg{}, selecting{};
  std::atomic<int> got{0};
  int v = 1;
  auto plain = [&] {
    if (senders) {
      c.Send(1);
    } else {
      (void)c.Take();
    }
    got++;
  };
  for (int i = 0; i < before; i++) SPAWN_WG(&wg, plain);
  Settle();
  SPAWN_WG(&selecting, [&] {
    go_case k[] = {RecvCase(nullptr), senders ? SendCase(c, &v) : RecvCase(c), RecvCase(other)};
    EXPECT_EQ(Select(k), 2);
  });
  Settle();
  for (int i = 0; i < after; i++) SPAWN_WG(&wg, plain);
  Settle();
  other.Send(1);
  go_wg_wait(&selecting);
  SPAWN_WG(&wg, plain);  // comes after the select has left
  for (int i = 0; i < before + after + 1; i++) {
    if (senders) {
      EXPECT_EQ(c.Take(), 1);
    } else {
      c.Send(1);
    }
  }
  go_wg_wait(&wg);
  EXPECT_EQ(got, before + after + 1);
}

TEST(SelectQueue, LeavingFromAnyPosition) {
  RunGo([] {
    Procs procs(2);
    for (bool senders : {false, true}) {
      for (int before = 0; before < 3; before++) {
        for (int after = 0; after < 3; after++) QueuePosition(senders, before, after);
      }
    }
  });
}

// Go: TestChanSendInterface (runtime/chan_test.go): a full channel offered once, and twice in one
// select.
TEST(SelectQueue, FullChannelOfferedSeveralTimes) {
  RunGo([] {
    struct Big {
      char bytes[4096];
    };
    Chan<Big> c(1);
    auto v = std::make_unique<Big>();
    memset(v.get(), 'a', sizeof *v);
    c.Send(*v);
    memset(v.get(), 'b', sizeof *v);
    go_case once[] = {SendCase(c, v.get())};
    EXPECT_EQ(SelectTry(once), GO_EAGAIN);
    go_case twice[] = {SendCase(c, v.get()), SendCase(c, v.get())};
    EXPECT_EQ(SelectTry(twice), GO_EAGAIN);
    EXPECT_TRUE(c.Recv(v.get()));
    EXPECT_TRUE(v->bytes[0] == 'a' && v->bytes[4095] == 'a');
    int went = SelectTry(twice);
    EXPECT_TRUE(went == 0 || went == 1);
    EXPECT_EQ(c.Len(), 1u);
  });
}

// Go: test/chan/doubleselect.go: a value offered in four cases is sent exactly once.
TEST(Select, SendsExactlyOnce) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Rounds(50000);
    std::vector<Chan<int>> c;
    for (int i = 0; i < 4; i++) c.emplace_back(0);
    Chan<int> merged(0);
    go_wg pumps{}, wg{};
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&pumps, [&, i] {
        int v;
        while (c[i].Recv(&v)) merged.Send(v);
      });
    }
    SPAWN_WG(&wg, [&] {
      for (int v = 0; v < n; v++) {
        go_case k[] = {SendCase(c[0], &v), SendCase(c[1], &v), SendCase(c[2], &v),
                       SendCase(c[3], &v)};
        (void)Select(k);
      }
      for (auto &ch : c) ch.Close();
    });
    SPAWN_WG(&wg, [&] {
      go_wg_wait(&pumps);
      merged.Close();
    });
    std::vector<bool> seen(static_cast<size_t>(n));
    int count = 0, twice = 0;
    for (int v; merged.Recv(&v); count++) {
      if (seen[static_cast<size_t>(v)]) twice++;
      seen[static_cast<size_t>(v)] = true;
    }
    EXPECT_EQ(count, n);
    EXPECT_EQ(twice, 0);
    go_wg_wait(&wg);
  });
}

// ---- Go: test/chan/select3.go: what blocks and what does not, as a table. (Waiting for ever on
// nil channels and on nothing: chan_crash_test.cc.)
struct Row {
  const char *what;
  bool blocks;
  std::function<void(Chan<int> &)> prepare;
  size_t cap;
  std::function<void(Chan<int> &)> act;
  std::function<void(Chan<int> &)> release;
};

TEST(Select, BlocksExactlyWhenNothingIsReady) {
  int one = 1;
  auto nothing = [](Chan<int> &) {};
  auto fill = [](Chan<int> &c) {
    while (c.TrySend(5) == 0) {}
  };
  auto close = [](Chan<int> &c) { c.Close(); };
  auto recv = [](Chan<int> &c) { (void)c.Recv(nullptr); };
  auto send = [](Chan<int> &c) { c.Send(1); };
  auto take = [](Chan<int> &c) { (void)c.Take(); };
  auto select_recv = [](Chan<int> &c) {
    go_case k[] = {RecvCase(c), RecvCase(nullptr)};
    EXPECT_EQ(Select(k), 0);
  };
  auto select_send = [&](Chan<int> &c) {
    go_case k[] = {SendCase(nullptr, &one), SendCase(c, &one)};
    EXPECT_EQ(Select(k), 1);
  };
  auto select_both = [&](Chan<int> &c) {
    go_case k[] = {SendCase(c, &one), RecvCase(c)};
    (void)Select(k);
  };
  auto try_recv_default = [](Chan<int> &c) {
    go_case k[] = {RecvCase(c), RecvCase(nullptr)};
    EXPECT_EQ(SelectTry(k), GO_EAGAIN);
  };
  auto try_send_default = [&](Chan<int> &c) {
    go_case k[] = {SendCase(c, &one)};
    EXPECT_EQ(SelectTry(k), GO_EAGAIN);
  };
  auto try_recv_goes = [](Chan<int> &c) {
    go_case k[] = {RecvCase(nullptr), RecvCase(c)};
    EXPECT_EQ(SelectTry(k), 1);
  };
  auto try_send_goes = [&](Chan<int> &c) {
    go_case k[] = {SendCase(c, &one)};
    EXPECT_EQ(SelectTry(k), 0);
  };
  const Row rows[] = {
      {"receive, unbuffered", true, nothing, 0, recv, send},
      {"receive, empty buffer", true, nothing, 10, recv, send},
      {"receive, full buffer", false, fill, 10, recv, nothing},
      {"receive, closed", false, close, 0, recv, nothing},
      {"receive, closed with buffer", false, close, 10, recv, nothing},
      {"send, unbuffered", true, nothing, 0, send, take},
      {"send, empty buffer", false, nothing, 10, send, nothing},
      {"send, full buffer", true, fill, 10, send, take},
      {"select receive, unbuffered", true, nothing, 0, select_recv, send},
      {"select receive, empty buffer", true, nothing, 10, select_recv, send},
      {"select receive, full buffer", false, fill, 10, select_recv, nothing},
      {"select receive, closed", false, close, 0, select_recv, nothing},
      {"select send, unbuffered", true, nothing, 0, select_send, take},
      {"select send, empty buffer", false, nothing, 10, select_send, nothing},
      {"select send, full buffer", true, fill, 10, select_send, take},
      {"select both, unbuffered", true, nothing, 0, select_both, send},
      {"select both, buffered", false, nothing, 1, select_both, nothing},
      {"select both, full", false, fill, 1, select_both, nothing},
      {"select_try receive, unbuffered", false, nothing, 0, try_recv_default, nothing},
      {"select_try receive, empty", false, nothing, 10, try_recv_default, nothing},
      {"select_try receive, full", false, fill, 10, try_recv_goes, nothing},
      {"select_try receive, closed", false, close, 10, try_recv_goes, nothing},
      {"select_try send, unbuffered", false, nothing, 0, try_send_default, nothing},
      {"select_try send, full", false, fill, 10, try_send_default, nothing},
      {"select_try send, empty", false, nothing, 10, try_send_goes, nothing},
  };
  RunGo([&] {
    for (const Row &row : rows) {
      Chan<int> c(row.cap);
      row.prepare(c);
      std::atomic<bool> went{false};
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        row.act(c);
        went = true;
      });
      if (row.blocks) {
        Settle();
        EXPECT_FALSE(went) << row.what;
        row.release(c);
      }
      go_wg_wait(&wg);  // hangs if it blocks and must not
    }
  });
}

// ---- Go: test/chan/select2.go: selects leave nothing behind.
size_t HeapInUse() {
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 33)
  return mallinfo2().uordblks;
#endif
#endif
  return 0;
}
TEST(Select, DoesNotGrowMemory) {
  RunGo([] {
    Chan<int> c(0), never(0), done(0);
    auto pump = [&](int n) {
      go_wg wg{};
      SPAWN_WG(&wg, [&, n] {
        for (int i = 0; i < n; i++) {
          go_case k[] = {SendCase(c, &i), SendCase(never, &i), RecvCase(never)};
          (void)Select(k);
        }
      });
      SPAWN_WG(&wg, [&, n] {
        for (int i = 0; i < n; i++) {
          int v = -1;
          go_case k[] = {RecvCase(never), RecvCase(c, &v), RecvCase(never)};
          (void)Select(k);
        }
      });
      go_wg_wait(&wg);
    };
    pump(1000);  // what is cached for good is allocated now
    size_t heap = HeapInUse(), resident = ResidentBytes();
    pump(Rounds(100000));
    if (!kSanitized) {
      EXPECT_LT(HeapInUse(), heap + 100000);
      EXPECT_LT(ResidentBytes(), resident + (4 << 20));
    }
  });
}

// ---- Go: test/chan/select4.go, select7.go, select8.go.

TEST(Select, ProceedsWhenOneBecomesReady) {
  RunGo([] {
    int targets[3] = {};
    Chan<int> c(1), d(0);
    go_case k[] = {RecvCase(d, &targets[0]), RecvCase(c, &targets[1]),
                   RecvCase(nullptr, &targets[2])};
    c.Send(42);
    EXPECT_EQ(Select(k), 1);
    EXPECT_EQ(targets[0], 0);
    EXPECT_EQ(targets[1], 42);
    EXPECT_EQ(targets[2], 0);
    EXPECT_TRUE(k[1].ok);
  });
}

// One, two and three cases, receiving and sending, with a partner that comes sooner or later.
TEST(Select, OneTwoThreeCasesWithALatePartner) {
  RunGo([] {
    for (int yields : {0, 1, 10}) {
      for (int n = 1; n <= 3; n++) {
        for (int at = 0; at < n; at++) {
          for (bool sending : {false, true}) {
            Chan<int> c(0), dummies[3];
            go_wg wg{};
            SPAWN_WG(&wg, [&] {
              for (int i = 0; i < yields; i++) go_yield();
              if (sending) {
                EXPECT_EQ(c.Take(), 8);
              } else {
                c.Send(8);
              }
            });
            int v = 8, in[3] = {};
            go_case k[3];
            for (int i = 0; i < n; i++) {
              if (i == at) {
                k[i] = sending ? SendCase(c, &v) : RecvCase(c, &in[i]);
              } else {
                k[i] = sending ? SendCase(dummies[i], &v) : RecvCase(dummies[i], &in[i]);
              }
            }
            EXPECT_EQ(go_select(nullptr, k, n), at);
            EXPECT_EQ(in[at], sending ? 0 : 8);
            go_wg_wait(&wg);
          }
        }
      }
    }
  });
}

TEST(Select, BreakLeavesTheSwitchOnly) {
  RunGo([] {
    intchan c = intchan_new(1);
    intchan d = intchan_new(1);
    int rounds = 0, v = 0;
    for (int i = 0; i < 10; i++) {
      intchan_send(c, i);
      switch (GO_SELECT(nullptr, intchan_recv_case(d, &v), intchan_recv_case(c, &v))) {
        case 0: ADD_FAILURE() << "d is empty"; break;
        case 1:
          if (v == i) break;
          ADD_FAILURE() << v;
      }
      rounds++;
    }
    EXPECT_EQ(rounds, 10);
    intchan_unref(c);
    intchan_unref(d);
  });
}

// ---- Go: test/chan/select5.go: the operands of all cases are evaluated, once, in order.
TEST(Select, OperandsAreEvaluatedOnceInOrder) {
  RunGo([] {
    intchan c = intchan_new(1), d = intchan_new(1);
    intchan_send(c, 1);
    int v = 0, w = 2;
    std::vector<int> order;
    auto note = [&](int n, intchan ch) {
      order.push_back(n);
      return ch;
    };
    auto target = [&](int n, int *p) {
      order.push_back(n);
      return p;
    };
    int went = GO_SELECT(nullptr, intchan_recv_case(note(1, nullptr), target(2, &v)),
                         intchan_recv_case(note(1, c), target(2, &v)),
                         intchan_send_case(note(1, nullptr), target(2, &w)));
    EXPECT_EQ(went, 1);
    // C++ does not say which argument of one call comes first; the cases themselves come in order.
    EXPECT_EQ(order.size(), 6u);
    EXPECT_EQ(std::count(order.begin(), order.end(), 1), 3);
    order.clear();
    went = GO_SELECT_TRY(intchan_recv_case(note(1, c), &v), intchan_recv_case(note(2, nullptr), &v),
                         intchan_send_case(note(3, d), &w));
    EXPECT_EQ(went, 2);
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
    intchan_unref(c);
    intchan_unref(d);
  });
}

// ---- Many cases.

TEST(Select, ManyCases) {
  RunGo([] {
    for (int n : {64, 1000, 65535}) {
      Chan<int> hit(1), miss(0);
      std::vector<go_case> k(static_cast<size_t>(n), RecvCase(miss));
      int v = 0;
      Rng rng(static_cast<uint64_t>(n));
      for (int i = 0; i < 5; i++) {
        int at = static_cast<int>(rng.Below(static_cast<uint32_t>(n)));
        k[static_cast<size_t>(at)] = RecvCase(hit, &v);
        hit.Send(i + 1);
        EXPECT_EQ(go_select(nullptr, k.data(), n), at);
        EXPECT_EQ(v, i + 1);
        EXPECT_EQ(go_select_try(k.data(), n), GO_EAGAIN);
        // And once waiting in all those queues.
        go_wg wg{};
        SPAWN_WG(&wg, [&] { EXPECT_EQ(go_select(nullptr, k.data(), n), at); });
        Settle();
        hit.Send(77);
        go_wg_wait(&wg);
        EXPECT_EQ(v, 77);
        k[static_cast<size_t>(at)] = RecvCase(miss);
      }
      // Nothing of those selects is left in miss's queue.
      EXPECT_EQ(miss.TrySend(1), GO_EAGAIN);
    }
  });
}

// Many distinct channels: all are locked, in an order that cannot deadlock with a select over the
// same channels the other way round.
TEST(Select, ManyChannelsInOppositeOrders) {
  RunGo([] {
    Procs procs(4);
    constexpr int kChans = 50;
    std::vector<Chan<int>> c;
    for (int i = 0; i < kChans; i++) c.emplace_back(static_cast<size_t>(i % 3));
    go_wg wg{};
    std::atomic<int64_t> balance{0};
    const int n = Rounds(5000);
    for (int g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&, g] {
        int out = 1, in = 0;
        std::vector<go_case> k;
        for (int i = 0; i < kChans; i++) {
          const Chan<int> &ch = c[static_cast<size_t>(g % 2 != 0 ? kChans - 1 - i : i)];
          k.push_back(g < 3 ? SendCase(ch, &out) : RecvCase(ch, &in));
        }
        for (int i = 0; i < n; i++) {
          int went = go_select(nullptr, k.data(), kChans);
          EXPECT_TRUE(went >= 0 && went < kChans);
          balance += g < 3 ? 1 : -in;
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(balance, 0);
    for (auto &ch : c) EXPECT_EQ(ch.Len(), 0u);
  });
}

// A select's ok flag is set for the case that went and no send's flag is.
TEST(Select, OkFlags) {
  RunGo([] {
    Chan<int> c(1), closed(0);
    closed.Close();
    int v = 0;
    go_case k[] = {RecvCase(c, &v), SendCase(c, &v)};
    EXPECT_EQ(Select(k), 1);
    EXPECT_EQ(Select(k), 0);
    EXPECT_TRUE(k[0].ok);
    go_case z[] = {RecvCase(c, &v), RecvCase(closed, &v)};
    z[1].ok = true;
    v = 9;
    EXPECT_EQ(Select(z), 1);
    EXPECT_FALSE(z[1].ok);
    EXPECT_EQ(v, 0);
  });
}

// ---- Go: test/chanlinear.go: leaving a long queue takes constant time. n goroutines wait in one
// of `queues` common queues and each on a channel of its own as well, through which they are let
// go in an order that suits no end of a common queue.
go_nsec LeaveQueues(size_t n, size_t queues) {
  std::vector<Chan<int>> common, own;
  for (size_t i = 0; i < queues; i++) common.emplace_back(0);
  for (size_t i = 0; i < n; i++) own.emplace_back(0);
  std::atomic<size_t> waiting{0};
  go_wg wg{};
  for (size_t i = 0; i < n; i++) {
    SPAWN_WG(&wg, [&, i] {
      waiting++;
      go_case k[] = {RecvCase(common[i % queues]), RecvCase(own[i])};
      EXPECT_EQ(Select(k), 1);
    });
  }
  Until([&] { return waiting == n; });
  Settle();
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; i++) order[i] = i;
  Rng rng(1);
  for (size_t i = n - 1; i > 0; i--)
    std::swap(order[i], order[rng.Below(static_cast<uint32_t>(i + 1))]);
  go_nsec t0 = go_now();
  for (size_t i : order) own[i].Send(1);
  go_wg_wait(&wg);
  return go_now() - t0;
}

TEST(SelectQueue, LeavingALongQueueIsCheap) {
  RunGo([] {
    Procs procs(1);
    constexpr size_t n = static_cast<size_t>(Goroutines(16000));
    (void)LeaveQueues(n, n);  // stacks and caches are there now
    // One queue of n is left about as fast as n queues of one. Walking it would take n/2 steps
    // through cold memory each time, some fifty times as long. One good pair of measurements is
    // enough: a noisy machine only makes them worse.
    bool cheap = kSanitized;
    go_nsec shortest = 0, longest = 0;
    for (int i = 0; i < 10 && !cheap; i++) {
      shortest = LeaveQueues(n, n);
      longest = LeaveQueues(n, 1);
      cheap = longest <= 5 * shortest;
    }
    EXPECT_TRUE(cheap) << shortest << " ns for short queues, " << longest << " ns for a long one";
  });
}

}  // namespace
