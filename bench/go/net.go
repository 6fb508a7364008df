package main

import (
	"io"
	"net"
	"sync"
	"time"
)

const message, buffer = 64, 4096

func serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, buffer)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			panic(err)
		}
	}
}

func ping(c net.Conn, rounds int) {
	out, in := make([]byte, message), make([]byte, message)
	for range rounds {
		if _, err := c.Write(out); err != nil {
			panic(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			panic(err)
		}
	}
}

// echo has width clients and as many servers in this process send messages of 64 bytes to and fro; an operation is one
// round trip. Connecting is not measured.
func echo(n, width int) result {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var wg, servers sync.WaitGroup
	servers.Go(func() {
		for range width {
			c, err := l.Accept()
			if err != nil {
				panic(err)
			}
			servers.Go(func() { serve(c) })
		}
	})
	clients := make([]net.Conn, width)
	for i := range clients {
		if clients[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			panic(err)
		}
	}
	rounds := max(n/width, 1)
	cpu := cpuTime()
	start := time.Now()
	for _, c := range clients {
		wg.Go(func() { ping(c, rounds) })
	}
	wg.Wait()
	r := result{wall: time.Since(start), ops: rounds * width}
	r.add("cpu_ns_per_op", "%.3f", float64(cpuTime()-cpu)/float64(r.ops))
	for _, c := range clients {
		c.Close()
	}
	servers.Wait()
	l.Close()
	return r
}
