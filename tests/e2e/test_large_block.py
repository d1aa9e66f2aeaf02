"""A block of receive buffers above 2.147 GB, where the seed's 32-bit arithmetic ended."""

import re
from pathlib import Path

from conftest import SANITIZED

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES = HUGE.exists() and "[always]" in HUGE.read_text()  # then a touched buffer is all there

BUFFER, BUFFERS = 1 << 20, 8192
USED = BUFFERS // 2  # io_uring goes through half of its buffers; epoll keeps to the warm ones
MESSAGES = USED + 500
PAGE = 4096


def test_a_server_with_a_block_above_two_gigabytes(berthd, backend):
    server = berthd("--buffer-size", BUFFER, "--receive-buffers", BUFFERS)
    (planned,) = re.findall(r"receive buffers +(\d+)", server.said())
    assert int(planned) << 10 == BUFFER * BUFFERS > 2**32
    client, other = server.connect(), server.connect()
    client.ask(b"first")
    before = server.resident_bytes()
    for number in range(MESSAGES):
        client.ask(b"message %d" % number)
    other.ask(bytes(range(256)) * 2000)
    if not SANITIZED and not HUGE_PAGES:
        used = server.resident_bytes() - before
        assert used < 128 << 20, used
        if backend == "uring":
            assert used > USED * PAGE * 0.9, used
