package main

import (
	"sync"
	"sync/atomic"
	"time"
)

func pingpong(n, _ int) result {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	start := time.Now()
	for i := range n {
		ping <- i
		if <-pong != i {
			panic("pingpong: wrong value")
		}
	}
	wall := time.Since(start)
	close(ping)
	<-pong
	return result{wall: wall, ops: n}
}

// queue passes n items from width producers to width consumers.
func queue(n, width int) result {
	ch := make(chan int, 128)
	var producers, consumers sync.WaitGroup
	var total atomic.Int64
	per := n / width
	start := time.Now()
	for range width {
		producers.Go(func() {
			for i := range per {
				ch <- i
			}
		})
	}
	for range width {
		consumers.Go(func() {
			sum := 0
			for v := range ch {
				sum += v
			}
			total.Add(int64(sum))
		})
	}
	producers.Wait()
	close(ch)
	consumers.Wait()
	wall := time.Since(start)
	if total.Load() != int64(width)*int64(per)*int64(per-1)/2 {
		panic("queue: wrong sum")
	}
	return result{wall: wall, ops: per * width}
}

func chanseq(n, _ int) result {
	ch := make(chan int, 1)
	sum := 0
	start := time.Now()
	for i := range n {
		ch <- i
		sum += <-ch
	}
	wall := time.Since(start)
	if sum != n*(n-1)/2 {
		panic("chanseq: wrong sum")
	}
	return result{wall: wall, ops: n}
}

func select2(n, _ int) result {
	n = (n + 1) / 2 * 2
	a, b := make(chan int), make(chan int)
	go func() {
		for i := 0; i < n; i += 2 {
			a <- i
			b <- i + 1
		}
	}()
	sum := 0
	start := time.Now()
	for range n {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	wall := time.Since(start)
	if sum != n*(n-1)/2 {
		panic("select2: wrong sum")
	}
	return result{wall: wall, ops: n}
}

func selectdef(n, _ int) result {
	a, b := make(chan int), make(chan int)
	misses := 0
	start := time.Now()
	for range n {
		select {
		case <-a:
		case <-b:
		default:
			misses++
		}
	}
	wall := time.Since(start)
	if misses != n {
		panic("selectdef: an empty channel was ready")
	}
	return result{wall: wall, ops: n}
}

// primes sieves the first n primes, one goroutine per prime found; an operation is one prime.
func primes(n, _ int) result {
	var stop atomic.Bool
	start := time.Now()
	ch := make(chan int)
	go func(out chan<- int) { // a parameter: ch is reassigned below
		for i := 2; !stop.Load(); i++ {
			out <- i
		}
		close(out)
	}(ch)
	last := 0
	for range n {
		prime := <-ch
		last = prime
		next := make(chan int)
		go func(in <-chan int, out chan<- int) {
			for v := range in {
				if v%prime != 0 {
					out <- v
				}
			}
			close(out)
		}(ch, next)
		ch = next
	}
	r := result{wall: time.Since(start), ops: n}
	if n == 2000 && last != 17389 {
		panic("primes: wrong prime")
	}
	stop.Store(true)
	for range ch { // until the end of the pipeline closes
	}
	r.add("wall_ms", "%.1f", ms(r.wall))
	r.add("last", "%d", last)
	return r
}
