"""What the tests of hostile peers share: vex beside a server, honest clients measured with and
without it, and the memory that the system holds for the server's sockets.

    with vex_at(server, "connect; ...", "--connections", 100) as vex:
        ...
    pings = honest_pings(server, 1.0)       100 clients that ask and hear, for a second
"""

import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "vex"))

from vex import Relay, Vex, run_vex  # noqa: E402, F401

HONEST = 100
FOR_EVER = 1_000_000_000  # rounds; the time is over before

Pings = namedtuple("Pings", "count p50_us p99_us most_us")


def vex_at(server, script, *options, nice=0):
    return Vex(server.address(), script, *options, nice=nice)


def honest_pings(server, seconds, clients=HONEST):
    """Clients that ask as soon as they have heard; every answer must be right, and none of them may
    lose its connection."""
    done = run_vex(server.address(), f"connect; repeat {FOR_EVER} {{ ping 32 }}", "--connections",
                   clients, "--seconds", seconds, seconds=seconds + 30)
    assert done["made"] == done["stopped"] == clients, done
    times = done["pings_us"]
    return Pings(times["count"], times["p50"], times["p99"], times["most"])


Memory = namedtuple("Memory", "sockets received sent")


def system_memory(server):
    """What the system holds for the server's connections: bytes that it has not read, and bytes that
    were sent and not taken, each with the system's own books about them."""
    _, port = server.address()
    done = subprocess.run(["ss", "-tnmH", "sport", "=", f":{port}"], capture_output=True, text=True,
                          check=True)
    found = [dict((key, int(value)) for key, value in re.findall(r"([a-z]+)(\d+)", each))
             for each in re.findall(r"skmem:\(([^)]*)\)", done.stdout)]
    return Memory(len(found), sum(each["r"] for each in found), sum(each["w"] for each in found))


ATTEMPTS = 3


class Windows:
    """The same measurement without and beside something hostile, three times each, and the middle
    one of three counts: this machine may be doing something else in one."""

    def __init__(self, server, seconds, clients=HONEST):
        self.server, self.seconds, self.clients = server, seconds, clients
        self.before_ms = self._measure()
        self.late = None

    def beside(self):
        self.during_ms = self._measure()

    def hold(self, late_ms, most_ms):
        """Something else that is measured in time, and is late when the machine is."""
        if late_ms > most_ms:
            self.late = f"{late_ms:,.0f} ms late, where {most_ms:,.0f} are allowed"

    def slower(self):
        return self.during_ms / self.before_ms

    def _measure(self):
        three = [honest_pings(self.server, self.seconds, self.clients) for _ in range(3)]
        self.answers = sum(each.count for each in three)
        return sorted(each.p99_us for each in three)[1] / 1000

    def __str__(self):
        return (f"99 of 100 answers to {self.clients} honest clients within {self.during_ms:.1f} "
                f"ms, {self.slower():.2f} times the {self.before_ms:.1f} ms without")


def attempts(server, seconds, slower_max):
    """Measures until honest clients are no more than so many times slower and nothing is late, and
    fails if that never is: what else runs on this machine makes all slower and never faster.

        for windows in attempts(server, 0.5, 2):
            with vex_at(...):
                windows.beside()
    """
    for _ in range(ATTEMPTS):
        windows = Windows(server, seconds)
        yield windows
        if windows.slower() <= slower_max and windows.late is None:
            return
        print(windows, windows.late)
    raise AssertionError(windows.late or f"more than {slower_max} times in {ATTEMPTS} attempts; "
                                         f"the last: {windows}")
