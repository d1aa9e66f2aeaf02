"""F38: short connections by the hundred thousand, from several addresses: none fails, and it is the
clients that keep ports in TIME_WAIT, as they close first."""

import socket
import subprocess

from conftest import scale
from peer import PATIENCE, SEED, Stream

CLIENTS = scale(1000, 200_000)
SOURCES = 16  # addresses; the system has 14,000 quick ports for each
TAKE_PORT_LATE = 24  # IP_BIND_ADDRESS_NO_PORT: choose it when the whole four-tuple is known
HELLO = SEED.encode(b"hello")


def visit(address, number):
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_IP, TAKE_PORT_LATE, 1)
        sock.settimeout(PATIENCE)
        sock.bind((f"127.0.0.{2 + number % SOURCES}", 0))
        sock.connect(address)
        sock.sendall(HELLO)
        assert SEED.decode(Stream(sock))[4:] == b"hello"


def in_time_wait(condition):
    told = subprocess.run(["ss", "-Hnt", "state", "time-wait", condition], capture_output=True,
                          text=True, check=True)
    return len(told.stdout.splitlines())


def test_f38_short_connections(berthd, result):
    server = berthd(workers=2)
    port = server.address()[1]
    for number in range(CLIENTS):
        visit(server.address(), number)
    stats = server.wait_until(lambda stats: stats["connections ended"] == CLIENTS, "their ends")
    assert stats["accepts that failed"] == stats["connections reset by the peer"] == 0
    ours, theirs = in_time_wait(f"sport = :{port}"), in_time_wait(f"dport = :{port}")
    assert ours == 0
    assert theirs > 0, "nothing is in TIME_WAIT at all"
    result("F38", f"{CLIENTS:,} connections, 0 failed; in TIME_WAIT: 0 of the server's, {theirs:,} "
                  "of the clients'")
