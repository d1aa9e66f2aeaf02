"""F01: peers that are gone without a word are ended by the idle deadline: all of them, none early."""

from conftest import scale
from loglines import read_log, wait_until
from vanish import vanish

CLIENTS = scale(200, 1000)
IDLE_MS = scale(1000, 2000)

# What berth.h allows: half a percent, and as long as the worker is busy. A thousand ends are some
# milliseconds of work, and this machine may be doing something else.
LATE_MS_MAX = 0.005 * IDLE_MS + 100

# An entry has the time at which it is written. The deadline counts from the turn that it is about,
# which began before; how long before, the scheduler decides. (Exactly, tests/sim looks at it.)
EARLY_MS_MAX = 20

NS_PER_MS = 1e6


def test_f01_half_open(berthd, result, tmp_path):
    log = tmp_path / "log"
    server = berthd("--receive-idle-timeout", IDLE_MS, "--watch", "flow,connections", "--log", log,
                    "--log-format", "json")
    for client in server.crowd(CLIENTS):
        client.ask(b"hello")
        vanish(client)
    server.clients.clear()
    server.wait_until(lambda stats: stats["connections ended"] == CLIENTS, "the last one's end")
    server.connect().ask(b"still there")

    def ended():
        return log.read_text().count('"event":"deadline"') == CLIENTS

    wait_until(ended, "the log of it")
    heard, late = {}, {}
    for entry in read_log(log)[0]:
        if entry["event"] == "received" and entry["conn"] not in late:
            heard[entry["conn"]] = entry["t"]
        if entry["event"] == "deadline":
            late[entry["conn"]] = (entry["t"] - heard[entry["conn"]]) / NS_PER_MS - IDLE_MS
    assert min(late.values()) > -EARLY_MS_MAX, "one was ended early"
    assert max(late.values()) < LATE_MS_MAX
    middle = sorted(late.values())[CLIENTS // 2]
    result("F01", f"{len(late):,} of {CLIENTS:,} ended after {IDLE_MS:,} ms: at most "
                  f"{max(late.values()):.1f} ms late, half of them {middle:.1f} ms or less")
