// Command bench is the Go twin of bench/bench.c: the same benchmarks, the same work, the same line
// of output. Standard library only.
//
//	bench NAME [procs] [n] [width]
//	bench --list
//	bench torture NAME..., bench torture --list
//	bench httpd|nethttpd PROCS PORT [HOGS]
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// result is what a benchmark hands back: wall time of the measured section, number of operations in
// it, and free-form key:value extras.
type result struct {
	wall  time.Duration
	ops   int
	extra []string
}

func (r *result) add(key string, format string, args ...any) {
	r.extra = append(r.extra, key+":"+fmt.Sprintf(format, args...))
}

// bench has the default size, the default width (goroutines, producers, ...; 0 where there is
// nothing to widen) and the function.
type bench struct {
	name  string
	n     int
	width int
	fn    func(n, width int) result
}

// In step with the table in bench.c.
var benches = []bench{
	{"spawn", 1_000_000, 1000, spawn},
	{"yield", 10_000_000, 2, yield},
	{"yield1k", 10_000_000, 1000, yield},
	{"skynet", 1_000_000, 0, skynetBench},
	{"forkjoin", 40, 0, forkjoin},
	{"pingpong", 2_000_000, 0, pingpong},
	{"chanbuf", 10_000_000, 1, queue},
	{"chanmpmc", 8_000_000, 8, queue},
	{"chanseq", 20_000_000, 0, chanseq},
	{"select2", 3_000_000, 0, select2},
	{"selectdef", 20_000_000, 0, selectdef},
	{"primes", 2000, 0, primes},
	{"mutex", 8_000_000, 8, mutex},
	{"idle", 1_000_000, 0, idle},
	{"sleep", 200_000, 0, sleepers},
	{"timerchurn", 5_000_000, 0, timerchurn},
	{"echo", 1_000_000, 64, echo},
	{"echo1k", 1_000_000, 1000, echo},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "torture" {
		benches, os.Args = tortures, os.Args[1:]
	}
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		for _, b := range benches {
			fmt.Println(b.name, b.n, b.width)
		}
		return
	}
	if len(os.Args) >= 4 && os.Args[1] == "httpd" {
		httpd(os.Args[2:])
	}
	if len(os.Args) >= 4 && os.Args[1] == "nethttpd" {
		nethttpd(os.Args[2:])
	}
	if len(os.Args) < 2 || len(os.Args) > 5 {
		fail("usage: bench NAME [procs] [n] [width] | bench --list")
	}
	b := find(os.Args[1])
	procs := argument(2, 1)
	b.n = argument(3, b.n)
	if b.width == 0 && len(os.Args) > 4 {
		fail("this benchmark has no width")
	}
	width := argument(4, b.width)
	if b.n < width {
		fail("n is at least the width")
	}
	runtime.GOMAXPROCS(procs)
	r := b.fn(b.n, width)
	if width != b.width {
		r.add("width", "%d", width)
	}
	report(b, procs, r)
}

func find(name string) bench {
	for _, b := range benches {
		if b.name == name {
			return b
		}
	}
	fail("no benchmark of that name: see --list")
	return bench{}
}

// argument is the i-th argument as a positive number, or the default.
func argument(i, value int) int {
	if i >= len(os.Args) {
		return value
	}
	v, err := strconv.Atoi(os.Args[i])
	if err != nil || v < 1 {
		fail("not a positive number: " + os.Args[i])
	}
	return v
}

func report(b bench, procs int, r result) {
	line := fmt.Sprintf("name=%s procs=%d n=%d ns_per_op=%.2f", b.name, procs, b.n,
		float64(r.wall.Nanoseconds())/float64(r.ops))
	if len(r.extra) > 0 {
		line += " extra=" + strings.Join(r.extra, ",")
	}
	fmt.Println(line)
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "bench:", text)
	os.Exit(2)
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func cpuTime() time.Duration {
	var ru syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
