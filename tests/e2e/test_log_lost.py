"""A log whose reader does not read, and a server that is killed."""

import os
import threading

import peer
from conftest import Berthd
from loglines import fields, of_mode, read_log, wait_until

MESSAGES = [b"M1-C1", b"M1-C2", b"M2-C1", b"M2-C2"]


def test_what_was_written_survives_a_kill(backend, tmp_path):
    path = tmp_path / "log"
    server = Berthd(["--backend", backend, "--workers", 1, "--watch", "data", "--log", path], {})
    try:
        client = server.connect()
        client.ask(*MESSAGES)
        wait_until(lambda: b'text="M2-C2"' in path.read_bytes(), "the last message in the log")
        server.process.kill()
        server.process.wait()
    finally:
        server.process.kill()
        server.process.wait()
        client.close()
    assert path.read_bytes().endswith(b"\n")
    texts = [e["text"] for e in of_mode(read_log(path)[0], "data") if e["event"] == "message"]
    assert texts == [message.decode() for message in MESSAGES]


FLOOD = 25_000  # messages, of which each has more than four lines: more than a ring holds


def flood(server):
    client = server.connect()
    for _ in range(FLOOD // 500):
        client.ask(*[b"flood"] * 500)


def test_a_fifo_that_nobody_reads_stops_nobody(berthd, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    server = berthd("--watch", "flow,data", "--log", path)
    flood(server)  # everything is answered
    got = bytearray()

    def read_all():
        with open(path, "rb") as fifo:
            while piece := fifo.read1(65536):
                got.extend(piece)

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    wait_until(lambda: b" lost " in got, "a line about what was lost")
    assert server.stop().messages == FLOOD
    reader.join(peer.PATIENCE)
    first, *lines = got.decode().splitlines()
    assert first.startswith("# berthd")
    entries = [fields(line) for line in lines]  # each is whole
    lost = sum(e["count"] for e in entries if e["event"] == "lost")
    messages = sum(e["mode"] == "data" and e["event"] == "message" for e in entries)
    assert 0 < FLOOD - messages < lost
    assert server.wait_for("lines of the log were lost")


def test_a_fifo_that_nobody_ever_reads_does_not_hold_up_the_end(berthd, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    server = berthd("--watch", "flow,data", "--log", path)
    server.connect().ask(*[b"flood"] * 2000)
    assert server.stop().messages == 2000
    assert server.wait_for("lines of the log were lost")
