#!/usr/bin/env python3
"""port_scan_test.py PORT_SCAN: finds out about ports of 127.0.0.1 that this test itself has, and touches no others."""

import os
import random
import socket
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs as p  # noqa: E402


def bound(port):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
        return s
    except OSError:
        s.close()
        return None


def row(n):
    """n sockets, bound to ports that follow each other, below those that systems give out."""
    while True:
        base = random.randrange(10000, 30000)
        sockets = []
        for port in range(base, base + n):
            s = bound(port)
            if s is None:
                break
            sockets.append(s)
        if len(sockets) == n:
            return base, sockets
        for s in sockets:
            s.close()


class PortScan(p.Usage, unittest.TestCase):
    bad = [
        [],
        ["127.0.0.1"],
        ["127.0.0.1", "1", "2"],
        *(["127.0.0.1", ports] for ports in ("", "x", "0", "65536", "2-1", "1-", "-1", "1,", ",1", "1x", "1-2-3", "99999999999999999999")),
        ["-c", "0", "127.0.0.1", "1"],
        ["-c", "1x", "127.0.0.1", "1"],
        ["-t", "0", "127.0.0.1", "1"],
        ["-t", "", "127.0.0.1", "1"],
        ["--nonsense", "127.0.0.1", "1"],
    ]

    def test_open_and_closed(self):
        base, sockets = row(100)
        opened = sorted(random.sample(range(100), 30))
        for i in opened:
            sockets[i].listen()
        want = "".join(f"{base + i} open\n" for i in opened) + "30 open, 70 closed, 0 without an answer\n"
        every = f"{base}-{base + 99}"
        pieces = f"{base + 50}-{base + 99},{base},{base + 1}-{base + 49},{base + 3}"
        for ports in every, pieces:
            for concurrency in "1", "7", "100", "1000":
                status, out, err = p.run(self.program, "-t", "60", "-c", concurrency, "127.0.0.1", ports)
                self.assertEqual((status, out.decode(), err), (0, want, ""))
        # All states, one port at a time; and none open.
        shut = next(i for i in range(100) if i not in opened)
        for i in opened[0], shut:
            status, out, _ = p.run(self.program, "-v", "127.0.0.1", str(base + i))
            state = "open" if i in opened else "closed"
            self.assertEqual(status, 0 if state == "open" else 1)
            self.assertEqual(out.decode().split("\n")[0], f"{base + i} {state}")
        for s in sockets:
            s.close()

    def test_no_answer(self):
        # A full queue: further connections get no answer at all.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as l:
            port = l.getsockname()[1]
            waiting = []
            for _ in range(4):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
                waiting.append(s)
            status, out, err = p.run(self.program, "-v", "--timeout", "0.2", "127.0.0.1", str(port))
            self.assertEqual((status, err), (1, ""))
            self.assertEqual(out.decode(), f"{port} no answer\n0 open, 0 closed, 1 without an answer\n")
            for s in waiting:
                s.close()

    def test_names_and_ip6(self):
        with socket.create_server(("127.0.0.1", 0)) as l:
            port = l.getsockname()[1]
            status, out, _ = p.run(self.program, "127.0.0.1", str(port))
            self.assertEqual((status, out.decode().split("\n")[0]), (0, f"{port} open"))
        try:
            six = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError as e:
            print("SKIPPED port_scan of ::1:", e, flush=True)
            return
        with six:
            port = six.getsockname()[1]
            status, out, _ = p.run(self.program, "::1", str(port))
            self.assertEqual((status, out.decode().split("\n")[0]), (0, f"{port} open"))

    def test_errors(self):
        status, out, err = p.run(self.program, "", "1")
        self.assertEqual((status, out), (2, b""))
        self.assertEqual(err, "port_scan: : invalid argument\n")
        base, sockets = row(20)
        command = f"ulimit -n 6; {self.program} 127.0.0.1 {base}-{base + 19}"
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")  # which needs descriptors
        status, _, err = p.run("sh", "-c", command, env=env)
        for s in sockets:
            s.close()
        self.assertEqual(status, 2, err)
        self.assertRegex(err, "Too many open files|No file descriptors available")  # the second is what musl says


if __name__ == "__main__":
    p.main()
