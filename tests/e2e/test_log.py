"""What berthd says while it runs: looked for as facts, not as words."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, in_child
from loglines import wait_until
from peer import PATIENCE, Client

SOMAXCONN = int(Path("/proc/sys/net/core/somaxconn").read_text())


def test_the_backend_is_named(server, backend):
    server.wait_for(rf"\b{backend}\b")


def test_a_clipped_backlog_is_said_once(berthd):
    server = berthd("--backlog", 2 * SOMAXCONN)
    (line,) = server.wait_for("clip")
    assert str(SOMAXCONN) in line.replace(",", "")
    server.connect().ask(b"hello")
    server.stop()
    assert sum("clip" in line or str(SOMAXCONN) in line.replace(",", "")
               for line in server.lines if "backlog" in line) == 1


def test_a_backlog_that_fits_is_not_clipped(berthd):
    server = berthd("--backlog", 16)
    server.connect().ask(b"hello")
    server.stop()
    assert not [line for line in server.lines if "clip" in line]


def test_messages_leave_no_line(server):
    """None is written per message or per ordinary connection."""
    client = server.connect()
    client.ask(b"hello")
    before = len(server.lines)
    client.ask(*[b"hello"] * 500)
    for _ in range(50):
        other = server.connect()
        other.ask(b"hello")
        other.close()
    client.ask(b"hello")
    assert len(server.lines) == before


def test_a_flood_of_refusals_does_not_flood_the_log(server):
    for _ in range(300):
        client = server.connect()
        client.send(b"\xff\xff\xff\xff")
        client.read_end()
        client.close()
    server.stop()
    assert 1 <= sum("ff ff ff ff" in line for line in server.lines) < 300


def serves_and_ends(process, address):
    """With output to make: the refusal of bytes that are no frame."""
    for _ in range(3):
        client = Client(address)
        client.send(b"\xff\xff\xff\xff")
        client.read_end()
        client.close()
    client = Client(address)
    client.ask(b"hello")
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def address_in(text):
    host, port = re.search(r"(127\.0\.0\.1):(\d+)", text).groups()
    return host, int(port)


def test_a_reader_of_the_output_that_leaves_ends_nothing(backend):
    process = subprocess.Popen(
        [BIN / "berthd", "--backend", backend, "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=in_child({}))
    try:
        line = next(line for line in process.stdout if line.startswith("listening on"))
        process.stdout.close()
        serves_and_ends(process, address_in(line))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("closed", [[1, 2], [0, 1, 2]])
def test_a_start_with_closed_streams_serves(backend, tmp_path, closed):
    """What would be printed must not go to the socket that got the stream's number."""
    log = tmp_path / "log"

    def prepare():
        in_child({})()
        for stream in closed:
            os.close(stream)

    process = subprocess.Popen(
        [BIN / "berthd", "--backend", backend, "--listen", "127.0.0.1:0", "--watch", "flow",
         "--log", log], preexec_fn=prepare)
    try:
        wait_until(lambda: log.exists() and "listening " in log.read_text(), "listening")
        line = next(line for line in log.read_text().splitlines() if "listening " in line)
        serves_and_ends(process, address_in(line))
    finally:
        process.kill()
        process.wait()
