"""The long ones: the same promises, in numbers that take a while. Only with BERTH_FULL=1."""

import random
import signal
import threading

import pytest

from conftest import run
from peer import EndOfStream, read_first_replies

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


def test_ten_thousand_connections_at_once(berthd):
    """Two source addresses: one has some 14,000 fast ports for a destination."""
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
