"""berthload sends what the seed's client sends, in pieces of any size, and sums it up; and every
reply is verified in each of these ways."""

import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from conftest import BIN, in_child, run
from loading import Server, address_of, frame, load, nobody, serve, succeed
from peer import PATIENCE

ONE_AND_THREE = [1, 3]


# ---- which messages


def recording(seen):
    lock = threading.Lock()

    def answer(_, number, message):
        with lock:
            seen.append(message)
        return frame(number, message)

    return answer


def test_long_sends_one_array_on_all_connections(serve, backend):
    seen = []
    told, _ = succeed(serve(recording(seen)).address, backend, "--connections", 3, "--messages", 12,
                      "--long")
    assert sorted(seen) == sorted([b"M%d-C0000" % i for i in range(1, 13)] * 3)
    assert told["results"]["messages_held"] == 12


def test_growing_messages_repeat_their_text(serve, backend):
    """The seed's message type 1: message i repeats its text i + 1 more times."""
    seen = []
    succeed(serve(recording(seen)).address, backend, "--connections", 2, "--messages", 30,
            "--growing")
    assert sorted(seen) == sorted(b"M%d-C%d" % (i, c) * (i + 2) for c in (1, 2)
                                  for i in range(1, 31))


def test_growing_messages_come_back_from_berthd(server, backend):
    told, err = succeed(server.address(), backend, "--connections", 2, "--messages", 300,
                        "--growing", "--pipeline", 5)
    assert told["options"]["size_max"] == 302 * len("M300-C2")
    assert "larger" not in err


def test_growth_beyond_the_servers_maximum_is_said(backend, nobody):
    _, _, err = load(address_of(nobody), backend, "--growing", "--messages", 104856, "--retry",
                     "no")
    assert "from message 104,856 on" in err


def test_messages_are_built_and_held(server, backend):
    told, _ = succeed(server.address(), backend, "--connections", 20, "--messages", 100,
                      "--pipeline", 8)
    assert told["results"]["messages_held"] == 2000


def test_building_is_not_in_the_time(backend, nobody):
    """A run that ends at once, after messages that took long to build."""
    status, told, _ = load(address_of(nobody), backend, "--messages", 5000000, "--retry", "no")
    assert status == 1
    results = told["results"]
    assert results["messages_held"] == 5000000
    assert results["build_ns"] > results["elapsed_ns"] > 0


def test_messages_that_do_not_fit_in_memory_are_not_held(server, backend):
    status, told, err = load(server.address(), backend, "--connections", 100, "--messages",
                             "100000000000", "--timeout", "300ms")
    assert status == 1  # it had no chance to send them all
    assert re.search(r"warning: 10,000,000,000,000 messages need .* of memory", err)
    assert told["results"]["messages_held"] == 0
    assert told["results"]["messages_answered"] > 0
    assert told["results"]["wrong_replies"] == 0


def test_first_last_and_totals_are_shown_before_the_start(backend, nobody):
    """It cannot have connected to anybody when it says so."""
    process = subprocess.Popen(
        [BIN / "berthload", "--connect", address_of(nobody), "--backend", backend, "--connections",
         "1200", "--messages", "1000", "--retry", "always"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=in_child({}),
    )
    lines = [process.stdout.readline().split(maxsplit=1) for _ in range(5)]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    lines = [words for words in lines if words[0] in ("first", "last", "planned")]
    assert lines == [
        ["first", "M1-C1\n"],
        ["last", "M1000-C1200\n"],
        ["planned", "connections 1,200, messages each 1,000, in all 1,200,000\n"],
    ], out


# ---- in pieces


@pytest.mark.parametrize("size", ONE_AND_THREE)
def test_no_operation_carries_more_than_the_buffer(server, backend, size):
    """What is sent and received in single bytes takes as many operations as there are bytes; in
    threes, the seed's test 4: 45 sends for 15 messages of 9 bytes."""
    told, _ = succeed(server.address(), backend, "--connections", 3, "--messages", 5,
                      "--buffer-size", size)
    stats = told["stats"]
    assert (stats["bytes_out"], stats["bytes_in"]) == (15 * 9, 15 * 13)
    assert stats["sends"] == 15 * -(-9 // size)
    if size == 1:
        assert stats["receives"] == 15 * 13
    else:
        assert stats["receives"] >= 15 * 13 / size


@pytest.mark.parametrize("size", ONE_AND_THREE)
@pytest.mark.parametrize("mode", [["--long"], ["--growing"], ["--pipeline", 4]], ids=str)
def test_messages_in_pieces_come_back(server, backend, size, mode):
    told, _ = succeed(server.address(), backend, "--connections", 4, "--messages", 12,
                      "--buffer-size", size, *mode)
    stats = told["stats"]
    assert stats["bytes_out"] <= size * stats["sends"]
    assert stats["bytes_in"] <= size * stats["receives"]


# ---- the end


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
    assert told["results"]["elapsed_ns"] < 5e9
    assert "failure: 20 of 20 messages were aborted" in err


@pytest.mark.parametrize("option, rings", [([], 0), (["--bell"], 1), (["--bell", "--quiet"], 1)],
                         ids=str)
def test_the_bell(server, backend, option, rings):
    status, out, err = run("berthload", "--connect", "%s:%d" % server.address(), "--backend",
                           backend, *option)
    assert status == 0
    assert err == "\a" * rings
    assert "\a" not in out
