"""More connections than one table of descriptors has: each worker has a table of its own."""

import re
import signal
from pathlib import Path

import pytest

from conftest import run
from loading import succeed

LIMIT = 120  # of a table
MANY = 300
WORKERS = 4


@pytest.mark.parametrize("share", [90, MANY])
def test_a_server_with_more_connections_than_a_table(berthd, backend, share):
    """With a share, nobody meets the limit; without, who meets it leaves clients to the others."""
    server = berthd("--max-connections", MANY, "--worker-descriptors", "--worker-connections",
                    share, workers=WORKERS, limits={"RLIMIT_NOFILE": LIMIT})
    told, _ = succeed(server.address(), backend, "--connections", MANY, "--idle", MANY,
                      "--duration", "200ms")
    assert told["results"]["connections_most"] == MANY
    summary = server.stop()
    assert (summary.most, summary.messages) == (MANY, MANY)
    refused = [line for line in server.lines if "accepting pauses" in line]
    assert share == MANY or refused == []


def test_answers_from_other_threads_wake_workers_with_tables(berthd, backend):
    server = berthd("--max-connections", 8, "--worker-descriptors", "--handler", "pool", workers=2)
    succeed(server.address(), backend, "--connections", 8, "--messages", 2000, "--pipeline", 4)
    assert server.stop().messages == 16000


def test_a_client_with_more_connections_than_a_table(berthd, backend):
    server = berthd("--max-connections", MANY)
    told, _ = succeed(server.address(), backend, "--connections", MANY, "--idle", MANY,
                      "--duration", "200ms", limits={"RLIMIT_NOFILE": LIMIT})
    assert told["options"]["worker_descriptors"] is True
    assert told["options"]["workers"] >= 4
    assert told["results"]["connections_most"] == MANY
    assert server.stop().messages == MANY


def test_a_client_with_too_few_workers_says_how_many(backend):
    status, _, err = run("berthload", "--connect", "127.0.0.1:1", "--connections", MANY,
                         "--workers", 2, limits={"RLIMIT_NOFILE": LIMIT})
    assert status == 2
    assert re.search(r"--connections: 300 need \d+ descriptors, and this process may have 120 .*"
                     r"more --workers", err)


def test_workers_that_cannot_hold_all_connections(backend):
    status, _, err = run("berthd", "--listen", "127.0.0.1:0", "--max-connections", 100,
                         "--workers", 3, "--worker-connections", 33)
    assert status == 2
    assert "--worker-connections" in err
    assert "3 workers of worker_connections_max 33 have 99" in err


def free_descriptors(server):
    """In the tables of all workers together."""
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    workers = [task for task in tasks if (task / "comm").read_text().startswith("berth-")]
    assert len(workers) == 3
    return sum(LIMIT - len(list((task / "fd").iterdir())) for task in workers)


def test_clients_that_a_full_table_cannot_take_go_to_the_others(berthd, backend):
    """A system wakes one worker for one client, so a worker that cannot take it has to tell the
    others: nobody else comes who would wake them."""
    server = berthd("--max-connections", 3 * LIMIT, "--worker-descriptors", workers=3,
                    limits={"RLIMIT_NOFILE": LIMIT})
    server.connect().ask(b"are all workers there")
    left = free_descriptors(server)
    while left > 0:
        server.send(signal.SIGSTOP)  # they come at once
        late = server.crowd(min(left, 3))
        server.send(signal.SIGCONT)
        for client in late:
            client.send_messages(b"here")
        for client in late:
            client.read_reply()
        left -= len(late)
    server.wait_for("accepting pauses")
