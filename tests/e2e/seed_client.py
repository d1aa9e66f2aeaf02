"""A twin of the seed's client: it does on the wire what that client does, and shares no code with it.

What the seed's client does, and so this one:

  * it opens one silent connection on a first run and two on later ones, and drops them;
  * it builds all messages before it starts: connection c sends M1-Cc to Mn-Cc, or, in a long test,
    M1-C0000 to Mn-C0000 on every connection;
  * it waits 1 ms before each connect, and has at most `at_once` connections open; one that could
    not be made goes back on the stack and is tried again, without limit;
  * on a connection it sends one message, at most `buffer_size` bytes a send, then receives the
    reply, at most `buffer_size` bytes a receive, and only then sends the next. Nagle stays on;
  * at the end of a connection it shuts both directions down, then closes;
  * it dies (Died; as a program, exit status 255) when a connection is reset, and when one receive
    has bytes of more than one reply, or a reply has no room for its id.

Unlike the seed's client it also dies when the server ends a connection early, it waits no longer
than `patience` seconds in all, and it reports each id and text, so that a test can check them.

    seed_client.py HOST PORT [--connections N] [--messages N] [--buffer-size B] [--at-once S]
                   [--delay-ms D] [--first-run] [--long] [--patience SECONDS] [--quiet]

prints a line `connection id text` for each reply, in order of arrival.
"""

import argparse
import errno
import os
import select
import socket
import struct
import sys
import time
from collections import namedtuple

PREFIX_BYTES = 4
ID_BYTES = 4
CONNECT_DELAY_S = 0.001
EXIT_DIED = 255
FIRST_ID = 10001

Reply = namedtuple("Reply", "connection id text")


class Died(Exception):
    """Where the seed's client would have ended with an unhandled exception."""


def messages_of(connection, count, long_test):
    suffix = b"C0000" if long_test else b"C%d" % connection
    return [b"M%d-%s" % (number, suffix) for number in range(1, count + 1)]


class Connection:
    """One connection: what it has still to send of a message, what it has of a reply."""

    __slots__ = ("number", "messages", "sock", "next", "unsent", "received", "reply_bytes",
                 "connecting")

    def __init__(self, number, messages):
        self.number, self.messages = number, messages
        self.sock = None
        self.next = 0  # which message comes next
        self.unsent = b""
        self.received = bytearray()
        self.reply_bytes = None  # unknown until the prefix is whole
        self.connecting = False

    def load(self):
        """Puts the next message, if there is one, in front of the sends."""
        if self.next == len(self.messages):
            return False
        message = self.messages[self.next]
        self.next += 1
        self.unsent = struct.pack("<i", len(message)) + message
        return True


class SeedClient:
    """One run. After run(): replies in order of arrival, ports by connection, and counts."""

    def __init__(self, address, connections=1, messages=1, buffer_size=25, at_once=1000,
                 silent=2, long_test=False, delay_s=CONNECT_DELAY_S, patience=60):
        self.address, self.buffer_size = address, buffer_size
        self.at_once, self.silent, self.delay_s = at_once, silent, delay_s
        self.patience = patience
        shared = messages_of(0, messages, True) if long_test else None
        stack = [Connection(number, shared or messages_of(number, messages, False))
                 for number in range(1, connections + 1)]
        self.stack = stack[::-1]  # connection 1 is popped first
        self.epoll = None
        self.open = {}
        self.replies, self.ports = [], {}
        self.most_at_once = self.retries = self.finished = 0
        self.sends = self.receives = 0

    def run(self):
        until = time.monotonic() + self.patience
        for _ in range(self.silent):
            socket.create_connection(self.address, self.patience).close()
        due = time.monotonic() + self.delay_s
        self.epoll = select.epoll()
        try:
            while self.stack or self.open:
                now = time.monotonic()
                if now > until:
                    raise Died(f"not finished after {self.patience} s: {len(self.open)} open, "
                               f"{self.finished} finished, {len(self.replies)} replies")
                if self.stack and len(self.open) < self.at_once and now >= due:
                    self._connect(self.stack.pop())
                    due = time.monotonic() + self.delay_s
                for fd, events in self.epoll.poll(self._wait(due, until), 256):
                    self._step(self.open[fd], events)
        finally:
            for connection in self.open.values():
                connection.sock.close()
            self.epoll.close()
        return self

    def _wait(self, due, until):
        """How long to wait for an event: until the next connect is due, if it may be made."""
        now = time.monotonic()
        if self.stack and len(self.open) < self.at_once:
            return max(0, min(due, until) - now)
        return max(0, until - now)

    def _connect(self, connection):
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        connection.sock, connection.connecting = sock, True
        failed = sock.connect_ex(self.address)
        if failed not in (0, errno.EINPROGRESS):
            self._retry(connection)
            return
        self.open[sock.fileno()] = connection
        self.most_at_once = max(self.most_at_once, len(self.open))
        self.epoll.register(sock, select.EPOLLOUT)

    def _retry(self, connection):
        connection.sock.close()
        self.retries += 1
        self.stack.append(connection)

    def _step(self, connection, events):
        try:
            if connection.connecting:
                if connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._forget(connection)
                    self._retry(connection)
                    return
                connection.connecting = False
                self.ports[connection.number] = connection.sock.getsockname()[1]
                self._turn(connection)
            elif events & ~select.EPOLLOUT:
                self._receive(connection)
            else:
                self._send(connection)
        except OSError as error:
            raise Died(f"connection {connection.number}, message {connection.next} of "
                       f"{len(connection.messages)}: {error}") from error

    def _turn(self, connection):
        """The next message's turn, or the end's."""
        if connection.load():
            self._send(connection)
            return
        connection.sock.shutdown(socket.SHUT_RDWR)
        self._forget(connection)
        connection.sock.close()
        self.finished += 1

    def _forget(self, connection):
        self.epoll.unregister(connection.sock)
        del self.open[connection.sock.fileno()]

    def _send(self, connection):
        while connection.unsent:
            try:
                count = connection.sock.send(connection.unsent[: self.buffer_size])
            except BlockingIOError:
                self.epoll.modify(connection.sock, select.EPOLLOUT)
                return
            self.sends += 1
            connection.unsent = connection.unsent[count:]
        self.epoll.modify(connection.sock, select.EPOLLIN)

    def _receive(self, connection):
        try:
            piece = connection.sock.recv(self.buffer_size)
        except BlockingIOError:
            return
        self.receives += 1
        where = f"connection {connection.number}, message {connection.next}"
        if not piece:
            raise Died(f"{where}: the server ended the connection before the reply")
        connection.received += piece
        got = connection.received
        if connection.reply_bytes is None:
            if len(got) < PREFIX_BYTES:
                return
            (connection.reply_bytes,) = struct.unpack_from("<i", got)
            if connection.reply_bytes < ID_BYTES:
                raise Died(f"{where}: a reply of {connection.reply_bytes} bytes has no id")
        whole = PREFIX_BYTES + connection.reply_bytes
        if len(got) < whole:
            return
        if len(got) > whole:
            raise Died(f"{where}: one receive has {len(got) - whole} bytes beyond the reply")
        (number,) = struct.unpack_from("<i", got, PREFIX_BYTES)
        text = bytes(got[PREFIX_BYTES + ID_BYTES :])
        self.replies.append(Reply(connection.number, number, text))
        connection.received = bytearray()
        connection.reply_bytes = None
        self._turn(connection)


def right(client, connections, messages, long_test=False):
    """Every message was answered by itself, with an id of its own, 10001 and on without a gap."""
    texts = {number: [] for number in range(1, connections + 1)}
    last_id = {}
    for reply in client.replies:
        texts[reply.connection].append(reply.text)
        assert reply.id > last_id.get(reply.connection, 0), f"ids fall: {reply}"
        last_id[reply.connection] = reply.id
    for number, seen in texts.items():
        assert seen == messages_of(number, messages, long_test), f"connection {number}"
    ids = sorted(reply.id for reply in client.replies)
    assert ids == list(range(FIRST_ID, FIRST_ID + connections * messages))
    assert client.finished == connections


def main():
    parser = argparse.ArgumentParser(description="A twin of the seed's client.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--messages", type=int, default=1)
    parser.add_argument("--buffer-size", type=int, default=25)
    parser.add_argument("--at-once", type=int, default=1000)
    parser.add_argument("--delay-ms", type=float, default=CONNECT_DELAY_S * 1000)
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--first-run", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    client = SeedClient((options.host, options.port), options.connections, options.messages,
                        options.buffer_size, options.at_once, 1 if options.first_run else 2,
                        options.long, options.delay_ms / 1000, options.patience)
    try:
        client.run()
    except (Died, OSError) as reason:
        print(f"died: {reason}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(EXIT_DIED)  # as it stands: nothing is shut down in order
    if not options.quiet:
        for reply in client.replies:
            print(reply.connection, reply.id, reply.text.decode("ascii"))
    print(f"{client.finished} connections finished, {len(client.replies)} replies, "
          f"{client.retries} retries, {client.most_at_once} at once", file=sys.stderr)


if __name__ == "__main__":
    main()
