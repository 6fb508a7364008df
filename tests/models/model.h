/* tests/models/model.h: how a model is searched, and how a planted bug must be found.
 *
 * A model is an rl::test_suite: some threads that run golib's lock-free code, with assertions.
 * Relacy runs it many times, each time with another interleaving and other stale values for relaxed
 * loads, and looks for failed assertions, data races on rl::var, deadlocks, and use of freed
 * memory.
 *
 *   holds<Model>("name", random(200000));   every run must be right; so many runs
 *   holds<Model>("name", bound(2));         every run with at most two preemptions, exhaustively
 *   finds<Model>(planted, 1, "what", random(200000));  with bug 1 planted, some run must go wrong
 *
 * A model's source says `static int planted; #define GO_X_BUG_ planted` before it includes the
 * header. Models contain no static state, so that a failing run can be repeated: it is, with its
 * history printed.
 */
#ifndef GOLIB_TESTS_MODELS_MODEL_H_
#define GOLIB_TESTS_MODELS_MODEL_H_

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>

#include "core/atomic.h"

namespace model {

/* A type for each scheduler, so that a model is compiled for those only that search it. */
template <template <rl::thread_id_t> class Scheduler>
struct search {
  rl::scheduler_type_e how;
  uint64_t runs; /* at most */
  unsigned preemptions;
};

/* Numbers of runs are for 2 seconds of $GOLIB_STRESS_SECONDS: more of them for a long night. */
inline uint64_t scaled(uint64_t runs) {
  const char *s = getenv("GOLIB_STRESS_SECONDS");
  uint64_t seconds = s != NULL ? strtoull(s, NULL, 10) : 2;
  return seconds > 2 ? runs / 2 * seconds : runs;
}

/* Runs with random choices. Finds deep bugs, also those that need several stale values. */
inline search<rl::random_scheduler> random(uint64_t runs) {
  return {rl::sched_random, scaled(runs), 0};
}
/* All runs with so many switches away from threads that could go on; stops after `runs` of them. */
inline search<rl::context_bound_scheduler> bound(unsigned preemptions, uint64_t runs = 200000) {
  return {rl::sched_bound, scaled(runs), preemptions};
}
/* All runs; stops after `runs` of them. */
inline search<rl::full_search_scheduler> full(uint64_t runs = 200000) {
  return {rl::sched_full, scaled(runs), 0};
}

static int failures;
static uint64_t runs_left; /* of the present search */

/* The model, ended early when the budget is spent: Relacy's tree searches know no limit. */
template <class Model>
struct limited : rl::test_suite<limited<Model>, Model::params::static_thread_count> {
  Model m;
  void before() {
    if (runs_left == 0) {
      rl::ctx().rl_until("enough", $);
    }
    runs_left--;
    m.before();
  }
  void thread(unsigned i) { m.thread(i); }
  void after() { m.after(); }
  void invariant() { m.invariant(); }
};

struct outcome {
  rl::test_result_e result;
  uint64_t runs;
  bool all; /* the search came to its end */
  double seconds;
};

/* What led to the failure. */
template <class T, class Scheduler>
void print_history(rl::test_params &p, rl::ostringstream &state) {
  rl::ostringstream history;
  p.initial_state = state.str();
  p.collect_history = true;
  p.output_stream = &history;
  runs_left = 2;
  (void)rl::run_test<T, Scheduler>(p, state, true);
  rl::istringstream lines(history.str());
  rl::string line;
  for (int n = 0; n < 400 && std::getline(lines, line); n++) {
    printf("  %s\n", line.c_str());
  }
}

template <class Model, template <rl::thread_id_t> class S>
outcome simulate(search<S> s, bool show) {
  typedef limited<Model> T;
  typedef S<T::params::thread_count> Scheduler;
  auto start = std::chrono::steady_clock::now();
  std::ostream nowhere(nullptr);
  rl::ostringstream state;
  rl::test_params p;
  p.search_type = s.how;
  p.context_bound = s.preemptions;
  p.iteration_count = s.how == rl::sched_random ? s.runs : ~0ull;
  p.execution_depth_limit = 2000;
  p.progress_stream = &nowhere;
  runs_left = s.runs;
  outcome o;
  o.result = rl::run_test<T, Scheduler>(p, state, false);
  o.runs = p.stop_iteration;
  o.all = s.how != rl::sched_random && o.result == rl::test_result_success;
  if (o.result == rl::test_result_until_condition_hit) {
    o.result = rl::test_result_success;
    o.runs--;
  } else if (o.result != rl::test_result_success && show) {
    print_history<T, Scheduler>(p, state);
  }
  std::chrono::duration<double> t = std::chrono::steady_clock::now() - start;
  o.seconds = t.count();
  return o;
}

template <class Search>
const char *text(const Search &s) {
  static char t[40];
  snprintf(t, sizeof t,
           s.how == rl::sched_random  ? "random"
           : s.how == rl::sched_bound ? "%u preemptions"
                                      : "full search",
           s.preemptions);
  return t;
}

template <class Model, class Search>
void holds(const char *name, Search s) {
  outcome o = simulate<Model>(s, true);
  bool ok = o.result == rl::test_result_success;
  printf("%s %s: %s, %llu runs%s, %.1f s%s%s\n", ok ? "ok  " : "FAIL", name, text(s),
         (unsigned long long)o.runs, o.all ? " (all)" : "", o.seconds, ok ? "" : ": ",
         ok ? "" : rl::test_result_str(o.result));
  fflush(stdout);
  failures += !ok;
}

/* planted: what the macro of the header stands for; bug: its value meanwhile. */
template <class Model, class Search>
void finds(int &planted, int bug, const char *name, Search s) {
  planted = bug;
  outcome o = simulate<Model>(s, false);
  planted = 0;
  bool found = o.result != rl::test_result_success;
  printf("%s bug %d, %s: %s after %llu runs of %s, %.1f s\n", found ? "ok  " : "FAIL", bug, name,
         found ? rl::test_result_str(o.result) : "not found", (unsigned long long)o.runs, text(s),
         o.seconds);
  fflush(stdout);
  failures += !found;
}

inline int finish() {
  printf("%s\n", failures == 0 ? "PASSED" : "FAILED");
  return failures != 0;
}

} /* namespace model */

#endif /* GOLIB_TESTS_MODELS_MODEL_H_ */
