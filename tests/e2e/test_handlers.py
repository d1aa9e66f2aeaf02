"""Who answers: echo, delay or pool (--handler)."""

import threading
import time

import pytest

from peer import assert_quiet

MESSAGES = [b"message %d" % number for number in range(200)]
HANDLERS = [["--handler", "echo"], ["--handler", "pool"],
            ["--handler", "pool", "--threads", 1], ["--delay", 0], ["--delay", 5]]


@pytest.mark.parametrize("options", HANDLERS, ids=str)
def test_replies_keep_their_order_and_their_ids(berthd, options):
    server = berthd(*options, workers=2)
    clients = server.crowd(5)
    for client in clients:
        client.send_messages(*MESSAGES)
    ids = [number for client in clients for number in client.read_replies(*MESSAGES)]
    assert sorted(ids) == list(range(10001, 10001 + 5 * len(MESSAGES)))
    client = clients[0]
    client.half_close()
    client.read_end()


@pytest.mark.parametrize("options", HANDLERS, ids=str)
def test_a_half_close_still_gets_every_reply(berthd, options):
    client = berthd(*options).connect()
    client.send_messages(*MESSAGES)
    client.half_close()
    client.read_replies(*MESSAGES)
    client.read_end()


@pytest.mark.parametrize("options", HANDLERS, ids=str)
def test_every_nth_is_answered(berthd, options):
    client = berthd("--reply", "every:50", *options).connect()
    client.send_messages(*MESSAGES)
    assert client.read_replies(*MESSAGES[49::50]) == [10050, 10100, 10150, 10200]


def test_a_delay_is_kept_and_holds_nobody_up(berthd):
    """One worker, 50 clients, 0.3 s each: together as long as one, as no worker sleeps. (The seed
    slept in the thread that received.)"""
    server = berthd("--delay", 300)
    clients = server.crowd(50)
    begin = time.monotonic()
    for client in clients:
        client.send_messages(b"hello")
    assert_quiet(clients, 0.2)
    for client in clients:
        client.read_replies(b"hello")
    passed = time.monotonic() - begin
    assert 0.3 <= passed < 50 * 0.3 / 4, passed


def test_a_client_that_leaves_before_its_reply_harms_nobody(berthd):
    server = berthd("--delay", 100)
    gone, resets, stays = server.crowd(3)
    for client in (gone, resets, stays):
        client.send_messages(b"hello")
    gone.close()
    resets.reset()
    stays.read_replies(b"hello")


@pytest.mark.parametrize("options", HANDLERS, ids=str)
def test_a_stop_answers_what_was_received(berthd, options):
    server = berthd(*options)
    client, other = server.crowd(2)
    client.send_messages(*MESSAGES)
    client.read_replies(MESSAGES[0])
    server.process.terminate()
    client.read_replies(*MESSAGES[1:])
    client.read_end()
    client.close()
    other.close()
    assert server.wait() == 0, server.said()
    assert server.summary().messages == len(MESSAGES)


def test_an_end_does_not_wait_for_a_long_delay(berthd):
    """After --stop-timeout nothing is waited for; what was kept is let go."""
    server = berthd("--delay", 3_600_000, "--stop-timeout", 100)
    client = server.connect()
    client.send_messages(*MESSAGES)
    client.half_close()
    server.process.terminate()
    assert server.wait() == 0, server.said()
    assert server.summary().messages == len(MESSAGES)


@pytest.mark.parametrize("options", [["--handler", "pool"], ["--delay", 20]], ids=str)
def test_a_small_window_only_slows(berthd, options):
    server = berthd(*options, "--window", 3, "--window-bytes", 100)
    client = server.connect()
    client.send_messages(*MESSAGES[:30])
    client.read_replies(*MESSAGES[:30])


def test_messages_of_many_clients_are_kept_and_answered(berthd):
    server = berthd("--handler", "pool", "--threads", 8, "--keep-data", 20_000, workers=2)
    clients = server.crowd(50)
    failures = []

    def talk(client):
        try:
            for _ in range(10):
                client.ask(*MESSAGES[:40])
        except Exception as failure:  # shown below
            failures.append(failure)

    threads = [threading.Thread(target=talk, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    server.stop()
    assert "transmissions received: 20000" in server.said()
