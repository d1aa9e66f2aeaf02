"""Lengths that cannot be: refused, named, and paid for by nobody else (M1.2, M1.5, M2.8, M9.3)."""

import socket

import pytest

from conftest import SANITIZED
from peer import PATIENCE, readable

MAXIMUM = 65536
WRONG = {
    "minus one": 2**32 - 1,
    "the least signed": 2**31,
    "one too many": MAXIMUM + 1,
    "the most signed": 2**31 - 1,
    "a byte-swapped 5": 5 << 24,
}
MESSAGES = [b"a", b"", b"right so far"]
GROWTH_MAX = (64 if SANITIZED else 4) << 20


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_length_ends_the_connection_and_is_named(berthd, name):
    field = WRONG[name].to_bytes(4, "little")
    server = berthd("--max-message", MAXIMUM)
    client = server.connect()
    client.send(b"".join(map(client.framing.encode, MESSAGES)) + field)
    client.read_replies(*MESSAGES)
    client.read_end()
    client.close()
    server.wait_for(field.hex(" "))
    server.connect().ask(b"still there")


def test_a_wrong_length_alone_is_enough(berthd):
    server = berthd("--max-message", MAXIMUM)
    for value in WRONG.values():
        client = server.connect()
        client.send(value.to_bytes(4, "little"))
        client.read_end()


def test_the_end_is_no_reset_even_if_the_client_keeps_sending(server):
    """M9.3: the replies before the wrong length must not be destroyed by what follows it."""
    client = server.connect()
    client.send(b"".join(map(client.framing.encode, MESSAGES)) + b"\xff\xff\xff\x7f")
    noise = bytes(65536)
    for _ in range(32):
        client.send(noise)
    client.read_replies(*MESSAGES)
    for _ in range(32):
        client.send(noise)
    client.read_end()
    client.send(noise)
    client.close()
    server.connect().ask(b"still there")


def test_forged_lengths_cost_the_server_nothing(server):
    """20 peers that claim 2 GiB, and 100 honest clients."""
    honest = server.crowd(100)
    for client in honest:
        client.ask(b"before")
    before = server.resident_bytes()
    liars = server.crowd(20)
    for liar in liars:
        liar.send((2**31 - 1).to_bytes(4, "little") + b"x")
    for client in honest:
        client.ask(b"during")
    for liar in liars:
        liar.read_end()
    assert server.resident_bytes() - before < GROWTH_MAX


def test_allowed_lengths_cost_only_what_has_come(berthd):
    """M1.2: 20 peers announce the largest message that is allowed, and send one byte of it. What
    is reserved grows with what arrives."""
    server = berthd("--max-message", 1 << 24)
    honest = server.crowd(100)
    for client in honest:
        client.ask(b"before")
    before = server.resident_bytes()
    waiting = server.crowd(20)
    for client in waiting:
        client.send((1 << 24).to_bytes(4, "little") + b"x")
    for client in honest:
        client.ask(b"during")
    assert readable(waiting, 0) == []
    assert server.resident_bytes() - before < GROWTH_MAX


def test_a_length_in_pieces_is_refused_when_it_is_whole(server):
    client, other = server.connect(), server.connect()
    for byte in b"\xff\xff\xff":
        client.send(bytes([byte]))
        other.ask(b"tick")
    client.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.sock.recv(1, socket.MSG_PEEK)
    client.sock.settimeout(PATIENCE)
    client.send(b"\xff")
    client.read_end()
