"""F10: the process is out of descriptors. Who has none waits in the queue, without costing CPU, and
is accepted as soon as there is one."""

import select
import time

from conftest import scale
from peer import QUIET, assert_quiet, readable

HELLO = b"hello"
DESCRIPTORS, CLIENTS = 64, 100
WINDOW = scale(1.0, 10.0)
CPU_MAX = 0.05  # of the window
ACCEPTED_MS_MAX = 100
ROUNDS = 20


def serve_until_full(clients):
    served, waiting = [], list(clients)
    while ready := readable(waiting, 2 * QUIET):
        for client in ready:
            client.read_replies(HELLO)
            waiting.remove(client)
            served.append(client)
    return served, waiting


def test_f10_descriptors(berthd, result):
    server = berthd("--max-connections", 1000, workers=2, limits={"RLIMIT_NOFILE": DESCRIPTORS})
    clients = server.crowd(CLIENTS)
    for client in clients:
        client.send_messages(HELLO)
    served, waiting = serve_until_full(clients)
    assert DESCRIPTORS / 2 < len(served) < DESCRIPTORS

    cpu, begin = server.cpu_seconds(), time.monotonic()
    assert_quiet(waiting, WINDOW)
    used = (server.cpu_seconds() - cpu) / (time.monotonic() - begin)
    assert used < CPU_MAX

    took = []
    for _ in range(ROUNDS):
        begin = time.monotonic()
        served.pop(0).close()
        ready, _, _ = select.select(waiting, [], [], 1)
        took.append((time.monotonic() - begin) * 1000)
        assert len(ready) == 1
        ready[0].read_replies(HELLO)
        waiting.remove(ready[0])
        served.append(ready[0])
    took.sort()
    middle = took[ROUNDS // 2]
    assert took[-2] < ACCEPTED_MS_MAX  # one may be the machine's doing
    result("F10", f"{DESCRIPTORS} descriptors, {CLIENTS} clients: {used * 100:.1f} % of a CPU while "
                  f"full; the next one served {middle:.1f} ms after a descriptor was free, at most "
                  f"{took[-1]:.1f} ms")
