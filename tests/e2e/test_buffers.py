"""Buffers smaller than a frame, than a length, than anything: only slower (M1.1)."""

import pytest

MESSAGES = [bytes([size % 251]) * size for size in range(60)]
SIZES = [1, 3, 4, 5, 25]


@pytest.mark.parametrize("size", SIZES)
def test_messages_come_back_through_small_buffers(berthd, size):
    server = berthd("--buffer-size", size)
    clients = server.crowd(3)
    for client in clients:
        client.send_messages(*MESSAGES)
    for client in clients:
        client.read_replies(*MESSAGES)


@pytest.mark.parametrize("size", SIZES)
def test_a_half_close_through_small_buffers(berthd, size):
    """M2.7: the end comes after the last piece of the last reply."""
    client = berthd("--buffer-size", size).connect()
    client.send_messages(*MESSAGES)
    client.half_close()
    client.read_replies(*MESSAGES)
    client.read_end()


def test_a_message_larger_than_the_buffer(berthd):
    server = berthd("--buffer-size", 25)
    server.connect().ask(bytes(range(250)) * 40, b"small")
