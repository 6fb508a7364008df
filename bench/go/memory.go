package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// idle starts n goroutines that block on one channel until the end.
func idle(n, _ int) result {
	release, allIn := make(chan struct{}), make(chan struct{})
	var arrived atomic.Int64
	var wg sync.WaitGroup
	rss, tables := memory("VmRSS:"), memory("VmPTE:")
	start := time.Now()
	for range n {
		wg.Go(func() {
			if arrived.Add(1) == int64(n) {
				close(allIn)
			}
			<-release
		})
	}
	<-allIn
	for waiting() < n { // the last ones are between Add and the receive
		runtime.Gosched()
	}
	r := result{wall: time.Since(start), ops: n}
	rss, tables = memory("VmRSS:")-rss, memory("VmPTE:")-tables
	start = time.Now()
	close(release)
	wg.Wait()
	released := time.Since(start)
	per := func(v int64) float64 { return float64(v) / float64(n) }
	r.add("bytes_per_task", "%.0f", per(rss))
	r.add("table_bytes_per_task", "%.0f", per(tables))
	r.add("release_ns", "%.1f", per(released.Nanoseconds()))
	return r
}

func waiting() int {
	s := []metrics.Sample{{Name: "/sched/goroutines/waiting:goroutines"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

// memory is what the kernel says of this process under that key, in bytes.
func memory(key string) int64 {
	data, err := os.ReadFile("/proc/self/status")
	check(err)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			var kb int64
			for _, c := range f[1] {
				kb = kb*10 + int64(c-'0')
			}
			return kb * 1024
		}
	}
	return 0
}
