"""How connections end: half-closes, resets, and what they leave behind (PROTOCOL.md 9)."""

import pytest

from peer import EndOfStream

MESSAGES = [b"message %d" % number for number in range(200)]


def test_a_half_close_after_messages_is_answered_to_the_last(server):
    """M2.7"""
    client = server.connect()
    client.send_messages(*MESSAGES)
    client.half_close()
    client.read_replies(*MESSAGES)
    client.read_end()


def test_a_half_close_at_once_is_answered_by_the_end(server):
    client = server.connect()
    client.half_close()
    client.read_end()
    server.connect().ask(b"still there")


@pytest.mark.parametrize("cut", [1, 4, 5, 8])
def test_a_half_close_inside_a_message_ends_the_connection(server, cut):
    """M2.9"""
    client = server.connect()
    client.send(b"".join(map(client.framing.encode, MESSAGES[:3])))
    client.send(client.framing.encode(b"hello")[:cut])
    client.half_close()
    client.read_replies(*MESSAGES[:3])
    client.read_end()
    server.connect().ask(b"still there")


def test_a_reset_inside_a_message_ends_only_that_connection(server):
    """M9.5, M2.9; before its first byte, inside the length, inside the message, at its end."""
    whole = server.connect().framing.encode(b"hello")
    other = server.connect()
    for cut in range(len(whole)):
        client = server.connect()
        client.send(whole[:cut])
        client.reset()
        other.ask(b"still there")
    server.connect().ask(b"still there")


def test_a_reset_with_replies_on_their_way_harms_nobody(server):
    """M9.5"""
    other = server.connect()
    for _ in range(20):
        client = server.connect()
        client.send_messages(*MESSAGES)
        client.reset()
    other.ask(b"still there")


def test_storms_of_connections_that_are_reset_at_once(berthd):
    """Some are reset before they are accepted, which is a connection too."""
    server = berthd(workers=2)
    for number in range(200):
        client = server.connect()
        if number % 2:
            client.send_messages(b"hello")
        client.reset()
    server.connect().ask(b"still there")


def test_nothing_follows_the_last_reply(server):
    """M2.10"""
    client = server.connect()
    client.ask(*MESSAGES)
    client.half_close()
    with pytest.raises(EndOfStream):
        client.read_reply()


def test_what_ended_is_free_again(berthd):
    """Every kind of end gives its place and its descriptor back: 200 connections one after the
    other where 2 are allowed, and 40 descriptors."""
    server = berthd("--max-connections", 2, limits={"RLIMIT_NOFILE": 40})

    def by_close(client):
        client.close()

    def by_reset(client):
        client.send(b"\x05\0\0")
        client.reset()

    def by_half_close(client):
        client.half_close()
        client.read_end()
        client.close()

    def by_bad_length(client):
        client.send(b"\xff\xff\xff\xff")
        client.read_end()
        client.close()

    for end in 25 * [by_close, by_reset, by_half_close, by_bad_length]:
        for client in server.crowd(2):
            client.ask(b"hello")
            end(client)
    assert server.stop().connections == 200
