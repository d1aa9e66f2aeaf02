"""F22: the process stands still under load, for longer than its deadlines, while its peers go on
sending. When it goes on it hears all of it, and ends nobody but those who were silent."""

import signal
import time

from conftest import scale
from peer import readable

FROZEN_S = scale(1.2, 5)
IDLE_MS = scale(500, 2000)
TICK_S = IDLE_MS / 1000 / 4  # between two pieces of a peer
ROUNDS = scale(1, 3)
CLIENTS, SILENT = 200, 20


class Talker:
    """Says something at every tick: a whole message, or, every second of them, one half of one."""

    def __init__(self, client, halves):
        self.client, self.halves = client, halves
        self.messages, self.rest = [], b""

    def tick(self):
        if self.rest:
            piece, self.rest = self.rest, b""
        else:
            self.messages.append(b"message %d" % len(self.messages))
            piece = self.client.framing.encode(self.messages[-1])
            if self.halves:
                piece, self.rest = piece[:9], piece[9:]
        self.client.send(piece)

    def hear(self):
        self.client.read_replies(*self.messages)
        count, self.messages = len(self.messages), []
        return count


def freeze(server, talkers, silent):
    for talker in talkers:
        talker.tick()
    begin = time.monotonic()
    server.send(signal.SIGSTOP)
    while time.monotonic() - begin < FROZEN_S:
        readable(silent, TICK_S)  # time passes: the server says nothing
        for talker in talkers:
            talker.tick()
    for talker in talkers:
        if talker.rest:
            talker.tick()
    server.send(signal.SIGCONT)


def test_f22_frozen(berthd, result):
    server = berthd("--receive-idle-timeout", IDLE_MS, "--message-timeout", IDLE_MS,
                    "--first-message-timeout", IDLE_MS)
    talkers = [Talker(client, number % 2) for number, client in enumerate(server.crowd(CLIENTS))]
    answered = 0
    for turn in range(ROUNDS):
        silent = server.crowd(SILENT)
        for client in silent:
            client.ask(b"the last that is heard of it")
        freeze(server, talkers, silent)
        answered += sum(talker.hear() for talker in talkers)
        for client in silent:
            client.read_end()
            client.close()
        gone = (turn + 1) * SILENT
        stats = server.wait_until(lambda stats: stats["connections ended"] >= gone, "their ends")
        assert (stats["connections ended"], stats["connections open"]) == (gone, CLIENTS)
    result("F22", f"{ROUNDS} x {FROZEN_S} s frozen with deadlines of {IDLE_MS:,} ms: {CLIENTS} "
                  f"peers that sent meanwhile stayed and had all {answered:,} answers, "
                  f"{SILENT * ROUNDS} silent ones ended")
