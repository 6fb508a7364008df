package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"
)

const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

// hog computes all the time, and yields now and then.
func hog() {
	for {
		for until := time.Now().Add(2 * time.Microsecond); time.Now().Before(until); {
		}
		runtime.Gosched()
	}
}

// listen is the beginning of both servers: MODE PROCS PORT [HOGS].
func listen(arguments []string) net.Listener {
	runtime.GOMAXPROCS(number(arguments[0]))
	l, err := net.Listen("tcp", "127.0.0.1:"+arguments[1])
	check(err)
	if len(arguments) > 2 {
		for range number(arguments[2]) {
			go hog()
		}
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	return l
}

func number(s string) int {
	v, err := strconv.Atoi(s)
	check(err)
	return v
}

// serveHTTP answers as bench/httpd.c does: all that came in one read with one write.
func serveHTTP(c net.Conn) {
	defer c.Close()
	in, fill := make([]byte, 4096), 0
	var out []byte
	for fill < len(in) {
		n, err := c.Read(in[fill:])
		if err != nil {
			return
		}
		fill += n
		out, n = out[:0], 0
		for {
			i := bytes.Index(in[n:fill], []byte("\r\n\r\n"))
			if i < 0 {
				break
			}
			n += i + 4
			out = append(out, answer...)
		}
		fill = copy(in, in[n:fill])
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

// httpd is the twin of bench/httpd.c.
func httpd(arguments []string) {
	l := listen(arguments)
	for {
		c, err := l.Accept()
		check(err)
		go serveHTTP(c)
	}
}

// nethttpd is what one would write in Go.
func nethttpd(arguments []string) {
	check(http.Serve(listen(arguments), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "Hello, World!")
	})))
}
