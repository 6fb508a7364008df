/* core/debug.c: what GOLIB_DEBUG asks for: "sigquit,schedtrace=1000". Unknown words are told of, once. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <golib/runtime.h>

#include "core/out.h"
#include "core/sched.h"

/* Of the environment. */
typedef struct asked {
  bool sigquit;
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
  asked a = {false};
  const char *s = getenv("GOLIB_DEBUG");
  for (size_t n; s != NULL && *s != '\0'; s += n + (s[n] == ',')) {
    n = strcspn(s, ",");
    if (is(s, n, "sigquit")) {
      a.sigquit = true;
    } else if (n > 0) {
      unknown(s, n);
    }
  }
  return a;
}

int go_debug_start_(int dump_signal) {
  asked a = read_environment();
  int sig = dump_signal != 0 ? dump_signal : a.sigquit ? SIGQUIT : 0;
  if (sig != 0 && go_os_on_signal_(sig, go_dump_on_signal_) != 0) {
    return GO_EINVAL;
  }
  return 0;
}

void go_debug_stop_(void) { go_os_off_signal_(); }
