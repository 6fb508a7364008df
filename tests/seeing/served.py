"""For tests of what a running program serves: the program, and a client that says exactly what it is told to."""

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 100  # seconds, for what comes, however slow the machine
# A thread of go_offload's that has been idle for seconds ends, and is joined by the next one that does: at exit one is left.
os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + " report_thread_leaks=0"
_EMULATOR = os.environ.get("GOLIB_RUN", "").split()


def socket_path(name="s"):
    """For Unix sockets, whose paths have to be short."""
    d = tempfile.mkdtemp(dir="/tmp")
    atexit.register(shutil.rmtree, d, True)
    return os.path.join(d, name)


class Program:
    """serve_program, until stop()."""

    def __init__(self, program, *args, **env):
        self.path = args[0] if args else None
        self.process = subprocess.Popen(_EMULATOR + [program, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=dict(os.environ, **env))
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        assert line.startswith("listening "), (line, self.process.stderr.read())
        self.port = int(line.split()[1])

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self, line="exit"):
        """Its status and what it said last."""
        if line is not None:
            self.tell(line)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err

    def connect(self, tcp=False):
        if tcp:
            s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        else:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(PATIENCE)
            s.connect(self.path)
        return s

    def get(self, target, tcp=False, method="GET", **headers):
        """(status, headers, body) on a connection of its own."""
        c = http.client.HTTPConnection("localhost", self.port or 80)
        c.sock = self.connect(tcp)
        try:
            c.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def json(self, target, **more):
        status, headers, body = self.get(target, **more)
        assert status == 200 and headers["Content-Type"] == "application/json", (status, body)
        return json.loads(body)


def until(condition, what="it"):
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} does not come"
        time.sleep(0.02)
    return value


def skip(why):
    print("SKIPPED: " + why)
    sys.exit(0)
