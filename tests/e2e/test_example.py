"""The server of the README, examples/echo.c: it is compiled, runs, and answers. And the chat."""

import os
import re
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

from peer import PATIENCE, SEED, Stream

MESSAGES = [b"hello", b"", bytes(range(256))]


@contextmanager
def example(name):
    """A running example, and its port."""
    program = Path(os.environ["BERTH_BIN"]) / f"example_{name}"
    with subprocess.Popen([program, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            yield int(re.match(r"listening on 127\.0\.0\.1:(\d+)", line)[1])
        finally:
            server.kill()


def test_the_shortest_server_answers():
    with example("echo") as port:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"".join(map(SEED.encode, MESSAGES)))
            stream = Stream(client)
            assert [SEED.decode(stream) for _ in MESSAGES] == MESSAGES


class Guest:
    """A client of the chat."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.stream = Stream(self.sock)

    def say(self, text):
        self.sock.sendall(SEED.encode(text))

    def hears(self, text):
        assert SEED.decode(self.stream) == text


def test_defect_12_one_to_many_without_a_request():
    """What one says, all hear, though they never asked. (The seed's server only ever answers.)"""
    with example("chat") as port:
        guests = []
        for number in range(5):
            guests.append(Guest(port))
            guests[-1].say(b"guest %d is here" % number)
            for guest in guests:  # the new one hears itself, so it is in the room
                guest.hears(b"guest %d is here" % number)
        for number in range(200):
            guests[number % 5].say(b"line %d" % number)
            for guest in guests:
                guest.hears(b"line %d" % number)
        guests.pop().sock.close()
        guests[0].say(b"one has left")
        for guest in guests:
            guest.hears(b"one has left")
            guest.sock.close()
