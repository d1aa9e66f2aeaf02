"""F04: a reset behind each byte of a message, of each length up to 64, before it and behind it. No part of
one reaches a handler, each connection ends for that reason, and nobody else notices."""

import random
from collections import Counter

from conftest import scale
from hostile import FOR_EVER, vex_at
from loglines import of_mode, read_log, wait_until

LENGTHS = range(1, 65)
HEADER = 4

# Length, and bytes that are sent: up to the last of the message.
CUTS = [(length, cut) for length in LENGTHS for cut in range(length + HEADER + 1)]
PING = 5

# One reset in many thousands finds the kernel where it loses it (src/io/uring_look.c).
ROUNDS = scale(1, 20)

# Three ways for the reset to come: with the bytes, when they have been read, and behind a good
# message that was answered.
WAYS = {
    "at once": "connect; part {length} {cut}; reset",
    "later": "connect; part {length} {cut}; pause 1ms; reset",
    "behind a good one": f"connect; ping {PING}; " "part {length} {cut}; reset",
}


WHOLE = ([*LENGTHS] * len(WAYS) + [PING] * len(CUTS)) * ROUNDS  # messages, by their size

AT_ONCE = 8
HONEST = 20
SOURCE = "127.0.0.2"  # of those; the honest come from elsewhere


def entries_of_cuts(log):
    """What the log has of their connections: the ends, and the messages that were handed over. One
    that was reset before it was accepted has no address any more."""
    entries = read_log(log)[0]
    ends = [entry for entry in of_mode(entries, "connections")
            if entry["event"] == "closed" and entry.get("peer", SOURCE).startswith(SOURCE)]
    conns = {entry["conn"] for entry in ends}
    return ends, [entry for entry in of_mode(entries, "data")
                  if entry["event"] == "message" and entry["conn"] in conns]


def cut_all(server, steps, folder):
    """Goes through the steps, several at a time."""
    running = []
    for number in range(AT_ONCE):
        script = folder / f"script{number}"
        script.write_text("\n".join(steps[number::AT_ONCE]))
        running.append(vex_at(server, f"@{script}", "--source", SOURCE))
    for vex in running:
        with vex:
            done = vex.result()
            assert done["made"] == done["ended_itself"]


def test_f04_cut_points(berthd, result, tmp_path):
    log = tmp_path / "log"
    server = berthd("--watch", "connections,data", "--log", log, "--log-format", "json", workers=2)
    cuts = [(way, *each) for way in WAYS.values() for each in CUTS] * ROUNDS
    random.Random(4).shuffle(cuts)
    steps = [way.format(length=length, cut=cut) for way, length, cut in cuts]
    with vex_at(server, f"connect; repeat {FOR_EVER} {{ ping 100; pause 5ms }}", "--connections",
                HONEST) as honest:
        honest.wait_connected()
        cut_all(server, steps, tmp_path)
        honest.signal()
        asked = honest.result()
    assert (asked["stopped"], asked["ended_itself"], asked["wrong"]) == (HONEST, HONEST, 0)
    closed = '"mode":"connections","event":"closed"'
    wait_until(lambda: log.read_text().count(closed) == len(cuts) + HONEST, "the log of it")
    ends, messages = entries_of_cuts(log)
    assert len(ends) == len(cuts)
    assert {entry["reason"] for entry in ends} == {"the peer reset the connection"}
    sizes = Counter(entry["bytes"] for entry in messages)
    assert sizes == Counter(WHOLE), "a part, or none of a whole"
    result("F04", f"{len(cuts):,} resets, at {len(CUTS):,} places in {len(WAYS)} ways: each "
                  f"connection ended for it; handed over were the {len(messages):,} messages that "
                  "were sent whole, and no part of another")
