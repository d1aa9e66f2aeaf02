"""The orderly end (M9.4): what was received is answered, the numbers are right, in time."""

import os
import signal
import threading

import pytest

from peer import EndOfStream, assert_quiet, read_first_replies

SIGNALS = [signal.SIGTERM, signal.SIGINT]
HELLO = b"hello"

# A stop reads on for a tenth of a second, or some hundred turns. Where every byte is a receive of its
# own (tests/variants/test_short.py) that is enough for less.
MANY = 20 if "BERTH_TEST_FAULTS" in os.environ else 500


class Chatter(threading.Thread):
    """A client that keeps 16 messages on their way until the server ends its side."""

    def __init__(self, client, enough):
        super().__init__(daemon=True)
        self.client = client
        self.enough = enough
        self.replies = 0
        self.failure = None

    def run(self):
        try:
            self.client.send_messages(*(b"message %d" % number for number in range(16)))
            while True:
                _, reply = self.client.read_reply()
                assert reply == b"message %d" % self.replies
                self.replies += 1
                self.client.send_messages(b"message %d" % (self.replies + 15))
                if self.replies == 100:
                    self.enough.release()
        except EndOfStream:
            self.client.close()
        except Exception as failure:  # shown by the test, which runs in another thread
            self.failure = failure
            self.enough.release()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_under_load_answers_what_was_received(berthd, number, workers):
    server = berthd(workers=workers)
    enough = threading.Semaphore(0)
    chatters = [Chatter(server.connect(), enough) for _ in range(10)]
    for chatter in chatters:
        chatter.start()
    for _ in chatters:
        enough.acquire(timeout=5)
    server.send(number)
    for chatter in chatters:
        chatter.join(5)
    assert [chatter.failure for chatter in chatters] == [None] * 10
    assert server.wait() == 0, server.said()
    summary = server.summary()
    assert summary.connections == summary.most == 10
    assert summary.messages == sum(chatter.replies for chatter in chatters)


def test_the_summary_is_right(berthd):
    """The limit of 2 keeps the third out until the first or the second has left for good."""
    server = berthd("--max-connections", 2)
    first, second = server.crowd(2)
    first.ask(b"12345", b"")
    second.ask(b"123")
    first.close()
    second.close()
    third = server.connect()
    third.ask(b"1")
    summary = server.stop()
    assert (summary.connections, summary.most, summary.messages) == (3, 2, 4)
    assert summary.bytes_in == 4 * 4 + 9
    assert summary.bytes_out == 4 * 8 + 9


def test_a_server_without_a_client_stops_too(server):
    assert server.stop() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_idle_connections_do_not_hold_the_end_up(server, number):
    clients = server.crowd(20)
    for client in clients:
        client.ask(HELLO)
    server.send(number)
    for client in clients:
        client.read_end()
        client.close()
    assert server.wait() == 0


def test_a_client_inside_a_message_gets_a_clean_end(server):
    """M2.9"""
    client = server.connect()
    client.ask(HELLO)
    client.send(client.framing.encode(HELLO)[:7])
    server.send(signal.SIGTERM)
    client.read_end()
    client.close()
    assert server.wait() == 0


def test_clients_that_wait_are_served_before_the_end(berthd):
    server = berthd("--max-connections", 2)
    inside = server.crowd(2)
    for client in inside:
        client.ask(HELLO)
    waiting = server.crowd(5)
    for client in waiting:
        client.send_messages(HELLO)
    assert_quiet(waiting, 0.1)
    server.send(signal.SIGTERM)
    for client in inside:
        client.read_end()
        client.close()
    while waiting:
        (served,) = read_first_replies(waiting, 1, HELLO)
        served.read_end()
        served.close()
        waiting.remove(served)
    assert server.wait() == 0
    assert server.summary().connections == 7


def test_what_came_while_it_slept_is_answered(berthd):
    """More than a few turns can read, and the stop ends a wait that had not looked yet."""
    messages = [b"message %d" % number for number in range(MANY)]
    server = berthd()
    clients = server.crowd(200)
    for client in clients:
        client.ask(HELLO)
    server.send(signal.SIGSTOP)
    for client in clients:
        client.send_messages(*messages)
    server.send(signal.SIGTERM)
    server.send(signal.SIGCONT)
    for client in clients:
        client.read_replies(*messages)
        client.read_end()
        client.close()
    assert server.wait() == 0, server.said()


def test_a_second_signal_cuts_those_who_do_not_read(berthd):
    """More replies than the system's buffers hold; the first signal alone would wait 5 seconds."""
    server = berthd("--max-message", 65536)
    client = server.connect(receive_buffer=4096)
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send_messages(bytes(65536))
    other = server.connect()
    other.ask(HELLO)
    server.send(signal.SIGTERM)
    other.read_end()
    server.send(signal.SIGTERM)
    assert server.wait() == 0


def test_a_second_signal_ends_it_at_once(server):
    client = server.connect()
    client.ask(HELLO)
    server.send(signal.SIGTERM)
    client.read_end()
    server.send(signal.SIGTERM)
    assert server.wait() == 0
