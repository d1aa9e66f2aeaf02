"""F15: a hundred busy connections share four receive buffers of a kilobyte. Each waits for its turn:
nothing is lost, and nobody waits for long."""

from conftest import scale
from good import Good

SECONDS = scale(1.0, 10)
CLIENTS, BUFFERS, BYTES = 100, 4, 1024
SIZE = 5000  # of a message: it takes five buffers
STALL_MS_MAX = 1000  # where the machine has other things to do; the figure says what it was


def test_f15_receive_buffers(berthd, backend, result):
    server = berthd("--receive-buffers", BUFFERS, "--buffer-size", BYTES)
    with Good(server, CLIENTS, SIZE) as good:
        good.window(0.2)
        window = good.window(SECONDS)
        good.stop()
    stats = server.stats()
    parks = stats["receives that found no buffer free and waited"]
    if backend == "uring":  # epoll takes a buffer only when there is something to receive
        assert parks > 0
    assert stats["messages received whole"] == stats["messages queued to be sent"]
    assert stats["bytes sent"] == stats["bytes received"] + 4 * stats["messages received whole"]
    assert window.most_ms < STALL_MS_MAX
    result("F15", f"{CLIENTS} clients, {BUFFERS} buffers of {BYTES:,} bytes: {window.answers:,} "
                  f"messages of {SIZE:,} bytes answered right, the longest wait "
                  f"{window.most_ms:.0f} ms; {parks:,} receives found no buffer")
