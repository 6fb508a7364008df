#!/usr/bin/env python3
"""tcp_proxy_test.py TCP_PROXY: with sockets of its own, and with curl, nc, socat and openssl on both sides."""

import concurrent.futures
import hashlib
import http.server
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs as p  # noqa: E402

LARGE = 64 * p.MIB


class Web(http.server.BaseHTTPRequestHandler):
    """GET /N: N bytes. PUT: the SHA-256 of what came. Connections are kept."""

    protocol_version = "HTTP/1.1"
    data = p.some_bytes(LARGE)

    def do_GET(self):
        body = self.data[: int(self.path[1:])]
        self.answer(body)

    def do_PUT(self):
        h, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left > 0:
            chunk = self.rfile.read(min(left, 1 << 20))
            h.update(chunk)
            left -= len(chunk)
        self.answer(h.hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class WebServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Target:
    """A listener whose connections the test serves by hand."""

    def __init__(self, backlog=128):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.addr = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def accept(self):
        return self.socket.accept()[0]

    def close(self):
        self.socket.close()


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Base(unittest.TestCase):
    def setUp(self):
        self.proxies = []
        self.target = Target()

    def tearDown(self):
        self.target.close()
        for proxy in self.proxies:
            self.assertEqual(proxy.stop(), 0, proxy.said())

    def proxy(self, *args, to=None):
        self.proxies.append(p.Program(self.program, *args, "127.0.0.1:0", to or self.target.addr))
        return self.proxies[-1]

    def pair(self, proxy):
        client = proxy.connect()
        return client, self.target.accept()


class Streams(Base):
    """What must hold for every connection."""

    def test_both_directions_at_once(self):
        a, b = self.pair(self.proxy())
        up, down = p.some_bytes(8 * p.MIB, 2), p.some_bytes(8 * p.MIB, 3)

        def send(s, data):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            pool.submit(send, a, up)
            pool.submit(send, b, down)
            at_b, at_a = pool.submit(p.read_all, b), pool.submit(p.read_all, a)
            self.assertEqual(p.sha256(at_b.result()), p.sha256(up))
            self.assertEqual(p.sha256(at_a.result()), p.sha256(down))
        a.close()
        b.close()

    def test_half_close_by_the_client(self):
        a, b = self.pair(self.proxy())
        with a, b:
            a.sendall(b"question")
            a.shutdown(socket.SHUT_WR)
            self.assertEqual(p.read_all(b), b"question")
            for _ in range(3):  # the other direction lives
                b.sendall(b"answer")
                self.assertEqual(a.recv(6, socket.MSG_WAITALL), b"answer")
            b.close()
            self.assertEqual(p.read_all(a), b"")

    def test_half_close_by_the_target(self):
        a, b = self.pair(self.proxy())
        with a, b:
            b.sendall(b"greeting")
            b.shutdown(socket.SHUT_WR)
            self.assertEqual(p.read_all(a), b"greeting")
            for _ in range(3):
                a.sendall(b"more")
                self.assertEqual(b.recv(4, socket.MSG_WAITALL), b"more")
            a.close()
            self.assertEqual(p.read_all(b), b"")

    def test_resets_are_passed_on(self):
        proxy = self.proxy("-v")
        for first in 0, 1:
            ends = self.pair(proxy)
            ends[0].sendall(b"x")
            self.assertEqual(ends[1].recv(1), b"x")
            reset(ends[first])
            with self.assertRaises(ConnectionResetError), ends[1 - first] as other:
                other.recv(1)
        proxy.until_said("1 bytes up, 0 down: Connection reset by peer\n", 2)

    def test_a_reader_that_waits_holds_its_writer(self):
        # Nothing is dropped, and the proxy does not swallow the stream: it has no more than buffers.
        a, b = self.pair(self.proxy())
        with a, b:
            a.settimeout(1)
            data, sent = p.some_bytes(LARGE), 0
            with self.assertRaises(TimeoutError):
                while True:
                    sent += a.send(data[sent : sent + p.MIB])
            self.assertLess(sent, LARGE)
            a.shutdown(socket.SHUT_WR)
            self.assertEqual(p.sha256(p.read_all(b)), p.sha256(data[:sent]))

    def test_many_at_once(self):
        proxy = self.proxy()
        clients = [proxy.connect() for _ in range(200)]
        servers = [self.target.accept() for _ in clients]
        for i, c in enumerate(clients):
            c.sendall(b"%04d" % i)
            c.shutdown(socket.SHUT_WR)
        seen = set()
        for s in servers:
            data = p.read_all(s)
            seen.add(data)
            s.sendall(data)
            s.close()
        self.assertEqual(seen, {b"%04d" % i for i in range(200)})
        for i, c in enumerate(clients):
            self.assertEqual(p.read_all(c), b"%04d" % i)
            c.close()

    def test_unix_sockets(self):
        path = p.socket_path("target")
        with socket.socket(socket.AF_UNIX) as l:
            l.bind(path)
            l.listen()
            proxy = p.Program(self.program, p.socket_path("proxy"), path)
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(proxy.addr)
                s, _ = l.accept()
                with s:
                    c.sendall(b"hello")
                    self.assertEqual(s.recv(5), b"hello")
            self.assertEqual(proxy.stop(), 0)


class Limits(p.Usage, Base):
    bad = [
        [],
        ["a"],
        ["a", "b", "c"],
        *([o, v, "a", "b"] for o in ("-m", "-d", "-i", "-g") for v in ("", "x", "-1", "1x")),
        ["-m", "0", "a", "b"],
        ["-d", "nan", "a", "b"],
        ["--nonsense", "a", "b"],
    ]

    def test_max(self):
        proxy = self.proxy("--max", "2")
        first, second = self.pair(proxy), self.pair(proxy)
        third = proxy.connect()  # the system has it, the proxy not yet
        third.sendall(b"third")
        self.target.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            self.target.accept()
        self.target.socket.settimeout(p.PATIENCE)
        for s in first:
            s.close()
        s = self.target.accept()
        self.assertEqual(s.recv(5), b"third")
        for s in (s, third, *second):
            s.close()

    def test_nobody_there(self):
        with socket.socket() as s:  # bound, but not listening
            s.bind(("127.0.0.1", 0))
            addr = "127.0.0.1:%d" % s.getsockname()[1]
            proxy = self.proxy(to=addr)
            for i in range(3):
                with self.assertRaises(ConnectionResetError), proxy.connect() as c:
                    c.recv(1)
            self.assertEqual(proxy.said(), f"tcp_proxy: {addr}: Connection refused\n" * 3)

    def test_dial_timeout(self):
        full = Target(backlog=0)  # a full queue: no answer
        waiting = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(full.socket.getsockname())
            waiting.append(s)
        proxy = self.proxy("--dial-timeout", "0.2", to=full.addr)
        with self.assertRaises(ConnectionResetError), proxy.connect() as c:
            c.recv(1)
        self.assertEqual(proxy.said(), f"tcp_proxy: {full.addr}: deadline exceeded\n")
        for s in waiting:
            s.close()
        full.close()

    def test_idle(self):
        proxy = self.proxy("--idle", "3", "-v")
        a, b = self.pair(proxy)
        start = time.monotonic()
        with a, b:
            for _ in range(20):  # one direction moves: the connection is not idle
                b.sendall(b".")
                self.assertEqual(a.recv(1), b".")
                time.sleep(0.2)
            self.assertGreater(time.monotonic() - start, 3)
            with self.assertRaises(ConnectionResetError):
                a.recv(1)
            proxy.until_said("20 down: deadline exceeded")

    def test_idle_and_slow_readers(self):
        # A reader that takes some from time to time is not idle, though nobody else moves meanwhile. (The system lets a
        # writer go on when a third of its buffer, which may have megabytes, is free.)
        a, b = self.pair(self.proxy("--idle", "5"))
        data = p.some_bytes(LARGE)
        with a, b, concurrent.futures.ThreadPoolExecutor(1) as pool:
            sent = pool.submit(lambda: (a.sendall(data), a.shutdown(socket.SHUT_WR)))
            got = bytearray()
            while chunk := b.recv(p.MIB, socket.MSG_WAITALL):
                got += chunk
                time.sleep(0.1)
            sent.result()
            self.assertEqual(p.sha256(got), p.sha256(data))

    def test_errors(self):
        status, out, err = p.run(self.program, self.target.addr, "x:1")
        self.assertEqual((status, out, err.replace("already ", "")), (1, b"", f"tcp_proxy: {self.target.addr}: Address in use\n"))  # musl has no "already"


class Stopping(Base):
    def test_connections_may_end(self):
        proxy = self.proxy("--grace", "60")
        a, b = self.pair(proxy)
        with a, b:
            proxy.signal()
            proxy.until_deaf()
            a.sendall(b"last words")
            a.shutdown(socket.SHUT_WR)
            self.assertEqual(p.read_all(b), b"last words")
            b.sendall(b"good bye")
            b.close()
            self.assertEqual(p.read_all(a), b"good bye")
        self.assertEqual(proxy.wait(), 0)
        self.assertEqual(proxy.said(), "")

    def broken_off(self, proxy, a, b):
        for s in a, b:
            with self.assertRaises(ConnectionResetError), s:
                s.recv(1)
        self.assertEqual(proxy.wait(), 0)
        self.assertEqual(proxy.said(), "tcp_proxy: connections are broken off\n")

    def test_but_not_for_ever(self):
        proxy = self.proxy("--grace", "0.2")
        a, b = self.pair(proxy)
        proxy.signal()
        self.broken_off(proxy, a, b)

    def test_nor_after_a_second_signal(self):
        proxy = self.proxy("--grace", "1000")
        a, b = self.pair(proxy)
        proxy.signal(signal.SIGINT)
        proxy.until_deaf()
        proxy.signal()
        self.broken_off(proxy, a, b)

    def tearDown(self):
        self.target.close()


class RealClients(Base):
    """Programs that others have written, on one side or on both."""

    @classmethod
    def setUpClass(cls):
        cls.web = WebServer(("127.0.0.1", 0), Web)
        cls.web_addr = "127.0.0.1:%d" % cls.web.server_address[1]
        threading.Thread(target=cls.web.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.web.shutdown()
        cls.web.server_close()

    def curl(self, *args, **kwargs):
        status, out, err = p.run("curl", "-sS", "--noproxy", "*", *args, **kwargs)
        self.assertEqual((status, err), (0, ""))
        return out

    @p.needs("curl")
    def test_curl_down(self):
        proxy = self.proxy(to=self.web_addr)
        for n in 0, 1, 100000, LARGE:
            got = self.curl(f"http://{proxy.addr}/{n}")
            self.assertEqual(p.sha256(got), p.sha256(Web.data[:n]))

    @p.needs("curl")
    def test_curl_up(self):
        proxy = self.proxy(to=self.web_addr)
        got = self.curl("-T", p.file_of("up", Web.data), "-H", "Expect:", f"http://{proxy.addr}/x")
        self.assertEqual(got.decode(), p.sha256(Web.data))

    @p.needs("curl")
    def test_curl_many_at_once(self):
        proxy = self.proxy(to=self.web_addr)
        args, n = [], 60
        for i in range(n):
            args += ["-o", p.path(f"many{i}"), f"http://{proxy.addr}/{200000 + i}"]
        status, _, err = p.run("curl", "-sS", "--noproxy", "*", "--parallel", "--parallel-immediate", "--parallel-max", str(n), *args)
        self.assertEqual(status, 0, err)  # it shows its progress there, in spite of -s
        for i in range(n):
            self.assertEqual(p.sha256(p.contents(f"many{i}")), p.sha256(Web.data[: 200000 + i]), i)

    def unused(self):
        """A port for a program that cannot choose one by itself."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    @p.needs("socat")
    def test_socat_both_directions(self):
        # What comes back is what went there, through socat twice and the proxy twice.
        port = self.unused()
        # No more than 4,096 bytes at a time: what it writes to its pipe it reads itself, and larger writes may wait for that.
        server = subprocess.Popen(["socat", "-b4096", f"TCP-LISTEN:{port},bind=127.0.0.1,fork", "PIPE"])
        try:
            inner = self.proxy(to=f"127.0.0.1:{port}")
            outer = self.proxy(to=inner.addr)
            p.until(lambda: p.is_listening(port))
            data = p.some_bytes(16 * p.MIB)
            status, out, err = p.run("socat", "-b65536", "-t60", "-", f"TCP:{outer.addr}", input=data)
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(p.sha256(out), p.sha256(data))
        finally:
            server.kill()
            server.wait()

    @p.needs("nc")
    def test_nc(self):
        # nc listens for one connection only: the proxy's dialling has to wait until it does.
        port = self.unused()
        receiver = subprocess.Popen(
            ["nc", "-l", "127.0.0.1", str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        p.until(lambda: p.is_listening(port))
        proxy = self.proxy(to=f"127.0.0.1:{port}")
        data = p.some_bytes(LARGE)
        sender = subprocess.Popen(
            ["nc", "-N", "127.0.0.1", str(proxy.port)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            got = pool.submit(receiver.stdout.read)
            sender.stdin.write(data)
            sender.stdin.close()
            self.assertEqual(p.sha256(got.result(p.PATIENCE)), p.sha256(data))
        self.assertEqual(sender.wait(p.PATIENCE), 0)
        self.assertEqual(receiver.wait(p.PATIENCE), 0)
        receiver.stdout.close()

    def popen(self, *args):
        process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for f in process.stdout.close, process.wait, process.kill:
            self.addCleanup(f)  # the last one first
        return process

    def certificate(self):
        key, cert = p.path("key.pem"), p.path("cert.pem")
        if not os.path.exists(cert):
            status, _, err = p.run(
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", key, "-out", cert),
            )
            self.assertEqual(status, 0, err)
        return key, cert

    def tls_server(self, *args, **kwargs):
        """openssl s_server, on a port that it chooses and says."""
        key, cert = self.certificate()
        server = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert", cert, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **kwargs,
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        while not (line := server.stdout.readline()).startswith(b"ACCEPT "):
            self.assertTrue(line, "openssl s_server has ended")
        return server, line[len("ACCEPT ") :].decode().strip()

    @p.needs("openssl", "curl")
    def test_tls_with_curl(self):
        data = p.some_bytes(LARGE)
        p.file_of("large", data)
        _, addr = self.tls_server("-WWW", cwd=p.TMP, stdin=subprocess.DEVNULL)
        proxy = self.proxy(to=addr)
        got = self.curl("--cacert", p.path("cert.pem"), f"https://{proxy.addr}/large")
        self.assertEqual(p.sha256(got), p.sha256(data))

    @p.needs("openssl")
    def test_tls_both_directions(self):
        # The server prints what the client sends, and the other way round.
        up, down = p.some_bytes(4 * p.MIB, 5), p.some_bytes(4 * p.MIB, 6)
        key, cert = self.certificate()
        port = self.unused()
        server = self.popen(
            *("openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-key", key, "-cert", cert)
        )
        p.until(lambda: p.is_listening(port))
        proxy = self.proxy(to=f"127.0.0.1:{port}")
        client = self.popen(
            *("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", cert, "-connect", proxy.addr)
        )

        def feed(f, data):
            f.write(data)
            f.flush()

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            # One after the other: while these programs write they do not read.
            for source, sink, data in (client, server, up), (server, client, down):
                fed = pool.submit(feed, source.stdin, data)
                self.assertEqual(p.sha256(sink.stdout.read(len(data))), p.sha256(data))
                fed.result(p.PATIENCE)
        self.doCleanups()  # else the proxy waits for them


if __name__ == "__main__":
    p.main()
