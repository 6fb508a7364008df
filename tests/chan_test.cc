// One channel at a time: blocking, order, closing, sizes, references.

#include <cstdio>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

GO_CHAN_TYPE(intchan, int);

// ---- Go: TestChan (runtime/chan_test.go), one capacity after the other.

class ChanByCap : public testing::TestWithParam<int> {};

void ExpectReceiveBlocksOnEmpty(size_t cap) {
  Chan<int> c(cap);
  std::atomic<bool> plain{false}, selected{false};
  go_wg wg{};
  SPAWN_WG(&wg, [&] {
    EXPECT_TRUE(c.Recv(nullptr));
    plain = true;
  });
  SPAWN_WG(&wg, [&] {
    go_case k[] = {RecvCase(c)};
    EXPECT_EQ(Select(k), 0);
    selected = true;
  });
  Settle();
  EXPECT_FALSE(plain || selected) << "receive from an empty channel went through, cap " << cap;
  int v = 0;
  EXPECT_EQ(c.TryRecv(&v), GO_EAGAIN);
  go_case k[] = {RecvCase(c, &v)};
  EXPECT_EQ(SelectTry(k), GO_EAGAIN);
  c.Send(0);
  c.Send(0);
  go_wg_wait(&wg);
}

void ExpectSendBlocksOnFull(size_t cap) {
  Chan<int> c(cap);
  for (size_t i = 0; i < cap; i++) c.Send(static_cast<int>(i));
  std::atomic<bool> plain{false}, selected{false};
  go_wg wg{};
  SPAWN_WG(&wg, [&] {
    c.Send(0);
    plain = true;
  });
  SPAWN_WG(&wg, [&] {
    int v = 0;
    go_case k[] = {SendCase(c, &v)};
    EXPECT_EQ(Select(k), 0);
    selected = true;
  });
  Settle();
  EXPECT_FALSE(plain || selected) << "send to a full channel went through, cap " << cap;
  // Not full by the two waiting sends, but nothing may pass them.
  int v = 0;
  EXPECT_EQ(c.TrySend(v), GO_EAGAIN);
  go_case k[] = {SendCase(c, &v)};
  EXPECT_EQ(SelectTry(k), GO_EAGAIN);
  for (size_t i = 0; i < cap + 2; i++) {
    v = -1;
    EXPECT_TRUE(c.Recv(&v));
    EXPECT_EQ(v, i < cap ? static_cast<int>(i) : 0);
  }
  go_wg_wait(&wg);
}

void ExpectClosedDrainsThenZero(size_t cap) {
  Chan<int> c(cap);
  for (size_t i = 0; i < cap; i++) c.Send(static_cast<int>(i) + 1);
  c.Close();
  for (size_t i = 0; i < cap; i++) {
    int v = -1;
    bool ok = c.Recv(&v);
    EXPECT_TRUE(ok);
    EXPECT_EQ(v, static_cast<int>(i) + 1);
  }
  int v = -1;
  EXPECT_FALSE(c.Recv(&v));
  EXPECT_EQ(v, 0);
  v = -1;
  EXPECT_EQ(c.TryRecv(&v), GO_ECLOSED);
  EXPECT_EQ(v, 0);
}

void ExpectCloseWakesReceiver(size_t cap) {
  Chan<int> c(cap);
  Chan<bool> done(0);
  SPAWN([c, done] {
    int v = -1;
    bool ok = c.Recv(&v);
    done.Send(!ok && v == 0);
  });
  Settle();
  c.Close();
  EXPECT_TRUE(done.Take());
}

void ExpectFifo(size_t cap) {
  Chan<int> c(cap);
  go_wg wg{};
  SPAWN_WG(&wg, [&] {
    for (int i = 0; i < 100; i++) c.Send(i);
  });
  for (int i = 0; i < 100; i++) {
    int v = -1;
    EXPECT_TRUE(c.Recv(&v));
    EXPECT_EQ(v, i);
  }
  go_wg_wait(&wg);
}

// 4 producers send 0..L-1 each, 4 consumers take L each: every value arrives four times.
void ExpectNothingLost(size_t cap) {
  constexpr int kSides = 4, kEach = 50;
  Chan<int> c(cap);
  go_wg wg{};
  int seen[kSides][kEach] = {};
  for (int p = 0; p < kSides; p++) {
    SPAWN_WG(&wg, [&] {
      for (int i = 0; i < kEach; i++) c.Send(i);
    });
    SPAWN_WG(&wg, [&, p] {
      for (int i = 0; i < kEach; i++) {
        int v = -1;
        bool ok = c.Recv(&v);
        EXPECT_TRUE(ok && v >= 0 && v < kEach) << v;
        if (v >= 0 && v < kEach) seen[p][v]++;
      }
    });
  }
  go_wg_wait(&wg);
  for (int v = 0; v < kEach; v++) {
    int n = 0;
    for (int p = 0; p < kSides; p++) n += seen[p][v];
    EXPECT_EQ(n, kSides) << "value " << v << " at cap " << cap;
  }
}

void ExpectLenAndCap(size_t cap) {
  Chan<int> c(cap);
  EXPECT_EQ(c.Cap(), cap);
  for (size_t i = 0; i < cap; i++) {
    EXPECT_EQ(c.Len(), i);
    c.Send(static_cast<int>(i));
  }
  EXPECT_EQ(c.Len(), cap);
  for (size_t i = cap; i > 0; i--) {
    EXPECT_EQ(c.Len(), i);
    EXPECT_TRUE(c.Recv(nullptr));
  }
  EXPECT_EQ(c.Len(), 0u);
}

TEST_P(ChanByCap, BlocksClosesKeepsOrderLosesNothing) {
  size_t cap = static_cast<size_t>(GetParam());
  RunGo([cap] {
    Procs procs(4);
    ExpectReceiveBlocksOnEmpty(cap);
    ExpectSendBlocksOnFull(cap);
    ExpectClosedDrainsThenZero(cap);
    ExpectCloseWakesReceiver(cap);
    ExpectFifo(cap);
    ExpectNothingLost(cap);
    ExpectLenAndCap(cap);
  });
}

INSTANTIATE_TEST_SUITE_P(Caps, ChanByCap, testing::Range(0, 201, kSanitized ? 25 : 1));

// ---- Non-blocking operations.

// Go: TestNonblockRecvRace (runtime/chan_test.go): with an element in the buffer, a close at the
// same time must not make a non-blocking receive say "nothing there".
TEST(Chan, TryRecvNeverMissesWhatIsThere) {
  RunGo([] {
    Procs procs(4);
    int missed = 0;
    for (int i = 0; i < Rounds(10000); i++) {
      Chan<int> c(1);
      c.Send(1);
      Chan<int> result(1);
      SPAWN([c, result] {
        int v;
        result.Send(c.TryRecv(&v));
      });
      c.Close();
      (void)c.Recv(nullptr);
      int rc = result.Take();
      if (rc != 0 && rc != GO_ECLOSED) missed++;
    }
    EXPECT_EQ(missed, 0);
  });
}

// The mirror image: with a receiver waiting or room left throughout, try_send does not refuse.
TEST(Chan, TrySendNeverMissesRoom) {
  RunGo([] {
    Procs procs(4);
    int missed = 0;
    for (int i = 0; i < Rounds(5000); i++) {
      Chan<int> c(2);
      c.Send(1);
      Chan<int> result(1);
      SPAWN([c, result] { result.Send(c.TrySend(2)); });
      (void)c.Recv(nullptr);  // makes more room; there was room all the time
      if (result.Take() != 0) missed++;
    }
    EXPECT_EQ(missed, 0);
  });
}

// Go: test/chan/nonblock.go: both try forms, with elements of several sizes, on channels with and
// without a buffer and with and without a partner.
template <size_t Size>
struct Bytes {
  unsigned char b[Size];
  static Bytes Of(unsigned seed) {
    Bytes v;
    for (size_t i = 0; i < Size; i++) v.b[i] = static_cast<unsigned char>(seed * 31 + i * 7 + 1);
    return v;
  }
  bool operator==(const Bytes &o) const { return memcmp(b, o.b, Size) == 0; }
};

template <class E>
class ChanBySize : public testing::Test {};
using Sizes = testing::Types<Bytes<1>, Bytes<2>, Bytes<3>, Bytes<4>, Bytes<7>, Bytes<8>, Bytes<16>,
                             Bytes<32>, Bytes<33>, Bytes<257>, Bytes<4096>, Bytes<100000>>;
TYPED_TEST_SUITE(ChanBySize, Sizes, );

TYPED_TEST(ChanBySize, TryForms) {
  RunGo([] {
    TypeParam v;
    // Nobody there, no room.
    Chan<TypeParam> sync(0);
    EXPECT_EQ(sync.TryRecv(&v), GO_EAGAIN);
    EXPECT_EQ(sync.TrySend(TypeParam::Of(1)), GO_EAGAIN);

    // Somebody there: in the end the other side is waiting, and then it goes.
    go_wg wg{};
    SPAWN_WG(&wg, [&] { sync.Send(TypeParam::Of(2)); });
    Until([&] { return sync.TryRecv(&v) == 0; });
    EXPECT_TRUE(v == TypeParam::Of(2));
    go_wg_wait(&wg);
    TypeParam got;
    SPAWN_WG(&wg, [&] { EXPECT_TRUE(sync.Recv(&got)); });
    Until([&] { return sync.TrySend(TypeParam::Of(3)) == 0; });
    go_wg_wait(&wg);
    EXPECT_TRUE(got == TypeParam::Of(3));

    // A buffer, round and round.
    Chan<TypeParam> buf(3);
    for (unsigned round = 0; round < 5; round++) {
      EXPECT_EQ(buf.TryRecv(&v), GO_EAGAIN);
      for (unsigned i = 0; i < 3; i++) EXPECT_EQ(buf.TrySend(TypeParam::Of(round + i)), 0);
      EXPECT_EQ(buf.TrySend(TypeParam::Of(99)), GO_EAGAIN);
      for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(buf.TryRecv(&v), 0);
        EXPECT_TRUE(v == TypeParam::Of(round + i));
      }
    }
  });
}

TYPED_TEST(ChanBySize, BlockedSendersAndReceiversKeepBytesAndOrder) {
  RunGo([] {
    Procs procs(4);
    for (size_t cap : {0u, 1u, 5u}) {
      Chan<TypeParam> c(cap);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        for (unsigned i = 0; i < 100; i++) c.Send(TypeParam::Of(i));
        c.Close();
      });
      auto v = std::make_unique<TypeParam>();
      unsigned n = 0;
      for (; c.Recv(v.get()); n++) EXPECT_TRUE(*v == TypeParam::Of(n)) << "element " << n;
      EXPECT_EQ(n, 100u);
      bool zero = true;
      for (unsigned char b : v->b) zero = zero && b == 0;
      EXPECT_TRUE(zero) << "the receive that found the channel closed zeroes its target";
      go_wg_wait(&wg);
    }
  });
}

// A failed non-blocking call leaves the caller's element alone.
TEST(Chan, TryRecvLeavesTargetAloneWhenNothingThere) {
  RunGo([] {
    Chan<int> c(1);
    int v = 42;
    EXPECT_EQ(c.TryRecv(&v), GO_EAGAIN);
    EXPECT_EQ(v, 42);
  });
}

// ---- Order.

// Go: test/chan/fifo.go: a buffered channel that is filled and then drained.
TEST(Chan, BufferedFifo) {
  RunGo([] {
    Chan<int> c(10);
    for (int i = 0; i < 10; i++) c.Send(i);
    for (int i = 0; i < 10; i++) EXPECT_EQ(c.Take(), i);
  });
}

// Go: test/chan/fifo.go: each goroutine sends its number when the one before it has, so that
// numbers arrive in order over an unbuffered channel.
TEST(Chan, DaisyChainKeepsOrder) {
  RunGo([] {
    Procs procs(4);
    constexpr int kLinks = 100;
    Chan<int> numbers(0);
    std::vector<Chan<Unit>> token;
    for (int i = 0; i <= kLinks; i++) token.emplace_back(0);
    for (int i = 0; i < kLinks; i++) {
      SPAWN([i, numbers, before = token[i], after = token[i + 1]] {
        (void)before.Take();
        numbers.Send(i);
        after.Close();
      });
    }
    token[0].Close();
    for (int i = 0; i < kLinks; i++) EXPECT_EQ(numbers.Take(), i);
    (void)token[kLinks].Take();
  });
}

// Blocked senders are served in the order in which they came, across the buffer. Each joins the
// queue only when the one before it is known to be in it: on one P, a goroutine that yields after
// a go_spawn lets the new one run until it blocks.
TEST(Chan, BlockedSendersAreServedFifo) {
  RunGo([] {
    Procs procs(1);
    for (size_t cap : {0u, 1u, 3u}) {
      Chan<int> c(cap);
      for (size_t i = 0; i < cap; i++) c.Send(static_cast<int>(i));
      go_wg wg{};
      std::atomic<int> at{0};
      for (int i = 0; i < 20; i++) {
        SPAWN_WG(&wg, [&, i] {
          at = i + 1;
          c.Send(static_cast<int>(c.Cap()) + i);
        });
        Until([&] { return at == i + 1; });
        Settle();
      }
      for (int i = 0; i < static_cast<int>(cap) + 20; i++) EXPECT_EQ(c.Take(), i);
      go_wg_wait(&wg);
    }
  });
}

TEST(Chan, BlockedReceiversAreServedFifo) {
  RunGo([] {
    Procs procs(1);
    Chan<int> c(0);
    go_wg wg{};
    std::atomic<int> at{0};
    int got[20] = {};
    for (int i = 0; i < 20; i++) {
      SPAWN_WG(&wg, [&, i] {
        at = i + 1;
        got[i] = c.Take();
      });
      Until([&] { return at == i + 1; });
      Settle();
    }
    for (int i = 0; i < 20; i++) c.Send(100 + i);
    go_wg_wait(&wg);
    for (int i = 0; i < 20; i++) EXPECT_EQ(got[i], 100 + i);
  });
}

// An element that was handed to a waiting receiver is not there for one who comes in between.
TEST(Chan, HandedOverElementCannotBeStolen) {
  RunGo([] {
    Procs procs(1);
    for (size_t cap : {0u, 4u}) {
      Chan<int> c(cap);
      int got = 0;
      go_wg wg{};
      SPAWN_WG(&wg, [&] { got = c.Take(); });
      Settle();
      // The receiver waits. It does not run between these two lines, as there is one P.
      c.Send(7);
      int thief = 0;
      int rc = c.TryRecv(&thief);
      if (rc == 0) {
        // Only possible when it had not been waiting yet: give it its element.
        c.Send(thief);
      }
      go_wg_wait(&wg);
      EXPECT_EQ(got, 7);
    }
  });
}

// ---- Closing. Go: test/closedchan.go: every form on a closed channel.

template <class T>
void ExpectClosedForms(size_t cap) {
  Chan<T> c(cap);
  c.Close();
  T filled, zero{}, v;
  memset(static_cast<void *>(&filled), 0x5a, sizeof filled);
  auto zeroed = [&] { return memcmp(&v, &zero, sizeof v) == 0; };
  for (int twice = 0; twice < 2; twice++) {
    v = filled;
    EXPECT_FALSE(c.Recv(&v));
    EXPECT_TRUE(zeroed());
    EXPECT_FALSE(c.Recv(nullptr));
    v = filled;
    EXPECT_EQ(c.TryRecv(&v), GO_ECLOSED);
    EXPECT_TRUE(zeroed());
    EXPECT_EQ(c.TryRecv(nullptr), GO_ECLOSED);
    v = filled;
    EXPECT_EQ(go_chan_recv_ctx(nullptr, c.get(), &v), GO_ECLOSED);
    EXPECT_TRUE(zeroed());
    EXPECT_EQ(go_chan_recv_ctx(nullptr, c.get(), nullptr), GO_ECLOSED);

    v = filled;
    go_case k[] = {RecvCase(c, &v), RecvCase(nullptr)};
    k[0].ok = true;
    EXPECT_EQ(Select(k), 0);
    EXPECT_FALSE(k[0].ok);
    EXPECT_TRUE(zeroed());
    v = filled;
    k[0].ok = true;
    EXPECT_EQ(SelectTry(k), 0);
    EXPECT_FALSE(k[0].ok);
    EXPECT_TRUE(zeroed());
    EXPECT_EQ(go_select(nullptr, k, 1), 0);
    EXPECT_EQ(go_select_try(k, 1), 0);

    EXPECT_TRUE(Panics([&] { c.Send(filled); }));
    EXPECT_EQ(c.TrySend(filled), GO_ECLOSED);
    EXPECT_EQ(go_chan_send_ctx(nullptr, c.get(), &filled), GO_ECLOSED);
    go_case s[] = {SendCase(nullptr, &filled), SendCase(c, &filled)};
    EXPECT_TRUE(Panics([&] { (void)Select(s); }));
    EXPECT_TRUE(Panics([&] { (void)SelectTry(s); }));
    EXPECT_TRUE(Panics([&] { (void)go_select(nullptr, s + 1, 1); }));
    EXPECT_TRUE(Panics([&] { (void)go_select_try(s + 1, 1); }));
    EXPECT_TRUE(Panics([&] { c.Close(); }));
  }
  EXPECT_EQ(c.Len(), 0u);
  EXPECT_EQ(c.Cap(), cap);
}

TEST(ChanClose, EveryFormOnAClosedChannel) {
  RunGo([] {
    for (size_t cap : {0u, 1u, 2u}) {
      ExpectClosedForms<char>(cap);
      ExpectClosedForms<int>(cap);
      ExpectClosedForms<Bytes<64>>(cap);
      ExpectClosedForms<Bytes<1000>>(cap);
    }
  });
}

TEST(ChanClose, PanicsSayWhy) {
  RunGo([] {
    Chan<int> c(0);
    c.Close();
    Caught twice = Catch([&] { c.Close(); });
    EXPECT_EQ(twice.rc, GO_EPANIC);
    EXPECT_NE(twice.text().find("close of closed channel"), std::string::npos) << twice.text();
    Caught nil = Catch([] { go_chan_close(nullptr); });
    EXPECT_EQ(nil.rc, GO_EPANIC);
    EXPECT_NE(nil.text().find("close of nil channel"), std::string::npos) << nil.text();
    Caught send = Catch([&] { c.Send(1); });
    EXPECT_EQ(send.rc, GO_EPANIC);
    EXPECT_NE(send.text().find("send on closed channel"), std::string::npos) << send.text();
  });
}

// Go: test/closedchan.go, closing while they wait.
TEST(ChanClose, WakesEveryKindOfWaiter) {
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < 20; round++) {
      Chan<int> c(0);
      go_wg wg{};
      std::atomic<int> panicked{0}, codes{0};
      for (int i = 0; i < 5; i++) {
        SPAWN_WG(&wg, [&] {
          if (Panics([&] { c.Send(1); })) panicked++;
        });
        SPAWN_WG(&wg, [&] {
          if (Panics([&] {
                int v = 1;
                go_case k[] = {SendCase(c, &v), RecvCase(nullptr)};
                (void)Select(k);
              }))
            panicked++;
        });
        SPAWN_WG(&wg, [&] {
          int v = 1;
          if (go_chan_send_ctx(nullptr, c.get(), &v) == GO_ECLOSED) codes++;
        });
      }
      Settle();
      c.Close();
      go_wg_wait(&wg);
      EXPECT_EQ(panicked, 10);
      EXPECT_EQ(codes, 5);

      Chan<int> d(0);
      std::atomic<int> ended{0};
      for (int i = 0; i < 5; i++) {
        SPAWN_WG(&wg, [&] {
          int v = -1;
          if (!d.Recv(&v) && v == 0) ended++;
        });
        SPAWN_WG(&wg, [&] {
          int v = -1;
          go_case k[] = {RecvCase(nullptr), RecvCase(d, &v)};
          k[1].ok = true;
          if (Select(k) == 1 && !k[1].ok && v == 0) ended++;
        });
        SPAWN_WG(&wg, [&] {
          int v = -1;
          if (go_chan_recv_ctx(nullptr, d.get(), &v) == GO_ECLOSED && v == 0) ended++;
        });
      }
      Settle();
      d.Close();
      go_wg_wait(&wg);
      EXPECT_EQ(ended, 15);
    }
  });
}

// Senders that wait on a full channel when it is closed panic; what is in the buffer stays
// receivable.
TEST(ChanClose, BufferOutlivesTheSendersThatPanicked) {
  RunGo([] {
    Chan<int> c(2);
    c.Send(1);
    c.Send(2);
    go_wg wg{};
    std::atomic<int> panicked{0};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [&] {
        if (Panics([&] { c.Send(9); })) panicked++;
      });
    }
    Settle();
    c.Close();
    go_wg_wait(&wg);
    EXPECT_EQ(panicked, 3);
    EXPECT_EQ(c.Len(), 2u);
    EXPECT_EQ(c.Take(), 1);
    EXPECT_EQ(c.Take(), 2);
    EXPECT_FALSE(c.Recv(nullptr));
  });
}

// Exactly one of several closers wins.
TEST(ChanClose, OneOfManyClosersWins) {
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < Rounds(500); round++) {
      Chan<int> c(0);
      go_wg wg{};
      std::atomic<int> won{0}, panicked{0};
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&] {
          if (Panics([&] { c.Close(); })) {
            panicked++;
          } else {
            won++;
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(won, 1);
      EXPECT_EQ(panicked, 3);
    }
  });
}

// ---- Sizes.

// Go: test/chan/zerosize.go: elements of no size still count.
TEST(ChanSize, ZeroSizeElements) {
  RunGo([] {
    for (size_t cap : {0u, 1u, 10u}) {
      go_chan *c = go_chan_new(0, cap);
      EXPECT_NE(c, nullptr);
      if (c == nullptr) continue;
      EXPECT_EQ(go_chan_cap(c), cap);
      for (size_t i = 0; i < cap; i++) EXPECT_EQ(go_chan_try_send(c, nullptr), 0);
      EXPECT_EQ(go_chan_try_send(c, nullptr), GO_EAGAIN);
      EXPECT_EQ(go_chan_len(c), cap);
      for (size_t i = 0; i < cap; i++) EXPECT_TRUE(go_chan_recv(c, nullptr));
      EXPECT_EQ(go_chan_try_recv(c, nullptr), GO_EAGAIN);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < 1000; i++) go_chan_send(c, nullptr);
        go_chan_close(c);
      });
      int n = 0;
      while (go_chan_recv(c, nullptr)) n++;
      EXPECT_EQ(n, 1000);
      go_wg_wait(&wg);
      go_chan_unref(c);
    }
    // No bytes are needed, however large the capacity.
    go_chan *wide = go_chan_new(0, static_cast<size_t>(1) << 40);
    EXPECT_NE(wide, nullptr);
    for (int i = 0; i < 3; i++) go_chan_send(wide, nullptr);
    EXPECT_EQ(go_chan_len(wide), 3u);
    EXPECT_EQ(go_chan_cap(wide), static_cast<size_t>(1) << 40);
    go_chan_unref(wide);
  });
}

// Go: test/makechan.go; where Go panics, NULL is returned.
TEST(ChanSize, ImpossibleSizesGiveNull) {
  const size_t max = SIZE_MAX, pmax = static_cast<size_t>(PTRDIFF_MAX);
  const struct {
    size_t elem, cap;
  } rows[] = {
      {max, 2},          {2, max},
      {max, max},        {1, max},
      {max, 1},          {1, pmax + 1},
      {pmax, 2},         {8, pmax / 8 + 1},
      {pmax / 2 + 1, 2}, {(max >> 1) + 1, 2},
      {max / 2 + 2, 2},  {static_cast<size_t>(1) << 32, static_cast<size_t>(1) << 32},
      {3, max / 3 + 1},  {max - 1, 1},
      {max - 127, 1},    {max - 4096, 1},
  };
  for (const auto &r : rows) {
    EXPECT_EQ(go_chan_new(r.elem, r.cap), nullptr) << r.elem << " x " << r.cap;
    EXPECT_EQ(go_chan_new_destroy(r.elem, r.cap, [](void *) {}), nullptr);
  }
}

// Go: test/chancap.go.
TEST(ChanSize, CapAndLen) {
  EXPECT_EQ(go_chan_cap(nullptr), 0u);
  EXPECT_EQ(go_chan_len(nullptr), 0u);
  for (size_t cap : {0u, 1u, 10u, 1000u, 100000u}) {
    Chan<int> c(cap);
    EXPECT_EQ(c.Cap(), cap);
    EXPECT_EQ(c.Len(), 0u);
  }
}

// ---- NULL channels: what can be said without waiting for ever (the rest: chan_crash_test.cc).

TEST(ChanNil, IsNeverReady) {
  RunGo([] {
    int v = 42;
    EXPECT_EQ(go_chan_try_recv(nullptr, &v), GO_EAGAIN);
    EXPECT_EQ(v, 42);
    EXPECT_EQ(go_chan_try_send(nullptr, &v), GO_EAGAIN);
    go_case k[] = {RecvCase(nullptr, &v), SendCase(nullptr, &v)};
    EXPECT_EQ(SelectTry(k), GO_EAGAIN);
    EXPECT_EQ(go_select_try(nullptr, 0), GO_EAGAIN);
    Chan<int> c(1);
    c.Send(1);
    go_case with[] = {RecvCase(nullptr, &v), RecvCase(c, &v), SendCase(nullptr, &v)};
    for (int i = 0; i < 100; i++) {
      EXPECT_EQ(Select(with), 1);
      c.Send(1);
      EXPECT_EQ(SelectTry(with), 1);
      c.Send(1);
    }
    go_chan_unref(nullptr);
    EXPECT_EQ(go_chan_ref(nullptr), nullptr);
  });
}

// ---- What waits in a channel stays what it was.

// Go: TestChanSendBarrier, TestChanSendSelectBarrier (runtime/chan_test.go): pointers sent through
// blocked senders, under allocation pressure, point at what they pointed at.
void SendBarrier(bool use_select) {
  RunGo([use_select] {
    Procs procs(4);
    constexpr int kPairs = 20;
    constexpr int rounds = Rounds(2000);
    go_wg wg{};
    std::atomic<int> bad{0};
    for (int p = 0; p < kPairs; p++) {
      Chan<int *> c(0);
      SPAWN_WG(&wg, [c, p, use_select] {
        for (int i = 0; i < rounds; i++) {
          int *box = static_cast<int *>(malloc(64));
          for (int w = 0; w < 16; w++) box[w] = p * 100000 + i + w;
          if (use_select) {
            go_case k[] = {SendCase(c, &box), RecvCase(nullptr)};
            (void)Select(k);
          } else {
            c.Send(box);
          }
          free(malloc(64));  // would be handed the box, had it been freed too early
        }
      });
      SPAWN_WG(&wg, [c, p, use_select, &bad] {
        for (int i = 0; i < rounds; i++) {
          int *box = nullptr;
          if (use_select) {
            go_case k[] = {RecvCase(nullptr), RecvCase(c, &box)};
            (void)Select(k);
          } else {
            (void)c.Recv(&box);
          }
          bool ok = box != nullptr;
          for (int w = 0; ok && w < 16; w++) ok = box[w] == p * 100000 + i + w;
          if (!ok) bad++;
          free(box);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
  });
}
TEST(ChanBarrier, Send) { SendBarrier(false); }
TEST(ChanBarrier, SelectSend) { SendBarrier(true); }

// Uses n KiB of stack, all of it.
__attribute__((noinline)) unsigned DirtyStack(int kib) {
  volatile unsigned char block[1024];
  for (size_t i = 0; i < sizeof block; i++) block[i] = static_cast<unsigned char>(kib + i);
  return kib <= 1 ? block[7] : DirtyStack(kib - 1) + block[9];
}

// Go: TestShrinkStackDuringBlockedSend, TestNoShrinkStackWhileParking, TestSelectStackAdjust
// (runtime/chan_test.go): elements and targets on the stack of a parked goroutine stay valid while
// other goroutines come, use stacks deeply, and go, so that stacks are reused and given back.
TEST(ChanBarrier, ElementsOnParkedStacks) {
  RunGo([] {
    Procs procs(4);
    constexpr int kParked = 64;
    using E = Bytes<256>;
    Chan<E> out(0), in(0);
    Chan<Unit> nothing(0);
    go_wg wg{}, churn{};
    std::atomic<int> bad{0};
    for (unsigned i = 0; i < kParked; i++) {
      SPAWN_WG(&wg, [&, i] {
        (void)DirtyStack(64);  // pages that may be given back while we wait
        E mine = E::Of(i);
        out.Send(mine);
        E got;
        go_case k[] = {RecvCase(in, &got), RecvCase(nothing)};
        (void)Select(k);
        bool known = false;
        for (unsigned j = 0; j < kParked; j++) known = known || got == E::Of(1000 + j);
        if (!known) bad++;
      });
    }
    auto churn_stacks = [&] {
      for (int i = 0; i < Goroutines(2000); i++) {
        SPAWN_WG(&churn, [] { (void)DirtyStack(32); });
      }
      go_wg_wait(&churn);
    };
    churn_stacks();
    bool seen[kParked] = {};
    for (unsigned i = 0; i < kParked; i++) {
      E v;
      (void)out.Recv(&v);
      for (unsigned j = 0; j < kParked; j++) {
        if (v == E::Of(j)) seen[j] = true;
      }
    }
    for (unsigned i = 0; i < kParked; i++) EXPECT_TRUE(seen[i]) << i;
    churn_stacks();
    for (unsigned i = 0; i < kParked; i++) in.Send(E::Of(1000 + i));
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
  });
}

// ---- Typed channels.

TEST(ChanTyped, AllFunctions) {
  RunGo([] {
    intchan c = intchan_new(2);
    EXPECT_NE(c, nullptr);
    EXPECT_EQ(intchan_cap(c), 2u);
    intchan_send(c, 1);
    EXPECT_EQ(intchan_try_send(c, 2), 0);
    EXPECT_EQ(intchan_try_send(c, 3), GO_EAGAIN);
    EXPECT_EQ(intchan_len(c), 2u);
    int v = 0;
    EXPECT_TRUE(intchan_recv(c, &v));
    EXPECT_EQ(v, 1);
    EXPECT_EQ(intchan_try_recv(c, &v), 0);
    EXPECT_EQ(v, 2);
    EXPECT_EQ(intchan_send_ctx(nullptr, c, 4), 0);
    EXPECT_EQ(intchan_recv_ctx(nullptr, c, &v), 0);
    EXPECT_EQ(v, 4);
    int w = 5;
    EXPECT_EQ(GO_SELECT(nullptr, intchan_send_case(c, &w), intchan_recv_case(nullptr, &v)), 0);
    EXPECT_EQ(GO_SELECT(nullptr, intchan_recv_case(nullptr, &v), intchan_recv_case(c, &v)), 1);
    EXPECT_EQ(v, 5);
    EXPECT_EQ(GO_SELECT_TRY(intchan_recv_case(c, &v)), GO_EAGAIN);
    EXPECT_EQ(intchan_from(intchan_chan(c)), c);
    intchan same = intchan_ref(c);
    EXPECT_EQ(same, c);
    intchan_unref(same);
    intchan_close(c);
    EXPECT_FALSE(intchan_recv(c, &v));
    EXPECT_EQ(v, 0);
    intchan_unref(c);
    intchan_unref(nullptr);
  });
}

GO_FUNC(typed_squares, (intchan, in), (intchan, out)) {
  int v;
  while (intchan_recv(in, &v)) intchan_send(out, v * v);
  intchan_close(out);
}

TEST(ChanTyped, WithGoFunc) {
  RunGo([] {
    intchan in = intchan_new(0), out = intchan_new(0);
    EXPECT_EQ(GO(typed_squares, in, out), 0);
    for (int i = 0; i < 10; i++) {
      intchan_send(in, i);
      int v = -1;
      EXPECT_TRUE(intchan_recv(out, &v));
      EXPECT_EQ(v, i * i);
    }
    intchan_close(in);
    EXPECT_FALSE(intchan_recv(out, nullptr));
    intchan_unref(in);
    intchan_unref(out);
  });
}

// ---- References and destroy callbacks.

std::atomic<int> g_destroyed{0};
std::atomic<int> g_destroyed_sum{0};
void CountDestroyed(void *p) {
  g_destroyed++;
  g_destroyed_sum += *static_cast<int *>(p);
}

class ChanDestroy : public testing::Test {
 protected:
  void SetUp() override { g_destroyed = g_destroyed_sum = 0; }
};

TEST_F(ChanDestroy, OnlyForWhatNobodyReceived) {
  RunGo([] {
    go_chan *c = go_chan_new_destroy(sizeof(int), 4, CountDestroyed);
    for (int v : {1, 2, 4, 8}) go_chan_send(c, &v);
    int v = 0;
    EXPECT_TRUE(go_chan_recv(c, &v));  // 1
    v = 16;
    go_chan_send(c, &v);               // wraps round the ring
    EXPECT_TRUE(go_chan_recv(c, &v));  // 2
    go_chan *second = go_chan_ref(c);
    go_chan_unref(c);
    EXPECT_EQ(g_destroyed, 0) << "one reference is left";
    go_chan_unref(second);
    EXPECT_EQ(g_destroyed, 3);
    EXPECT_EQ(g_destroyed_sum, 4 + 8 + 16);
  });
}

TEST_F(ChanDestroy, AlsoAfterClose) {
  RunGo([] {
    go_chan *c = go_chan_new_destroy(sizeof(int), 2, CountDestroyed);
    for (int v : {3, 5}) go_chan_send(c, &v);
    go_chan_close(c);
    EXPECT_EQ(g_destroyed, 0) << "closing keeps what is buffered";
    go_chan_unref(c);
    EXPECT_EQ(g_destroyed_sum, 8);
  });
}

// A receive without a target discards the element, which counts as received, whichever way it came.
TEST_F(ChanDestroy, NotForReceivesThatDiscard) {
  RunGo([] {
    go_chan *buffered = go_chan_new_destroy(sizeof(int), 2, CountDestroyed);
    int one = 1;
    go_chan_send(buffered, &one);
    EXPECT_TRUE(go_chan_recv(buffered, nullptr));
    EXPECT_EQ(g_destroyed, 0) << "from the buffer";
    go_chan_send(buffered, &one);
    EXPECT_EQ(go_chan_try_recv(buffered, nullptr), 0);
    EXPECT_EQ(g_destroyed, 0) << "from the buffer, try";
    go_chan_unref(buffered);

    go_chan *c = go_chan_new_destroy(sizeof(int), 0, CountDestroyed);
    go_wg wg{};
    SPAWN_WG(&wg, [c, one] { go_chan_send(c, &one); });
    Settle();
    EXPECT_TRUE(go_chan_recv(c, nullptr));
    go_wg_wait(&wg);
    EXPECT_EQ(g_destroyed, 0) << "from a waiting sender";
    SPAWN_WG(&wg, [c] { EXPECT_TRUE(go_chan_recv(c, nullptr)); });
    Settle();
    go_chan_send(c, &one);
    go_wg_wait(&wg);
    EXPECT_EQ(g_destroyed, 0) << "to a waiting receiver";
    SPAWN_WG(&wg, [c] {
      go_case k[] = {RecvCase(c), RecvCase(nullptr)};
      EXPECT_EQ(Select(k), 0);
    });
    Settle();
    go_chan_send(c, &one);
    go_wg_wait(&wg);
    EXPECT_EQ(g_destroyed, 0) << "to a waiting select";
    go_chan_unref(c);
    EXPECT_EQ(g_destroyed, 0);
  });
}

TEST_F(ChanDestroy, NotForElementsThatWereNeverSent) {
  RunGo([] {
    go_chan *c = go_chan_new_destroy(sizeof(int), 0, CountDestroyed);
    int v = 1;
    EXPECT_EQ(go_chan_try_send(c, &v), GO_EAGAIN);
    go_chan_close(c);
    EXPECT_EQ(go_chan_try_send(c, &v), GO_ECLOSED);
    go_chan_unref(c);
    EXPECT_EQ(g_destroyed, 0);
  });
}

TEST_F(ChanDestroy, NullCallbackIsNone) {
  go_chan *c = go_chan_new_destroy(sizeof(int), 1, nullptr);
  int v = 1;
  EXPECT_EQ(go_chan_try_send(c, &v), 0);
  go_chan_unref(c);
}

// The last of many holders, whoever that is, destroys exactly once.
TEST_F(ChanDestroy, OnceWithManyHolders) {
  constexpr int rounds = Rounds(200);
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < rounds; i++) {
      go_chan *c = go_chan_new_destroy(sizeof(int), 1, CountDestroyed);
      int v = 1;
      go_chan_send(c, &v);
      go_wg wg{};
      for (int h = 0; h < 8; h++) {
        go_chan_ref(c);
        SPAWN_WG(&wg, [c] {
          go_chan *mine = go_chan_ref(c);
          go_yield();
          go_chan_unref(c);
          go_chan_unref(mine);
        });
      }
      go_chan_unref(c);
      go_wg_wait(&wg);
    }
  });
  EXPECT_EQ(g_destroyed, rounds);
}

// A holder may drop its reference right after a hand-over, while the partner is still on its way
// out.
TEST_F(ChanDestroy, UnrefRightAfterRendezvous) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(3000); i++) {
      go_chan *c = go_chan_new(sizeof(int), 0);
      go_chan_ref(c);
      go_wg wg{};
      SPAWN_WG(&wg, [c] {
        int v = 5;
        go_chan_send(c, &v);
        go_chan_unref(c);
      });
      int v = 0;
      EXPECT_TRUE(go_chan_recv(c, &v));
      go_chan_unref(c);
      EXPECT_EQ(v, 5);
      go_wg_wait(&wg);
    }
  });
}

}  // namespace
