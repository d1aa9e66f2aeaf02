"""F36: lines that lose packets, and a slow one, each between a server and clients of its own, all at
the same time. Every message is answered rightly (berthload checks each byte), and the servers do not
grow."""

import json
import threading
from contextlib import ExitStack

from conftest import FULL, SANITIZED, run, scale
from network import SERVER, Network

SECONDS = 60  # in the full form; in the quick one so many messages, as a connect may get lost, too
LOAD = scale(["--connections", 10, "--messages", 20],
             ["--connections", 20, "--duration", SECONDS])
GROWTH_MAX = (32 if SANITIZED else 4) << 20
PATIENCE_MS = 120_000  # a segment that gets lost seven times in a row takes 25 seconds

LINES = {
    "1 % lost": lambda network: network.lose(1),
    "5 % lost": lambda network: network.lose(5),
    "20 % lost": lambda network: network.lose(20),
    "1 Mbit/s": lambda network: network.narrow("1mbit"),
}


class Line(threading.Thread):
    """A bad line, a server at one end, and a berthload at the other."""

    def __init__(self, berthd, backend, line, network):
        super().__init__(daemon=True)
        self.line, self.network, self.backend = line, network, backend
        LINES[line](network)
        self.server = berthd("--listen", f"{SERVER}:0", "--send-progress-timeout", PATIENCE_MS,
                             "--first-message-timeout", PATIENCE_MS,
                             "--message-timeout", PATIENCE_MS, network=network)
        self.told = None

    def run(self):
        address = f"{SERVER}:{self.server.address()[1]}"
        with self.network.at_client():
            self.told = run("berthload", "--connect", address, "--backend", self.backend,
                            "--pipeline", 4, "--size", "10-3000", "--answer-timeout", 120,
                            "--json", "-", *LOAD, seconds=SECONDS + 120)

    def check(self, before):
        """What it comes to, in words."""
        status, out, err = self.told
        results = json.loads(out)["results"]
        answered = results["messages_answered"]
        assert (status, results["wrong_replies"]) == (0, 0), f"{self.line}: {err}"
        assert answered == results["messages_planned"] > 0
        assert answered == self.server.stats()["messages received whole"]
        grown = self.server.resident_bytes() - before
        assert grown < GROWTH_MAX, self.line
        self.server.oracle()
        return f"{self.line} {answered:,} ({max(0, grown) >> 10} KiB grown)"


def test_f36_bad_lines(berthd, backend, result):
    with ExitStack() as networks:
        lines = [Line(berthd, backend, line, networks.enter_context(Network())) for line in LINES]
        for line in lines:
            line.start()
        lines[0].join(scale(0.5, SECONDS / 3))
        before = [line.server.resident_bytes() for line in lines]
        for line in lines:
            line.join(SECONDS + 120)
        told = [line.check(size) for line, size in zip(lines, before)]
        span = f" in {SECONDS} s" if FULL else ""
        result("F36", f"messages{span}, all of them answered rightly: {', '.join(told)}")
