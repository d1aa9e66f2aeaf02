"""F09: messages of one byte without an end, from a client that reads the answers and from one that
does not. Each connection has its share of a turn: the others are served, and nobody is ended."""

import os

from conftest import scale
from hostile import FOR_EVER, attempts, vex_at

WINDOW = scale(0.4, 3)  # seconds of one measurement
# The figure is the full form's; the quick one runs beside other tests, and finds who starves.
SLOWER_MAX = scale(10, 3)

# A flooder is a process on this machine as well. What it must not take is the server's time; that of
# the honest clients it must not take either, or the measurement is of the scheduler. So the server
# has a processor for itself, and the flooders yield to the honest on the others.
NICE = 19

FLOOD = f"frames {FOR_EVER} 1"
PAUSED = "times that a connection was not read because its queue was full"


def flood(server, windows):
    """How many messages of the flooder that reads were served meanwhile."""
    paused = server.stats()[PAUSED]
    with vex_at(server, f"connect; noread; {FLOOD}", "--timeout", 60_000, nice=NICE) as silent, \
            vex_at(server, f"connect; {FLOOD}", "--replies", "frames", nice=NICE) as reading:
        server.wait_until(lambda stats: stats[PAUSED] > paused, "a pause for who does not read")
        reading.wait_connected()
        messages = server.stats()["messages received whole"]
        windows.beside()
        served = server.stats()["messages received whole"] - messages - windows.answers
        for each in (reading, silent):
            each.signal()
            done = each.result(seconds=10)
            assert (done["stopped"], done["ended_itself"]) == (1, 1), "nobody else ended it"
    return served


def alone(server):
    """The server on the first processor, this process and its children on the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    for task in os.listdir(f"/proc/{server.process.pid}/task") if others else ():
        os.sched_setaffinity(int(task), {first})
    os.sched_setaffinity(0, others or {first})


def test_f09_flood(berthd, result):
    server = berthd()
    alone(server)
    for windows in attempts(server, WINDOW, SLOWER_MAX):
        served = flood(server, windows)
        # One of two flooders, against a hundred: a quarter of what they get, though it yields to them.
        assert served > windows.answers / 4, "that was no flood"
    result("F09", f"neither flooder ended; the one that reads was served with {served:,} messages "
                  f"beside {windows.answers:,} of honest clients; {windows}")
