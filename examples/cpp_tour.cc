// cpp_tour: golib from C++: a pipeline of words with a pool of workers, results of tasks, an exception
// that crosses threads, a time-out.
#include <golib/golib.hpp>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct Count {
  std::string word;
  size_t letters;
};

// Strings go through channels as they are: moved, never copied byte by byte.
std::map<size_t, int> CountWords(const std::vector<std::string> &words, int workers) {
  go::chan<std::string> in;
  go::chan<Count> out(4);
  go::scope s;  // nothing that is started here outlives the block
  for (int i = 0; i < workers; i++) {
    (void)s.spawn([=] {
      for (std::string w : in) out.send(Count{w, w.size()});
    });
  }
  (void)s.spawn([=, &words] {
    for (const std::string &w : words) in.send(w);
    in.close();
  });
  std::map<size_t, int> by_length;
  for (size_t i = 0; i < words.size(); i++) by_length[out.recv()->letters]++;
  return by_length;
}

int Parse(const std::string &text) {
  size_t end = 0;
  int n = std::stoi(text, &end);  // throws
  if (end != text.size()) throw std::invalid_argument("rest after the number");
  return n;
}

// Parsed side by side; the first that cannot be parsed is the exception of the sum.
int Sum(const std::vector<std::string> &numbers) {
  go::scope s;
  std::vector<go::task<int>> parts;
  for (const std::string &n : numbers) parts.push_back(s.spawn(Parse, n));
  int sum = 0;
  for (go::task<int> &p : parts) sum += p.join();
  return sum;
}

int Tour() {
  const auto lengths = CountWords({"one", "two", "three", "four", "five", "six", "seven"}, 3);
  for (auto [length, n] : lengths) std::printf("%d words of %zu letters\n", n, length);

  std::printf("sum: %d\n", Sum({"1", "20", "300"}));
  try {
    Sum({"1", "20x"});
  } catch (const std::invalid_argument &e) {
    std::printf("no sum: %s\n", e.what());
  }

  // A select with a default, and one that gives up.
  go::chan<int> quiet, ready(1);
  ready.send(5);
  go::select(go::recv(quiet, [] { std::printf("not reached\n"); }),
             go::recv(ready, [](std::optional<int> v) { std::printf("received %d\n", *v); }));
  std::error_code ec;
  auto ctx = go::with_timeout({}, 2ms);
  go::select(ctx, ec, go::recv(quiet));
  std::printf("gave up: %s\n", ec.message().c_str());

  // A panic is an exception: destructors run, and it can be caught.
  try {
    go::defer d([] { std::printf("deferred\n"); });
    ready.close();
    ready.close();
  } catch (const go::panic_error &e) {
    std::printf("panic: %s\n", e.what());
  }
  return 0;
}

}  // namespace

int main(int argc, char **argv) { return go::main(argc, argv, Tour); }
