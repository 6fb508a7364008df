package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// In step with the table of that name in bench.c, as far as it makes sense here.
var tortures = []bench{
	{"hog", 300, 1, tortureHog},
	{"hogs", 300, 4, tortureHog},
	{"sidebyside", 20, 0, tortureSideBySide},
	{"syscall", 1000, 0, tortureSyscall},
	{"sleep", 1000, 0, tortureSleep},
	{"procs", 1000, 8, tortureProcs},
	{"select", 300_000, 0, tortureSelect},
	{"idle", 5, 0, tortureIdle},
}

var stop atomic.Bool

func spin() {
	for !stop.Load() {
	}
}

// tortureHog counts how many of n ticks of 10 ms come in their time beside hogs.
func tortureHog(n, width int) result {
	var wg sync.WaitGroup
	start := time.Now()
	stop.Store(false)
	for range width {
		wg.Go(spin)
	}
	const every = 10 * time.Millisecond
	t := time.NewTicker(every)
	got := 0
	var late time.Duration
	end := time.Duration(n)*every + 5*time.Millisecond
	for time.Since(start) < end {
		<-t.C
		since := time.Since(start)
		late += since % every
		if since <= end {
			got++
		}
	}
	r := result{wall: time.Since(start), ops: n}
	stop.Store(true)
	wg.Wait()
	t.Stop()
	r.add("ticks", "%d", got)
	r.add("mean_late_us", "%.1f", float64(late.Nanoseconds())/float64(max(got, 1))/1e3)
	return r
}

// block is a system call that the runtime knows nothing of.
func block(d time.Duration) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
	}
}

func tortureSideBySide(n, _ int) result {
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(func() { block(100 * time.Millisecond) })
	}
	wg.Wait()
	r := result{wall: time.Since(start), ops: n}
	r.add("wall_ms", "%.1f", ms(r.wall))
	return r
}

func tortureSyscall(n, _ int) result {
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { block(time.Duration(n) * time.Millisecond) })
	}
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	r := result{wall: time.Since(start), ops: 1}
	wg.Wait()
	r.add("woke_ms", "%.1f", ms(r.wall))
	return r
}

func tortureSleep(n, _ int) result {
	late := make([]time.Duration, n)
	begin := time.Now()
	for i := range late {
		start := time.Now()
		time.Sleep(time.Millisecond)
		late[i] = time.Since(start) - time.Millisecond
	}
	r := result{wall: time.Since(begin), ops: n}
	slices.Sort(late)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	r.add("median_late_us", "%.1f", us(late[n/2]))
	r.add("p99_late_us", "%.1f", us(late[n-1-n/100]))
	r.add("max_late_us", "%.1f", us(late[n-1]))
	return r
}

func tortureProcs(n, width int) result {
	var wg sync.WaitGroup
	runtime.GOMAXPROCS(2)
	stop.Store(false)
	for range width {
		wg.Go(func() {
			x := 0
			for !stop.Load() {
				for i := range 1000 {
					x += i
				}
				runtime.Gosched()
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	runtime.GOMAXPROCS(1)
	used := cpuTime()
	start := time.Now()
	time.Sleep(time.Duration(n) * time.Millisecond)
	r := result{wall: time.Since(start), ops: n}
	used = cpuTime() - used
	stop.Store(true)
	wg.Wait()
	r.add("cpu_percent", "%.1f", 100*float64(used)/float64(r.wall))
	return r
}

func tortureSelect(n, _ int) result {
	var c [3]chan int
	for i := range c {
		c[i] = make(chan int)
		close(c[i])
	}
	var went [3]int
	start := time.Now()
	for range n {
		select {
		case <-c[0]:
			went[0]++
		case <-c[1]:
			went[1]++
		case <-c[2]:
			went[2]++
		}
	}
	r := result{wall: time.Since(start), ops: n}
	x, expected := 0.0, float64(n)/3
	for _, w := range went {
		x += (float64(w) - expected) * (float64(w) - expected) / expected
	}
	r.add("chi_square", "%.1f", x)
	return r
}

// switches counts the context switches of all threads but the calling one.
func switches() int {
	own := strconv.Itoa(syscall.Gettid())
	tasks, _ := os.ReadDir("/proc/self/task")
	sum := 0
	for _, t := range tasks {
		if t.Name() == own {
			continue
		}
		text, _ := os.ReadFile("/proc/self/task/" + t.Name() + "/status")
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			if strings.HasSuffix(key, "voluntary_ctxt_switches") { // and nonvoluntary
				n, _ := strconv.Atoi(strings.TrimSpace(value))
				sum += n
			}
		}
	}
	return sum
}

func tortureIdle(n, _ int) result {
	var wg, hogs sync.WaitGroup
	stop.Store(false)
	for range 2 {
		hogs.Go(spin)
	}
	c := make(chan int)
	for range 100 {
		wg.Go(func() { <-c })
	}
	time.Sleep(20 * time.Millisecond)
	stop.Store(true)
	hogs.Wait()
	runtime.LockOSThread()
	block(time.Duration(n+1) * time.Second)
	cpu, before, start := cpuTime(), switches(), time.Now()
	block(time.Duration(n) * time.Second)
	switched := switches() - before
	r := result{wall: time.Since(start), ops: n}
	r.add("wakeups", "%d", switched)
	r.add("cpu_ms", "%.1f", ms(cpuTime()-cpu))
	close(c)
	wg.Wait()
	return r
}
