package main

import (
	"runtime"
	"sync"
	"time"
)

func trivial() {}

// spawn starts width goroutines at a time and waits for them.
func spawn(n, width int) result {
	var wg sync.WaitGroup
	start := time.Now()
	for i := 0; i < n; i += width {
		for range min(width, n-i) {
			wg.Go(trivial)
		}
		wg.Wait()
	}
	return result{wall: time.Since(start), ops: n}
}

// yield has width goroutines share n yields.
func yield(n, width int) result {
	var wg sync.WaitGroup
	start := time.Now()
	for range width {
		wg.Go(func() {
			for range n / width {
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	return result{wall: time.Since(start), ops: n / width * width}
}

func skynet(out chan<- int, num, size int) {
	if size == 1 {
		out <- num
		return
	}
	ch := make(chan int)
	for i := range 10 {
		go skynet(ch, num+i*(size/10), size/10)
	}
	sum := 0
	for range 10 {
		sum += <-ch
	}
	out <- sum
}

func isPowerOfTen(n int) bool {
	for n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// skynetBench grows a 10-ary tree of n leaves; n is a power of ten.
func skynetBench(n, _ int) result {
	if !isPowerOfTen(n) {
		panic("skynet: n is a power of ten")
	}
	ch := make(chan int)
	start := time.Now()
	go skynet(ch, 0, n)
	sum := <-ch
	r := result{wall: time.Since(start), ops: n}
	if sum != n*(n-1)/2 {
		panic("skynet: wrong sum")
	}
	r.add("cap", "0")
	r.add("wall_ms", "%.1f", ms(r.wall))
	return r
}

const cutoff = 12

func serialFib(n int) int {
	if n < 2 {
		return n
	}
	return serialFib(n-1) + serialFib(n-2)
}

func fib(n int) int {
	if n <= cutoff {
		return serialFib(n)
	}
	var a int
	var wg sync.WaitGroup
	wg.Go(func() { a = fib(n - 1) })
	b := fib(n - 2)
	wg.Wait()
	return a + b
}

// fibTasks is how many goroutines fib(n) starts.
func fibTasks(n int) int {
	if n <= cutoff {
		return 0
	}
	return 1 + fibTasks(n-1) + fibTasks(n-2)
}

// forkjoin computes fib(n) with a goroutine for each n-1 above the cutoff; an operation is one such
// goroutine with its share of the arithmetic, and serial_ms the arithmetic alone.
func forkjoin(n, _ int) result {
	start := time.Now()
	v := fib(n)
	r := result{wall: time.Since(start), ops: max(fibTasks(n), 1)}
	start = time.Now()
	want := serialFib(n)
	serial := time.Since(start)
	if v != want {
		panic("forkjoin: wrong value")
	}
	r.add("wall_ms", "%.2f", ms(r.wall))
	r.add("serial_ms", "%.2f", ms(serial))
	return r
}
