"""F18: the line breaks under a send of more than the system takes at once. The bytes that a client
has by then are the beginning of the right stream: none is missing between two others, and none comes
later. Where the line is mended in time, the whole stream comes."""

import random
import struct

from conftest import scale
from network import SERVER, Network
from peer import SEED, readable

ROUNDS = scale(1, 10)
CLIENTS = 5
LARGE = 4 << 20
READ_MAX = LARGE // 2  # more than their buffers hold is still to come
PROGRESS_MS = 1500
QUIET = 0.1  # seconds: all that has arrived has been read


def reply_to(message, number):
    return SEED.encode(struct.pack("<I", number) + message)


def read_some(client, count):
    got = bytearray()
    while len(got) < count:
        piece = client.sock.recv(count - len(got))
        assert piece, "the stream ended"
        got += piece
    return got


def read_left(client):
    """What comes until nothing more does; a reset comes behind the bytes."""
    got = bytearray()
    try:
        while readable([client], QUIET):
            piece = client.sock.recv(1 << 20)
            if not piece:
                break
            got += piece
    except ConnectionResetError:
        pass
    return got


def read_rest(client, got, expected):
    """To the end of what is expected."""
    while len(got) < len(expected):
        piece = client.sock.recv(1 << 20)
        assert piece, f"the stream ended after {len(got)} bytes"
        got += piece
    assert got == expected


def test_f18_broken_send(berthd, result):
    rng = random.Random(18)
    message = rng.randbytes(LARGE)  # no two places are alike
    broken = bytes_seen = 0
    with Network() as network:
        server = berthd("--listen", f"{SERVER}:0", "--send-progress-timeout", PROGRESS_MS,
                        "--max-message", LARGE, network=network)
        for _ in range(ROUNDS):
            clients = server.crowd(CLIENTS, receive_buffer=65536)
            expected = {}
            for client in clients:
                client.send_messages(message)
            streams = [read_some(client, rng.randrange(8, READ_MAX)) for client in clients]
            for client, got in zip(clients, streams):
                (number,) = struct.unpack_from("<I", got, 4)
                expected[client] = reply_to(message, number)
            network.cable(False)
            network.cable(True)  # soon enough
            read_rest(clients[0], streams[0], expected[clients[0]])

            network.cable(False)
            server.wait_until(lambda stats: stats["connections open"] <= 1, "the ends of the others")
            network.cable(True)
            for client, got in zip(clients[1:], streams[1:]):
                got += read_left(client)
                assert got == expected[client][: len(got)], "not the beginning of the stream"
                assert len(got) < LARGE, "nothing was broken"
                broken += 1
                bytes_seen += len(got)
                client.close()
            clients[0].ask(b"still there")
            clients[0].close()
            server.clients.clear()
        result("F18", f"{broken} replies of 4 MiB broken off: {bytes_seen:,} bytes arrived, all of "
                      f"them the beginning of their stream; {ROUNDS} whole where the line was mended")
        server.oracle()
