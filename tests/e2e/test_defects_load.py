"""The seed's defects that were its client's: each by its number, as a fact of berthload."""

import re
import socket
import struct
import threading

import pytest

from conftest import run
from peer import FIRST_ID, SEED, EndOfStream, Stream
from terminal import Terminal


class Reset(Exception):
    """An answer that is a reset."""


class Server:
    """Answers the seed's protocol, each reply as a function of (connection, reply, message) says:
    with its bytes, an end (None), silence (b""), or a reset (Reset raised)."""

    def __init__(self, answer):
        self.answer, self.connections = answer, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[sock, self.connections],
                             daemon=True).start()

    def _serve(self, sock, connection):
        stream, reply = Stream(sock), 0
        with sock:
            try:
                while True:
                    reply += 1
                    answer = self.answer(connection, reply, SEED.decode(stream))
                    if answer is None:
                        return
                    sock.sendall(answer)
            except Reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except (EndOfStream, AssertionError, OSError):
                return


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


def frame(number, message):
    return SEED.encode(struct.pack("<i", number) + message)


def load(server, backend, *options):
    """The exit status, and all that was said."""
    status, out, err = run("berthload", "--connect", server.address, "--backend", backend,
                           *options)
    print(out, err)
    return status, out + err


def verdict(said):
    numbers = re.search(r"sent ([\d,]+) messages?, ([\d,]+) answered rightly", said)
    assert numbers, f"no verdict in:\n{said}"
    return tuple(int(number.replace(",", "")) for number in numbers.groups())


def test_defect_07_a_reset_connection(serve, backend):
    """One connection of ten is reset: the other nine finish, and the summary tells of it. (The
    seed's client died of shutting the dead socket down.)"""

    def answer(connection, reply, message):
        if connection == 4 and reply == 3:
            raise Reset
        return frame(FIRST_ID + reply, message)

    status, said = load(serve(answer), backend, "--connections", 10, "--messages", 20)
    assert status == 1
    assert re.search(r"1 connections?\b.*reset", said), said
    assert verdict(said)[1] == 9 * 20 + 2


def test_defect_08_a_silent_server(serve, backend):
    """It is given up after the time that was allowed. (The seed's client waited for ever.)"""
    status, said = load(serve(lambda *_: b""), backend, "--connections", 2, "--messages", 5,
                        "--answer-timeout", "300ms")
    assert status == 1
    assert verdict(said)[1] == 0


def test_defect_13_wrong_replies_are_no_success(serve, backend):
    """Id -7 and the text WRONG for everything. (The seed's client: a successful test.)"""
    status, said = load(serve(lambda *_: frame(-7, b"WRONG")), backend, "--messages", 3)
    assert status == 1
    assert verdict(said)[1] == 0
    assert "wrong" in said


def test_defect_13_missing_replies_are_no_success(serve, backend):
    """2 connections of 3 messages, each ended by the server after its first. (The seed's client:
    33 %, and a successful test.)"""

    def answer(_, reply, message):
        return frame(FIRST_ID + reply, message) if reply == 1 else None

    status, said = load(serve(answer), backend, "--connections", 2, "--messages", 3)
    assert status == 1
    assert verdict(said)[1] == 2


@pytest.fixture
def asked(tmp_path):
    """berthload, started on a terminal without --connect: it asks."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    terminal = Terminal("berthload", environment=environment)
    yield terminal
    terminal.close()


def test_defect_14_questions_are_asked_again(asked):
    """A host that is none and a port that is none are said, and asked for again: what is typed then
    counts. (The seed's client repeats its complaint for ever, and reads no more.)"""
    asked.answer(r"\(I\).*: ", "I")
    for bad in ("no host", "-x"):
        asked.answer(r"Host .*: ", bad)
    asked.answer(r"Host .*: ", "127.0.0.1")
    for bad in ("http", "0", "-1", "65536"):
        asked.answer(r"Port .*: ", bad)
    asked.answer(r"Port .*: ", "1")
    asked.end_input()
    assert asked.wait() != 0


@pytest.mark.parametrize("questions", [0, 1, 2])
def test_defect_14_the_end_of_the_input_ends_it(asked, questions):
    for question, answer in [(r"\(I\).*: ", "I"), (r"Host .*: ", "127.0.0.1")][:questions]:
        asked.answer(question, answer)
    asked.end_input()
    asked.wait()
    assert "the input ended" in asked.text
