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


def vex_at(server, script, *options):
    return Vex(server.address(), script, *options)


def honest_pings(server, seconds, clients=HONEST):
    """Clients that ask as soon as they have heard; every answer must be right, and none of them may
    lose its connection. Whole seconds."""
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
