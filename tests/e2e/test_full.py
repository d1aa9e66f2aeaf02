"""The long ones: the same promises, in numbers that take a while. Only with BERTH_FULL=1."""

import random
import signal
import threading
import time

import pytest

from conftest import run
from peer import PATIENCE, Client, EndOfStream, read_first_replies
from seed_client import SeedClient, right

pytestmark = pytest.mark.full


def test_a_reset_at_every_place_of_messages_of_1_to_64_bytes(server):
    """M9.5, M2.9"""
    other = server.connect()
    for size in range(1, 65):
        whole = other.framing.encode(bytes(size))
        for cut in range(len(whole)):
            client = server.connect()
            client.send(whole[:cut])
            client.reset()
            server.clients.pop()
        other.ask(b"still there")
    assert server.stop().messages == 64


def test_ten_thousand_connections_that_are_reset_at_once(berthd):
    server = berthd(workers=2)
    for _ in range(10_000):
        server.connect().reset()
        server.clients.pop()
    server.connect().ask(b"still there")


def test_nine_thousand_connections_at_once(berthd):
    """Fewer than half of the 20,000 descriptors that a process often may have, as each of the two
    programs needs one for each."""
    server = berthd("--max-connections", 9000, workers=2)
    clients = server.crowd(9000)
    for client in clients:
        client.send_messages(b"hello")
    read_first_replies(clients, 9000, b"hello")
    summary = server.stop()
    assert (summary.connections, summary.most, summary.messages) == (9000, 9000, 9000)


def test_a_message_of_64_mib(berthd):
    server = berthd("--max-message", 1 << 26)
    message = random.Random(1).randbytes(1 << 26)
    client = server.connect()
    client.sock.settimeout(60)
    sender = threading.Thread(target=client.send_messages, args=[message])
    sender.start()
    client.read_replies(message)
    sender.join()


@pytest.mark.parametrize("seed", range(100))
def test_a_stop_at_any_moment(berthd, seed):
    """M9.4: whenever it comes, each client sees a clean end behind whole replies, and together
    they have seen as many as the server says."""
    rng = random.Random(seed)
    server = berthd(workers=rng.choice([1, 2]))
    clients = server.crowd(rng.randrange(1, 20))
    messages = [rng.randbytes(rng.randrange(0, 2000)) for _ in range(100)]
    begun, after = threading.Event(), rng.randrange(len(clients) * 50)
    seen, failures = [0] * len(clients), []

    def talk(which):
        client = clients[which]
        try:
            for turn in range(10):
                client.send_messages(*messages[turn * 10 : turn * 10 + 10])
                for message in messages[turn * 10 : turn * 10 + 10]:
                    assert client.read_reply()[1] == message
                    seen[which] += 1
                    if sum(seen) >= after:
                        begun.set()
            client.half_close()
            client.read_end()
        except EndOfStream:
            pass
        except Exception as failure:
            failures.append(failure)
        begun.set()
        client.close()

    threads = [threading.Thread(target=talk, args=[which]) for which in range(len(clients))]
    for thread in threads:
        thread.start()
    begun.wait(5)
    server.send(signal.SIGTERM)
    for thread in threads:
        thread.join(10)
    assert failures == [], f"seed {seed}"
    assert server.wait() == 0
    assert server.summary().messages == sum(seen), f"seed {seed}"


class Visitor(threading.Thread):
    """Visits the server 30 times, each time with another way to behave."""

    def __init__(self, server, seed, largest):
        super().__init__(daemon=True)
        self.server, self.largest = server, largest
        self.rng, self.failure = random.Random(seed), None

    def run(self):
        try:
            for _ in range(30):
                client = Client(self.server.address())
                self.rng.choice([self.ask, self.end, self.reset, self.lie, self.dribble])(client)
                client.close()
        except Exception as failure:
            self.failure = failure

    def messages(self):
        count, most = self.rng.randrange(1, 60), self.rng.choice([8, self.largest])
        return [self.rng.randbytes(self.rng.randrange(most)) for _ in range(count)]

    def ask(self, client):
        for _ in range(self.rng.randrange(1, 5)):
            client.ask(*self.messages())

    def end(self, client):
        messages = self.messages()
        client.send_messages(*messages)
        if self.rng.random() < 0.5:
            client.send(client.framing.encode(b"never whole")[: self.rng.randrange(1, 14)])
        client.half_close()
        client.read_replies(*messages)
        client.read_end()

    def reset(self, client):
        stream = b"".join(map(client.framing.encode, self.messages()))
        client.send(stream[: self.rng.randrange(len(stream))])
        client.reset()

    def lie(self, client):
        messages = self.messages()
        client.send(b"".join(map(client.framing.encode, messages)) + b"\0\0\0\x80noise")
        client.read_replies(*messages)
        client.read_end()

    def dribble(self, client):
        messages = self.messages()[:5]
        for byte in b"".join(map(client.framing.encode, messages))[:200]:
            client.send(bytes([byte]))


@pytest.mark.parametrize("seed", range(30))
def test_visitors_of_every_kind(berthd, seed):
    """20 clients at a time, 8 places, buffers of all sizes; who behaves is served rightly."""
    rng = random.Random(seed)
    size = rng.choice([1, 3, 25, 4096, 65536, 73728])
    largest = 300 if size < 100 else 20_000
    server = berthd("--max-connections", 8, "--buffer-size", size, workers=rng.choice([1, 3]))
    visitors = [Visitor(server, seed * 100 + number, largest) for number in range(20)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(PATIENCE)
    assert [visitor.failure for visitor in visitors] == [None] * 20, f"seed {seed}"
    server.connect().ask(b"still there")
    summary = server.stop()
    assert summary.connections == 601
    assert summary.most <= 8


def test_a_client_that_does_not_read_cannot_hold_the_end_up(berthd):
    """stop_timeout_ms: 5 seconds."""
    server = berthd("--max-message", 65536)
    client = server.connect(receive_buffer=4096)
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send_messages(bytes(65536))
    begin = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert time.monotonic() - begin < 7


def test_eight_thousand_connections_of_berthload(berthd, backend):
    """The last of the seed's tests."""
    server = berthd("--max-connections", 8000)
    status, out, err = run("berthload", "--connect", "127.0.0.1:%d" % server.address()[1],
                           "--backend", backend, "--connections", 8000, "--messages", 100,
                           seconds=120)
    print(out, err)
    assert status == 0
    summary = server.stop()
    assert (summary.connections, summary.messages) == (8000, 800_000)


@pytest.mark.parametrize("connections, messages", [(1000, 500), (8000, 100)])
def test_the_seeds_client_in_its_true_sizes(berthd, connections, messages):
    """Its tests 7 and 8, 1 ms between connects and at most 1,000 connections at once."""
    server = berthd("--max-connections", 10_000, workers=2)
    client = SeedClient(server.address(), connections, messages, long_test=connections == 8000,
                        patience=200).run()
    right(client, connections, messages, long_test=connections == 8000)
    assert server.stop().messages == connections * messages
