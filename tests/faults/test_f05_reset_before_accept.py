"""F05: clients that connect and reset while the server stands still, so that all of them are gone
before it accepts them. Each is a connection that ended; none is an error."""

import signal

from conftest import scale

AT_ONCE = 1000  # wait in the queue together; a quarter of what it holds
CLIENTS = scale(1000, 10_000)


def test_f05_reset_before_accept(berthd, result):
    server = berthd(workers=2)
    honest = server.connect()
    for begin in range(0, CLIENTS, AT_ONCE):
        honest.ask(b"hello")
        server.send(signal.SIGSTOP)
        for number in range(AT_ONCE):
            client = server.connect()
            if number % 2:
                client.send_messages(b"a question that nobody waits to be answered")
            client.reset()
            server.clients.pop()
        server.send(signal.SIGCONT)
        gone = begin + AT_ONCE
        stats = server.wait_until(lambda stats: stats["connections ended"] == gone, "their ends")
    honest.ask(b"hello")
    assert stats["connections accepted"] == CLIENTS + 1
    assert stats["accepts that failed"] == 0
    assert "berthd: closed" not in server.said()
    result("F05", f"{CLIENTS:,} clients reset before they were accepted: {CLIENTS:,} counted, "
                  "0 errors")
