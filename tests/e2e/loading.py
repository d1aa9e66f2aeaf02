"""What the tests of berthload share: servers for it to load, and its JSON."""

import json
import socket
import struct
import threading

import pytest

from conftest import run
from peer import FIRST_ID, SEED, EndOfStream, Stream


class Server:
    """Serves the seed's protocol with one thread a connection. What it does with its requests is
    a function of (index of the reply on its connection, id, message) that returns the reply's
    bytes, or None to end the connection."""

    def __init__(self, answer, listener=None):
        self.answer = answer
        self.lock = threading.Lock()
        self.last_id = FIRST_ID - 1
        self.served = 0
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.listener.listen()
        self.address = address_of(self.listener)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock):
        with sock:
            stream, index = Stream(sock), 0
            try:
                while True:
                    message = SEED.decode(stream)
                    with self.lock:
                        self.last_id += 1
                        self.served += 1
                        number = self.last_id
                    reply = self.answer(index, number, message)
                    if reply is None:
                        return
                    sock.sendall(reply)
                    index += 1
            except (EndOfStream, AssertionError, OSError):
                return

    def close(self):
        self.listener.close()


def frame(number, message):
    return SEED.encode(struct.pack("<I", number & 0xFFFFFFFF) + message)


def right(_, number, message):
    return frame(number, message)


@pytest.fixture
def serve():
    servers = []

    def start(answer, **options):
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def nobody():
    """A port where nobody listens, and nobody else can."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock


def address_of(sock):
    return "127.0.0.1:%d" % sock.getsockname()[1]


def load(address, backend, *options, limits=None):
    """Its exit status, what the JSON says, and what people read."""
    if isinstance(address, tuple):
        address = "%s:%d" % address
    status, out, err = run("berthload", "--connect", address, "--backend", backend, "--json", "-",
                           *options, limits=limits)
    print(err)
    return status, json.loads(out) if out else None, err


def succeed(address, backend, *options, limits=None):
    status, told, err = load(address, backend, *options, limits=limits)
    assert status == 0, err
    results = told["results"]
    assert results["messages_answered"] == results["messages_planned"]
    assert results["messages_aborted"] == 0
    assert results["wrong_replies"] == 0
    return told, err
