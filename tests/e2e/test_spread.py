"""Clients are spread over the workers, whichever of them the system wakes."""

from pathlib import Path

CLIENTS = 200
SLACK = 8  # of spread.c: as long as the workers have few
WAYS = 2  # and what comes while one leaves accepting to the others


def connections(server, workers):
    """Of each worker: it has a table of descriptors of its own."""
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    folders = [task / "fd" for task in tasks if (task / "comm").read_text().startswith("berth-")]
    assert len(folders) == workers
    return [len(list(folder.iterdir())) for folder in folders]


def test_clients_that_come_one_by_one(berthd, backend):
    """The system may wake the same worker for each of them."""
    server = berthd("--max-connections", 2 * CLIENTS, "--worker-descriptors", workers=3)
    server.connect().ask(b"are all workers there")
    own = min(connections(server, 3))
    for _ in range(CLIENTS):
        server.connect().ask(b"one more")
    counts = [count - own for count in connections(server, 3)]
    assert max(counts) <= min(counts) + SLACK + WAYS, counts


def test_who_left_accepting_comes_back(berthd, backend):
    """Whichever worker's clients leave: there is always one that takes the next."""
    server = berthd("--max-connections", 2 * CLIENTS, workers=2)
    for _ in range(3):
        late = server.crowd(CLIENTS // 2)
        for client in late:
            client.ask(b"here")
        for client in late[::2]:
            client.close()
        for client in server.crowd(4 * SLACK):
            client.ask(b"taken by whom")


def test_full_places_send_the_others_in(berthd, backend):
    """A worker that has as many as it may have is no reason for others to leave accepting."""
    server = berthd("--max-connections", 100, "--worker-connections", 50, workers=2)
    for _ in range(2):
        clients = server.crowd(100)
        for client in clients:
            client.ask(b"all of them")
        for client in clients:
            client.close()
