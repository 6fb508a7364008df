/* bench NAME [procs] [n] [width]: runs one benchmark of golib once and prints one line.
 * bench --list: the names with their default n and width. bench torture NAME..., bench torture --list: the same for
 * figures that are no costs (torture.c). bench httpd PROCS PORT [HOGS]: a server. The Go twin in go/ does the same work. */
#include "bench/bench.h"

#include <string.h>

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

/* In step with the table in go/torture.go. */
static const bench tortures[] = {
    {"hog", 300, 1, torture_hog},
    {"hogs", 300, 4, torture_hog},
    {"libc", 300, 2, torture_libc},
    {"malloc", 300, 6, torture_malloc},
    {"sidebyside", 20, 0, torture_sidebyside},
    {"blocking", 1000, 0, torture_blocking},
    {"syscall", 1000, 0, torture_syscall},
    {"sleep", 1000, 0, torture_sleep},
    {"procs", 1000, 8, torture_procs},
    {"select", 300000, 0, torture_select},
    {"idle", 5, 0, torture_idle},
};

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

static void set_procs(int procs) { go_procs(procs); }

GO_MAIN(argc, argv) {
  http_options o;
  if (http_asked(argc, argv, "httpd", &o)) {
    set_procs(o.procs);
    return bench_httpd(&o);
  }
  if (argc > 1 && strcmp(argv[1], "torture") == 0) {
    return bench_main(tortures, COUNT(tortures), set_procs, argc - 1, argv + 1);
  }
  return bench_main(benches, COUNT(benches), set_procs, argc, argv);
}
