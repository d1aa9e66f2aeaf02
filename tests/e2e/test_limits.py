"""No more connections than asked for; the others wait, and all are served in the end (M9.6)."""

import threading

import pytest

from peer import assert_quiet, read_first_replies

HELLO = b"hello"


def greet(clients):
    for client in clients:
        client.send_messages(HELLO)


@pytest.mark.parametrize("workers", [1, 3])
def test_thirty_of_sixty_are_served_and_the_others_wait(berthd, workers):
    server = berthd("--max-connections", 30, workers=workers)
    waiting = server.crowd(60)
    greet(waiting)
    served = read_first_replies(waiting, 30, HELLO)
    waiting = [client for client in waiting if client not in served]
    assert_quiet(waiting)
    for client in served:
        client.ask(b"one of the thirty")

    served.pop().close()
    (next_one,) = read_first_replies(waiting, 1, HELLO)
    waiting.remove(next_one)
    served.append(next_one)
    assert_quiet(waiting)

    while waiting:
        served.pop(0).close()
        (next_one,) = read_first_replies(waiting, 1, HELLO)
        waiting.remove(next_one)
        served.append(next_one)
    summary = server.stop()
    assert (summary.connections, summary.most, summary.messages) == (60, 30, 90)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_most_at_once_is_exact_under_churn(berthd, workers):
    """Thirty clients that come and go all the time, for twenty places that are never all free:
    the most at once is twenty, not one more or less, and each was served."""
    server = berthd("--max-connections", 20, workers=workers)
    visits = 30

    def come_and_go():
        for _ in range(visits):
            client = server.connect()
            client.ask(HELLO)
            client.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The threads may have met by chance only: now twenty are there at the same moment for sure.
    clients = server.crowd(20)
    for client in clients:
        client.ask(HELLO)
    summary = server.stop()
    assert (summary.connections, summary.most) == (30 * visits + 20, 20)
    assert summary.messages == summary.connections


@pytest.mark.parametrize("workers", [1, 3])
def test_two_listeners_share_the_permits(berthd, workers):
    """No permit is stranded at a listener that nobody calls."""
    server = berthd("--max-connections", 2, "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0",
                    workers=workers)
    for which in (0, 1, 1, 0):
        pair = [server.connect(which) for _ in range(2)]
        greet(pair)
        read_first_replies(pair, 2, HELLO)
        third = [server.connect(1 - which)]
        greet(third)
        assert_quiet(third, 0.1)
        pair[0].close()
        read_first_replies(third, 1, HELLO)
        pair[1].close()
        third[0].close()
    assert server.stop().most == 2


def test_a_limit_of_one(berthd):
    server = berthd("--max-connections", 1)
    clients = server.crowd(5)
    greet(clients)
    while clients:
        (served,) = read_first_replies(clients, 1, HELLO)
        clients.remove(served)
        served.close()
    assert server.stop().most == 1


def test_a_client_that_leaves_while_it_waits_takes_no_place(berthd):
    server = berthd("--max-connections", 1)
    first = server.connect()
    first.ask(HELLO)
    gone = server.crowd(10)
    for client in gone[:5]:
        client.reset()
    for client in gone[5:]:
        client.close()
    last = server.connect()
    greet([last])
    first.close()
    read_first_replies([last], 1, HELLO)
