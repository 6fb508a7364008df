// Selects under load.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Everybody selects over random subsets of the same channels, to send and to receive, with
// duplicates and nil cases; some try, some wait. What was sent was received.
void Storm(bool with_threads) {
  constexpr size_t kChans = 8;
  constexpr int kWorkers = 12;
  std::vector<Chan<int64_t>> c;
  for (size_t i = 0; i < kChans; i++) c.emplace_back(i < 4 ? 0 : i - 3);
  Chan<Unit> stop(0);
  go_nsec end = StressEnd();
  std::atomic<int64_t> sent{0}, received{0}, sent_sum{0}, received_sum{0}, tries{0};
  go_wg wg{};
  go_wg_add(&wg, kWorkers);
  auto work = [&](int w) {
    Rng rng(static_cast<uint64_t>(w) + 100);
    int64_t out = 0, in = 0, my_sent = 0, my_received = 0, ssum = 0, rsum = 0;
    go_case k[9];
    for (;;) {
      int n = 1 + static_cast<int>(rng.Below(8));
      out = static_cast<int64_t>(rng.Next() >> 16);
      for (int i = 0; i < n; i++) {
        const Chan<int64_t> &ch = c[rng.Below(kChans)];
        k[i] = rng.Below(2) != 0 ? SendCase(ch, &out) : RecvCase(ch, &in);
        if (rng.Below(10) == 0) k[i].ch = nullptr;
      }
      int went;
      if (rng.Below(4) == 0) {
        went = go_select_try(k, n);
        tries++;
        if (went == GO_EAGAIN) {
          go_yield();
          if (go_chan_try_recv(stop.get(), nullptr) == GO_ECLOSED) break;
          continue;
        }
      } else {
        k[n] = RecvCase(stop);
        went = go_select(nullptr, k, n + 1);
        if (went == n) break;
      }
      if (went < 0 || went >= n) {
        ADD_FAILURE() << "select said " << went;
        break;
      }
      if (k[went].op == GO_SEND) {
        my_sent++;
        ssum += out;
      } else {
        if (!k[went].ok) ADD_FAILURE() << "closed?";
        my_received++;
        rsum += in;
      }
    }
    sent += my_sent;
    received += my_received;
    sent_sum += ssum;
    received_sum += rsum;
    go_wg_done(&wg);
  };
  std::vector<std::thread> threads;
  for (int w = 0; w < kWorkers; w++) {
    if (with_threads && w % 3 == 0) {
      threads.emplace_back(work, w);
    } else {
      SPAWN([&work, w] { work(w); });
    }
  }
  RunGo([&] {
    while (go_now() < end) (void)go_sleep(nullptr, 10 * GO_MS);
    stop.Close();
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  for (auto &ch : c) {  // what is left in the buffers
    int64_t v;
    while (ch.TryRecv(&v) == 0) {
      received++;
      received_sum += v;
    }
  }
  EXPECT_EQ(sent.load(), received.load());
  EXPECT_EQ(sent_sum.load(), received_sum.load());
  EXPECT_GT(sent.load(), 0);
}
TEST(SelectStress, Storm) { Storm(false); }
TEST(SelectStress, StormWithThreads) { Storm(true); }

// The same elements offered on many channels at a time: each arrives once.
TEST(SelectStress, OfferedEverywhereArrivesOnce) {
  RunGo([] {
    constexpr size_t kChans = 5;
    go_nsec end = StressEnd();
    std::vector<Chan<int64_t>> c;
    for (size_t i = 0; i < kChans; i++) c.emplace_back(0);
    go_wg senders{}, receivers{};
    std::atomic<int64_t> next{0}, count{0}, sum{0};
    for (int s = 0; s < 4; s++) {
      SPAWN_WG(&senders, [&] {
        while (go_now() < end) {
          for (int i = 0; i < 100; i++) {
            int64_t v = ++next;
            go_case k[2 * kChans];
            for (size_t j = 0; j < 2 * kChans; j++) k[j] = SendCase(c[j % kChans], &v);
            (void)Select(k);
          }
        }
      });
    }
    for (int r = 0; r < 4; r++) {
      SPAWN_WG(&receivers, [&] {
        int64_t v[kChans];
        go_case k[kChans];
        for (size_t j = 0; j < kChans; j++) k[j] = RecvCase(c[j], &v[j]);
        for (;;) {
          int went = Select(k);
          if (!k[went].ok) break;
          count++;
          sum += v[went];
        }
      });
    }
    go_wg_wait(&senders);
    for (auto &ch : c) ch.Close();
    go_wg_wait(&receivers);
    EXPECT_EQ(count, next);
    EXPECT_EQ(sum, next * (next + 1) / 2);
  });
}

// Selects that mostly lose: their waiters leave many queues again and again.
TEST(SelectStress, Losers) {
  RunGo([] {
    go_nsec end = StressEnd();
    constexpr size_t kChans = 16;
    std::vector<Chan<int>> quiet;
    for (size_t i = 0; i < kChans; i++) quiet.emplace_back(0);
    go_wg wg{};
    std::atomic<int64_t> rounds{0};
    for (uint64_t p = 0; p < 4; p++) {
      Chan<int> c(p % 2);
      SPAWN_WG(&wg, [&, c, p] {
        Rng rng(p);
        int v = 0;
        while (go_now() < end) {
          for (int i = 0; i < 50; i++) {
            go_case k[5];
            for (size_t j = 0; j < 4; j++) k[j] = RecvCase(quiet[rng.Below(kChans)]);
            k[4] = SendCase(c, &v);
            std::swap(k[4], k[rng.Below(5)]);
            int went = Select(k);
            if (k[went].op != GO_SEND) ADD_FAILURE() << "a quiet channel spoke";
          }
          rounds++;
        }
        c.Close();
      });
      SPAWN_WG(&wg, [&, c, p] {
        Rng rng(p + 50);
        for (bool open = true; open;) {
          go_case k[5];
          for (size_t j = 0; j < 4; j++) k[j] = RecvCase(quiet[rng.Below(kChans)]);
          k[4] = RecvCase(c);
          std::swap(k[4], k[rng.Below(5)]);
          int went = Select(k);
          open = k[went].ok;
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_GT(rounds.load(), 0);
    for (auto &ch : quiet) {
      EXPECT_EQ(ch.TrySend(1), GO_EAGAIN) << "a waiter was left behind";
    }
  });
}

}  // namespace
