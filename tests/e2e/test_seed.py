"""The seed's eight tests (docs/guide/walkthrough.md), by a client that behaves as the seed's does:
strictly one message at a time, one or two silent connections before it begins, and it dies of a
reset, of a connection that ends early, and of two replies in one receive."""

import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import in_child
from loglines import of_mode, read_log
from peer import FIRST_ID, PATIENCE, SEED, assert_quiet
from seed_client import EXIT_DIED, Died, SeedClient, messages_of, right

PROGRAM = Path(__file__).with_name("seed_client.py")


def serve_seed(berthd, connections, messages, server_options=(), **options):
    """One run against a new berthd: what the client saw, and the summary must agree."""
    server = berthd(*server_options, workers=options.pop("workers", 1))
    client = SeedClient(server.address(), connections, messages, patience=PATIENCE, **options)
    client.run()
    right(client, connections, messages, options.get("long_test", False))
    summary = server.stop()
    assert summary.messages == connections * messages
    assert summary.connections == connections + client.silent + client.retries
    return client, summary


def test_the_first_run(berthd):
    """One message on one connection, after one silent connection."""
    client, _ = serve_seed(berthd, 1, 1, silent=1)
    assert client.replies == [(1, FIRST_ID, b"M1-C1")]


def test_1_two_connections(berthd):
    serve_seed(berthd, 2, 2)


def test_2_three_connections(berthd):
    serve_seed(berthd, 3, 5)


def test_3_a_client_with_buffers_of_5(berthd):
    """A message and its prefix need two sends, a reply three receives or more."""
    client, _ = serve_seed(berthd, 3, 5, buffer_size=5)
    assert client.sends == 30
    assert client.receives >= 45


def test_4_a_client_with_buffers_of_3(berthd):
    """Not even the prefix fits."""
    client, _ = serve_seed(berthd, 3, 5, buffer_size=3)
    assert client.sends == 45


def test_5_a_server_with_buffers_of_5(berthd):
    serve_seed(berthd, 3, 5, ["--buffer-size", 5])


def test_6_threads_are_watched(berthd, tmp_path):
    """As many threads as workers, each announced once, and one thread for each connection."""
    path = tmp_path / "log"
    serve_seed(berthd, 3, 5, ["--watch", "threads", "--log", path], workers=2)
    entries = of_mode(read_log(path)[0], "threads")
    new = {entry["thread"] for entry in entries if entry["event"] == "new_thread"}
    assert 1 <= len(new) <= 2
    threads = {}
    for entry in entries:
        if entry["event"] == "thread":
            threads.setdefault(entry["conn"], set()).add(entry["thread"])
    assert len(threads) == 3 + 2  # the silent ones too
    for connection, seen in threads.items():
        assert len(seen) == 1 and seen <= new, f"connection {connection}: {seen}"


def test_7_a_thousand_connections(berthd):
    client, _ = serve_seed(berthd, 1000, 20, ["--max-connections", 10_000], workers=2)
    assert client.retries == 0


def test_8_eight_thousand_connections(berthd):
    """The long test's shared messages; no delay between connects, at most 1,000 at once."""
    serve_seed(berthd, 8000, 5, ["--max-connections", 10_000], workers=2, long_test=True,
               delay_s=0)


@pytest.mark.parametrize("handler", ["pool", "delay"])
def test_answers_from_other_threads_and_late_ones_are_no_different(berthd, handler):
    late = ["--delay", 2] if handler == "delay" else []
    serve_seed(berthd, 20, 20, ["--handler", handler, *late], workers=2)


def test_it_runs_as_a_program(server):
    host, port = server.address()
    done = subprocess.run(
        [sys.executable, PROGRAM, host, str(port), "--connections", "2", "--messages", "2",
         "--delay-ms", "20"],
        capture_output=True, text=True, timeout=PATIENCE, preexec_fn=in_child({}))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert sorted((c, text) for c, _, text in lines) == [
        ("1", "M1-C1"), ("1", "M2-C1"), ("2", "M1-C2"), ("2", "M2-C2")]
    assert sorted(int(number) for _, number, _ in lines) == list(range(10001, 10005))


def test_a_server_that_is_full_keeps_it_waiting_and_no_more(berthd):
    """Connections beyond the server's maximum wait in the queue; none is refused."""
    client, summary = serve_seed(berthd, 40, 3, ["--max-connections", 3], delay_s=0)
    assert client.retries == 0
    assert summary.most == 3


# ------------------------------------------------------- the twin itself: what it dies of, it dies of


def frame(number, text):
    return SEED.encode(struct.pack("<i", number) + text)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


DEADLY = {
    "two_replies_in_one_receive": lambda sock: sock.sendall(frame(1, b"M1-C1") + b"\x09"),
    "an_early_end": lambda sock: sock.shutdown(socket.SHUT_WR),
    "a_reply_without_room_for_its_id": lambda sock: sock.sendall(b"\x03\0\0\0abc"),
    "a_reset": reset,
}


@pytest.fixture
def one_answer():
    """A server that answers the first real message of a connection with a function of the socket,
    then closes; connections that end without a message are the silent ones."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer):
        def serve():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    if sock.recv(9, socket.MSG_WAITALL):
                        answer(sock)

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()

    yield start
    listener.close()


@pytest.mark.parametrize("why", DEADLY)
def test_the_twin_dies_of(one_answer, why):
    with pytest.raises(Died):
        SeedClient(one_answer(DEADLY[why]), 1, 2, patience=PATIENCE).run()


def test_the_twins_death_is_an_exit_status(one_answer):
    host, port = one_answer(DEADLY["a_reset"])
    done = subprocess.run([sys.executable, PROGRAM, host, str(port)], capture_output=True,
                          timeout=PATIENCE, preexec_fn=in_child({}))
    assert done.returncode == EXIT_DIED, done
    assert b"died" in done.stderr


def test_the_twin_waits_for_each_reply(one_answer):
    """Nothing of the second message leaves before the reply to the first is there."""
    seen = []

    def answer(sock):
        assert_quiet([sock])
        sock.sendall(frame(FIRST_ID, b"M1-C1"))
        seen.append(sock.recv(9, socket.MSG_WAITALL))
        sock.sendall(frame(FIRST_ID + 1, b"M2-C1"))
        seen.append(sock.recv(1))  # its end comes before ours

    client = SeedClient(one_answer(answer), 1, 2, patience=PATIENCE).run()
    assert [reply.text for reply in client.replies] == [b"M1-C1", b"M2-C1"]
    assert seen[0] == SEED.encode(b"M2-C1")
