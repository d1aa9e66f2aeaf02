"""F13: connections from four addresses, made as fast as it goes, each with one message, and gone. None
is turned away, and those who are served beside them do not notice."""

import re
from pathlib import Path

from conftest import scale
from hostile import FOR_EVER, attempts, vex_at
from network import Alone

WINDOW = scale(0.4, 3.3)  # seconds; three of these are the storm
SLOWER_MAX = 10  # nobody promises a factor here: who is served must not starve, and the figure is told
AT_ONCE = 400

# A storm from elsewhere takes none of this machine's processors; see test_f09_flood.py.
NICE = 5

SCRIPT = f"repeat {FOR_EVER} {{ connect; ping 8; reset }}"


def overflows(server):
    """How often the listening queue had no room, in the server's own network."""
    names, values = Path(f"/proc/{server.process.pid}/net/netstat").read_text().splitlines()[:2]
    assert re.match("TcpExt:", names)
    counts = dict(zip(names.split()[1:], map(int, values.split()[1:])))
    return counts["ListenOverflows"] + counts["ListenDrops"]


def storm(server, windows):
    """What came of it."""
    with vex_at(server, SCRIPT, "--connections", AT_ONCE, "--source", "127.0.0.2..5",
                nice=NICE) as vex:
        vex.wait_connected()
        windows.beside()
        vex.signal()
        done = vex.result(seconds=10)
    assert (done["refused"], done["failed"], done["wrong"]) == (0, 0, 0), done
    return done


def test_f13_accept_storm(berthd, result):
    with Alone() as network, network.at_client():
        server = berthd("--max-connections", 1000, network=network)
        before = overflows(server)
        for windows in attempts(server, WINDOW, SLOWER_MAX):
            made = server.stats()["connections accepted"]
            done = storm(server, windows)
            assert done["made"] > AT_ONCE, "that was no storm"
            server.wait_until(lambda stats: stats["connections accepted"] - made >= done["made"],
                              "accepts of all that connected")  # the last ones stand in its queue
        dropped = overflows(server) - before
        assert dropped == 0
        result("F13", f"{done['made']:,} connections, {done['made'] / done['seconds']:,.0f} a "
                      f"second, 0 refused, ListenOverflows and ListenDrops {dropped}; {windows}")
        server.oracle()
