"""F06: thousands of clients that send a byte a second. A message has a deadline from its first byte
to its last, which no trickle moves: all of them are closed at it, and honest clients do not notice."""

from conftest import scale
from hostile import attempts, vex_at

SENDERS = scale(500, 5000)
DEADLINE_MS = scale(2200, 10_000)
WINDOW = scale(0.4, 2)  # seconds of one measurement

# Half a percent, and as long as the worker is busy: with accepting all of them, and with closing.
LATE_MS_MAX = 0.005 * DEADLINE_MS + scale(300, 1000)
# The figure is the full form's; the quick one runs beside other tests, and finds who starves.
SLOWER_MAX = scale(10, 2)

SCRIPT = "connect; bytes 1 each 900ms..1100ms; frame 1000; expect-eof"


def trickle(server, windows):
    """All of them, from their first byte to their end: their lives, in milliseconds."""
    with vex_at(server, SCRIPT, "--connections", SENDERS) as vex:
        vex.wait_connected()
        windows.beside()
        server.wait_until(lambda stats: stats["connections open"] == SENDERS, "all of them, still")
        done = vex.result(seconds=30)
    assert (done["ended_eof"], done["frames_in"]) == (SENDERS, 0)
    return {key: value / 1000 for key, value in done["lives_us"].items()}


def test_f06_slow_sender(berthd, result):
    server = berthd("--max-connections", SENDERS + 200, "--message-timeout", DEADLINE_MS)
    for windows in attempts(server, WINDOW, SLOWER_MAX):
        lives = trickle(server, windows)
        assert lives["least"] >= DEADLINE_MS, "one was closed early"
        windows.hold(lives["most"] - DEADLINE_MS, LATE_MS_MAX)
    result("F06", f"{SENDERS:,} of {SENDERS:,} closed after {DEADLINE_MS:,} ms, at most "
                  f"{lives['most'] - DEADLINE_MS:,.0f} ms late; {windows}")
