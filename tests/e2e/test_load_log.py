"""berthload's log: what each mode shows, exactly, as text and as JSON; and what happens when nobody
reads it."""

import errno
import json
import os
import re
import socket
import struct
import threading

import pytest

from conftest import run
from peer import FIRST_ID, SEED, EndOfStream, Stream


@pytest.fixture
def load(backend, server):
    """Runs berthload against berthd: 2 connections with 2 messages each, one after the other."""

    def start(*options, connections=2, messages=2):
        return run("berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
                   "--workers", 1, "--connections", connections, "--messages", messages,
                   "--at-once", 1, *options)

    return start


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def plain(text):
    """A text log without what differs from run to run: times, ports, ids and figures of speed."""
    text = re.sub(r"(?m)^ *\d+\.\d{9} ", "T ", text)
    return re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text)


def test_connections_and_data_as_text(load, tmp_path):
    log = tmp_path / "log"
    status, out, err = load("--watch", "connections,data", "--log", log)
    assert (status, err) == (0, ""), out
    first, *lines = plain(log.read_text()).splitlines()
    assert re.fullmatch(r"# berthload \S+ start_monotonic_ns=\d+ start=\d{4}-\d\d-\d\dT\S+Z", first)
    seen = [line for line in lines if " summary " not in line]
    assert seen == [
        "T w0   1          connections connected       peer=ADDRESS local=ADDRESS open=1",
        'T w0   1          data        header          bytes=4 length=9 text="9 0 0 0"',
        'T w0   1          data        message         index=1 id=10001 bytes=9 text="M1-C1"',
        'T w0   1          data        header          bytes=4 length=9 text="9 0 0 0"',
        'T w0   1          data        message         index=2 id=10002 bytes=9 text="M2-C1"',
        "T w0   1          connections closed          peer=ADDRESS local=ADDRESS messages=2 open=0 "
        'finished=1 reason="closed by the program"',
        "T w0   2          connections connected       peer=ADDRESS local=ADDRESS open=1",
        'T w0   2          data        header          bytes=4 length=9 text="9 0 0 0"',
        'T w0   2          data        message         index=1 id=10003 bytes=9 text="M1-C2"',
        'T w0   2          data        header          bytes=4 length=9 text="9 0 0 0"',
        'T w0   2          data        message         index=2 id=10004 bytes=9 text="M2-C2"',
        "T w0   2          connections closed          peer=ADDRESS local=ADDRESS messages=2 open=0 "
        'finished=2 reason="closed by the program"',
    ]
    summary = [line for line in lines if " summary " in line]
    assert 'text="sent 4 messages, 4 answered rightly"' in summary[-1]


def test_flow_as_json(load, tmp_path):
    log = tmp_path / "log"
    status, out, err = load("--watch", "flow", "--log", log, "--log-format", "json")
    assert (status, err) == (0, ""), out
    first, *lines = lines_of(log)
    assert first["program"] == "berthload"
    assert set(first) == {"program", "version", "start_monotonic_ns", "start"}
    flow = [line for line in lines if line["mode"] != "summary"]
    assert {line["mode"] for line in flow} == {"flow"}
    assert [line["t"] for line in flow] == sorted(line["t"] for line in flow)
    for conn, first_id in (1, 10001), (2, 10003):
        mine = [line for line in flow if line.get("conn") == conn]
        told = [(line["event"], line.get("index"), line.get("id")) for line in mine
                if not line["event"].startswith(("receive", "send", "sent", "header"))]
        assert told == [
            ("connect_started", None, None),
            ("connected", None, None),
            ("opened", None, None),
            ("queued", 1, None),
            ("message", None, None),
            ("delivered", None, None),
            ("verified", 1, first_id),
            ("queued", 2, None),
            ("message", None, None),
            ("delivered", None, None),
            ("verified", 2, first_id + 1),
            ("closing", None, None),
            ("shut", None, None),
            ("peer_ended", None, None),
            ("joining", None, None),
            ("closed", None, None),
        ]
        assert sum(line["bytes"] for line in mine if line["event"] == "sent") == 2 * 9
        assert sum(line["bytes"] for line in mine if line["event"] == "received") == 2 * 13
        [opened] = [line for line in mine if line["event"] == "opened"]
        [closed] = [line for line in mine if line["event"] == "closed"]
        assert opened["local"] == closed["local"] != opened["peer"] == closed["peer"]
        assert mine[0]["peer"] == opened["peer"]


def test_each_message_is_queued_under_its_index(berthd, backend, tmp_path):
    """Told one by one at the opening, and together when they follow on replies."""
    log = tmp_path / "log"
    server = berthd()
    status, out, _ = run("berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
                         "--messages", 50, "--pipeline", 4, "--watch", "flow", "--log", log,
                         "--log-format", "json")
    assert status == 0, out
    queued = [(line["index"], line["count"]) for line in lines_of(log)[1:]
              if line["event"] == "queued"]
    told = [index for first, count in queued for index in range(first, first + count)]
    assert told == list(range(1, 51)), queued


def test_both_ends_know_a_connection_by_the_same_addresses(berthd, backend, tmp_path):
    theirs, ours = tmp_path / "berthd", tmp_path / "berthload"
    server = berthd("--watch", "connections", "--log", theirs, "--log-format", "json")
    status, _, _ = run("berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
                       "--connections", 3, "--watch", "connections", "--log", ours,
                       "--log-format", "json")
    assert status == 0
    server.stop()
    accepted = {(line["peer"], line["local"]) for line in lines_of(theirs)[1:]
                if line["event"] == "accepted"}
    connected = {(line["local"], line["peer"]) for line in lines_of(ours)[1:]
                 if line["event"] == "connected"}
    assert len(connected) == 3
    assert accepted == connected


def test_attempts_that_fail_are_errors_in_the_log(backend, tmp_path):
    log = tmp_path / "log"
    with socket.socket() as nobody:  # a port that refuses: bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        status, _, _ = run("berthload", "--connect", "127.0.0.1:%d" % nobody.getsockname()[1],
                           "--backend", backend, "--retry", 2, "--log", log,
                           "--log-format", "json")
    assert status == 1
    errors = [line for line in lines_of(log)[1:] if line["mode"] == "error"]
    told = [(line["event"], line["conn"], line.get("attempt"), line.get("errno"))
            for line in errors]
    refused = errno.ECONNREFUSED
    assert told == [("connect_failed", 1, attempt, refused) for attempt in (1, 2, 3)] + [
        ("given_up", 1, None, None)]
    assert "could not be made, after 3 attempts" in errors[-1]["text"]


def test_the_flow_of_one_connection(load, tmp_path):
    log = tmp_path / "log"
    status, _, _ = load("--flow", 2, "--log", log, "--log-format", "json", connections=3)
    assert status == 0
    lines = [line for line in lines_of(log)[1:] if line["mode"] != "summary"]
    assert {(line["mode"], line.get("conn")) for line in lines} == {("flow", 2)}
    assert [line["index"] for line in lines if line["event"] == "verified"] == [1, 2]
    assert {"connect_started", "queued", "sent", "received", "closed"} <= {
        line["event"] for line in lines}


def test_the_flow_of_one_beside_the_connections_of_all(load, tmp_path):
    log = tmp_path / "log"
    status, _, _ = load("--flow", 3, "--watch", "connections", "--log", log, "--log-format", "json",
                        connections=3)
    assert status == 0
    lines = [line for line in lines_of(log)[1:] if line["mode"] != "summary"]
    assert {line["conn"] for line in lines if line["mode"] == "flow"} == {3}
    opened = [line["conn"] for line in lines
              if line["mode"] == "connections" and line["event"] == "connected"]
    assert opened == [1, 2, 3]


def test_without_a_file_it_goes_to_the_standard_error(load):
    status, out, err = load("--watch", "connections")
    assert status == 0
    assert len(re.findall(r"(?m)^ +\d+\.\d{9} w0 .* connections (connected|closed) ", err)) == 4
    assert " w0 " not in out


def test_what_is_not_ascii_stays_valid_json(load, tmp_path):
    log = tmp_path / "log"
    status, out, _ = load("--watch", "data", "--log", log, "--log-format", "json", "--size", 300)
    assert status == 0, out
    texts = [line for line in lines_of(log)[1:] if line["mode"] == "data" and line["event"] == "message"]
    assert len(texts) == 4
    for line in texts:
        assert line["text"].startswith(f"M{line['index']}-C{line['conn']}")
        assert len(line["text"]) + line["left_out"] == 300


def test_a_folder_gets_a_file_of_its_own(load, tmp_path):
    for _ in range(2):
        status, _, _ = load("--log", tmp_path)
        assert status == 0
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    assert all(re.fullmatch(r"berthload-\d{12}(-\d+)?\.log", name) for name in names), names


def test_a_fifo_that_nobody_reads_stops_nothing(load, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    status, out, err = load("--watch", "flow,data", "--log", fifo, messages=2000)
    assert status == 0, err
    assert "sent 4,000 messages, 4,000 answered rightly" in out
    assert re.search(r"--log: \d+ lines are missing in \S+fifo: nobody read it", err), err


def test_a_full_disk_is_told_and_counts(load):
    status, out, err = load("--watch", "data", "--log", "/dev/full")
    assert status == 1
    assert "4 answered rightly" in out
    assert "--log: /dev/full could not be written: No space left on device" in err


@pytest.mark.parametrize("options,named", [
    (["--watch", "threads"], "--watch"),
    (["--watch", "flow,"], "--watch"),
    (["--flow", "0"], "--flow"),
    (["--flow", "3"], "--flow"),
    (["--log-format", "xml"], "--log-format"),
    (["--log", ""], "--log"),
    (["--log", "/nowhere/at/all"], "--log"),
])
def test_what_makes_no_sense_is_refused_by_name(load, options, named):
    status, out, err = load(*options)
    assert status == 2
    assert err.startswith(f"berthload: {named}: "), err
    assert "answered" not in out


@pytest.fixture
def wrong():
    """A server whose second reply on a connection has one wrong byte."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        try:
            while True:
                sock, _ = listener.accept()
                with sock:
                    stream = Stream(sock)
                    for number in range(FIRST_ID, FIRST_ID + 2):
                        message = bytearray(SEED.decode(stream))
                        message[0] ^= number != FIRST_ID
                        sock.sendall(SEED.encode(struct.pack("<I", number) + bytes(message)))
        except (OSError, EndOfStream, AssertionError):
            pass

    threading.Thread(target=serve, daemon=True).start()
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    listener.close()


def test_errors_are_in_the_log_whatever_is_watched(backend, wrong, tmp_path):
    log = tmp_path / "log"
    status, _, err = run("berthload", "--connect", wrong, "--backend", backend, "--messages", 2,
                         "--log", log, "--log-format", "json")
    assert status == 1
    [error] = [line for line in lines_of(log)[1:] if line["mode"] == "error"]
    assert (error["event"], error["conn"], error["worker"]) == ("wrong", 1, 0)
    assert error["text"].startswith("message 2: wrong reply: from byte 1 of 5 on")
    assert "connection 1, message 2: wrong reply" in err
