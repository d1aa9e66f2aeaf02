"""A peer of berthd's that shares no code with it: framings, clients and crowds of clients.

Written from docs/PROTOCOL.md alone, so that a mistake in src/ cannot hide behind the same mistake
here. "M2.4" and the like are that page's duties.
"""

import os
import selectors
import socket
import struct
import time

# The most that a test waits for one event. A little less than CTest's limit for the whole test, so
# that what fails is the assertion, with its reason, and not the clock.
PATIENCE = float(os.environ.get("BERTH_TEST_SECONDS", "5")) * 0.8

# How long nothing must happen where the point is that nothing happens.
QUIET = 0.25

FIRST_ID = 10001


class EndOfStream(Exception):
    """The server ended its side, between two replies."""


class CutOff(AssertionError):
    """The stream ended inside a reply."""


class Length:
    """PROTOCOL.md section 3. The default is the seed's framing."""

    carries_id = True

    def __init__(self, width=4, order="little", offset=0, itself=False, adjust=0):
        self.width, self.order, self.offset = width, order, offset
        self.surplus = (width if itself else 0) - adjust  # what the field holds beyond the message

    def encode(self, message):
        field = len(message) + self.surplus
        return bytes(self.offset) + field.to_bytes(self.width, self.order) + message

    def decode(self, stream):
        header = stream.take(self.offset + self.width, begins=True)
        field = int.from_bytes(header[self.offset :], self.order)
        return stream.take(field - self.surplus)


class Varint:
    """Section 4."""

    carries_id = True

    def encode(self, message):
        length, header = len(message), bytearray()
        while length > 0x7F:
            header.append(length & 0x7F | 0x80)
            length >>= 7
        header.append(length)
        return bytes(header) + message

    def decode(self, stream):
        length = shift = 0
        more = True
        while more:
            (byte,) = stream.take(1, begins=shift == 0)
            length |= (byte & 0x7F) << shift
            shift += 7
            more = byte & 0x80
        return stream.take(length)


class Delimiter:
    """Section 5."""

    carries_id = False

    def __init__(self, delimiter):
        self.delimiter = delimiter

    def encode(self, message):
        return message + self.delimiter

    def decode(self, stream):
        message = bytearray()
        while not message.endswith(self.delimiter):
            message += stream.take(1, begins=not message)
        return bytes(message[: -len(self.delimiter)])


class Fixed:
    """Section 6."""

    carries_id = False

    def __init__(self, size):
        self.size = size

    def encode(self, message):
        assert len(message) == self.size
        return message

    def decode(self, stream):
        return stream.take(self.size, begins=True)


SEED = Length()


class Stream:
    """The bytes that come out of a socket, taken in pieces of any size."""

    def __init__(self, sock):
        self.sock = sock
        self.bytes = bytearray()
        self.at = 0

    def take(self, count, begins=False):
        """Exactly `count` bytes. If the stream may end here because a reply begins,
        EndOfStream says so; anywhere else its end is an error."""
        if len(self.bytes) - self.at < count:
            del self.bytes[: self.at]
            self.at = 0
        while len(self.bytes) - self.at < count:
            piece = self.sock.recv(262144)
            if not piece:
                rest = len(self.bytes)
                if begins and rest == 0:
                    raise EndOfStream
                raise CutOff(f"the stream ended inside a reply, {count - rest} bytes early")
            self.bytes += piece
        self.at += count
        return bytes(self.bytes[self.at - count : self.at])

    def holds_bytes(self):
        return self.at < len(self.bytes)


class Client:
    """One connection, blocking, with a limit on every wait."""

    def __init__(self, address, framing=SEED, receive_buffer=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(address)
        self.framing = framing
        self.stream = Stream(self.sock)

    def fileno(self):
        return self.sock.fileno()

    def send(self, data):
        self.sock.sendall(data)

    def send_messages(self, *messages):
        """All in one write."""
        self.send(b"".join(map(self.framing.encode, messages)))

    def read_reply(self):
        """(transmission id, message); the id is None where the framing carries none (M2.12)."""
        reply = self.framing.decode(self.stream)
        if not self.framing.carries_id:
            return None, reply
        return struct.unpack_from("<I", reply)[0], reply[4:]

    def read_replies(self, *messages):
        """Each of these, in this order; returns their ids, which must rise (M2.4)."""
        ids = []
        for message in messages:
            number, reply = self.read_reply()
            assert reply == message
            ids.append(number)
        if self.framing.carries_id:
            assert all(a < b for a, b in zip(ids, ids[1:]))
        return ids

    def ask(self, *messages):
        self.send_messages(*messages)
        return self.read_replies(*messages)

    def read_end(self):
        """The server's end must be an end, not a reset, and nothing may stand before it."""
        assert not self.stream.holds_bytes()
        assert self.sock.recv(1) == b""

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def readable(clients, seconds):
    """Those of the clients for which something has come; waits for the first one."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(seconds)]


def read_first(clients, count, read):
    """Waits until `count` of the clients have got something, and calls read(client) for each of
    these; returns them, in the order in which they were served."""
    served = []
    until = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while len(served) < count:
            left = until - time.monotonic()
            assert left > 0, f"{len(served)} of {count} clients were served"
            for key, _ in selector.select(left)[: count - len(served)]:
                selector.unregister(key.fileobj)
                read(key.fileobj)
                served.append(key.fileobj)
    return served


def read_first_replies(clients, count, message):
    """The same where all of them sent the same message."""
    return read_first(clients, count, lambda client: client.read_replies(message))


def assert_quiet(clients, seconds=QUIET):
    """Nothing comes for any of them."""
    assert readable(clients, seconds) == []
