#!/usr/bin/env python3
"""chat_test.py CHAT: people who talk, who do not listen, and who misbehave."""

import os
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs as p  # noqa: E402


class Person:
    """A client. With a name it has entered the lobby."""

    def __init__(self, server, name=None):
        self.socket = server.connect()
        self.lines = self.socket.makefile("r", newline="\n")
        self.expect("* your name?")
        if name is not None:
            self.say(name)
            self.expect(f"* {name} has joined lobby")

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self):
        return self.lines.readline().rstrip("\n")

    def expect(self, *lines):
        for line in lines:
            heard = self.hear()
            assert heard == line, f"heard {heard[:200]!r}, not {line[:200]!r}"

    def leave(self):
        self.lines.close()
        self.socket.close()


class Chat(p.Usage, unittest.TestCase):
    bad = [[], ["a", "b"], ["-m", "0", "a"], ["-q", "x", "a"], ["--max"], ["--nonsense", "a"]]

    def setUp(self):
        self.server = p.Program(self.program, "--max", "5", "127.0.0.1:0")

    def tearDown(self):
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.said(), "")

    def test_talk(self):
        ann = Person(self.server, "ann")
        bob = Person(self.server, "bob")
        ann.expect("* bob has joined lobby")
        ann.say("hello")
        bob.say("")
        bob.expect("ann: hello")
        bob.say("hello, ann\r")  # as telnet does
        for who in ann, bob:
            if who is ann:
                who.expect("ann: hello")
            who.expect("bob: hello, ann")
        bob.leave()
        ann.expect("* bob has left")
        ann.say("/quit")
        ann.expect("", "")  # the end
        ann.leave()

    def test_names(self):
        ann = Person(self.server, "ann")
        other = Person(self.server)
        for bad in "", "a b", "x" * 21, "é", "a:b":
            other.say(bad)
            other.expect("* names have 1 to 20 letters, digits, - or _; your name?")
        other.say("ann")
        other.expect("* ann is taken; your name?")
        other.say("x" * 20)
        other.expect("* " + "x" * 20 + " has joined lobby")
        ann.expect("* " + "x" * 20 + " has joined lobby")
        ann.leave()
        other.expect("* ann has left")
        again = Person(self.server, "ann")
        for who in other, again:
            who.leave()

    def test_rooms(self):
        ann, bob = Person(self.server, "ann"), Person(self.server, "bob")
        ann.expect("* bob has joined lobby")
        bob.say("/join garden")
        ann.expect("* bob has gone to garden")
        bob.expect("* bob has gone to garden", "* bob has joined garden")
        bob.say("is anybody here?")
        bob.expect("bob: is anybody here?")
        bob.say("/names")
        bob.expect("* bob")
        bob.say("/rooms")
        bob.expect("* garden(bob) lobby(ann)")
        bob.say("/join a garden")
        bob.expect("* names of rooms have 1 to 20 letters, digits, - or _")
        bob.say("/what?")
        self.assertIn("/join ROOM", bob.hear())
        self.assertIn("/quit", bob.hear())
        ann.say("hello")
        ann.expect("ann: hello")  # bob's words were for the garden
        ann.say("/join garden")
        bob.expect("* ann has joined garden")  # and ann's for the lobby
        for who in ann, bob:
            who.leave()

    def test_what_is_typed_is_harmless(self):
        ann = Person(self.server, "ann")
        ann.say("\x1b[2Jgrüß\tdich\x07 \x7f\0")
        ann.expect("ann: ?[2Jgrüß\tdich? ??")
        ann.say("x" * 1000)
        ann.expect("ann: " + "x" * 1000)
        bob = Person(self.server, "bob")
        ann.expect("* bob has joined lobby")
        for n in 1001, 1002, 1003, 5000:
            bob.say("x" * n)
            bob.expect("* too long: lines have at most 1000 bytes")
            bob.say("short")
            bob.expect("bob: short")
            ann.expect("bob: short")
        for who in ann, bob:
            who.leave()

    def test_full(self):
        people = [Person(self.server) for _ in range(5)]
        with self.server.connect() as late:
            self.assertEqual(p.read_all(late), b"* the server is full\n")
        people.pop().leave()
        while True:  # there is room again, soon
            with self.server.connect() as late:
                if late.recv(100) == b"* your name?\n":
                    break
        for who in people:
            who.leave()

    def test_who_does_not_listen_holds_up_nobody(self):
        ann, deaf = Person(self.server, "ann"), Person(self.server, "deaf")
        ann.expect("* deaf has joined lobby")
        text = "x" * 900
        while True:  # ann hears all that she says, until deaf's connection, and queue, is full
            ann.say(text)
            heard = ann.hear()
            if heard != "ann: " + text:
                break
        self.assertEqual(heard, "* deaf was too slow and has been disconnected")
        ann.expect("ann: " + text)
        ann.say("/names")
        ann.expect("* ann")
        for who in ann, deaf:
            who.leave()

    def test_stop(self):
        server = p.Program(self.program, "127.0.0.1:0")
        ann, nameless = Person(server, "ann"), Person(server)
        server.signal()
        for who in ann, nameless:
            who.expect("* the server is stopping", "")
        self.assertEqual(server.wait(), 0)
        for who in ann, nameless:
            who.leave()

    def test_stop_with_one_who_does_not_listen(self):
        server = p.Program(self.program, "--queue", "100000", "127.0.0.1:0")
        ann, deaf = Person(server, "ann"), Person(server, "deaf")
        ann.expect("* deaf has joined lobby")
        text = "x" * 900
        for _ in range(10000):  # more than fits into a connection
            ann.say(text)
            ann.expect("ann: " + text)
        server.signal()
        ann.expect("* the server is stopping")
        server.signal()  # at once
        self.assertEqual(server.wait(), 0)
        for who in ann, deaf:
            who.leave()

    def test_unix_socket(self):
        server = p.Program(self.program, p.socket_path("chat"))
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(server.addr)
            self.assertEqual(s.recv(100), b"* your name?\n")
        self.assertEqual(server.stop(), 0)

    @p.needs("nc")
    def test_nc(self):
        ann = Person(self.server, "ann")
        nc = subprocess.Popen(
            ["nc", "-N", "127.0.0.1", str(self.server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        nc.stdin.write(b"bob\nhello from nc\n")
        nc.stdin.close()
        ann.expect("* bob has joined lobby", "bob: hello from nc", "* bob has left")
        self.assertEqual(nc.stdout.read(), b"* your name?\n* bob has joined lobby\nbob: hello from nc\n")
        nc.stdout.close()
        self.assertEqual(nc.wait(p.PATIENCE), 0)
        ann.leave()

    def test_errors(self):
        status, _, err = p.run(self.program, self.server.addr)
        self.assertEqual((status, err.replace("already ", "")), (1, f"chat: {self.server.addr}: Address in use\n"))  # musl has no "already"


if __name__ == "__main__":
    p.main()
