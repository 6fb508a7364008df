/* bench NAME [procs] [n] [width]: runs one benchmark of golib once and prints one line.
 * bench --list: the names with their default n and width. bench httpd PROCS PORT [HOGS]: a server. The Go twin in go/ does the same work. */
#include "bench/bench.h"

#include "bench/http.h"

/* In step with the table in go/main.go. */
static const bench benches[] = {
    {"spawn", 1000000, 1000, bench_spawn},
    {"yield", 10000000, 2, bench_yield},
    {"yield1k", 10000000, 1000, bench_yield},
    {"skynet", 1000000, 0, bench_skynet},
    {"forkjoin", 40, 0, bench_forkjoin},
    {"pingpong", 2000000, 0, bench_pingpong},
    {"chanbuf", 10000000, 1, bench_queue},
    {"chanmpmc", 8000000, 8, bench_queue},
    {"chanseq", 20000000, 0, bench_chanseq},
    {"select2", 3000000, 0, bench_select2},
    {"selectdef", 20000000, 0, bench_selectdef},
    {"selectn", 3000000, 8, bench_selectn},
    {"primes", 2000, 0, bench_primes},
    {"mutex", 8000000, 8, bench_mutex},
    {"idle", 1000000, 0, bench_idle},
    {"sleep", 200000, 0, bench_sleep},
    {"timerchurn", 5000000, 0, bench_timerchurn},
    {"echo", 1000000, 64, bench_echo},
    {"echo1k", 1000000, 1000, bench_echo},
};

static void set_procs(int procs) { go_procs(procs); }

GO_MAIN(argc, argv) {
  http_options o;
  if (http_asked(argc, argv, "httpd", &o)) {
    set_procs(o.procs);
    return bench_httpd(&o);
  }
  return bench_main(benches, (int)(sizeof benches / sizeof benches[0]), set_procs, argc, argv);
}
