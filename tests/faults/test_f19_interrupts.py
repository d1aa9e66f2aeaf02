"""F19: a storm of interruptions. Every third system call of the server fails with EINTR, and the
whole process is stopped and continued all the time, which interrupts the calls that wait. Every
message is answered, once and in order, as if nothing were."""

import re
import signal
import threading
import time

from conftest import preloaded, scale
from peer import PATIENCE

SECONDS = scale(0.7, 10)
CLIENTS, BATCH = 10, 20
LARGE = 100_000  # more than a receive, and sometimes more than a send takes


class Storm(threading.Thread):
    """Stops and continues the server about a thousand times a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.count = server, threading.Event(), 0

    def run(self):
        while not self.over.wait(0.0005):
            self.server.send(signal.SIGSTOP)
            self.server.send(signal.SIGCONT)
            self.count += 1


def test_f19_interrupts(berthd, result):
    with preloaded("interrupt"):
        server = berthd("--max-message", LARGE, workers=2)
    clients = server.crowd(CLIENTS)
    storm = Storm(server)
    storm.start()
    answered, until = 0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            batch = [b"%d" % (answered + number) for number in range(BATCH)] + [bytes(LARGE)]
            for client in clients:
                client.send_messages(*batch)
            for client in clients:
                client.read_replies(*batch)
                answered += len(batch)
    finally:
        storm.over.set()
        storm.join(PATIENCE)
        server.send(signal.SIGCONT)
    assert server.stats()["messages received whole"] == answered
    server.oracle()
    (counts,) = re.findall(r"^interrupted (\d+) of (\d+) calls$", server.said(), re.MULTILINE)
    interrupted, calls = map(int, counts)
    assert interrupted > 100 and storm.count > 5
    result("F19", f"{answered:,} of {answered:,} messages answered right, with {interrupted:,} of "
                  f"{calls:,} calls interrupted, and {storm.count:,} stops of the process")
