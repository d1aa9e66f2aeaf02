"""berthload connects as the seed's client does: so many at once, a delay apart, with retries that
use nothing up, and after a test connection."""

import json
import socket
import subprocess
import threading

import pytest

from conftest import BIN, in_child
from loading import address_of, frame, load, nobody, right, serve, succeed
from loglines import wait_for_lines
from peer import PATIENCE, SEED, EndOfStream, Stream


class Together:
    """A server that answers nobody before `count` connections wait for it, and knows the most that
    were ever open."""

    def __init__(self, count):
        self.all = threading.Barrier(count)
        self.lock = threading.Lock()
        self.open = self.most = 0
        self.first_messages = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = address_of(self.listener)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        number = 10000
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
                self.most = max(self.most, self.open)
            number += 1000
            threading.Thread(target=self._serve, args=[sock, number], daemon=True).start()

    def _serve(self, sock, number):
        with sock:
            stream = Stream(sock)
            try:
                message = SEED.decode(stream)
                with self.lock:
                    self.first_messages.append(message)
                self.all.wait(PATIENCE)
                while True:
                    number += 1
                    sock.sendall(frame(number, message))
                    message = SEED.decode(stream)
            except (EndOfStream, AssertionError, OSError, threading.BrokenBarrierError):
                pass
            with self.lock:  # before the client can know of the end
                self.open -= 1


@pytest.fixture
def together():
    servers = []

    def start(count):
        servers.append(Together(count))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()
        server.all.abort()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_exactly_so_many_at_once(together, backend, workers):
    server = together(4)
    told, _ = succeed(server.address, backend, "--connections", 12, "--messages", 3, "--at-once", 4,
                      "--workers", workers)
    assert told["results"]["connections_most"] == 4
    assert server.most == 4
    assert sorted(server.first_messages) == sorted(b"M1-C%d" % c for c in range(1, 13))


def test_all_at_once_without_the_option(together, backend):
    server = together(12)
    told, _ = succeed(server.address, backend, "--connections", 12, "--messages", 3)
    assert told["results"]["connections_most"] == 12
    assert server.most == 12


def test_one_at_once_is_one_after_the_other(together, backend):
    server = together(1)
    told, _ = succeed(server.address, backend, "--connections", 30, "--messages", 2, "--at-once", 1)
    assert told["results"]["connections_most"] == 1
    assert server.first_messages == [b"M1-C%d" % c for c in range(1, 31)]


def test_many_connections_a_few_at_once(berthd, backend):
    server = berthd()
    told, _ = succeed(server.address(), backend, "--connections", 500, "--messages", 10,
                      "--at-once", 20, "--workers", 2)
    results = told["results"]
    assert results["connections_made"] == 500
    assert results["messages_answered"] == 5000
    assert results["connections_most"] <= 20
    assert server.stop()[:3] == (500, pytest.approx(20, abs=20), 5000)


def test_at_once_is_what_needs_descriptors(server, backend):
    """500 connections where 60 descriptors are allowed."""
    done = subprocess.run(
        [BIN / "berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
         "--connections", "500", "--at-once", "10", "--workers", "1", "--quiet"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        preexec_fn=in_child({"RLIMIT_NOFILE": 60}),
    )
    assert done.stdout == "sent 500 messages, 500 answered rightly\n", done.stderr
    assert done.returncode == 0


def test_one_that_fails_lets_the_next_begin(serve, backend):
    """Every second connection is dropped after two messages."""
    connections = []
    lock = threading.Lock()

    def answer(index, number, message):
        with lock:
            if index == 0:
                connections.append(message)
        doomed = int(message.split(b"C")[1]) % 2 == 0
        return None if doomed and index == 2 else frame(number, message)

    status, told, _ = load(serve(answer).address, backend, "--connections", 20, "--messages", 5,
                           "--at-once", 3)
    assert status == 1
    assert len(connections) == 20
    results = told["results"]
    assert results["connections_made"] == 20
    assert results["messages_answered"] == 10 * 5 + 10 * 2
    assert results["messages_aborted"] == 10 * 3
    assert sum(loss["connections"] for loss in told["lost"].values()) == 10


def test_refused_connections_let_the_next_begin(backend, nobody):
    status, told, _ = load(address_of(nobody), backend, "--connections", 50, "--at-once", 3,
                           "--retry", "no")
    assert status == 1
    assert told["results"]["connections_failed"] == 50
    assert told["stats"]["connect_failures"] == 50


@pytest.mark.parametrize("delay, connections", [("5", 30), ("0.5", 300)])
def test_connections_are_a_delay_apart(server, backend, delay, connections):
    """The last one cannot begin before all the delays are over; timers go by the millisecond."""
    least_ms = float(delay) * (connections - 1) - 1
    told, _ = succeed(server.address(), backend, "--connections", connections, "--connect-delay",
                      delay, "--workers", 2)
    assert told["options"]["connect_delay_ms"] == float(delay)
    assert told["results"]["elapsed_ns"] / 1e6 >= least_ms


def test_a_delay_holds_also_for_those_that_wait_for_another(server, backend):
    told, _ = succeed(server.address(), backend, "--connections", 40, "--connect-delay", 5,
                      "--at-once", 2, "--workers", 1)
    assert told["results"]["elapsed_ns"] / 1e6 >= 5 * 39 - 1


# ---- connecting


def test_refused_attempts_use_up_no_descriptors(backend, nobody):
    """The seed's client dropped refused sockets unclosed, and died of it: 240 attempts with 80
    descriptors."""
    done = subprocess.run(
        [BIN / "berthload", "--connect", address_of(nobody), "--backend", backend, "--connections",
         "40", "--workers", "1", "--retry", "5", "--json", "-"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        preexec_fn=in_child({"RLIMIT_NOFILE": 80}),
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["results"]["connect_retries"] == 40 * 5
    assert told["results"]["connections_failed"] == 40
    assert done.stderr.count("Connection refused") == 8, done.stderr  # it prints so many
    assert "open files" not in done.stderr


def test_retry_always_goes_on_until_the_server_is_there(serve, backend, nobody, tmp_path):
    result, log = {}, tmp_path / "attempts"

    def client():
        result["told"], _ = succeed(address_of(nobody), backend, "--connections", 4,
                                    "--messages", 3, "--retry", "always", "--watch",
                                    "connections", "--log", log)

    thread = threading.Thread(target=client)
    thread.start()
    wait_for_lines(log, "connect_failed", 4 * 2)
    assert thread.is_alive(), result
    serve(right, listener=nobody)
    thread.join(PATIENCE)
    assert result["told"]["options"]["retry"] == "always"
    assert result["told"]["results"]["connect_retries"] >= 4


def test_the_test_connection_sends_nothing(berthd, backend):
    server = berthd()
    succeed(server.address(), backend, "--connections", 3, "--messages", 5, "--test-connection")
    assert server.stop()[:3:2] == (3 + 1, 15)


def test_a_refused_test_connection_gives_advice(backend, nobody):
    status, told, err = load(address_of(nobody), backend, "--test-connection", "--retry", "always")
    assert (status, told) == (1, None)
    assert "refused" in err
    assert "Is the server running?" in err


def test_a_test_connection_that_times_out_gives_other_advice(backend):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = []
        try:
            for _ in range(8):  # until its queue is full, and the system drops what asks for more
                waiting.append(socket.socket())
                waiting[-1].settimeout(0.2)
                if waiting[-1].connect_ex(full.getsockname()) != 0:
                    break
            status, told, err = load(address_of(full), backend, "--test-connection",
                                     "--connect-timeout", "200ms")
        finally:
            for sock in waiting:
                sock.close()
    assert (status, told) == (1, None)
    assert "timed out: nothing answered within 200 ms" in err
    assert "Does a firewall" in err
