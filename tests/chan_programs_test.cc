// Whole programs made of goroutines and channels, whose results are known numbers.

#include <cinttypes>
#include <cstdio>
#include <functional>
#include <numeric>
#include <queue>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// ---- Go: test/chan/goroutines.go: a long chain of goroutines; a number goes through all of them.
TEST(Programs, ChainOfTenThousand) {
  RunGo([] {
    constexpr int kLinks = Goroutines(10000);
    std::vector<Chan<int>> c;
    for (int i = 0; i <= kLinks; i++) c.emplace_back(0);
    go_wg wg{};
    for (int i = 0; i < kLinks; i++) {
      SPAWN_WG(&wg, [left = c[static_cast<size_t>(i)], right = c[static_cast<size_t>(i) + 1]] {
        int v;
        while (right.Recv(&v)) left.Send(v + 1);
        left.Close();
      });
    }
    EXPECT_GE(go_count(), kLinks);
    for (int start : {0, 1000, -5}) {
      c.back().Send(start);
      EXPECT_EQ(c.front().Take(), start + kLinks);
    }
    c.back().Close();  // torn down from one end to the other
    EXPECT_FALSE(c.front().Recv(nullptr));
    go_wg_wait(&wg);
  });
}

// ---- Go: test/chan/sieve1.go: a filter goroutine for every prime.
std::vector<int> PrimesUpTo(int limit) {
  std::vector<bool> composite(static_cast<size_t>(limit) + 1);
  std::vector<int> primes;
  for (int i = 2; i <= limit; i++) {
    if (composite[static_cast<size_t>(i)]) continue;
    primes.push_back(i);
    for (int j = 2 * i; j <= limit; j += i) composite[static_cast<size_t>(j)] = true;
  }
  return primes;
}

void Sieve(size_t cap, int limit) {
  Chan<int> source(cap);
  go_wg wg{};
  SPAWN_WG(&wg, [source, limit] {
    for (int i = 2; i <= limit; i++) source.Send(i);
    source.Close();
  });
  Chan<int> in = source;
  for (int expect : PrimesUpTo(limit)) {
    int prime = in.Take();
    EXPECT_EQ(prime, expect);
    if (prime != expect) break;
    Chan<int> out(cap);
    SPAWN_WG(&wg, [in, out, prime] {
      int v;
      while (in.Recv(&v)) {
        if (v % prime != 0) out.Send(v);
      }
      out.Close();
    });
    in = out;
  }
  EXPECT_FALSE(in.Recv(nullptr)) << "a prime too many";
  go_wg_wait(&wg);
}

TEST(Programs, SieveUnbuffered) {
  RunGo([] { Sieve(0, Rounds(3000)); });
}
TEST(Programs, SieveBuffered) {
  RunGo([] { Sieve(8, Rounds(3000)); });
}

// ---- Go: test/chan/sieve2.go: the composites come from a merge of one goroutine's multiples for
// each prime; what is missing is prime.
TEST(Programs, SieveByMerging) {
  RunGo([] {
    constexpr int kLimit = 1000;
    Chan<Unit> quit(0);
    go_wg wg{};
    struct Stream {
      int head;
      Chan<int> c;
      bool operator<(const Stream &o) const { return head > o.head; }  // smallest on top
    };
    std::priority_queue<Stream> merge;
    std::vector<int> primes;
    for (int n = 2; n <= kLimit; n++) {
      bool composite = false;
      while (!merge.empty() && merge.top().head <= n) {
        Stream s = merge.top();
        merge.pop();
        composite = composite || s.head == n;
        s.head = s.c.Take();
        merge.push(s);
      }
      if (composite) continue;
      primes.push_back(n);
      Chan<int> multiples(static_cast<size_t>(n % 3));
      SPAWN_WG(&wg, [multiples, quit, n] {
        for (int m = n * n;; m += n) {
          go_case k[] = {SendCase(multiples, &m), RecvCase(quit)};
          if (Select(k) == 1) return;
        }
      });
      merge.push(Stream{multiples.Take(), multiples});
    }
    EXPECT_EQ(primes, PrimesUpTo(kLimit));
    quit.Close();
    go_wg_wait(&wg);
  });
}

// ---- Go: test/chan/powser1.go, powser2.go: power series as networks of goroutines that work on
// demand. After M. D. McIlroy, "Squinting at power series". Every series is a goroutine that
// answers a request with its next coefficient; some networks have loops.

struct Rat {
  int64_t num, den;
};
Rat MakeRat(int64_t n, int64_t d) {
  int64_t g = std::gcd(n, d);
  if (g == 0) g = 1;
  if (d < 0) g = -g;
  return Rat{n / g, d / g};
}
Rat operator+(Rat a, Rat b) {
  int64_t g = std::gcd(a.den, b.den);
  return MakeRat(a.num * (b.den / g) + b.num * (a.den / g), a.den / g * b.den);
}
Rat operator*(Rat a, Rat b) {
  Rat x = MakeRat(a.num, b.den), y = MakeRat(b.num, a.den);
  return MakeRat(x.num * y.num, x.den * y.den);
}
bool operator==(Rat a, Rat b) { return a.num == b.num && a.den == b.den; }
std::ostream &operator<<(std::ostream &os, Rat r) { return os << r.num << "/" << r.den; }

class SeriesWorld;

// Asking for and giving one coefficient. Both ends give up when the world ends.
struct Series {
  Chan<Unit> req{0};
  Chan<Rat> dat{0};
  bool Get(const Chan<Unit> &quit, Rat *v) const {
    Unit u{};
    go_case ask[] = {SendCase(req, &u), RecvCase(quit)};
    if (Select(ask) == 1) return false;
    go_case answer[] = {RecvCase(dat, v), RecvCase(quit)};
    return Select(answer) == 0;
  }
  bool AwaitRequest(const Chan<Unit> &quit) const {
    go_case k[] = {RecvCase(req), RecvCase(quit)};
    return Select(k) == 0;
  }
  bool Answer(const Chan<Unit> &quit, Rat v) const {
    go_case k[] = {SendCase(dat, &v), RecvCase(quit)};
    return Select(k) == 0;
  }
};

class SeriesWorld {
 public:
  ~SeriesWorld() {
    quit_.Close();
    go_wg_wait(&wg_);
  }

  // next(n, &v): the n-th coefficient, or false when the world has ended.
  Series Make(std::function<bool(int, Rat *)> next) {
    Series s;
    Feed(s, std::move(next));
    return s;
  }
  void Feed(Series s, std::function<bool(int, Rat *)> next) {
    SPAWN_WG(&wg_, [s, next = std::move(next), quit = quit_] {
      for (int n = 0; s.AwaitRequest(quit); n++) {
        Rat v{0, 1};
        if (!next(n, &v) || !s.Answer(quit, v)) return;
      }
    });
  }

  // Two series with the coefficients of f, each read at its own pace. While f is asked for the
  // next one, the other side is still served what is known: loops of series need that.
  std::pair<Series, Series> Split(Series f) {
    Series out[2];
    SPAWN_WG(&wg_, [f, a = out[0], b = out[1], quit = quit_] {
      const Series *side[2] = {&a, &b};
      std::vector<Rat> known;
      size_t given[2] = {0, 0};
      bool wants[2] = {false, false}, asked = false;
      for (;;) {
        bool starved = false;
        for (int i = 0; i < 2; i++) {
          if (!wants[i]) continue;
          if (given[i] == known.size()) {
            starved = true;
          } else {
            if (!side[i]->Answer(quit, known[given[i]++])) return;
            wants[i] = false;
          }
        }
        Unit u{};
        Rat v{0, 1};
        go_case k[] = {RecvCase(a.req), RecvCase(b.req), SendCase(f.req, &u), RecvCase(f.dat, &v),
                       RecvCase(quit)};
        if (wants[0]) k[0].ch = nullptr;
        if (wants[1]) k[1].ch = nullptr;
        if (asked || !starved) k[2].ch = nullptr;
        if (!asked) k[3].ch = nullptr;
        switch (Select(k)) {
          case 0: wants[0] = true; break;
          case 1: wants[1] = true; break;
          case 2: asked = true; break;
          case 3:
            asked = false;
            known.push_back(v);
            break;
          default: return;
        }
      }
    });
    return {out[0], out[1]};
  }

  Series Ones() {
    return Make([](int, Rat *v) {
      *v = Rat{1, 1};
      return true;
    });
  }
  Series Add(Series f, Series g) {
    return Make([f, g, quit = quit_](int, Rat *v) {
      Rat x{0, 1}, y{0, 1};
      if (!f.Get(quit, &x) || !g.Get(quit, &y)) return false;
      *v = x + y;
      return true;
    });
  }
  Series Scale(Rat c, Series f) {
    return Make([c, f, quit = quit_](int, Rat *v) {
      Rat x{0, 1};
      if (!f.Get(quit, &x)) return false;
      *v = c * x;
      return true;
    });
  }
  Series Shift(Rat first, Series f) {  // first + x f
    return Make([first, f, quit = quit_](int n, Rat *v) {
      *v = first;
      return n == 0 || f.Get(quit, v);
    });
  }
  Series Derive(Series f) {
    return Make([f, quit = quit_](int n, Rat *v) {
      Rat x{0, 1};
      if (n == 0 && !f.Get(quit, &x)) return false;
      if (!f.Get(quit, &x)) return false;
      *v = Rat{n + 1, 1} * x;
      return true;
    });
  }
  Series Integrate(Rat constant, Series f) { return Make(IntegrateStep(constant, f)); }
  Series Mul(Series f, Series g) { return Make(MulStep(f, g)); }
  // 1/f, by f * r = 1: r_n = -(sum of f_k r_{n-k}) / f_0.
  Series Invert(Series f) {
    auto fs = std::make_shared<std::vector<Rat>>(), rs = std::make_shared<std::vector<Rat>>();
    return Make([f, fs, rs, quit = quit_](int n, Rat *v) {
      Rat x{0, 1};
      if (!f.Get(quit, &x)) return false;
      fs->push_back(x);
      Rat f0 = fs->front();
      Rat inverse = MakeRat(f0.den, f0.num);
      Rat sum = n == 0 ? Rat{-1, 1} : Rat{0, 1};
      for (int k = 1; k <= n; k++) {
        sum = sum + (*fs)[static_cast<size_t>(k)] * (*rs)[static_cast<size_t>(n - k)];
      }
      rs->push_back(Rat{-1, 1} * inverse * sum);
      *v = rs->back();
      return true;
    });
  }
  // exp f for f_0 = 0, as the solution of E' = f' E: a loop of goroutines.
  Series Exp(Series f) {
    Series e, product;
    auto [out, again] = Split(e);
    Feed(product, MulStep(Derive(f), again));
    Feed(e, IntegrateStep(Rat{1, 1}, product));
    return out;
  }
  // tan x, as the solution of T' = 1 + T^2.
  Series Tan() {
    Series t, square, slope;
    auto [out, rest] = Split(t);
    auto [a, b] = Split(rest);
    Feed(square, MulStep(a, b));
    Feed(slope, [square, quit = quit_](int n, Rat *v) {
      if (!square.Get(quit, v)) return false;
      if (n == 0) *v = *v + Rat{1, 1};
      return true;
    });
    Feed(t, IntegrateStep(Rat{0, 1}, slope));
    return out;
  }

  void Expect(const char *what, Series f, std::vector<Rat> coefficients) {
    for (size_t i = 0; i < coefficients.size(); i++) {
      Rat v{0, 1};
      EXPECT_TRUE(f.Get(quit_, &v));
      EXPECT_TRUE(v == coefficients[i])
          << what << " x^" << i << ": " << v << " instead of " << coefficients[i];
    }
  }

 private:
  std::function<bool(int, Rat *)> IntegrateStep(Rat constant, Series f) {
    return [constant, f, quit = quit_](int n, Rat *v) {
      *v = constant;
      if (n == 0) return true;
      Rat x{0, 1};
      if (!f.Get(quit, &x)) return false;
      *v = MakeRat(1, n) * x;
      return true;
    };
  }
  // The n-th coefficient needs f and g up to their n-th and no further: loops rely on that.
  std::function<bool(int, Rat *)> MulStep(Series f, Series g) {
    auto fs = std::make_shared<std::vector<Rat>>(), gs = std::make_shared<std::vector<Rat>>();
    return [f, g, fs, gs, quit = quit_](int n, Rat *v) {
      Rat x{0, 1}, y{0, 1};
      if (!f.Get(quit, &x) || !g.Get(quit, &y)) return false;
      fs->push_back(x);
      gs->push_back(y);
      Rat sum{0, 1};
      for (int k = 0; k <= n; k++) {
        sum = sum + (*fs)[static_cast<size_t>(k)] * (*gs)[static_cast<size_t>(n - k)];
      }
      *v = sum;
      return true;
    };
  }

  Chan<Unit> quit_{0};
  go_wg wg_{};
};

TEST(Programs, PowerSeries) {
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < 3; round++) {
      SeriesWorld w;
      w.Expect("1/(1-x)", w.Ones(), {{1, 1}, {1, 1}, {1, 1}, {1, 1}});
      w.Expect("sum", w.Add(w.Ones(), w.Scale(Rat{-3, 1}, w.Ones())), {{-2, 1}, {-2, 1}, {-2, 1}});
      w.Expect("1 + x/(1-x)", w.Shift(Rat{5, 1}, w.Ones()), {{5, 1}, {1, 1}, {1, 1}});
      w.Expect("derivative", w.Derive(w.Ones()), {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}});
      w.Expect("-log(1-x)", w.Integrate(Rat{0, 1}, w.Ones()),
               {{0, 1}, {1, 1}, {1, 2}, {1, 3}, {1, 4}});
      w.Expect("square", w.Mul(w.Ones(), w.Ones()),
               {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}});
      w.Expect("1-x", w.Invert(w.Ones()), {{1, 1}, {-1, 1}, {0, 1}, {0, 1}, {0, 1}});
      Series x = w.Shift(Rat{0, 1}, w.Make([](int n, Rat *v) {
        *v = Rat{n == 0 ? 1 : 0, 1};
        return true;
      }));
      std::vector<Rat> factorials;
      int64_t f = 1;
      for (int n = 0; n < 13; f *= ++n) factorials.push_back(Rat{1, f});
      w.Expect("exp x", w.Exp(x), factorials);
      // exp(x/(1-x)): the numbers of sets of lists, over n!.
      w.Expect("exp(x/(1-x))", w.Exp(w.Shift(Rat{0, 1}, w.Ones())),
               {{1, 1}, {1, 1}, {3, 2}, {13, 6}, {73, 24}, {167, 40}, {4051, 720}});
      w.Expect(
          "tan x", w.Tan(),
          {{0, 1}, {1, 1}, {0, 1}, {1, 3}, {0, 1}, {2, 15}, {0, 1}, {17, 315}, {0, 1}, {62, 2835}});
    }
  });
}

// Parallel prefix over a tree of goroutines, built by recursion: 2^12 leaves.
int64_t TreeSum(int lo, int hi) {
  if (hi - lo == 1) return lo;
  int mid = lo + (hi - lo) / 2;
  Chan<int64_t> left(0);
  SPAWN([left, lo, mid] { left.Send(TreeSum(lo, mid)); });
  int64_t right = TreeSum(mid, hi);
  return left.Take() + right;
}
TEST(Programs, TreeOfGoroutines) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Goroutines(4096);
    for (int round = 0; round < 5; round++) {
      EXPECT_EQ(TreeSum(0, n), static_cast<int64_t>(n) * (n - 1) / 2);
    }
  });
}

}  // namespace
