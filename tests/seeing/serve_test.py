#!/usr/bin/env python3
"""serve_test.py PROGRAM DEBUG_H: what a program answers that go_debug_listen serves: to those who ask well, and to others."""

import concurrent.futures
import json
import os
import random
import re
import resource
import socket
import stat
import subprocess
import sys
import unittest

from served import PATIENCE, Program, socket_path, until

PROGRAM = os.path.abspath(sys.argv.pop(1))

DEBUG_H = os.path.abspath(sys.argv.pop(1))


def fields_of_go_stats():
    """As golib/debug.h declares them, so that none is forgotten."""
    with open(DEBUG_H) as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    body = re.search(r"typedef struct go_stats \{(.*?)\} go_stats;", text, re.S).group(1)
    names = [n.strip() for d in body.split(";") if d.strip() for n in d.split(None, 1)[1].split(",")]
    return [n for n in names if not n.startswith("reserved_")]


FIELDS = fields_of_go_stats()
assert {"goroutines", "ended", "switches", "latency[GO_LATENCY_BUCKETS]"} <= set(FIELDS), FIELDS
COUNTS = [n for n in FIELDS if "[" not in n]


def start(*args, **env):
    return Program(PROGRAM, socket_path(), *args, **env)


def raw(p, data, tcp=False):
    """All that is answered to these bytes, until the other side closes; b"" also for a reset."""
    s = p.connect(tcp)
    out = b""
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while more := s.recv(1 << 16):
            out += more
    except (ConnectionResetError, BrokenPipeError):
        pass
    s.close()
    return out


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.p = start("127.0.0.1:0")

    @classmethod
    def tearDownClass(cls):
        status, err = cls.p.stop()
        assert (status, err) == (0, ""), (status, err)
        assert not os.path.exists(cls.p.path)

    def test_permissions(self):
        st = os.lstat(self.p.path)
        self.assertTrue(stat.S_ISSOCK(st.st_mode))
        self.assertEqual(st.st_mode & 0o7777, 0o600)
        self.assertEqual(os.listdir(os.path.dirname(self.p.path)), ["s"])

    def test_stats(self):
        for tcp in False, True:
            s = self.p.json("/stats.json", tcp=tcp)
            self.assertEqual(set(s), {"golib", "program", "pid", "now", "queues", "latency", "latency_bounds", *COUNTS})
            for k in COUNTS:
                self.assertIsInstance(s[k], int, k)
                self.assertGreaterEqual(s[k], 0, k)
            if "GOLIB_RUN" not in os.environ:
                self.assertEqual((s["pid"], s["program"]), (self.p.process.pid, "serve_program"))
            self.assertGreaterEqual(s["goroutines"], 6)
            self.assertEqual(len(s["queues"]), s["procs"])
            self.assertEqual((len(s["latency"]), len(s["latency_bounds"])), (32, 31))
            self.assertEqual(s["latency_bounds"][:3], [128, 256, 512])
        again = self.p.json("/stats.json")
        self.assertGreater(again["now"], s["now"])
        self.assertGreaterEqual(again["turns"], s["turns"])

    def test_goroutines(self):
        def waiting():
            v = self.p.json("/goroutines.json")
            readers = [g for g in v["goroutines"] if g["spawned"] == "reader"]
            return len(readers) == 3 and all(g["state"] == "chan receive" for g in readers) and v

        v = until(waiting)
        self.assertEqual(v["total"], sum(g["count"] for g in v["groups"]))
        self.assertTrue(v["complete"])
        readers = [g for g in v["groups"] if g["spawned"] == "reader"]
        self.assertEqual([g["count"] for g in readers], [3])
        self.assertRegex(readers[0]["at"], r"serve_program\.c:\d+$")
        self.assertGreaterEqual(readers[0]["longest"], 0)
        stack = v["stacks"][readers[0]["stack"]]
        self.assertTrue(any("reader" in f for f in stack), stack)
        names = {g["name"] for g in v["goroutines"] if g["spawned"] == "reader"}
        self.assertEqual(names, {'reader \x1b[31m"<b>'})

    def test_limit(self):
        for limit in 0, 1, 2:
            v = self.p.json(f"/goroutines.json?limit={limit}")
            self.assertEqual(len(v["goroutines"]), limit)
            self.assertFalse(v["complete"])
            self.assertGreaterEqual(v["total"], 6)
        self.assertEqual(len(self.p.json("/goroutines.json?x=1&limit=3&y")["goroutines"]), 3)
        for bad in "limit=-1", "limit=x", "limit=100001", "limit=1e3", "limit=", "limit=99999999999999999999", "leaks=2":
            self.assertIn(self.p.get("/goroutines.json?" + bad)[0], (400, 200) if bad == "limit=" else (400,), bad)

    def test_dump(self):
        status, headers, body = self.p.get("/goroutines.txt")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
        self.assertIn(b'goroutine 1 started by go_main', body)
        self.assertRegex(body, rb"spawned at reader@\S+serve_program\.c:\d+ \[chan receive")

    def test_page(self):
        status, headers, body = self.p.get("/", tcp=True)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertNotRegex(body, rb"https?://")  # nothing from elsewhere
        self.assertTrue(body.rstrip().endswith(b"</html>"))

    def test_trace(self):
        t = self.p.json("/trace?seconds=0.3")
        self.assertTrue(any(e["ph"] == "X" for e in t["traceEvents"]))
        for bad in "seconds=0", "seconds=61", "seconds=-1", "seconds=x", "seconds=0.009", "seconds=1.2345":
            self.assertEqual(self.p.get("/trace?" + bad)[0], 400, bad)

    def test_one_trace_at_a_time(self):
        s = self.p.connect()
        s.sendall(b"GET /trace?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.p.get("/trace?seconds=0.01")[0], 409)
        s.close()
        until(lambda: self.p.get("/trace?seconds=0.01")[0] == 200, "the end of a trace whose client has gone")

    def test_head(self):
        for target in "/", "/stats.json", "/goroutines.json", "/goroutines.txt", "/trace", "/nope":
            status, headers, body = self.p.get(target, method="HEAD")
            self.assertEqual((status, body), (404 if target == "/nope" else 200, b""))
            self.assertIn("Content-Length", headers)

    def test_keep_alive_and_pipelines(self):
        out = raw(self.p, b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        self.assertEqual(out.count(b"HTTP/1.1 404 Not Found\r\n"), 20)
        out = raw(self.p, b"\r\n\r\nGET /nope HTTP/1.0\r\n\r\nGET /nope HTTP/1.0\r\n\r\n")
        self.assertEqual(out.count(b"HTTP/1.1 404"), 1)
        self.assertIn(b"Connection: close\r\n", out)
        out = raw(self.p, b"GET /nope HTTP/1.0\nconnection: x, Keep-Alive\n\n" * 2)
        self.assertEqual(out.count(b"HTTP/1.1 404"), 2)
        out = raw(self.p, b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" * 2)
        self.assertEqual(out.count(b"HTTP/1.1 404"), 1)

    def test_methods(self):
        for m in "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "BREW":
            out = raw(self.p, m.encode() + b" /stats.json HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(out.startswith(b"HTTP/1.1 405 "), (m, out))
            self.assertIn(b"\r\nAllow: GET, HEAD\r\n", out)

    def test_hosts(self):
        port = str(self.p.port)
        for host in "localhost", "LocalHost:" + port, "127.0.0.1", "127.0.0.1:" + port, "127.1.2.3", "[::1]:1":
            self.assertEqual(self.p.get("/stats.json", tcp=True, Host=host)[0], 200, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "127.0.0.1:" + port + ".evil",
                     "10.0.0.1", "0.0.0.0", "[::]", "localhost:", "localhost:x", "2130706433", "localhost@evil"):
            self.assertEqual(self.p.get("/stats.json", tcp=True, Host=host)[0], 403, host)
            self.assertEqual(self.p.get("/stats.json", Host=host)[0], 200, host)  # nobody but the owner comes that way

    def test_origins(self):
        for site, status in ("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200):
            self.assertEqual(self.p.get("/stats.json", tcp=True, Sec_Fetch_Site=site)[0], status, site)
        self.assertNotIn("Access-Control-Allow-Origin", self.p.get("/stats.json", tcp=True, Origin="http://evil")[1])

    def test_nonsense(self):
        for data, status in (
            (b"GET\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
            (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
            (b"GET / FTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
            (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
            (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 431),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 100000, 431),
            (b"\r\n" * 5000, 431),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n\n", 400),  # as if it were TLS
            (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET /stats.json/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET //stats.json HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET /stats%2ejson HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ):
            out = raw(self.p, data)
            if len(data) < 9000 or out:
                self.assertTrue(out.startswith(b"HTTP/1.1 %d " % status), (data[:60], out[:60]))
            self.assertLessEqual(out.count(b"HTTP/1.1"), 1, data[:60])

    def test_random_bytes(self):
        r = random.Random(1)
        good = b"GET /goroutines.json?limit=3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for _ in range(300):
            data = bytearray(good if r.random() < 0.7 else r.randbytes(r.randrange(300)))
            for _ in range(r.randrange(4)):
                if data:
                    data[r.randrange(len(data))] = r.choice(b"\r\n\0 :/?&=\xff" + r.randbytes(3))
            out = raw(self.p, bytes(data), tcp=r.random() < 0.5)
            self.assertTrue(out == b"" or out.startswith(b"HTTP/1.1 "), out[:60])
        self.assertEqual(self.p.get("/stats.json")[0], 200)

    def test_byte_by_byte(self):
        s = self.p.connect()
        for c in b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            s.sendall(bytes([c]))
        self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 404"))
        s.close()

    def test_clients_that_stay(self):
        """Those on TCP do not keep the owner out, and idle ones give way to new ones."""
        idle = [self.p.connect(tcp=True) for _ in range(100)]
        self.assertEqual(self.p.get("/stats.json", tcp=True)[0], 200)
        self.assertEqual(self.p.get("/stats.json")[0], 200)
        busy = [self.p.connect(tcp=True) for _ in range(40)]
        for s in busy:
            try:
                s.sendall(b"GET /")  # and nothing more
            except OSError:
                pass
        self.assertEqual(self.p.get("/stats.json")[0], 200)
        for s in idle + busy:
            s.close()
        self.assertEqual(self.p.get("/stats.json", tcp=True)[0], 200)

    def test_many_clients_at_a_time(self):
        def ask(i):
            target = ("/stats.json", "/goroutines.json?limit=5", "/goroutines.txt", "/")[i % 4]
            status, headers, body = self.p.get(target, tcp=i % 8 >= 4)
            if target.split("?")[0].endswith("json"):
                json.loads(body)
            return status == 200 and int(headers["Content-Length"]) == len(body)

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(ask, range(200))), [True] * 200)

    def test_slow_reader(self):
        """It gets all, late; others are answered meanwhile."""
        s = self.p.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /goroutines.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" )
        self.assertEqual(self.p.get("/stats.json")[0], 200)
        out = b""
        while more := s.recv(512):
            out += more
        head, body = out.split(b"\r\n\r\n", 1)
        self.assertIn(b"Content-Length: %d\r\n" % len(body), head)
        s.close()


class Programs(unittest.TestCase):
    def test_no_goroutine_gets_to_run(self):
        p = start(GOMAXPROCS="2", GOLIB_RETAKE="0")
        p.tell("hogs 2")
        until(lambda: p.json("/stats.json")["running"] >= 2, "hogs")
        v = p.json("/goroutines.json")
        self.assertIn("hog", {g["spawned"] for g in v["groups"] if g["state"] == "running"})
        p.process.kill()
        p.stop(None)

    def test_leaks(self):
        with open(PROGRAM, "rb") as f:
            code = f.read()
        if any(name in code for name in (b"__asan_init", b"__tsan_init", b"__msan_init")):
            self.skipTest("golib does not look for leaks when it is built with a sanitizer")
        p = start()
        p.tell("leak")
        found = until(lambda: [g for g in p.json("/goroutines.json?leaks=1")["groups"] if g.get("leaked")], "the leak")
        self.assertEqual([(g["spawned"], g["count"]) for g in found], [("leaked", 1)])
        self.assertFalse([g for g in p.json("/goroutines.json")["groups"] if g.get("leaked")])  # not asked for
        self.assertEqual(p.stop(), (0, ""))

    def test_many_goroutines(self):
        p = start()
        p.tell("readers 3000")
        v = until(lambda: (v := p.json("/goroutines.json"))["total"] > 3000 and v, "goroutines")
        self.assertEqual(len(v["goroutines"]), 100)
        self.assertFalse(v["complete"])
        v = p.json("/goroutines.json?limit=100000")
        self.assertEqual(len(v["goroutines"]), v["total"])
        self.assertEqual(len({g["id"] for g in v["goroutines"]}), v["total"])
        self.assertEqual(p.stop(), (0, ""))

    def test_deadlock_is_reported(self):
        if "GOLIB_RUN" in os.environ:
            self.skipTest("the emulator has a thread of its own in the process: no deadlock is seen")
        p = start(QUIET="1")
        s = p.connect()  # somebody who looks on does not keep it alive
        s.sendall(b"GET /stats.json HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))
        status, err = p.stop("deadlock")
        self.assertEqual(status, 2, err)
        self.assertIn("all goroutines are asleep - deadlock!", err)
        self.assertNotIn("golib-debug", err)
        self.assertFalse(os.path.exists(p.path))
        s.close()

    def test_it_ends_while_asked(self):
        for how in "exit", "close":
            p = start()
            waits = p.connect()
            waits.sendall(b"GET /trace?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(p.get("/trace?seconds=0.01")[0], 409)
            p.tell(how)
            until(lambda: not os.path.exists(p.path), "its end")
            try:
                self.assertEqual(waits.recv(100), b"")
            except ConnectionResetError:
                pass
            waits.close()
            self.assertEqual(p.stop("exit" if how == "close" else None)[0], 0)

    def test_after_a_crash(self):
        p = start()
        p.tell("abort")
        p.stop(None)
        self.assertTrue(os.path.exists(p.path))
        q = Program(PROGRAM, p.path)
        self.assertEqual(q.get("/stats.json")[0], 200)
        r = subprocess.run(os.environ.get("GOLIB_RUN", "").split() + [PROGRAM, p.path], capture_output=True, text=True, check=False,
                           stdin=subprocess.DEVNULL, timeout=PATIENCE)
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn("ddress", r.stderr)
        self.assertEqual(q.get("/stats.json")[0], 200)  # the other has left it alone
        self.assertEqual(q.stop()[0], 0)
        self.assertFalse(os.path.exists(p.path))

    def test_by_environment(self):
        path = socket_path("%p.s%%")
        p = Program(PROGRAM, GOLIB_DEBUG="listen=" + path)
        folder = os.path.dirname(path)
        names = os.listdir(folder)
        if "GOLIB_RUN" not in os.environ:
            self.assertEqual(names, [f"{p.process.pid}.s%"])
        p.path = os.path.join(folder, names[0])
        self.assertEqual(p.get("/stats.json")[0], 200)
        self.assertEqual(p.stop(), (0, ""))
        self.assertEqual(os.listdir(folder), [])
        p = Program(PROGRAM, GOLIB_DEBUG="listen=/nonexistent/s")
        status, err = p.stop()
        self.assertEqual(status, 0)
        self.assertIn("golib: GOLIB_DEBUG: listen=/nonexistent/s: No such file or directory\n", err)

    def test_other_users(self):
        def as_nobody(what):
            """0: what() is true for a process of another user; 2: there can be none here."""
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.setgid(65534)
                    os.setuid(65534)
                    status = 0 if what() else 1
                except OSError:
                    status = 1 if os.geteuid() == 65534 else 2
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        if as_nobody(lambda: True) != 0:
            print("SKIPPED: other users: this needs root, and a user namespace with others in it")
            self.skipTest("needs root")

        def refused():
            try:
                p.connect()
            except PermissionError:
                return True
            return False

        def unanswered():
            try:
                s = p.connect()
                s.sendall(b"GET /stats.json HTTP/1.1\r\nHost: x\r\n\r\n")
                return s.recv(10) == b""
            except (ConnectionResetError, BrokenPipeError):
                return True

        p = start()
        os.chmod(os.path.dirname(p.path), 0o755)
        self.assertEqual(as_nobody(refused), 0)
        os.chmod(p.path, 0o666)  # who is let in by mistake is still not answered
        self.assertEqual(as_nobody(unanswered), 0)
        self.assertEqual(p.get("/stats.json")[0], 200)
        self.assertEqual(p.stop(), (0, ""))

    def test_no_descriptors(self):
        p = start()
        limits = resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{p.process.pid}/fd"))
        resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        s = p.connect()  # waits in the queue
        s.sendall(b"GET /stats.json HTTP/1.1\r\nHost: x\r\n\r\n")
        resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, limits)
        self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))
        s.close()
        self.assertEqual(p.stop(), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
