"""How long the server waits for a client to end its side: linger_timeout_ms, 2 seconds."""

import signal
import time

ENDED_BY_THEN = 3.5


def test_clients_that_stay_are_cut_after_a_while(berthd):
    """M9.3, on two servers at once, as it takes a while: one is told to stop, the other has one
    place, and ends the connection that has it."""
    stopping, refusing = berthd(), berthd("--max-connections", 1)
    clients = [stopping.connect(), refusing.connect()]
    for client in clients:
        client.ask(b"hello")
    begin = time.monotonic()
    stopping.send(signal.SIGTERM)
    clients[1].send(b"\xff\xff\xff\xff")
    for client in clients:
        client.read_end()
    refusing.connect().ask(b"the place is free again")
    assert stopping.wait() == 0
    assert time.monotonic() - begin < ENDED_BY_THEN
