// The same work on Boost.Fiber: stackful fibers of one library, with its own channels and locks, and
// its work-stealing scheduler when there are several threads. Where a whole million is too much for
// it (each fiber allocates its stack), the default size is smaller; an operation is the same.
#include <algorithm>
#include <atomic>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/harness.h"

namespace fibers = boost::fibers;
using channel = fibers::unbuffered_channel<int64_t>;
using buffered = fibers::buffered_channel<int64_t>;

namespace {

int64_t Now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// Starts fn as a fiber on a small stack: all that these benchmarks need.
template <typename Fn>
fibers::fiber Start(Fn fn) {
  return fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(16 * 1024), std::move(fn));
}

// Starts fn `count` times and waits for all.
template <typename Fn>
void RunOn(int64_t count, Fn fn) {
  std::vector<fibers::fiber> all;
  all.reserve(count);
  for (int64_t i = 0; i < count; i++) {
    all.push_back(Start(fn));
  }
  for (auto &f : all) {
    f.join();
  }
}

void Spawn(int64_t n, int64_t width, bench_result *r) {
  int64_t start = Now();
  for (int64_t i = 0; i < n; i += width) {
    RunOn(std::min(width, n - i), [] {});
  }
  r->wall = Now() - start;
  r->ops = n;
}

void Yield(int64_t n, int64_t width, bench_result *r) {
  int64_t per = n / width, start = Now();
  RunOn(width, [per] {
    for (int64_t i = 0; i < per; i++) {
      boost::this_fiber::yield();
    }
  });
  r->wall = Now() - start;
  r->ops = per * width;
}

void Skynet(std::shared_ptr<channel> out, int64_t num, int64_t size) {
  if (size == 1) {
    out->push(num);
    return;
  }
  auto ch = std::make_shared<channel>();
  for (int64_t i = 0; i < 10; i++) {
    Start([=] { Skynet(ch, num + i * (size / 10), size / 10); }).detach();
  }
  int64_t sum = 0;
  for (int i = 0; i < 10; i++) {
    sum += ch->value_pop();
  }
  out->push(sum);
}

void BenchSkynet(int64_t n, int64_t, bench_result *r) {
  auto ch = std::make_shared<channel>();
  int64_t start = Now();
  Start([=] { Skynet(ch, 0, n); }).detach();
  int64_t sum = ch->value_pop();
  r->wall = Now() - start;
  r->ops = n;
  bench_check(sum == n * (n - 1) / 2, "skynet: wrong sum");
  bench_add(r, "wall_ms", r->wall / 1e6);
}

int64_t SerialFib(int64_t n) { return n < 2 ? n : SerialFib(n - 1) + SerialFib(n - 2); }
constexpr int64_t kCutoff = 12;

int64_t Fib(int64_t n) {
  if (n <= kCutoff) {
    return SerialFib(n);
  }
  int64_t a;
  fibers::fiber f = Start([&a, n] { a = Fib(n - 1); });
  int64_t b = Fib(n - 2);
  f.join();
  return a + b;
}

int64_t FibTasks(int64_t n) { return n <= kCutoff ? 0 : 1 + FibTasks(n - 1) + FibTasks(n - 2); }

void Forkjoin(int64_t n, int64_t, bench_result *r) {
  int64_t start = Now();
  int64_t v = Fib(n);
  r->wall = Now() - start;
  r->ops = std::max<int64_t>(FibTasks(n), 1);
  bench_check(v == SerialFib(n), "forkjoin: wrong value");
  bench_add(r, "wall_ms", r->wall / 1e6);
}

void Pingpong(int64_t n, int64_t, bench_result *r) {
  channel ping, pong;
  fibers::fiber echo = Start([&] {
    for (int64_t v : ping) {
      pong.push(v);
    }
  });
  int64_t start = Now();
  for (int64_t i = 0; i < n; i++) {
    ping.push(i);
    bench_check(pong.value_pop() == i, "pingpong: wrong value");
  }
  r->wall = Now() - start;
  r->ops = n;
  ping.close();
  echo.join();
}

void Queue(int64_t n, int64_t width, bench_result *r) {
  buffered ch(128);
  std::atomic<int64_t> total{0};
  int64_t per = n / width, start = Now();
  std::vector<fibers::fiber> consumers;
  for (int64_t i = 0; i < width; i++) {
    consumers.push_back(Start([&] {
      int64_t sum = 0;
      for (int64_t v : ch) {
        sum += v;
      }
      total += sum;
    }));
  }
  RunOn(width, [&] {
    for (int64_t i = 0; i < per; i++) {
      ch.push(i);
    }
  });
  ch.close();
  for (auto &f : consumers) {
    f.join();
  }
  r->wall = Now() - start;
  r->ops = per * width;
  bench_check(total == width * (per * (per - 1) / 2), "queue: wrong sum");
}

void Chanseq(int64_t n, int64_t, bench_result *r) {
  buffered ch(2);  // holds one item
  int64_t sum = 0, start = Now();
  for (int64_t i = 0; i < n; i++) {
    ch.push(i);
    sum += ch.value_pop();
  }
  r->wall = Now() - start;
  r->ops = n;
  bench_check(sum == n * (n - 1) / 2, "chanseq: wrong sum");
}

void Mutex(int64_t n, int64_t width, bench_result *r) {
  fibers::mutex mu;
  int64_t counter = 0, per = n / width, start = Now();
  RunOn(width, [&] {
    for (int64_t i = 0; i < per; i++) {
      std::lock_guard<fibers::mutex> lock(mu);
      counter++;
    }
  });
  r->wall = Now() - start;
  r->ops = per * width;
  bench_check(counter == r->ops, "mutex: lost update");
}

void Idle(int64_t n, int64_t, bench_result *r) {
  fibers::mutex mu;
  fibers::condition_variable all_in, release;
  int64_t arrived = 0;
  bool released = false;
  int64_t rss = bench_memory("VmRSS:"), start = Now();
  std::vector<fibers::fiber> all;
  all.reserve(n);
  for (int64_t i = 0; i < n; i++) {
    all.push_back(Start([&] {
      std::unique_lock<fibers::mutex> lock(mu);
      if (++arrived == n) {
        all_in.notify_one();
      }
      release.wait(lock, [&] { return released; });
    }));
  }
  std::unique_lock<fibers::mutex> lock(mu);
  all_in.wait(lock, [&] { return arrived == n; });
  r->wall = Now() - start;
  r->ops = n;
  bench_add(r, "bytes_per_task", static_cast<double>(bench_memory("VmRSS:") - rss) / n);
  released = true;
  lock.unlock();
  start = Now();
  release.notify_all();
  for (auto &f : all) {
    f.join();
  }
  bench_add(r, "release_ns", static_cast<double>(Now() - start) / n);
}

void Sleep(int64_t n, int64_t, bench_result *r) {
  constexpr int kRounds = 5;
  std::atomic<int64_t> late{0};
  std::atomic<uint64_t> seeds{0};
  double cpu = bench_cpu_ms();
  int64_t start = Now();
  RunOn(n, [&] {
    uint64_t seed = seeds++;
    for (int i = 0; i < kRounds; i++) {
      int64_t d = bench_random(&seed) % 100000000, begin = Now();
      boost::this_fiber::sleep_for(std::chrono::nanoseconds(d));
      late += Now() - begin - d;
    }
  });
  r->wall = Now() - start;
  r->ops = n * kRounds;
  bench_add(r, "wall_ms", r->wall / 1e6);
  bench_add(r, "cpu_ms", bench_cpu_ms() - cpu);
  bench_add(r, "mean_late_us", static_cast<double>(late) / r->ops / 1e3);
}

constexpr bench kBenches[] = {
    {"spawn", 1000000, 1000, Spawn},    {"yield", 10000000, 2, Yield},
    {"yield1k", 10000000, 1000, Yield}, {"skynet", 100000, 0, BenchSkynet},
    {"forkjoin", 36, 0, Forkjoin},      {"pingpong", 2000000, 0, Pingpong},
    {"chanbuf", 10000000, 1, Queue},    {"chanmpmc", 8000000, 8, Queue},
    {"chanseq", 20000000, 0, Chanseq},  {"mutex", 8000000, 8, Mutex},
    {"idle", 100000, 0, Idle},          {"sleep", 200000, 0, Sleep},
};

// More threads that steal work from each other; they stay until the process ends.
void SetProcs(int procs) {
  if (procs == 1) {
    return;
  }
  for (int i = 1; i < procs; i++) {
    std::thread([procs] {
      fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(procs);
      fibers::mutex mu;
      fibers::condition_variable never;
      std::unique_lock<fibers::mutex> lock(mu);
      never.wait(lock, [] { return false; });
    }).detach();
  }
  fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(procs);
}

}  // namespace

int main(int argc, char **argv) {
  int status = bench_main(kBenches, sizeof kBenches / sizeof kBenches[0], SetProcs, argc, argv);
  fflush(nullptr);
  _Exit(status);
}
