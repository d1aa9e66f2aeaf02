"""Deadlines of open connections: who misses one is closed for it, in order, and the log says why.
All clients of a test wait at the same time."""

import select
import signal
import time

import pytest

from peer import PATIENCE, readable

# A busy machine may be late, never early.
LATE = 2.0

FIRST, MESSAGE, IDLE, PROGRESS = 300, 400, 600, 500
DEADLINES = (
    "--first-message-timeout", FIRST, "--message-timeout", MESSAGE,
    "--receive-idle-timeout", IDLE, "--send-progress-timeout", PROGRESS,
)


def name(client):
    return "%s:%d" % client.sock.getsockname()


def wait_for_end(client, begin, milliseconds):
    """The server's end comes in order, and at its time. The client then goes."""
    client.read_end()
    assert milliseconds / 1000 <= time.monotonic() - begin < milliseconds / 1000 + LATE
    client.close()


def test_a_silent_client(berthd):
    server = berthd(*DEADLINES)
    begin = time.monotonic()
    client = server.connect()
    address = name(client)
    wait_for_end(client, begin, FIRST)
    server.wait_for(f"closed {address}: no whole message")


def test_a_client_that_trickles_one_byte_at_a_time(berthd):
    server = berthd(*DEADLINES)
    client = server.connect()
    client.ask(b"an ordinary message first")
    address = name(client)
    begin = time.monotonic()
    message = client.framing.encode(bytes(1000))
    for byte in message:
        client.send(bytes([byte]))
        if readable([client], 0.03):
            break
    wait_for_end(client, begin, MESSAGE)
    server.wait_for(f"closed {address}: a message took too long")


def test_an_idle_client(berthd):
    """One that says something now and then stays, however slow each of its messages is."""
    server = berthd(*DEADLINES)
    idle, honest = server.connect(), server.connect()
    idle.ask(b"then nothing")
    begin = time.monotonic()
    address = name(idle)
    while not readable([idle], 0.1):
        message = honest.framing.encode(b"slow but sure")
        honest.send(message[:7])
        assert not readable([honest], 0.1)
        honest.send(message[7:])
        honest.read_replies(b"slow but sure")
    wait_for_end(idle, begin, IDLE)
    server.wait_for(f"closed {address}: nothing was received")
    honest.ask(b"still here")


def test_nothing_was_sent(berthd):
    server = berthd("--send-idle-timeout", 300)
    client = server.connect()
    address = name(client)
    begin = time.monotonic()
    client.ask(b"an answer")
    message = client.framing.encode(bytes(1000))
    for byte in message:  # what it sends does not count
        client.send(bytes([byte]))
        if readable([client], 0.03):
            break
    wait_for_end(client, begin, 300)
    server.wait_for(f"closed {address}: nothing was sent")


def test_a_client_that_reads_nothing_is_reset(berthd):
    server = berthd(*DEADLINES)
    client = server.connect(receive_buffer=65536)
    address = name(client)
    client.sock.setblocking(False)
    message = memoryview(client.framing.encode(bytes(60000)))
    rest = message
    begin = time.monotonic()
    poll = select.poll()
    poll.register(client, select.POLLOUT)
    ended = False
    while not ended:  # until the reset, whether it can still send or not
        assert time.monotonic() - begin < PATIENCE
        for _, events in poll.poll(100):
            ended = bool(events & (select.POLLERR | select.POLLHUP))
            if not ended:
                rest = rest[client.sock.send(rest):] or message
    assert time.monotonic() - begin >= PROGRESS / 1000
    with pytest.raises(ConnectionResetError):
        client.sock.send(b"x")
    server.wait_for(f"closed {address}: the peer took nothing")


def test_a_server_that_was_stopped_hears_before_it_ends_anybody(berthd):
    """More clients than a turn has room for complete their messages while it stands still."""
    server = berthd(*DEADLINES, "--receive-idle-timeout", FIRST)
    silent = server.connect()
    clients = server.crowd(400)
    half = silent.framing.encode(b"both halves")
    for client in clients[100:]:  # a hundred have said nothing at all yet
        client.send(half[:9])
    begin = time.monotonic()
    server.send(signal.SIGSTOP)
    for client in clients[:100]:
        client.send(half)
    for client in clients[100:]:
        client.send(half[9:])
    readable([silent], 1.5 * MESSAGE / 1000)  # time passes
    assert time.monotonic() - begin > MESSAGE / 1000
    address = name(silent)
    server.send(signal.SIGCONT)
    silent.read_end()
    silent.close()
    server.wait_for(f"closed {address}: ")  # before many others have been silent for too long
    for client in clients:
        client.read_replies(b"both halves")
    # On a slow machine some are silent for too long again by now.
    ended = [line for line in server.lines if "closed " in line and "was received" not in line]
    assert len(ended) == 1, server.said()
