"""Servers in Python, for vex to misbehave to."""

import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import vex  # noqa: E402
from vex import peer  # noqa: E402

NOTHING_RAN = 77  # what CTest lists as skipped


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    if stats.get("skipped") and not any(stats.get(k) for k in ("passed", "failed", "error")):
        terminalreporter._session.exitstatus = NOTHING_RAN


needs_repair = pytest.mark.skipif(os.geteuid() != 0, reason="vanish needs CAP_NET_ADMIN")


class Listener:
    """A listening socket; the test itself is the server."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.sock.settimeout(peer.PATIENCE)
        self.address = self.sock.getsockname()
        self.taken = []

    def take(self):
        """The next connection."""
        sock, self.came_from = self.sock.accept()
        sock.settimeout(peer.PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken.append(sock)
        return sock

    def close(self):
        for sock in (self.sock, *self.taken):
            sock.close()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


class Echo(Listener):
    """Echoes each frame, one thread a connection: alter(index, message) is what it answers, None
    ends the connection. Replies begin with an id if it is `numbered`."""

    def __init__(self, alter=lambda _, message: message, numbered=True, framing=peer.SEED):
        super().__init__()
        self.alter, self.numbered, self.framing = alter, numbered, framing
        self.lock = threading.Lock()
        self.last_id = peer.FIRST_ID - 1
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock = self.take()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=[sock], daemon=True))
            self.threads[-1].start()

    def _serve(self, sock):
        stream, index = peer.Stream(sock), 0
        with sock:
            try:
                while (reply := self.alter(index, self.framing.decode(stream))) is not None:
                    sock.sendall(self.framing.encode(self._id() + reply))
                    index += 1
            except (peer.EndOfStream, AssertionError, OSError):
                pass

    def _id(self):
        with self.lock:
            self.last_id += 1
            return struct.pack("<I", self.last_id) if self.numbered else b""


@pytest.fixture
def echo():
    started = []

    def start(*arguments, **options):
        started.append(Echo(*arguments, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def misbehave():
    """Starts vex on a script; what still runs at the end is ended."""
    started = []

    def start(address, script, *options):
        started.append(vex.Vex(address, script, *options))
        return started[-1]

    yield start
    for program in started:
        program.__exit__()


@pytest.fixture
def relay():
    started = []

    def start(address, *options):
        started.append(vex.Relay(address, *options))
        return started[-1]

    yield start
    for program in started:
        program.__exit__()


def read_all(sock):
    """Everything up to the end of the stream."""
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(sock, count):
    return peer.Stream(sock).take(count)


def is_quiet(sock, seconds=peer.QUIET):
    """Whether nothing happens to it: no bytes, no end, no reset."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    return poll.poll(seconds * 1000) == []
