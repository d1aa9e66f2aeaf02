"""Clients that keep messages on their way until their connection ends, and know what became of each
of them. All of a crowd are served by one thread."""

import random
import selectors
import time

from peer import PATIENCE, CutOff, EndOfStream


class Talker:
    def __init__(self, client, rng, window):
        self.client, self.rng, self.window = client, rng, window
        self.sent, self.answered = [], 0
        self.ended = None  # "end" or "cut off"

    def talk(self):
        """As many messages as the window has room for."""
        fresh = [b"%d " % (len(self.sent) + n) + self.rng.randbytes(self.rng.randrange(400))
                 for n in range(self.window - (len(self.sent) - self.answered))]
        self.sent += fresh
        try:
            self.client.send_messages(*fresh)
        except (ConnectionResetError, BrokenPipeError):
            pass  # what it was is found out by reading

    def hear(self):
        """One reply at least. Each must be the one that is due, so none comes twice."""
        try:
            while True:
                _, reply = self.client.read_reply()
                assert reply == self.sent[self.answered], "not the reply that is due"
                self.answered += 1
                if not self.client.stream.holds_bytes():
                    return
        except EndOfStream:
            self.ended = "end"
        except (ConnectionResetError, CutOff):
            self.ended = "cut off"

    @property
    def unknown(self):
        return len(self.sent) - self.answered


def talk_until(talkers, happens):
    """All of them talk and hear until happens() says so, then hear to the end of their streams."""
    until = time.monotonic() + PATIENCE
    over = False
    with selectors.DefaultSelector() as selector:
        for talker in talkers:
            selector.register(talker.client, selectors.EVENT_READ, talker)
            talker.talk()
        while selector.get_map():
            assert time.monotonic() < until, "the streams do not end"
            over = over or happens()
            for key, _ in selector.select(0.01):
                key.data.hear()
                if key.data.ended:
                    selector.unregister(key.fileobj)
                elif not over:
                    key.data.talk()


def crowd(server, count, window, seed):
    rng = random.Random(seed)
    return [Talker(client, rng, window) for client in server.crowd(count)]
