"""F14: more clients than the listening socket's queues hold, while the server stands still. The
system turns them away; the server comes through, and everybody who comes later is served."""

import errno
import signal
import socket

from conftest import scale
from network import Alone, counters

BACKLOG, SYN_BACKLOG = 8, 16
STORM = scale(1000, 5000)
LATER = scale(100, 1000)


def begin_to_connect(network, address):
    with network.at_client():
        sock = socket.socket()
    sock.setblocking(False)
    assert sock.connect_ex(address) == errno.EINPROGRESS
    return sock


def test_f14_queue_overflow(berthd, result):
    with Alone() as network:
        network.set("net/ipv4/tcp_max_syn_backlog", SYN_BACKLOG)
        server = berthd("--backlog", BACKLOG, workers=2, network=network)
        honest = server.connect()
        honest.ask(b"before")
        before = counters(network)
        server.send(signal.SIGSTOP)
        storm = [begin_to_connect(network, server.address()) for _ in range(STORM)]
        after = counters(network)
        for sock in storm:
            sock.close()
        server.send(signal.SIGCONT)
        assert after["ListenOverflows"] > before["ListenOverflows"]
        turned_away = after["ListenDrops"] - before["ListenDrops"]
        assert turned_away > STORM / 2
        honest.ask(b"after")
        server.wait_until(lambda stats: stats["connections open"] == 1, "the end of the storm")
        for number in range(LATER):
            server.connect().ask(b"later %d" % number)
        result("F14", f"{STORM:,} clients at queues of {BACKLOG} and {SYN_BACKLOG}: "
                      f"{turned_away:,} turned away; then {LATER:,} of {LATER:,} served")
        server.oracle()
