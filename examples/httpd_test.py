#!/usr/bin/env python3
"""httpd_test.py HTTPD: what clients see of it, good and bad ones.

wrk, curl and nc are used where there are any; what they would show is skipped otherwise, which is printed.
"""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HTTPD = os.path.abspath(sys.argv[1])
FOLDER = os.path.join(os.environ.get("TEST_TMPDIR", "/tmp"), "folder")
PATIENCE = 60  # seconds: for what comes, however slow the machine


class Server:
    """One httpd, with these options; otherwise as patient as we are: its own 10 s may be too few on a loaded machine."""

    def __init__(self, *options):
        patient = "-t", str(PATIENCE), "-g", str(PATIENCE)
        self.process = subprocess.Popen(
            [HTTPD, *patient, *options, "127.0.0.1:0", FOLDER], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line).group(1))
        self.url = "http://127.0.0.1:%d" % self.port

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind:
                self.process.kill()
            else:
                expect(self.stop(), (0, "stopped\n"))
        self.process.wait()
        self.process.stdout.close()

    def stop(self, with_signal=signal.SIGTERM):
        """Its exit status and its last words."""
        self.process.send_signal(with_signal)
        said = self.process.stdout.read()
        return self.process.wait(PATIENCE), said

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def files(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


class Client:
    """A connection that reads answers one by one."""

    def __init__(self, server):
        self.socket = server.connect()
        self.buffer = bytearray()  # bytes would be copied whole with each piece: a second for 20 MiB

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return len(data) > 0

    def answer(self, head=False):
        """(status, headers, body); None: the connection was closed before the first byte of an answer."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                expect(self.buffer, b"")
                return None
        end = self.buffer.index(b"\r\n\r\n")
        top = self.take(end)
        self.take(4)
        lines = top.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        status = int(re.fullmatch(r"HTTP/1\.1 (\d\d\d) .+", lines[0]).group(1))
        size = 0 if head or status < 200 else int(fields["content-length"])
        while len(self.buffer) < size:
            if not self.more():
                raise AssertionError("an answer was cut off")
        return status, fields, self.take(size)

    def take(self, n):
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def is_closed(self):
        """Waits for that; no more has come."""
        while self.more():
            pass
        return self.buffer == b""


def expect(got, want, what=""):
    if got != want:
        raise AssertionError("%s: %r, not %r" % (what, got, want))


def ask(server, data, head=False):
    """The answer to one request on a connection of its own."""
    with Client(server) as c:
        c.send(data)
        return c.answer(head)


def get(target, more=""):
    return "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, more)


def post(body, more=""):
    return "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (
        len(body),
        more,
        body,
    )


def chunked(body, more=""):
    return "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n%s" % (more, body)


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("in vain: " + what)
        time.sleep(0.01)


def tool(name):
    if shutil.which(name):
        return True
    print("SKIPPED: there is no %s" % name)
    return False


# ---- good requests ---------------------------------------------------------


def test_answers():
    with Server() as s, Client(s) as c:
        for _ in range(3):  # on one connection
            c.send(get("/hello"))
            status, fields, body = c.answer()
            expect((status, body, fields["content-length"]), (200, b"Hello, World!\n", "14"))
            expect("connection" in fields, False)
            time.strptime(fields["date"], "%a, %d %b %Y %H:%M:%S gmt")
        c.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        status, fields, _ = c.answer(head=True)
        expect((status, fields["content-length"]), (200, "14"))
        c.send(post("some\0thing"))
        expect(c.answer()[2], b"some\0thing")
        c.send(post(""))
        expect(c.answer()[::2], (200, b""))
        c.send(get("/nothing"))  # no reason to close
        expect(c.answer()[0], 404)
        c.send(post("x").replace("/echo", "/hello"))
        status, fields, _ = c.answer()
        expect((status, fields["allow"]), (405, "get, head"))
        c.send(get("http://x/hel%6Co?a=b"))
        expect(c.answer()[0], 200)
        c.send("\r\n" + get("/hello"))  # an empty line before it
        expect(c.answer()[0], 200)
        c.send(get("/hello", "Connection: close\r\n"))
        expect(c.answer()[1]["connection"], "close")
        expect(c.is_closed(), True)


def test_http_1_0():
    with Server() as s:
        with Client(s) as c:
            c.send("GET /hello HTTP/1.0\r\n\r\n")
            status, fields, _ = c.answer()
            expect((status, fields["connection"], c.is_closed()), (200, "close", True))
        with Client(s) as c:
            c.send("GET /hello HTTP/1.0\r\nConnection: foo , Keep-Alive\r\n\r\n" * 2)
            expect([c.answer()[1]["connection"] for _ in range(2)], ["keep-alive"] * 2)


def test_pipelining():
    with Server() as s, Client(s) as c:
        n = 2000
        sender = threading.Thread(
            target=c.send, args=("".join(get("/hello") + post("body %d" % i) for i in range(n)),)
        )
        sender.start()
        for i in range(n):
            expect(c.answer()[2], b"Hello, World!\n")
            expect(c.answer()[2], b"body %d" % i)
        sender.join()
        # An answer is not held back because half of the next request has come.
        c.send(get("/hello") + "GET /hel")
        expect(c.answer()[0], 200)
        c.send("lo HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(c.answer()[0], 200)
        # A request that asks to close is the last.
        c.send(get("/hello", "Connection: close\r\n") + get("/hello"))
        expect((c.answer()[0], c.is_closed()), (200, True))


def test_byte_by_byte():
    with Server() as s, Client(s) as c:
        for data in get("/hello"), post("abc"), chunked("3\r\nabc\r\n0\r\n\r\n"):
            for byte in data:
                c.send(byte)
            expect(c.answer()[0], 200)


def test_chunks():
    with Server() as s, Client(s) as c:
        for body in "0\r\n\r\n", "3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\n":
            c.send(chunked(body))
            expect(c.answer()[2], b"abc0123456789" if "abc" in body else b"")
        for body in "x", "", "-1", "3\r\nabcd", "3x\r\nabc", "1;" + "x" * 9000:
            expect(ask(s, chunked(body + "\r\n"))[0], 400, body[:20])
        expect(ask(s, chunked("ffffffffffffffff1\r\n"))[0], 413)
        expect(ask(s, chunked("80000\r\n" + "x" * 0x80000 + "\r\n80001\r\n"))[0], 413)


def test_continue():
    with Server() as s, Client(s) as c:
        c.send(post("abc", "Expect: 100-continue\r\n")[:-3])
        expect(c.answer()[0], 100)
        c.send("abc")
        expect(c.answer()[::2], (200, b"abc"))
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
        expect(c.answer()[0], 413)
        expect(ask(s, post("abc", "Expect: something\r\n"))[0], 417)


def test_files():
    with Server() as s, Client(s) as c:
        expect(s.files() < 50, True)
        for name in "big", "small.txt", "empty.html":
            with open(os.path.join(FOLDER, name), "rb") as f:
                want = f.read()
            c.send(get("/" + name))
            _, fields, got = c.answer()
            expect(hashlib.sha256(got).digest(), hashlib.sha256(want).digest(), name)
            c.send(get("/" + name).replace("GET", "HEAD"))
            expect(c.answer(head=True)[1]["content-length"], str(len(want)))
        expect(fields["content-type"], "text/html; charset=utf-8")
        for target in "/", "/sub", "/sub/", "//sub":
            c.send(get(target))
            expect(c.answer()[2], b"index of sub" if "sub" in target else b"index")
        for target in "/missing", "/empty_folder", "/fifo", "/small.txt/x", "/" + "x" * 300, "*":
            c.send(get(target))
            expect(c.answer()[0], 404, target)
        for target in "/../secret", "/sub/../../secret", "/%2e%2E/secret", "/sub/..%2f..%2fsecret", "/..":
            c.send(get(target))
            status, _, body = c.answer()
            expect((status, b"secret" in body), (403, False), target)
        if os.getuid() != 0:
            c.send(get("/private"))
            expect(c.answer()[0], 403)
        before = s.files()
        with Client(s) as lost:  # it goes in the middle of the file
            lost.send(get("/big"))
            lost.more()
        until(lambda: s.files() <= before, "closing a file that nobody wants any more")


# ---- bad requests ----------------------------------------------------------


def test_malformed():
    host = "Host: x\r\n"
    bad = {
        400: [
            "\0\r\n\r\n",
            "\r\n\r\n\r\n",
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET /hello HTTP/1.1 \r\n" + host + "\r\n",
            "GET  /hello HTTP/1.1\r\n" + host + "\r\n",
            "GET /hel lo HTTP/1.1\r\n" + host + "\r\n",
            "GET hello HTTP/1.1\r\n" + host + "\r\n",
            "GET http://x HTTP/1.1\r\n" + host + "\r\n",
            "GET /a\x7f HTTP/1.1\r\n" + host + "\r\n",
            "GET /%zz HTTP/1.1\r\n" + host + "\r\n",
            "GET /% HTTP/1.1\r\n" + host + "\r\n",
            "GET /%2 HTTP/1.1\r\n" + host + "\r\n",
            "GET /%00 HTTP/1.1\r\n" + host + "\r\n",
            "G@T /hello HTTP/1.1\r\n" + host + "\r\n",
            "GET /hello HTTP/1\r\n" + host + "\r\n",
            "GET /hello http/1.1\r\n" + host + "\r\n",
            "GET /hello HTTP/1.1\r\n\r\n",
            "GET /hello HTTP/1.1\r\n" + host * 2 + "\r\n",
            get("/hello", "no colon\r\n"),
            get("/hello", ": no name\r\n"),
            get("/hello", "Name : space before the colon\r\n"),
            get("/hello", "A: b\r\n folded\r\n"),
            get("/hello", "A: b\rc: d\r\n"),
            get("/hello", "A: b\0c\r\n"),
            post("abc", "Content-Length: 3\r\n"),
            post("abc", "Transfer-Encoding: chunked\r\n"),
            post("").replace(": 0", ": -1"),
            post("").replace(": 0", ": +1"),
            post("").replace(": 0", ": 1, 1"),
            post("").replace(": 0", ": 0x10"),
            post("").replace(": 0", ":"),
            chunked("0\r\n\r\n").replace("1.1", "1.0"),
            chunked("0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
        ],
        413: [post("").replace(": 0", ": 1048577"), post("").replace(": 0", ": " + "9" * 40)],
        414: ["GET /" + "x" * 9000 + " HTTP/1.1\r\n\r\n", "x" * 100000],
        431: [
            get("/hello", "A: " + "x" * 9000 + "\r\n"),
            get("/hello", "A: b\r\n" * 100),
            get("/hello", ("A: " + "x" * 1000 + "\r\n") * 20),
            chunked("0\r\n" + "A: b\r\n" * 200 + "\r\n"),
        ],
        501: ["BREW /hello HTTP/1.1\r\n" + host + "\r\n", chunked("").replace("chunked", "gzip")],
        505: ["GET /hello HTTP/2.0\r\n" + host + "\r\n"],
    }
    with Server() as s:
        for status, requests in bad.items():
            for data in requests:
                with Client(s) as c:
                    c.send(data)
                    expect(c.answer()[0], status, data[:100])
                    if status != 501:  # nothing that follows is taken for a request
                        c.send(get("/hello"))
                        expect(c.is_closed(), True, data[:100])
        expect(ask(s, get("/hello", "A: b\r\n" * 99))[0], 200)
        expect(ask(s, get("/hello", "A: " + "x" * 8000 + "\r\n"))[0], 200)
        expect(len(ask(s, post("x" * 1048576))[2]), 1048576)
        with Client(s) as c:  # the end of the stream in the middle
            c.send("GET /hello HT")
            c.socket.shutdown(socket.SHUT_WR)
            expect(c.answer()[0], 400)
        with Client(s) as c:  # and after a request
            c.send(get("/hello"))
            c.socket.shutdown(socket.SHUT_WR)
            expect((c.answer()[0], c.is_closed()), (200, True))


def test_timeouts():
    with Server("-t", "0.4", "-i", "0.4") as s:
        with Client(s) as c:  # nothing is asked
            expect(c.answer(), None)
        with Client(s) as c:  # nor a second time
            c.send(get("/hello"))
            expect((c.answer()[0], c.answer()), (200, None))
        for data in get("/hello")[:-2], post("abc")[:-1], chunked("3\r\nab"):
            expect(ask(s, data)[0], 408)
        # A byte now and then does not help.
        with Client(s) as c:
            begin = time.monotonic()
            try:
                while time.monotonic() < begin + PATIENCE:
                    c.send("G")
                    c.socket.settimeout(0.05)
                    try:
                        if c.more():
                            break
                    except socket.timeout:
                        pass
            except OSError:
                pass
            c.socket.settimeout(PATIENCE)
            expect((time.monotonic() < begin + PATIENCE, c.answer()[0]), (True, 408))
        # One that does not read is cut off.
        before = s.files()
        with Client(s) as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.send(get("/big"))
            until(lambda: s.files() > before, "opening it")
            until(lambda: s.files() <= before, "closing it")


def test_slow_clients():
    """Many who send slowly keep nobody else from being served."""
    with Server("-t", "30") as s:
        slow = [Client(s) for _ in range(300)]
        for c in slow:
            c.send("GET /hello HTTP/1.1\r\nX: ")
        for _ in range(5):
            for c in slow:
                c.send("x")
            expect(ask(s, get("/hello"))[0], 200)
        for c in slow:
            c.send("\r\nHost: x\r\n\r\n")
        expect({c.answer()[0] for c in slow}, {200})
        for c in slow:
            c.socket.close()


def test_most_connections():
    with Server("-n", "2") as s:
        clients = [Client(s) for _ in range(3)]
        for c in clients:
            c.send(get("/hello"))
        expect([c.answer()[0] for c in clients[:2]], [200, 200])
        clients[2].socket.settimeout(0.2)
        try:
            clients[2].answer()
            raise AssertionError("more than two")
        except socket.timeout:
            pass
        clients[2].socket.settimeout(PATIENCE)
        clients[0].socket.close()
        expect(clients[2].answer()[0], 200)
        for c in clients:
            c.socket.close()


# ---- the end ---------------------------------------------------------------


def begin(client, half):
    """Sends half a request, and knows that the server has it: it came with another one."""
    client.send(get("/hello") + half)
    expect(client.answer()[0], 200)


def test_stop_idle():
    for which in signal.SIGTERM, signal.SIGINT:
        with Server() as s, Client(s) as idle, Client(s) as never:
            idle.send(get("/hello"))
            expect(idle.answer()[0], 200)
            with Client(s) as last:  # when it is accepted, so is the one before
                last.send(get("/hello"))
                expect(last.answer()[0], 200)
            expect(s.stop(which), (0, "stopped\n"))
            expect((idle.answer(), never.answer()), (None, None))
            try:
                s.connect()
                raise AssertionError("it still listens")
            except ConnectionRefusedError:
                pass


def test_stop_waits_for_requests():
    with Server() as s, Client(s) as half, Client(s) as body, Client(s) as reader, Client(s) as idle:
        idle.send(get("/hello"))
        idle.answer()
        begin(half, "GET /hello HTTP/1.1\r\nHo")
        begin(body, post("0123456789")[:-5])
        reader.send(get("/big"))
        while len(reader.buffer) < 1000:
            reader.more()
        s.process.send_signal(signal.SIGTERM)
        expect(idle.answer(), None)
        half.send("st: x\r\n\r\n")
        body.send("56789")
        for c in half, body, reader:
            status, fields, data = c.answer()
            expect((status, c.is_closed()), (200, True))
            if c is reader:  # it had been answered before
                with open(os.path.join(FOLDER, "big"), "rb") as f:
                    expect(data == f.read(), True)
            else:
                expect(fields["connection"], "close")
        expect((s.process.stdout.read(), s.process.wait(PATIENCE)), ("stopped\n", 0))


def test_stop_has_an_end():
    with Server("-g", "0.3") as s, Client(s) as c:
        begin(c, "GET /hello HTTP/1.1\r\nHo")
        expect(s.stop(), (1, "stopped before all requests were answered\n"))


def test_stop_under_load():
    """Every request that was begun is answered in full, also the last of each connection."""
    with Server() as s:
        answered, problems = [0] * 16, []

        def load(i):
            try:
                with Client(s) as c:
                    while True:
                        c.send(post("%d of %d" % (answered[i], i)))
                        answer = c.answer()
                        expect(answer[::2], (200, b"%d of %d" % (answered[i], i)))
                        answered[i] += 1
                        if "connection" in answer[1]:
                            expect(c.is_closed(), True)
                            return
            except Exception as e:  # whatever it is
                problems.append("%d after %d: %r" % (i, answered[i], e))

        threads = [threading.Thread(target=load, args=(i,)) for i in range(16)]
        for t in threads:
            t.start()
        until(lambda: min(answered) > 100 or problems, "work")
        expect(s.stop(), (0, "stopped\n"))
        for t in threads:
            t.join()
        expect(problems, [])


# ---- other clients ---------------------------------------------------------


def output(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE, **more).stdout


def test_debug():
    """-d: it tells what its goroutines do, beside what it serves."""
    path = os.path.join(tempfile.mkdtemp(dir="/tmp"), "debug")
    with Server("-d", path) as server, server.connect() as s:
        with socket.socket(socket.AF_UNIX) as d:
            d.settimeout(PATIENCE)
            d.connect(path)
            d.sendall(b"GET /goroutines.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            told = b"".join(iter(lambda: d.recv(1 << 16), b""))
        expect(told.count(b"spawned at stop_on_signal@") >= 1, True)
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(s.recv(1000).startswith(b"HTTP/1.1 200 OK"), True)
    expect(os.path.exists(path), False)
    os.rmdir(os.path.dirname(path))


def test_curl():
    if not tool("curl"):
        return
    with Server() as s:
        expect(output("curl", "-sS", s.url + "/hello"), b"Hello, World!\n")
        # Two requests, one connection.
        said = subprocess.run(
            ["curl", "-sSv", s.url + "/hello", s.url + "/hello"],
            capture_output=True,
            timeout=PATIENCE,
        )
        expect((said.returncode, said.stdout.count(b"Hello")), (0, 2))
        expect(b"Re-using existing connection" in said.stderr, True)
        expect(output("curl", "-sSI", s.url + "/small.txt").count(b"Content-Length: 5"), 1)
        got = os.path.join(FOLDER, "..", "got")
        output("curl", "-sS", "-o", got, s.url + "/big")
        sums = output("sha256sum", got, os.path.join(FOLDER, "big")).split()
        expect(sums[0], sums[2])
        big = "@" + os.path.join(FOLDER, "half")
        echoed = output("curl", "-sS", "--data-binary", big, s.url + "/echo")  # with Expect
        with open(os.path.join(FOLDER, "half"), "rb") as f:
            expect(echoed == f.read(), True)
        again = output(
            "curl", "-sS", "-H", "Transfer-Encoding: chunked", "--data-binary", big, s.url + "/echo"
        )
        expect(again == echoed, True)
        too_big = "@" + os.path.join(FOLDER, "big")
        status = output(
            "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", too_big, s.url + "/echo"
        )
        expect(status, b"413")


def test_nc():
    if not tool("nc"):
        return
    with Server() as s:
        data = (get("/hello") * 3 + get("/hello", "Connection: close\r\n")).encode()
        said = output("nc", "127.0.0.1", str(s.port), input=data)
        expect((said.count(b"Hello, World!\n"), said.count(b"Connection: close")), (4, 1))


def test_wrk():
    if not tool("wrk"):
        return
    with Server() as s:
        before = s.files()
        for target, connections in ("/hello", 64), ("/small.txt", 16), ("/hello", 256):
            said = output("wrk", "-t1", "-c%d" % connections, "-d1s", s.url + target, text=True)
            n = int(re.search(r"(\d+) requests in", said).group(1))
            expect((n > 100, "Socket errors" in said, "Non-2xx" in said), (True, False, False), said)
        until(lambda: s.files() <= before, "closing all connections")


def make_files():
    os.makedirs(os.path.join(FOLDER, "sub"))
    os.makedirs(os.path.join(FOLDER, "empty_folder"))
    os.mkfifo(os.path.join(FOLDER, "fifo"))
    for name, data in (
        ("big", hashlib.shake_128(b"seed").digest(20 << 20)),
        ("half", hashlib.shake_128(b"half").digest(500 << 10)),
        ("small.txt", b"small"),
        ("empty.html", b""),
        ("index.html", b"index"),
        ("sub/index.html", b"index of sub"),
        ("private", b"private"),
        ("../secret", b"secret"),
    ):
        with open(os.path.join(FOLDER, name), "wb") as f:
            f.write(data)
    os.chmod(os.path.join(FOLDER, "private"), 0)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_files()
    tests = [(name, f) for name, f in globals().items() if name.startswith("test_")]
    chosen = sys.argv[2:] or [name for name, _ in tests]
    failed = 0
    for name, test in tests:
        if name not in chosen:
            continue
        begin = time.monotonic()
        try:
            test()
            print("ok: %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
        except Exception as e:  # the others are run all the same
            failed += 1
            print("FAILED: %s: %s %s" % (name, type(e).__name__, e), flush=True)
    print("%d failed" % failed)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
