"""The system is out of descriptors: those who have one are served, the others wait, and the server
does not burn the CPU meanwhile."""

import select
import time

import pytest

from peer import QUIET, readable, read_first_replies

HELLO = b"hello"
DESCRIPTORS = 40
CLIENTS = 60
WINDOW = 1.0
CPU_MAX = 0.05  # of the window


def serve_until_full(clients):
    """Those that are answered before nothing more comes."""
    served, waiting = [], list(clients)
    while ready := readable(waiting, 2 * QUIET):
        for client in ready:
            client.read_replies(HELLO)
            waiting.remove(client)
            served.append(client)
    return served, waiting


@pytest.mark.parametrize("workers", [1, 3])
def test_out_of_descriptors_the_others_wait(berthd, workers):
    server = berthd("--max-connections", 1000, workers=workers,
                    limits={"RLIMIT_NOFILE": DESCRIPTORS})
    clients = server.crowd(CLIENTS)
    for client in clients:
        client.send_messages(HELLO)
    served, waiting = serve_until_full(clients)
    assert DESCRIPTORS / 2 < len(served) < DESCRIPTORS

    cpu, begin = server.cpu_seconds(), time.monotonic()
    ready, _, _ = select.select(waiting, [], [], WINDOW)
    used, passed = server.cpu_seconds() - cpu, time.monotonic() - begin
    assert ready == []
    assert used < CPU_MAX * passed, f"{used:.3f} s of CPU in {passed:.3f} s of doing nothing"

    for client in served:
        client.ask(b"one of those who have a descriptor")
    while waiting:
        served.pop(0).close()
        (next_one,) = read_first_replies(waiting, 1, HELLO)
        waiting.remove(next_one)
        served.append(next_one)
    assert server.stop().connections == CLIENTS
