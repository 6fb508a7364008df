package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// next is splitmix64, as in the C program: both sleep for the same times.
func next(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// sleepers has n goroutines sleep five times for up to 100 ms; an operation is one sleep.
func sleepers(n, _ int) result {
	const rounds = 5
	var wg sync.WaitGroup
	var late, worst atomic.Int64
	cpu := cpuTime()
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			state := uint64(i)
			for range rounds {
				d := time.Duration(next(&state) % uint64(100*time.Millisecond))
				t0 := time.Now()
				time.Sleep(d)
				l := int64(time.Since(t0) - d)
				late.Add(l)
				for w := worst.Load(); l > w && !worst.CompareAndSwap(w, l); w = worst.Load() {
				}
			}
		})
	}
	wg.Wait()
	r := result{wall: time.Since(start), ops: n * rounds}
	cpu = cpuTime() - cpu
	r.add("wall_ms", "%.1f", ms(r.wall))
	r.add("cpu_ms", "%.1f", ms(cpu))
	r.add("mean_late_us", "%.1f", float64(late.Load())/float64(n*rounds)/1e3)
	r.add("max_late_us", "%.1f", float64(worst.Load())/1e3)
	return r
}

// timerchurn makes and stops n timers of 1 s.
func timerchurn(n, _ int) result {
	start := time.Now()
	for range n {
		t := time.NewTimer(time.Second)
		t.Stop()
	}
	return result{wall: time.Since(start), ops: n}
}
