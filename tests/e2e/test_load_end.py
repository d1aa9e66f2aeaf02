"""How a run of berthload ends: the seed's figures, and that only what was verified is a success,
whatever the messages and however the server fails."""

import re
import socket
import struct
import threading
import time

import pytest

from conftest import run
from loading import Server, frame, load, serve, succeed


def test_the_summary_has_the_seeds_figures(server, backend):
    status, out, err = run("berthload", "--connect", "%s:%d" % server.address(), "--backend",
                           backend, "--connections", 3, "--messages", 5)
    assert (status, err) == (0, "")
    for line in (
        r"connections  3 made, 0 retries, 0 failed, [123] at most at once",
        r"planned      15 messages, 100\.00 % of them sent, 0 aborted",
        r"time taken   0:00:0\d\.\d{7}, \d+\.\d{4} ms a message",
        r"result       success: every reply was verified",
    ):
        assert re.search(f"^{line}$", out, re.MULTILINE), out


def test_a_server_that_closes_early_is_no_success(serve, backend):
    """With the seed's client, 2 connections of 3 messages each that were closed after the first
    one were a successful test."""
    status, told, err = load(
        serve(lambda index, number, message: frame(number, message) if index < 1 else None).address,
        backend, "--connections", 2, "--messages", 3,
    )
    assert status == 1
    assert told["results"]["messages_planned"] == 6
    assert told["results"]["messages_aborted"] == 4
    assert re.search("^result       failure: 4 of 6 messages were aborted$", err, re.MULTILINE)


def test_wrong_replies_are_no_success(serve, backend):
    """Defect 13: id -7 and the text WRONG to everything were a successful test."""
    server = serve(lambda *_: frame(-7, b"WRONG"))
    status, told, err = load(server.address, backend, "--messages", 5)
    assert status == 1
    assert told["results"]["wrong_replies"] == 1
    assert "failure: 5 of 5 messages were aborted" in err


MODES = [
    [],
    ["--long"],
    ["--growing"],
    ["--buffer-size", 3],
    ["--at-once", 1, "--long", "--growing", "--buffer-size", 3],
    ["--size", "20-40"],
]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_reply_is_verified(serve, backend, mode):
    """One bit of one byte of one reply: the last byte of message 7 of connection 2."""

    def answer(index, number, message):
        if index == 6 and doomed(message):
            message = message[:-1] + bytes([message[-1] ^ 1])
        return frame(number, message)

    first = threading.Lock()

    def doomed(message):
        return b"-C2" in message or (b"-C0000" in message and first.acquire(blocking=False))

    status, told, _ = load(serve(answer).address, backend, "--connections", 3, "--messages", 9,
                           *mode)
    assert status == 1
    assert told["results"]["wrong_replies"] == 1
    assert told["results"]["messages_answered"] == 9 + 9 + 6
    assert told["results"]["messages_aborted"] == 3


def test_a_reset_ends_its_connection_only(serve, backend):
    """Defect 7: it killed the seed's client."""

    class Resetting(Server):
        def _serve(self, sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            super()._serve(sock)

    def answer(index, number, message):
        return None if message.endswith((b"C2", b"C4")) and index == 2 else frame(number, message)

    server = Resetting(answer)
    try:
        status, told, _ = load(server.address, backend, "--connections", 5, "--messages", 6)
    finally:
        server.close()
    assert status == 1
    assert told["lost"] == {"the peer reset the connection": {"connections": 2, "messages": 2}}
    assert told["results"]["messages_answered"] == 3 * 6 + 2 * 2
    assert told["results"]["messages_aborted"] == 2 * 4


@pytest.mark.parametrize("mode", [[], ["--at-once", 2]], ids=str)
def test_a_silent_server_ends_the_run(serve, backend, mode):
    """Defect 8: the seed's client waited for ever."""
    status, told, err = load(serve(lambda *_: b"").address, backend, "--connections", 4,
                             "--messages", 5, "--answer-timeout", "300ms", *mode)
    begun = mode[1] if mode else 4
    assert status == 1
    assert told["lost"] == {
        "no answer came within --answer-timeout": {"connections": begun, "messages": begun}
    }
    assert told["results"]["messages_aborted"] == 20
    assert told["results"]["connections_failed"] == 0
    assert told["results"]["connections_unbegun"] == 4 - begun
    assert told["results"]["elapsed_ns"] < 5e9
    assert "failure: 20 of 20 messages were aborted" in err


def test_waiting_to_connect_is_no_silence(serve, backend):
    """A connection that begins long after the last answer has its time as well."""

    def answer(_, number, message):
        # check_style: allow(sleep) the server takes its time, less than it may
        time.sleep(0.2)
        return frame(number, message)

    succeed(serve(answer).address, backend, "--connections", 2, "--connect-delay", 600,
            "--answer-timeout", "400ms")


@pytest.mark.parametrize("option, rings", [([], 0), (["--bell"], 1), (["--bell", "--quiet"], 1)],
                         ids=str)
def test_the_bell(server, backend, option, rings):
    status, out, err = run("berthload", "--connect", "%s:%d" % server.address(), "--backend",
                           backend, *option)
    assert status == 0
    assert err == "\a" * rings
    assert "\a" not in out
