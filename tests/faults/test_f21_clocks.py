"""F21: the clock on the wall lies, by up to a day at every look; the monotonic one has run for
decades. Deadlines and delays are kept as ever."""

import json
import re
import time

from conftest import in_child, preloaded, run
from peer import readable
from timespace import enter_time_namespace, need_time_namespaces

FIRST, MESSAGE, IDLE, DELAY = 300, 400, 500, 100  # ms
LATE_MS_MAX = 1000  # of a busy machine; a clock that jumps would be a day
DEADLINES = ("--first-message-timeout", FIRST, "--message-timeout", MESSAGE,
             "--receive-idle-timeout", IDLE, "--delay", DELAY)

MONOTONIC_S = 2_000_000_000  # 63 years


def decades_later(limits):
    def prepare():
        in_child(limits)()
        enter_time_namespace(MONOTONIC_S)

    return prepare


def late_ms(begin, end, deadline):
    late = (end - begin) * 1000 - deadline
    assert 0 <= late < LATE_MS_MAX, f"{late:.1f} ms late for {deadline} ms"
    return late


def wait_for_end(client, begin, deadline):
    client.read_end()
    late = late_ms(begin, time.monotonic(), deadline)
    client.close()
    return late


def hold_to_deadlines(server):
    """Each of them; how late the latest was."""
    late = []
    begin = time.monotonic()
    silent = server.connect()
    late.append(wait_for_end(silent, begin, FIRST))

    asks = server.connect()
    begin = time.monotonic()
    asks.ask(b"hello")
    late.append(late_ms(begin, time.monotonic(), DELAY))
    late.append(wait_for_end(asks, begin + DELAY / 1000, IDLE))

    slow = server.connect()
    slow.ask(b"hello")
    begin = time.monotonic()
    for byte in slow.framing.encode(bytes(1000)):
        slow.send(bytes([byte]))
        if readable([slow], 0.03):
            break
    late.append(wait_for_end(slow, begin, MESSAGE))
    return max(late)


def test_f21_the_wall_clock_lies(berthd, backend, result, tmp_path):
    log = tmp_path / "log"
    with preloaded("clock"):
        server = berthd(*DEADLINES, "--watch", "connections", "--log", log, "--log-format", "json")
    late = hold_to_deadlines(server)

    begin = time.monotonic()
    with preloaded("clock"):
        status, out, err = run("berthload", "--connect", "127.0.0.1:%d" % server.address()[1],
                               "--backend", backend, "--duration", "500ms")
    loaded = time.monotonic() - begin
    assert status == 0, out + err
    assert 0.5 <= loaded < 0.5 + DELAY / 1000 + 1, out
    server.oracle()
    assert re.search(r"^the clock lied [1-9]\d* times$", server.said(), re.MULTILINE)
    result("F21", f"wall clock wrong by up to a day: deadlines at most {late:.1f} ms late, none "
                  f"early; half a second of load took {loaded:.2f} s")


def test_f21_the_monotonic_clock_is_old(berthd, result, tmp_path):
    need_time_namespaces()
    server = berthd(*DEADLINES, "--watch", "connections", "--log", tmp_path / "log",
                    "--log-format", "json", prepare=decades_later)
    late = hold_to_deadlines(server)
    first = json.loads((tmp_path / "log").read_text().split("\n", 1)[0])
    assert first["start_monotonic_ns"] > MONOTONIC_S * 10**9, "it is not in the namespace"
    result("F21", f"monotonic clock at {MONOTONIC_S:,} s: deadlines at most {late:.1f} ms late, "
                  "none early")
