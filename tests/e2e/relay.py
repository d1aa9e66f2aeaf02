"""A relay between a client and a server, for bytes to be changed and connections to be cut on their
way. One thread for each direction of each connection."""

import socket
import struct
import threading
import time

PIECE = 65536

# How long a connection may stand still after it was meddled with: what its ends then still wait for
# will not come.
STILL = 0.3

TO_SERVER, TO_CLIENT = 0, 1


class Passage:
    """One connection through the relay. What is done to it is its subclass's."""

    def __init__(self, number):
        self.number = number
        self.meddled = False

    def passing(self, direction, data):
        """The bytes that go on in place of `data`; None resets both ends."""
        return data


class Relay:
    """Passes on whatever comes, through passages that `make(number)` makes, 1 the first."""

    def __init__(self, server, make):
        self.server, self.make = server, make
        self.passages, self.threads, self.sockets = [], [], []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.server)
            except OSError:
                client.close()
                continue
            with self.lock:
                passage = self.make(len(self.passages) + 1)
                self.passages.append(passage)
            both = (client, server)
            for sock in both:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(STILL)
            self.sockets += both
            left = [2]
            for direction in (TO_SERVER, TO_CLIENT):
                thread = threading.Thread(target=self._carry, args=[passage, direction, both, left],
                                          daemon=True)
                thread.start()
                self.threads.append(thread)

    def _carry(self, passage, direction, both, left):
        source, target = both if direction == TO_SERVER else both[::-1]
        try:
            while True:
                try:
                    data = source.recv(PIECE)
                except TimeoutError:
                    if passage.meddled:
                        reset(both)
                        return
                    continue
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                data = passage.passing(direction, data)
                if data is None:
                    reset(both)
                    return
                target.sendall(data)
        except OSError:
            reset(both)  # one end is gone, and so is the other
        finally:
            with self.lock:
                left[0] -= 1
                over = left[0] == 0
            if over:
                for sock in both:
                    sock.close()

    def close(self):
        """Once the client has ended: waits until everything has passed."""
        self.listener.close()
        until = time.monotonic() + 10 * STILL
        for thread in list(self.threads):
            thread.join(max(0, until - time.monotonic()))
        for sock in self.sockets:
            sock.close()


def reset(both):
    """Both ends, at once, whatever waits in them."""
    for sock in both:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        except OSError:
            pass
    for sock in both:
        sock.close()
