#!/usr/bin/env python3
"""page_test.py PROGRAM [SCREENSHOT]: the page that a program serves, in a real browser: headless Chromium, driven by
chromedriver. Skipped where these are missing, or do not start.

With SCREENSHOT it also saves a picture of the page as a PNG.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from served import PATIENCE, Program, skip, socket_path, until

PROGRAM = os.path.abspath(sys.argv[1])
SCREENSHOT = sys.argv[2] if len(sys.argv) > 2 else None
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1100,900"]


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(dir="/tmp")
        home = dict(os.environ, HOME=self.folder, no_proxy="*")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=home)
        self.session = None
        port = None
        for line in self.driver.stdout:
            if m := re.search(r"started successfully on port (\d+)", line):
                port = m.group(1)
                break
        if port is None:
            self.close()
            skip("chromedriver does not start")
        self.url = f"http://127.0.0.1:{port}"
        options = {"args": OPTIONS + ["--user-data-dir=" + self.folder + "/data"], "binary": shutil.which("chromium")}
        wants = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wants}})["sessionId"]
        except urllib.error.HTTPError as e:
            why = e.read().decode()[:500]
            self.close()
            skip("chromium does not start: " + why)

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        q = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(q, timeout=PATIENCE) as r:
            return json.load(r)["value"]

    def do(self, what, body=None):
        return self.call("GET" if body is None else "POST", f"/session/{self.session}{what}", body)

    def js(self, code):
        return self.do("/execute/sync", {"script": code, "args": []})

    def close(self):
        if self.session is not None:
            self.call("DELETE", f"/session/{self.session}")
        self.driver.kill()
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.folder, True)


def rows(b):
    return b.js("return [...document.querySelectorAll('#groups tr')].map(r => [...r.cells].map(c => c.innerText))")


def number(b, name):
    return b.js(f"return document.getElementById('{name}').textContent")


def check(b, p):
    b.do("/url", {"url": f"http://127.0.0.1:{p.port}/"})
    until(lambda: b.js("return document.body.dataset.ready") == "yes", "the page")
    assert number(b, "program") == "serve_program", number(b, "program")
    assert number(b, "about").startswith(f"process {p.process.pid}, golib "), number(b, "about")
    until(lambda: number(b, "total") == "7", "seven goroutines")

    # It follows the program.
    p.tell("readers 20")
    until(lambda: number(b, "total") == "27", "more goroutines")
    until(lambda: int(number(b, "state_waiting")) >= 25)
    assert int(number(b, "state_running")) <= 2
    until(lambda: re.search(r"\(\d+/s\)", b.js("return document.getElementById('numbers').innerText")), "rates")
    assert b.js("return document.querySelectorAll('#hist div').length") == 32
    assert b.js("return document.querySelectorAll('#queues div').length") == p.json("/stats.json")["procs"]

    # The table: sorted, filtered, with stacks, and text is nothing but text.
    table = until(lambda: (r := rows(b)) and r[0][0] == "20" and r, "the largest group, first")
    assert [r[1] for r in table if "reader" in r[3]] == ["chan receive"] * 2, table
    b.js("document.querySelector('th[data-by=state]').click()")
    states = [r[1] for r in rows(b)]
    assert states == sorted(states) and len(set(states)) > 1, states
    b.js("const f = document.getElementById('filter'); f.value = 'SLEEPER'; f.dispatchEvent(new Event('input'))")
    assert [r[3].split()[0] for r in rows(b)] == ["sleeper"], rows(b)
    b.js("const f = document.getElementById('filter'); f.value = 'reader'; f.dispatchEvent(new Event('input'))")
    b.js("document.querySelector('#groups details').open = true")
    until(lambda: "reader" in b.js("return document.querySelector('#groups pre').innerText"), "a stack")
    now = b.js("return document.getElementById('total').textContent")
    p.tell("readers 1")
    until(lambda: number(b, "total") != now)
    assert b.js("return document.querySelectorAll('#groups details[open]').length") == 1, "a stack closes by itself"
    assert b.js("return document.querySelectorAll('b b, i b').length") == 0
    if SCREENSHOT:
        b.js("const f = document.getElementById('filter'); f.value = ''; f.dispatchEvent(new Event('input'));"
             "document.querySelector('th[data-by=count]').click()")
        until(lambda: re.search(r"\(\d+/s\)", b.js("return document.getElementById('numbers').innerText")))
        with open(SCREENSHOT, "wb") as f:
            f.write(base64.b64decode(b.do("/screenshot")))

    # A pause, and what is told when there is no answer any more.
    b.js("document.getElementById('pause').click()")
    assert number(b, "pause") == "go on"
    b.js("document.getElementById('pause').click()")
    p.tell("leak")
    b.js("const f = document.getElementById('filter'); f.value = 'leaked'; f.dispatchEvent(new Event('input'))")
    b.js("document.getElementById('leaks').click()")
    until(lambda: [r for r in rows(b) if r[1] == "chan receive, leaked"], "the leak")
    said = [e for e in b.do("/se/log", {"type": "browser"}) if e["level"] in ("SEVERE", "WARNING")]
    assert not said, said
    links = b.js("return [...document.querySelectorAll('a')].map(a => a.href)")
    assert links and all(x.startswith(f"http://127.0.0.1:{p.port}/") for x in links), links

    # A page of somebody else's, whose name leads here: nothing is told.
    b.do("/url", {"url": f"http://localhost:{p.port}/stats.json"})
    assert '"goroutines"' in b.js("return document.body.innerText")
    b.do("/url", {"url": "data:text/html,<body>"})
    b.js(f"const s = document.createElement('img'); s.src = 'http://127.0.0.1:{p.port}/trace?seconds=60'; document.body.append(s)")
    outcome = b.do("/execute/async", {"args": [], "script":
                   f"const done = arguments[0]; fetch('http://127.0.0.1:{p.port}/stats.json').then(r => done('read'), e => done('refused'))"})
    assert outcome == "refused", outcome
    assert p.get("/trace?seconds=0.01")[0] == 200  # there is none on

    b.do("/url", {"url": f"http://127.0.0.1:{p.port}/"})
    until(lambda: b.js("return document.body.dataset.ready") == "yes")
    assert p.stop()[0] == 0
    until(lambda: b.js("return document.getElementById('status').textContent").startswith("no answer"), "no answer")


def main():
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        skip("there is no chromium with its chromedriver")
    p = Program(PROGRAM, socket_path(), "127.0.0.1:0")
    p.tell("hogs 1")
    b = Browser()
    try:
        check(b, p)
    finally:
        b.close()


if __name__ == "__main__":
    main()
