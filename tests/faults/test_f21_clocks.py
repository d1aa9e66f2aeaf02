"""F21: the clock on the wall lies, by up to a day at every look; the monotonic one has run for
decades. Deadlines and delays are kept as ever."""

import ctypes
import errno
import json
import os
import re
import time

import pytest

from conftest import in_child, preloaded, run
from peer import readable

FIRST, MESSAGE, IDLE, DELAY = 300, 400, 500, 100  # ms
LATE_MS_MAX = 1000  # of a busy machine; a clock that jumps would be a day
DEADLINES = ("--first-message-timeout", FIRST, "--message-timeout", MESSAGE,
             "--receive-idle-timeout", IDLE, "--delay", DELAY)

CLONE_NEWTIME = 0x80
MONOTONIC_S = 2_000_000_000  # 63 years
LIBC = ctypes.CDLL(None, use_errno=True)


def decades_later(limits):
    """The process becomes a program in a time namespace of its own."""

    def prepare():
        in_child(limits)()
        if LIBC.unshare(CLONE_NEWTIME) != 0:
            os._exit(127)
        with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
            file.write(f"monotonic {MONOTONIC_S} 0\n")

    return prepare


def need_time_namespaces():
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.unshare(CLONE_NEWTIME) == 0 else ctypes.get_errno())
    _, status = os.waitpid(child, 0)
    error = os.waitstatus_to_exitcode(status)
    if error in (errno.EPERM, errno.EINVAL, errno.ENOSYS):
        pytest.skip("this user, or this kernel, makes no time namespaces")
    assert error == 0


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
