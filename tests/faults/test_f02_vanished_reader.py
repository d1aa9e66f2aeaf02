"""F02: a peer vanishes while a reply to it is on its way. A small reply is the system's already, a
large one waits in the server: in both cases the server learns of it by --send-progress-timeout,
and not from TCP, which tries for a quarter of an hour."""

from loglines import of_mode, read_log, wait_until
from network import SERVER, Network

PROGRESS_MS = 1500

# The system looks whenever it sends again, and counts from the first time that it did: 0.2 to 0.7 s
# later than the limit on a quiet machine.
CLOSED_MS_MAX = 3500
DELAY_MS = 200  # from a message to its reply: time to pull the cable
LARGE, SMALL = 16 << 20, 5
NS_PER_MS = 1e6


def took_ms(entries, event):
    """From the last thing that left for the connection, to its end: by the event that each has."""
    (conn,) = {entry["conn"] for entry in entries if event(entry)}
    mine = [entry for entry in entries if entry.get("conn") == conn]
    sent = max(entry["t"] for entry in mine if entry["event"] in ("send_started", "sent"))
    (closed,) = [entry for entry in mine if entry["event"] == "closed"]
    assert "took nothing" in closed["reason"]
    return (closed["t"] - sent) / NS_PER_MS


def test_f02_vanished_reader(berthd, result, tmp_path):
    log = tmp_path / "log"
    with Network() as network:
        server = berthd("--listen", f"{SERVER}:0", "--send-progress-timeout", PROGRESS_MS,
                        "--watch", "flow", "--log", log, "--log-format", "json", "--delay",
                        DELAY_MS, "--max-message", LARGE, "--window-bytes", 64 << 20,
                        network=network)
        clients = server.crowd(2)
        for count, (client, size) in enumerate(zip(clients, (LARGE, SMALL)), 1):
            client.send_messages(bytes(size))
            wait_until(lambda: log.read_text().count('"event":"kept"') == count, "the message")
        network.cable(False)
        server.wait_until(lambda stats: stats["connections open"] == 0, "both ends")
        wait_until(lambda: log.read_text().count('"event":"closed"') == 2, "the log of it")
        network.cable(True)
        entries = of_mode(read_log(log)[0], "flow")
        took = {size: took_ms(entries, lambda entry: entry["event"] == "message"
                              and entry["bytes"] == size) for size in (SMALL, LARGE)}
        assert all(PROGRESS_MS <= ms <= CLOSED_MS_MAX for ms in took.values()), took
        result("F02", f"closed {took[SMALL]:,.0f} ms after a reply of {SMALL} bytes went out, and "
                      f"{took[LARGE]:,.0f} ms after a part of one of 16 MiB did, where "
                      f"{PROGRESS_MS:,} ms were allowed")
        server.oracle()
