/* core/debug.c: what GOLIB_DEBUG asks for: "sigquit,schedtrace=1000,listen=PATH". Unknown words are told of, once.
 *
 * schedtrace prints from a thread of its own, so that it does so also when no goroutine gets to run. The
 * deadlock check counts it among those that are asleep, as it wakes nobody.
 */
#include <stdlib.h>
#include <string.h>

#include <golib/runtime.h>

#include "core/out.h"
#include "core/sched.h"
#include "core/serve.h"
#include "core/stats.h"

/* Of the environment. */
typedef struct asked {
  bool sigquit;
  uint32_t schedtrace; /* ms; 0: no */
  char listen[256];    /* path; "": no */
} asked;

static void unknown(const char *word, size_t n) {
  static go_a32 told;
  if (go_xchg_ar(&told, 1u) != 0) {
    return;
  }
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: GOLIB_DEBUG: unknown: ");
  for (size_t i = 0; i < n && i < 100; i++) {
    char c[2] = {word[i], '\0'};
    go_out_str_(&o, c);
  }
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
}

static bool is(const char *word, size_t n, const char *name) {
  return n == strlen(name) && memcmp(word, name, n) == 0;
}

static asked read_environment(void) {
  asked a = {false, 0, ""};
  const char *s = getenv("GOLIB_DEBUG");
  for (size_t n; s != NULL && *s != '\0'; s += n + (s[n] == ',')) {
    n = strcspn(s, ",");
    if (is(s, n, "sigquit")) {
      a.sigquit = true;
    } else if (n > 11 && n < 18 && memcmp(s, "schedtrace=", 11) == 0 && s[11] >= '1' &&
               s[11] <= '9') {
      a.schedtrace = (uint32_t)strtoul(s + 11, NULL, 10);
    } else if (n > 7 && n - 7 < sizeof a.listen && memcmp(s, "listen=", 7) == 0) {
      memcpy(a.listen, s + 7, n - 7);
      a.listen[n - 7] = '\0';
    } else if (n > 0) {
      unknown(s, n);
    }
  }
  return a;
}

/* ---- schedtrace ---- */

static struct {
  go_os_thread_ thread;
  bool up; /* under init_lock */
  go_note_ quit;
  int64_t start, every;
} tracer;

typedef struct item {
  const char *before;
  uint64_t n;
} item;

static void put(go_out_ *o, const item *items, size_t n) {
  for (size_t i = 0; i < n; i++) {
    go_out_str_(o, items[i].before);
    go_out_u64_(o, items[i].n);
  }
}

static void put_queues(go_out_ *o) {
  uint32_t n = go_ld_acq(&GO_S->procs);
  go_out_str_(o, " [");
  for (uint32_t i = 0; i < n; i++) {
    put(o, &(const item){i > 0 ? " " : "", go_runq_len_(&GO_S->all_p[i]->q)}, 1);
  }
  go_out_str_(o, "]\n");
}

static void print_line(void) {
  go_stats s;
  go_out_ o;
  go_stats_sum_(&s);
  go_out_init_(&o, 2);
  const item items[] = {
      {"golib: sched ", (uint64_t)((go_os_now_() - tracer.start) / GO_MS)},
      {" ms: procs=", (uint64_t)s.procs},
      {" idle=", (uint64_t)s.procs_idle},
      {" threads=", (uint64_t)s.threads},
      {" spinning=", (uint64_t)s.threads_spinning},
      {" blocking=", (uint64_t)s.threads_blocking},
      {" goroutines=", (uint64_t)(s.goroutines > 0 ? s.goroutines : 0)},
      {" parks=", s.parks},
      {" turns=", s.turns},
      {" steals=", s.steals},
      {" retakes=", s.retakes},
      {" switches=", s.switches},
      {" polled=", s.polled},
      {" timers=", (uint64_t)s.timers},
      {" late_us=", (uint64_t)(s.latency_max / GO_US)},
      {" queued=", (uint64_t)s.queued_global},
  };
  put(&o, items, sizeof items / sizeof *items);
  put_queues(&o);
  go_out_flush_(&o);
}

static void trace_main(void *arg) {
  (void)arg;
  go_os_thread_name_("golib-schedtrc");
  while (!go_note_sleep_(&tracer.quit, tracer.every)) {
    print_line();
  }
}

static void start_tracer(uint32_t ms) {
  tracer.start = go_os_now_();
  tracer.every = (int64_t)ms * GO_MS;
  go_note_clear_(&tracer.quit);
  tracer.up = go_os_thread_start_(&tracer.thread, trace_main, NULL) == 0;
  if (tracer.up) {
    (void)go_add_sc(&GO_S->npool_idle, 1u);
  }
}

static void stop_tracer(void) {
  if (tracer.up) {
    (void)go_sub_sc(&GO_S->npool_idle, 1u); /* before it ends: who is counted is there */
    go_note_wake_(&tracer.quit);
    go_os_thread_join_(&tracer.thread);
    tracer.up = false;
  }
}

/* ---- listen ---- */

/* A program is not to fail because nobody can look at it. */
static void start_listening(const char *path) {
  int r = go_serve_begin_(path);
  if (r == 0 || r == GO_EBUSY) {
    return;
  }
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: GOLIB_DEBUG: listen=");
  go_out_str_(&o, path);
  go_out_str_(&o, ": ");
  go_out_str_(&o, go_strerror(r));
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
}

/* ---- starting and stopping ---- */

int go_debug_start_(int dump_signal) {
  asked a = read_environment();
  int sig = dump_signal != 0 ? dump_signal : a.sigquit ? go_os_dump_signal_ : 0;
  if (sig != 0 && go_os_on_signal_(sig, go_dump_on_signal_) != 0) {
    return GO_EINVAL;
  }
  if (a.schedtrace != 0) {
    start_tracer(a.schedtrace);
  }
  if (a.listen[0] != '\0') {
    start_listening(a.listen);
  }
  return 0;
}

void go_debug_stop_(void) {
  go_serve_end_();
  go_os_off_signal_();
  stop_tracer();
}
