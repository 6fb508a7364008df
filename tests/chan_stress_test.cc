// Channels under load: everything that is sent is received, once, in its sender's order.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// An element knows who sent it and carries a checksum over a size of choice.
template <size_t Words>
struct Item {
  uint64_t word[Words];
  void Fill(uint64_t who, uint64_t n) {
    for (size_t i = 0; i < Words; i++) word[i] = (who << 40) + n + i * 0x9e3779b97f4a7c15u;
  }
  bool Whole() const {
    for (size_t i = 1; i < Words; i++) {
      if (word[i] != word[0] + i * 0x9e3779b97f4a7c15u) return false;
    }
    return true;
  }
  uint64_t who() const { return word[0] >> 40; }
  uint64_t n() const { return word[0] & ((1ull << 40) - 1); }
};

// kSenders send until the time is over; receivers check; closing ends it. Some are plain threads
// if asked.
template <size_t Words>
void Mpmc(size_t cap, bool with_threads) {
  constexpr size_t kSenders = 6, kReceivers = 5;
  Chan<Item<Words>> c(cap);
  go_nsec end = StressEnd();
  std::atomic<uint64_t> sent{0}, received{0}, sent_sum{0}, received_sum{0};
  std::atomic<int> bad{0};
  go_wg senders{}, receivers{};
  go_wg_add(&senders, static_cast<int>(kSenders));
  go_wg_add(&receivers, static_cast<int>(kReceivers));
  auto send = [&](uint64_t who) {
    Item<Words> item;
    uint64_t n = 0, sum = 0;
    while (n % 64 != 0 || go_now() < end) {
      item.Fill(who, ++n);
      sum += item.word[Words - 1];
      if (n % 7 == 0 && c.TrySend(item) == 0) continue;
      c.Send(item);
    }
    sent += n;
    sent_sum += sum;
    go_wg_done(&senders);
  };
  auto receive = [&] {
    Item<Words> item;
    uint64_t last[kSenders] = {}, n = 0, sum = 0;
    for (;;) {
      if (n % 5 == 0 && c.TryRecv(&item) == 0) {
      } else if (!c.Recv(&item)) {
        break;
      }
      n++;
      sum += item.word[Words - 1];
      if (!item.Whole() || item.who() >= kSenders || item.n() <= last[item.who()]) {
        bad++;
        continue;
      }
      last[item.who()] = item.n();
    }
    received += n;
    received_sum += sum;
    go_wg_done(&receivers);
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kSenders; i++) {
    if (with_threads && i % 3 == 0) {
      threads.emplace_back(send, i);
    } else {
      SPAWN([&send, i] { send(i); });
    }
  }
  for (size_t i = 0; i < kReceivers; i++) {
    if (with_threads && i % 3 == 0) {
      threads.emplace_back(receive);
    } else {
      SPAWN([&receive] { receive(); });
    }
  }
  RunGo([&] {
    go_wg_wait(&senders);
    c.Close();
    go_wg_wait(&receivers);
  });
  for (auto &t : threads) t.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(sent.load(), received.load());
  EXPECT_EQ(sent_sum.load(), received_sum.load());
  EXPECT_EQ(c.Len(), 0u);
}

class MpmcStress : public testing::TestWithParam<size_t> {};
TEST_P(MpmcStress, Goroutines) { Mpmc<1>(GetParam(), false); }
TEST_P(MpmcStress, LargeElements) { Mpmc<40>(GetParam(), false); }
TEST_P(MpmcStress, WithThreads) { Mpmc<3>(GetParam(), true); }
INSTANTIATE_TEST_SUITE_P(Caps, MpmcStress, testing::Values(0, 1, 7, 128));

// Channels that live shortly, are closed by anybody, and are let go of by all in any order.
TEST(ChanStress, ShortLives) {
  RunGo([] {
    go_nsec end = StressEnd();
    std::atomic<int64_t> sent{0}, received{0};
    go_wg wg{};
    for (uint64_t w = 0; w < 4; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          Chan<int> c(rng.Below(3));
          go_wg users{};
          uint32_t n = 1 + rng.Below(6);
          std::atomic<uint32_t> left{n};
          for (uint32_t i = 0; i < n; i++) {
            SPAWN_WG(&users, [c, &left, &sent] {
              c.Send(1);
              sent++;
              if (--left == 0) c.Close();
            });
            SPAWN_WG(&users, [c, &received] {
              while (c.Recv(nullptr)) received++;
            });
          }
          c = Chan<int>(0);  // ours goes first
          go_wg_wait(&users);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(sent.load(), received.load());
    EXPECT_GT(sent.load(), 0);
  });
}

// Senders and receivers of all kinds when the channel is closed under them: a send either panics
// or its element is received.
TEST(ChanStress, ClosedUnderUse) {
  RunGo([] {
    go_nsec end = StressEnd();
    Rng rng(9);
    int64_t sent_total = 0;
    while (go_now() < end) {
      Chan<int> c(rng.Below(4));
      std::atomic<int64_t> sent{0}, received{0}, refused{0};
      go_wg wg{};
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&, i] {
          for (;;) {
            bool refuse;
            if (i % 2 == 0) {
              refuse = Panics([&] { c.Send(1); });
            } else {
              int v = 1;
              refuse = go_chan_send_ctx(nullptr, c.get(), &v) == GO_ECLOSED;
            }
            if (refuse) break;
            sent++;
          }
          refused++;
        });
        SPAWN_WG(&wg, [&, i] {
          int v;
          if (i % 2 == 0) {
            while (c.Recv(&v)) received++;
          } else {
            while (go_chan_recv_ctx(nullptr, c.get(), &v) == 0) received++;
          }
        });
      }
      for (uint32_t i = rng.Below(50); i > 0; i--) go_yield();
      c.Close();
      go_wg_wait(&wg);
      EXPECT_EQ(sent.load(), received.load());
      EXPECT_EQ(refused, 4);
      sent_total += sent;
    }
    EXPECT_GT(sent_total, 0);
  });
}

// Tokens that run round rings of channels: their number stays what it is.
TEST(ChanStress, Rings) {
  RunGo([] {
    go_nsec end = StressEnd();
    constexpr size_t kNodes = 50;
    constexpr int kTokens = 20;
    std::vector<Chan<int>> ring;
    for (size_t i = 0; i < kNodes; i++) ring.emplace_back(i % 3);
    std::atomic<bool> stop{false};
    std::atomic<int> collected{0};
    std::atomic<int64_t> hops{0};
    go_wg wg{};
    for (size_t i = 0; i < kNodes; i++) {
      SPAWN_WG(&wg, [&, i] {
        int v;
        while (ring[i].Recv(&v)) {
          hops++;
          if (stop) {
            collected++;
            continue;
          }
          ring[(i + 1) % kNodes].Send(v + 1);
        }
      });
    }
    for (int i = 0; i < kTokens; i++) ring[static_cast<size_t>(i) * 2].Send(0);
    while (go_now() < end) (void)go_sleep(nullptr, 10 * GO_MS);
    stop = true;
    Until([&] { return collected == kTokens; });
    for (auto &c : ring) c.Close();
    go_wg_wait(&wg);
    EXPECT_EQ(collected, kTokens);
    EXPECT_GT(hops.load(), kTokens);
  });
}

}  // namespace
