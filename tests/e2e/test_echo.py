"""Requests and their replies, byte for byte (PROTOCOL.md 1 and 2)."""

from peer import FIRST_ID


def test_hello_is_answered_as_the_page_says(server):
    client = server.connect()
    client.send(bytes.fromhex("05 00 00 00 68 65 6c 6c 6f"))
    assert client.stream.take(13) == bytes.fromhex("09 00 00 00 11 27 00 00 68 65 6c 6c 6f")


def test_an_empty_message_is_answered_by_its_id_alone(server):
    """M2.6"""
    client = server.connect()
    client.send(bytes(4))
    assert client.stream.take(8) == bytes.fromhex("04 00 00 00 11 27 00 00")
    assert client.ask(b"", b"x", b"") == [FIRST_ID + 1, FIRST_ID + 2, FIRST_ID + 3]


def test_every_byte_value_comes_back(server):
    """M2.2"""
    server.connect().ask(bytes(range(256)), *(bytes([value]) for value in range(256)))


def test_a_message_may_come_byte_by_byte(server):
    """M1.1; the pieces are kept apart by the reply to another client in between."""
    client, other = server.connect(), server.connect()
    for byte in client.framing.encode(b"one byte at a time"):
        client.send(bytes([byte]))
        other.ask(b"tick")
    client.read_replies(b"one byte at a time")


def test_a_thousand_pipelined_messages_are_answered_in_order(server):
    """M2.5, M2.3"""
    messages = [b"message %d" % number for number in range(1000)]
    ids = server.connect().ask(*messages)
    assert ids == list(range(FIRST_ID, FIRST_ID + 1000))


def test_ids_are_unique_over_connections(berthd):
    """M2.3, also with several workers."""
    server = berthd(workers=3)
    clients = server.crowd(20)
    messages = [b"a", b"bb", b"ccc"]
    for client in clients:
        client.send_messages(*messages)
    ids = [number for client in clients for number in client.read_replies(*messages)]
    assert sorted(ids) == list(range(FIRST_ID, FIRST_ID + 60))


def test_a_large_message_comes_back(berthd):
    message = bytes(number * 31 % 251 for number in range(200_000))
    server = berthd("--max-message", 250_000)
    server.connect().ask(message, b"small", message)


def test_a_message_of_exactly_the_maximum_is_answered(berthd):
    """M1.2: the maximum is the largest that is accepted."""
    server = berthd("--max-message", 1000)
    server.connect().ask(bytes(1000), b"", bytes(1000))


def test_two_requests_cut_at_every_place(server):
    """M1.1: the reply to another client between the two pieces keeps them apart."""
    client, other = server.connect(), server.connect()
    stream = client.framing.encode(b"first") + client.framing.encode(b"second")
    for cut in range(1, len(stream)):
        client.send(stream[:cut])
        other.ask(b"tick")
        client.send(stream[cut:])
        client.read_replies(b"first", b"second")
