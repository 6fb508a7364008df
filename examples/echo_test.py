#!/usr/bin/env python3
"""echo_test.py ECHO: both its sides, against each other and against nc and socat."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs as p  # noqa: E402


class Echo(p.Usage, unittest.TestCase):
    bad = [[], ["a", "b"], ["-x", "a"], ["--idle", "x", "a"], ["--idle", "-1", "a"], ["--idle"]]

    def setUp(self):
        self.server = p.Program(self.program, "127.0.0.1:0")

    def tearDown(self):
        self.assertEqual(self.server.stop(), 0, self.server.said())
        self.server.err.close()

    def echoed(self, data, *command):
        status, out, err = p.run(*command, input=data)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(p.sha256(out), p.sha256(data))

    def test_own_client(self):
        for n in 0, 1, 65536, 16 * p.MIB:
            self.echoed(p.some_bytes(n), self.program, "--connect", self.server.addr)

    @p.needs("nc")
    def test_nc(self):
        self.echoed(p.some_bytes(16 * p.MIB), "nc", "-N", "127.0.0.1", str(self.server.port))

    @p.needs("socat")
    def test_socat(self):
        self.echoed(p.some_bytes(16 * p.MIB), "socat", "-t60", "-", f"TCP:{self.server.addr}")

    def test_unix_socket(self):
        name = p.socket_path("echo")
        server = p.Program(self.program, name)
        self.assertEqual(server.addr, name)
        self.echoed(b"hello", self.program, "-c", name)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(name))

    def test_many_clients_at_once(self):
        def one(i):
            with self.server.connect() as s:
                for k in range(20):
                    text = f"{i} {k}".encode().ljust(100)
                    s.sendall(text)
                    self.assertEqual(s.recv(100, socket.MSG_WAITALL), text)

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(one, range(200)))

    def test_idle(self):
        server = p.Program(self.program, "--idle", "0.1", "127.0.0.1:0")
        with server.connect() as s:
            s.sendall(b"x")
            self.assertEqual(p.read_all(s), b"x")  # ends
        self.assertEqual(server.stop(), 0)

    def test_signals(self):
        server = p.Program(self.program, "127.0.0.1:0")
        with server.connect() as s:
            s.sendall(b"1")
            self.assertEqual(s.recv(1), b"1")
            server.signal()
            server.until_deaf()
            s.sendall(b"2")  # who is in goes on
            self.assertEqual(s.recv(1), b"2")
            server.signal(signal.SIGINT)
            self.assertEqual(server.wait(), 0)

    def test_server_hangs_up(self):
        with socket.create_server(("127.0.0.1", 0)) as l:
            addr = "127.0.0.1:%d" % l.getsockname()[1]
            client = subprocess.Popen(
                [self.program, "-c", addr], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            c, _ = l.accept()
            c.sendall(b"bye")
            c.close()
            self.assertEqual(client.stdout.read(), b"bye")
            self.assertEqual(client.stderr.read(), b"echo: the server has hung up\n")
            self.assertEqual(client.wait(p.PATIENCE), 1)
            for f in client.stdin, client.stdout, client.stderr:
                f.close()

    def test_errors(self):
        status, _, err = p.run(self.program, self.server.addr)
        self.assertEqual((status, err.replace("already ", "")), (1, f"echo: {self.server.addr}: Address in use\n"))  # musl has no "already"
        with socket.socket() as s:  # bound, but not listening
            s.bind(("127.0.0.1", 0))
            addr = "127.0.0.1:%d" % s.getsockname()[1]
            status, _, err = p.run(self.program, "-c", addr)
            self.assertEqual((status, err), (1, f"echo: {addr}: Connection refused\n"))
        status, _, err = p.run(self.program, "no port")
        self.assertEqual((status, err), (1, "echo: no port: invalid argument\n"))


if __name__ == "__main__":
    p.main()
