"""F07: clients that ask, and never read. Each is read no more once so much waits for it, what waits is
below a limit in the program and in the system, and the client is closed for it."""

import re
import time

from conftest import LOOK, SHADOW, peer, scale
from hostile import honest_pings, run_vex, system_memory, vex_at
from loglines import of_mode, read_log, wait_until

READERS = scale(100, 1000)
PROGRESS_MS = scale(1000, 5000)

MESSAGE = 1000
SEND_HIGH, SYSTEM = 64 << 10, 32 << 10
RECEIVE = 270336  # of one receive: the messages in it are handed over together
# A reply is four bytes longer than its request, header and all.
QUEUED_MAX = SEND_HIGH + RECEIVE // (MESSAGE + 4) * (MESSAGE + 8)
SEND_MAX = SEND_HIGH + (8 << 20)

# The pool gives out slabs of a power of two, and input that must wait is copied into one.
RSS_MAX = SHADOW * (READERS * 2 * (QUEUED_MAX + RECEIVE) + (16 << 20))

# The system doubles what it is told, and goes over it by one segment (64 KiB and its books).
SYSTEM_MAX = READERS * 2 * (2 * SYSTEM + (66 << 10))

SCRIPT = f"sndbuf 4096; rcvbuf 4096; connect; noread; frames 1000000 {MESSAGE}; expect-reset"


def queued(server):
    """Bytes that wait for clients, as the console lists them: the first hundred."""
    begin = len(server.lines)
    server.enter("list")
    ended = re.compile(r"\d+ connections$")
    with server.news:
        assert server.news.wait_for(lambda: any(map(ended.match, server.lines[begin:])),
                                    peer.PATIENCE)
        lines = server.lines[begin:]
    return [int(line.split()[-1]) for line in lines if re.match(r"10\d{8} ", line)]


def watch(server, vex, before):
    """Looks until all have been closed: the most of each that was seen."""
    most = {"queued": 0, "resident": 0, "received": 0, "sent": 0}
    open_ = READERS
    while open_ > 0:
        memory = system_memory(server)
        seen = {"queued": max(queued(server), default=0),
                "resident": server.resident_bytes() - before,
                "received": memory.received, "sent": memory.sent}
        most = {key: max(value, seen[key]) for key, value in most.items()}
        open_ = server.stats()["connections open"]
        time.sleep(LOOK)
    return most


def test_f07_slow_reader(berthd, result, tmp_path):
    log = tmp_path / "log"
    server = berthd("--max-connections", READERS + 200, "--send-high", SEND_HIGH, "--send-max",
                    SEND_MAX, "--max-message", 65536, "--system-send", SYSTEM, "--system-receive",
                    SYSTEM, "--send-progress-timeout", PROGRESS_MS, "--watch", "connections",
                    "--log", log, "--log-format", "json")
    honest_pings(server, 1)  # what serving takes is not what slow readers take
    before = server.resident_bytes()
    with vex_at(server, SCRIPT, "--connections", READERS, "--seconds", 250) as vex:
        vex.wait_connected()
        honest = run_vex(server.address(), "connect; repeat 50 { ping 100 }", "--connections", 20)
        most = watch(server, vex, before)
        done = vex.result()
    assert honest["done"] == 20
    assert (done["ended_reset"], done["frames_in"]) == (READERS, 0)
    assert 0 < most["queued"] <= QUEUED_MAX < SEND_MAX
    assert 0 < most["resident"] <= RSS_MAX
    assert 0 < most["received"] + most["sent"] <= SYSTEM_MAX

    def for_it():
        lines = of_mode(read_log(log)[0], "connections")
        return sum("took nothing" in entry.get("reason", "") for entry in lines)

    wait_until(lambda: for_it() == READERS, "the log of it")
    mib = {key: value / (1 << 20) for key, value in most.items()}
    result("F07", f"{READERS:,} of {READERS:,} closed for taking nothing in {PROGRESS_MS / 1000:g} "
                  f"s; for one at most {most['queued']:,} bytes queued, where {SEND_HIGH:,} and a "
                  f"receive are allowed; for all {mib['resident']:.1f} MiB of the program's memory, "
                  f"and {mib['received'] + mib['sent']:.1f} MiB of the system's")
