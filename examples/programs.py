"""For the tests of examples that use the network: programs that are started and stopped, and what they are tried with."""

import atexit
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

# Nothing here takes long; what hangs fails.
PATIENCE = 200
socket.setdefaulttimeout(PATIENCE)

MIB = 1 << 20
TMP = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
atexit.register(shutil.rmtree, TMP, True)


def path(name):
    return os.path.join(TMP, name)


def socket_path(name):
    """For Unix sockets, whose paths have to be short."""
    d = tempfile.mkdtemp(dir="/tmp")
    atexit.register(shutil.rmtree, d, True)
    return os.path.join(d, name)


def is_listening(port):
    """Whether 127.0.0.1:port takes connections, by the system's table: without connecting."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return f"0100007F:{port:04X} 00000000:0000 0A" in f.read()


def until(condition):
    while not condition():
        time.sleep(0.02)


def some_bytes(n, seed=1):
    return random.Random(seed).randbytes(n)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file_of(name, data):
    with open(path(name), "wb") as f:
        f.write(data)
    return path(name)


def contents(name):
    with open(path(name), "rb") as f:
        return f.read()


def needs(*tools):
    """Skips a test, and says so, where a tool is missing."""
    missing = [t for t in tools if shutil.which(t) is None]

    def decorate(f):
        if not missing:
            return f
        print(f"SKIPPED {os.path.basename(sys.argv[0])} {f.__name__}: there is no {' nor '.join(missing)} here", flush=True)
        return unittest.skip("no " + ", ".join(missing))(f)

    return decorate


class Program:
    """One that serves, from the line in which it says where until stop()."""

    def __init__(self, program, *args):
        self.err = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.err
        )
        atexit.register(self.process.kill)
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on "), f"{program}: {line!r} {self.said()}"
        self.addr = line[len("listening on ") :].rstrip("\n")
        self.port = int(self.addr.rpartition(":")[2]) if "/" not in self.addr else 0

    def said(self):
        self.err.seek(0)
        return self.err.read().decode()

    def until_said(self, what, times=1):
        until(lambda: self.said().count(what) >= times)

    def until_deaf(self):
        """It has been told to stop, and takes no more connections."""
        until(lambda: not is_listening(self.port))

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))

    def signal(self, what=signal.SIGTERM):
        self.process.send_signal(what)

    def wait(self):
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return status

    def stop(self):
        self.signal()
        return self.wait()


def run(*args, **kwargs):
    """A program that ends by itself: (status, output, errors)."""
    kwargs.setdefault("timeout", PATIENCE)
    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **kwargs)
    return r.returncode, r.stdout, r.stderr.decode(errors="replace")


def read_all(s):
    data = bytearray()
    while chunk := s.recv(1 << 16):
        data += chunk
    return bytes(data)


class Usage:
    """What all of these programs do with their arguments. A test case that has `program` and `bad`, lists of arguments."""

    def test_help(self):
        for option in "--help", "-h":
            status, out, err = run(self.program, option)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith(b"usage: "), out)
            for line in out.decode().split("\n"):
                self.assertLessEqual(len(line), 120)

    def test_bad_usage(self):
        for args in self.bad:
            status, out, err = run(self.program, *args)
            self.assertEqual((status, out), (2, b""), args)
            self.assertIn("usage: ", err)


def main():
    """The test's first argument is the program."""
    program = os.path.abspath(sys.argv.pop(1))
    for case in vars(sys.modules["__main__"]).values():
        if isinstance(case, type) and issubclass(case, unittest.TestCase):
            case.program = program
    unittest.main(verbosity=2, warnings="ignore")
