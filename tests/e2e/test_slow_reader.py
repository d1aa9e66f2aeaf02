"""A client that asks much and reads nothing: it is read no more, and costs only itself."""

import select
import threading

from conftest import SANITIZED, SHADOW
from peer import PATIENCE

SIZE = 16384
# All receive buffers once (4.2 MiB), what came in half of them before the receive had ended (2.1 MiB,
# assembled by doubling: 4), and berthd's limit of what waits to be sent (8 MiB) in slabs, which are
# powers of two: four replies of 16 KiB and their headers take 128 KiB.
GROWTH_MAX = (24 * (3 + SHADOW) if SANITIZED else 24) << 20
SENT_MAX = 128 << 20  # if the server never stops reading, the test does
STALLED = 0.5


def message(number):
    return number.to_bytes(8, "little") * (SIZE // 8)


def send_until_stalled(client):
    """Sends whole messages and, at the end, what it can of one; how many it began, and what is
    left of the last."""
    client.sock.setblocking(False)
    rest, number = b"", 0
    while number * SIZE < SENT_MAX:
        if not rest:
            rest = client.framing.encode(message(number))
            number += 1
        _, writable, _ = select.select([], [client], [], STALLED)
        if not writable:
            break
        rest = rest[client.sock.send(rest) :]
    client.sock.settimeout(PATIENCE)
    return number, rest


def test_a_client_that_does_not_read_costs_only_itself(berthd):
    server = berthd("--max-message", 65536)
    others = server.crowd(20)
    for other in others:
        other.ask(b"before")
    before = server.resident_bytes()

    slow = server.connect(receive_buffer=65536)
    count, rest = send_until_stalled(slow)
    assert count * SIZE < SENT_MAX, "the server never stopped reading"
    assert server.resident_bytes() - before < GROWTH_MAX
    for other in others:
        other.ask(b"during")

    sender = threading.Thread(target=slow.send, args=[rest])
    sender.start()
    last = 0
    for number in range(count):
        identity, reply = slow.read_reply()
        assert reply == message(number)
        assert identity > last
        last = identity
    sender.join()
    slow.ask(b"after")
    assert server.resident_bytes() - before < GROWTH_MAX
