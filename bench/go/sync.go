package main

import (
	"sync"
	"time"
)

// mutex has width goroutines share n rounds of lock, count, unlock.
func mutex(n, width int) result {
	var mu sync.Mutex
	var wg sync.WaitGroup
	counter, per := 0, n/width
	start := time.Now()
	for range width {
		wg.Go(func() {
			for range per {
				mu.Lock()
				counter++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wall := time.Since(start)
	if counter != per*width {
		panic("mutex: lost update")
	}
	return result{wall: wall, ops: counter}
}
