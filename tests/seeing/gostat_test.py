#!/usr/bin/env python3
"""gostat_test.py PROGRAM GOSTAT: gostat as a script uses it, and as a person does, at a terminal that this test plays."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

from served import PATIENCE, Program, socket_path, until

PROGRAM, GOSTAT = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
RUN = os.environ.get("GOLIB_RUN", "").split()
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def gostat(*args, **env):
    """(status, output, errors)"""
    r = subprocess.run(RUN + [GOSTAT, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                       timeout=PATIENCE, env=dict(os.environ, **env))
    return r.returncode, r.stdout, r.stderr


class Terminal:
    """gostat at a terminal of its own; knows as much of escapes as gostat uses."""

    def __init__(self, *args, rows=24, columns=80, term="xterm"):
        master, slave = pty.openpty()
        self.master, self.rows, self.columns, self.all = master, rows, columns, b""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(RUN + [GOSTAT, *args], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                                        env=dict(os.environ, TERM=term), start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.all += os.read(self.master, 1 << 16)
            except OSError:
                return
            seconds = 0

    def frame(self):
        """The last whole picture: its lines, without colours."""
        last = self.all.rsplit(b"\x1b[J", 1)[0].rsplit(b"\x1b[H", 1)[-1] if b"\x1b[J" in self.all else b""
        text = re.sub(rb"\x1b\[[0-9?]*[a-zA-Z]", b"", last).decode()
        return text.split("\r\n")

    def until(self, pattern):
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, "\n".join(self.frame())):
            assert time.monotonic() < end, f"no {pattern!r} in {self.frame()}"
            assert self.process.poll() is None, self.process.stderr.read()
            self.read(0.05)
        return "\n".join(self.frame())

    def until_raw(self, what, start=0):
        end = time.monotonic() + PATIENCE
        while what not in self.all[start:]:
            assert time.monotonic() < end, f"no {what!r} in {self.all[start:]!r}"
            self.read(0.05)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)

    def finish(self):
        """Its status, once the terminal is as it was."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end
            self.read(0.05)
        self.read(0.05)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was"
        assert self.all.count(ENTER) == self.all.count(LEAVE), self.all
        assert self.all.rfind(ENTER) < self.all.rfind(LEAVE) or ENTER not in self.all, self.all
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)
        return self.process.returncode


class Scripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.p = Program(PROGRAM, socket_path(), "127.0.0.1:0")
        until(lambda: cls.p.json("/stats.json")["waiting"] >= 6)

    @classmethod
    def tearDownClass(cls):
        assert cls.p.stop() == (0, "")

    def test_once(self):
        for where in self.p.path, f"localhost:{self.p.port}", f"127.0.0.1:{self.p.port}":
            status, out, err = gostat("--once", where)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"(?m)^goroutines  6: \d+ running, .*\d+ waiting")
            self.assertRegex(out, r"(?m)^ +3  chan receive +\S+ \S+  reader .*serve_program\.c:\d+  in .*reader")
            self.assertNotIn("\x1b", out)

    def test_groups_and_order(self):
        out = gostat("--once", "--group", "none", self.p.path)[1]
        self.assertEqual(len(re.findall(r"(?m)^ +\d+  chan receive +.*reader \?\[31m\"<b> reader .*serve_program", out)), 3, out)
        out = gostat("--once", "--group", "state", "--sort", "count", self.p.path)[1]
        rows = re.findall(r"(?m)^ +(\d+)  (chan receive|sleep|offload)", out)
        self.assertEqual(rows, [("3", "chan receive"), ("2", "sleep"), ("1", "offload")])
        for sort in "count", "longest", "state", "name":
            for group in "stack", "site", "state", "none":
                status, out, err = gostat("--once", "--sort", sort, "--group", group, "--leaks", self.p.path)
                self.assertEqual((status, err), (0, ""))
                self.assertIn("chan receive", out)
        out = gostat("--once", "--sort", "state", "--group", "site", self.p.path)[1]
        states = re.findall(r"(?m)^ +\d+  (chan receive|sleep|offload)", out)
        self.assertEqual(states, sorted(states))

    def test_json(self):
        status, out, err = gostat("--json", self.p.path)
        v = json.loads(out)
        self.assertEqual((status, err, set(v)), (0, "", {"stats", "goroutines"}))
        self.assertEqual(v["stats"]["goroutines"], 6)

    def test_dump_and_trace(self):
        status, out, err = gostat("--dump", self.p.path)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("goroutine 1 started by go_main [offload", out)
        status, out, err = gostat("--trace", "0.2", self.p.path)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("traceEvents", json.loads(out))

    def test_plain_reports_one_after_the_other(self):
        for term in "dumb", "":
            g = subprocess.Popen(RUN + [GOSTAT, "-n", "0.1", self.p.path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 env=dict(os.environ, TERM=term), text=True)
            seen = ""
            while seen.count("\ngoroutines ") < 3:
                seen += g.stdout.readline()
            self.assertRegex(seen, r"turns \d+ \(\d+/s\)")
            self.assertNotIn("\x1b", seen)
            g.terminate()
            g.wait()
            g.stdout.close()

    def test_dumb_terminal(self):
        t = Terminal("-n", "0.1", self.p.path, term="dumb")
        t.until_raw(b"\r\n\r\n")
        t.until_raw(b"/s)")
        self.assertNotIn(b"\x1b", t.all)
        t.press("\x03")
        self.assertEqual(t.finish(), -signal.SIGINT)

    def test_errors(self):
        for where in "/nonexistent/s", "localhost:1":
            status, out, err = gostat("--once", where)
            self.assertEqual((status, out), (1, ""))
            self.assertTrue(err.startswith(f"gostat: {where}: "), err)
        t = Terminal("/nonexistent/s")
        self.assertEqual(t.finish(), 1)
        for args in ([], ["a", "b"], ["--sort", "x", "a"], ["-n"], ["-n", "0", "a"], ["--trace", "61", "a"], ["--bogus", "a"]):
            status, out, err = gostat(*args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertTrue(err.startswith("usage: gostat "), err)
        status, out, err = gostat("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.startswith("usage: gostat "), out)
        self.assertLessEqual(max(map(len, out.split("\n"))), 120)

    def test_somebody_else_answers(self):
        import http.server
        import threading

        bodies = iter([b"{}", b"[1,2", b'{"goroutines":"x"}', b'{"groups":{}}', b'"' + b"[" * 5000, b"[" * 5000, b"\xff\x00"] * 2)

        class Odd(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                body = next(bodies)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Odd)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(7):
            status, _, err = gostat("--once", f"127.0.0.1:{server.server_address[1]}")
            self.assertIn(status, (0, 1), err)
        server.shutdown()
        server.server_close()


class People(unittest.TestCase):
    def setUp(self):
        self.p = Program(PROGRAM, socket_path())
        until(lambda: self.p.json("/stats.json")["waiting"] >= 6)

    def tearDown(self):
        if self.p.process.poll() is None:
            self.p.stop()

    def test_screen(self):
        t = Terminal("-n", "0.2", self.p.path, rows=30, columns=100)
        text = t.until(r"goroutines  6: ")
        self.assertTrue(t.is_raw())
        lines = t.frame()
        self.assertEqual(len(lines), 30)
        self.assertLessEqual(max(map(len, lines)), 100)
        self.assertRegex(text, r"serve_program, process \d+, golib ")
        self.assertRegex(text, r" 3  chan receive .* reader ")
        self.assertRegex(lines[-1], r"^q quit  s sort: count  g group by: stack")
        t.until(r"turns \d+ \(\d+/s\)")  # a second look
        self.p.tell("readers 5")
        t.until(r" 5  chan receive ")  # it follows
        t.press("s")
        t.until(r"sort: longest")
        t.press("s")
        t.until(r"sort: state")
        t.press("g")
        t.until(r"group by: site")
        t.press("g")
        t.until(r"group by: state")
        t.press("g")
        t.until(r"group by: none(.|\n)*\Z")
        t.until(r"\n +\d+  chan receive .*reader \?\[31m\"<b> reader ")  # and nothing of it is obeyed
        t.press("jjj")
        t.press("kkkk")
        t.press("+")
        t.until(r"every 0.4 s")
        t.press("--")
        t.until(r"every 0.2 s")
        t.press("l")
        t.until(r"leaks: yes")
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_size(self):
        t = Terminal("-n", "0.2", self.p.path, rows=24, columns=80)
        t.until("goroutines  6")
        for rows, columns in (10, 40), (50, 200), (1, 1), (2, 10), (24, 80):
            t.resize(rows, columns)
            os.killpg(t.process.pid, signal.SIGWINCH)
            end = time.monotonic() + PATIENCE
            while len(t.frame()) != rows or max(map(len, t.frame())) > columns:
                assert time.monotonic() < end, (rows, columns, t.frame())
                t.read(0.05)
        t.until("goroutines  6")
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_pause(self):
        t = Terminal("-n", "0.15", self.p.path, columns=160)
        t.until("goroutines  6")
        t.press("p")
        t.until(r"\[paused\]")
        t.read(0.5)
        before = t.frame()
        self.p.tell("readers 4")
        until(lambda: self.p.json("/stats.json")["goroutines"] == 10)
        t.read(0.5)
        self.assertEqual(t.frame(), before)
        t.press("p")
        t.until("goroutines  10")
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_dump(self):
        t = Terminal("-n", "0.2", self.p.path)
        t.until("goroutines  6")
        start = len(t.all)
        t.press("d")
        t.until_raw(b"-- a key goes on --", start)
        self.assertFalse(t.is_raw())
        out = t.all[start:]
        self.assertLess(out.index(LEAVE), out.index(b"goroutine 1 started by go_main"))
        self.assertNotIn(b"\x1b[31m", out)
        os.write(t.master, b"\n")
        t.until_raw(ENTER, start)
        t.until("goroutines  6")
        self.assertTrue(t.is_raw())
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_ways_out(self):
        for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
            t = Terminal("-n", "0.2", self.p.path)
            t.until("goroutines  6")
            t.process.send_signal(sig)
            self.assertEqual(t.finish(), 0, sig)
        for sig in signal.SIGABRT, signal.SIGSEGV, signal.SIGFPE:
            t = Terminal("-n", "0.2", self.p.path)
            t.until("goroutines  6")
            t.process.send_signal(sig)
            self.assertEqual(t.finish(), -sig)
        t = Terminal("-n", "0.2", self.p.path)
        t.until("goroutines  6")
        t.press("\x03")  # as it is: the keyboard's own
        self.assertEqual(t.finish(), 0)

    def test_stop_and_go_on(self):
        t = Terminal("-n", "0.2", self.p.path)
        t.until("goroutines  6")
        start = len(t.all)
        t.process.send_signal(signal.SIGTSTP)
        until(lambda: open(f"/proc/{t.process.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[0] == "T")
        t.until_raw(LEAVE, start)
        self.assertFalse(t.is_raw())
        t.process.send_signal(signal.SIGCONT)
        t.until_raw(ENTER, start)
        t.until("goroutines  6")
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_program_ends_and_another_comes(self):
        t = Terminal("-n", "0.2", self.p.path)
        t.until("goroutines  6")
        self.p.stop()
        t.until(re.escape(self.p.path[:20]) + r".*: ")
        self.p = Program(PROGRAM, self.p.path)
        t.until(r"q quit")
        t.press("q")
        self.assertEqual(t.finish(), 0)

    def test_terminal_goes(self):
        t = Terminal("-n", "0.2", self.p.path)
        t.until("goroutines  6")
        os.close(t.slave)
        os.close(t.master)
        t.process.wait(PATIENCE)
        t.process.stderr.close()


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
