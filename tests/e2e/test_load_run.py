"""berthload sends what the seed's client sends, in pieces of any size."""

import re
import signal
import subprocess
import threading

import pytest

from conftest import BIN, in_child
from loading import address_of, frame, load, nobody, serve, succeed
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
    status, told, _ = load(address_of(nobody), backend, "--messages", 2000000, "--retry", "no")
    assert status == 1
    results = told["results"]
    assert results["messages_held"] == 2000000
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
