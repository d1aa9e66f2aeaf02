"""What --watch, --log and SIGUSR1 show of a known conversation, in both formats."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from conftest import THREAD_SANITIZED, run
from loglines import fields, of_mode, read_log, wait_until
from peer import PATIENCE, QUIET

SESSION = 1000000001
MESSAGES = [b"M1-C1", b"M1-C2", b"M2-C1", b"M2-C2"]
def converse(server):
    """Two connections, two messages each, one after the other; returns the clients' addresses."""
    names = []
    clients = []
    for _ in range(2):
        client = server.connect()
        clients.append(client)
        names.append("%s:%d" % client.sock.getsockname())
        client.ask(MESSAGES[len(names) - 1])
    for client, message in zip(clients, MESSAGES[2:]):
        client.ask(message)
    for client in clients:
        client.half_close()
        client.read_end()
    return names


def watched(berthd, path, modes, *options):
    """The log of the conversation."""
    server = berthd("--watch", modes, "--log", path, *options)
    names = converse(server)
    address = "%s:%d" % server.address()
    server.stop()
    return read_log(path)[0], names, address


def test_connections(berthd, tmp_path):
    entries, names, address = watched(berthd, tmp_path / "log", "connections")
    lines = of_mode(entries, "connections")
    story = [(e["event"], e["conn"], e["open"], e["peer"], e["local"]) for e in lines]
    assert story == [
        ("accepted", SESSION, 1, names[0], address),
        ("accepted", SESSION + 1, 2, names[1], address),
        ("closed", SESSION, 1, names[0], address),
        ("closed", SESSION + 1, 0, names[1], address),
    ]
    assert [e["messages"] for e in lines[2:]] == [2, 2]
    assert [e["reason"] for e in lines[2:]] == ["the peer ended the stream"] * 2
    assert {e["mode"] for e in entries} == {"connections", "summary"}


def test_flow_says_whose_connection_it_is(berthd, tmp_path):
    """Where it begins and where it ends, so that the client's log can be laid beside it."""
    entries, names, address = watched(berthd, tmp_path / "log", "flow")
    ends = [entry for entry in of_mode(entries, "flow") if "peer" in entry]
    assert sorted((e["event"], e["conn"], e["peer"], e["local"]) for e in ends) == sorted(
        (event, SESSION + number, name, address)
        for number, name in enumerate(names) for event in ("opened", "closed"))


def switches(server):
    """How often its threads have waited so far; a thread that sleeps on adds nothing."""
    total = 0
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        status = (task / "status").read_text()
        total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])
    return total


@pytest.mark.skipif(THREAD_SANITIZED, reason="a thread of ThreadSanitizer's wakes by itself")
def test_a_server_that_is_watched_and_idle_sleeps(berthd, tmp_path):
    server = berthd("--watch", "flow", "--log", tmp_path / "log")
    client = server.connect()
    client.ask(b"before")
    before = None
    until = time.monotonic() + PATIENCE / 2
    while (now := switches(server)) != before:
        assert time.monotonic() < until, f"{now - before} times in {QUIET} s something woke up"
        before = now
        time.sleep(QUIET)  # the point is that nothing happens meanwhile
    client.ask(b"behind")
    wait_until(lambda: (tmp_path / "log").read_text().count("flow        received") == 2,
               "the line of a message that came while the log slept")


def test_data(berthd, tmp_path):
    entries, _, _ = watched(berthd, tmp_path / "log", "data")
    lines = of_mode(entries, "data")
    assert [e["event"] for e in lines] == ["header", "message"] * 4
    for header in lines[::2]:
        assert (header["bytes"], header["length"], header["text"]) == (4, 5, "5 0 0 0")
    assert [(e["conn"], e["id"], e["text"], e["bytes"]) for e in lines[1::2]] == [
        (SESSION, 10001, "M1-C1", 5),
        (SESSION + 1, 10002, "M1-C2", 5),
        (SESSION, 10003, "M2-C1", 5),
        (SESSION + 1, 10004, "M2-C2", 5),
    ]


def test_data_that_is_long_or_no_text(berthd, tmp_path):
    server = berthd("--watch", "data", "--log", tmp_path / "log", "--log-format", "json")
    server.connect().ask(b'\x00\xff"\\\n', b"x" * 1000)
    server.stop()
    lines = of_mode(read_log(tmp_path / "log")[0], "data")
    assert lines[1]["text"].encode("latin-1") == b'\x00\xff"\\\n'
    assert lines[3]["text"] == "x" * (1000 - lines[3]["left_out"])
    assert lines[3]["bytes"] == 1000 and lines[3]["left_out"] > 0
    assert lines[2]["text"] == "232 3 0 0"


def test_flow(berthd, tmp_path):
    entries, _, address = watched(berthd, tmp_path / "log", "flow")
    once = "received header message delivered queued send_started sent "
    end = "peer_ended closing shut joining closed"
    for session in (SESSION, SESSION + 1):
        events = [e["event"] for e in of_mode(entries, "flow") if e.get("conn") == session]
        assert "receive_started" in events
        told = " ".join(event for event in events if event != "receive_started")
        assert told == "accepted opened " + 2 * once + end
    times = [e["t"] for e in of_mode(entries, "flow")]
    assert times == sorted(times)
    assert [e["text"] for e in entries if e["event"] == "listening"] == [address]
    assert any(e["event"] == "accept_started" and "conn" not in e for e in entries)


def test_flow_of_a_message_in_pieces(berthd, tmp_path):
    server = berthd("--watch", "flow", "--log", tmp_path / "log")
    client, other = server.connect(), server.connect()
    for piece in (b"\5\0", b"\0\0hel", b"lo"):
        client.send(piece)
        other.ask(b"tick")  # so that the pieces are kept apart
    client.read_reply()
    server.stop()
    words = ("header_partial", "header", "message_partial", "message")
    parts = [
        (e["event"], e["bytes"])
        for e in of_mode(read_log(tmp_path / "log")[0], "flow")
        if e.get("conn") == SESSION and e["event"] in words
    ]
    assert parts == [("header_partial", 2), ("header", 4), ("message_partial", 3), ("message", 5)]


def test_threads(berthd, tmp_path):
    server = berthd("--watch", "threads", "--log", tmp_path / "log", workers=2)
    converse(server)
    tasks = {int(name) for name in os.listdir(f"/proc/{server.process.pid}/task")}
    server.stop()
    lines = of_mode(read_log(tmp_path / "log")[0], "threads")
    news = [e for e in lines if e["event"] == "new_thread"]
    calls = [e for e in lines if e["event"] == "thread"]
    assert sorted(e["count"] for e in news) == list(range(1, len(news) + 1))
    assert all(e["threads"] == len(tasks) for e in news)
    assert {e["thread"] for e in news} == {e["thread"] for e in calls} <= tasks
    for session in (SESSION, SESSION + 1):
        mine = [e for e in calls if e["conn"] == session]
        entered = [e["text"] for e in mine]
        assert entered == ["on_open", "on_messages", "on_messages", "on_close"]
        assert len({(e["thread"], e["worker"], e["slot"], e["generation"]) for e in mine}) == 1


def test_both_formats_say_the_same(berthd, tmp_path):
    differs = ("t", "peer", "local", "thread", "generation", "accept")  # of those that wait, any
    varies = ("receive_started", "listening")
    told = []
    for form in ("text", "json"):
        path = tmp_path / form
        entries, _, _ = watched(berthd, path, "flow,connections,data,threads", "--log-format", form)
        told.append([
            {key: value for key, value in entry.items() if key not in differs}
            for entry in entries if entry["event"] not in varies
        ])
    assert told[0] == told[1]
    assert {entry["mode"] for entry in told[0]} == {
        "flow", "connections", "data", "threads", "summary"}


def test_the_first_line_says_when(berthd, tmp_path):
    before = time.monotonic_ns()
    server = berthd("--log", tmp_path / "log", "--log-format", "json", "--watch", "connections")
    server.connect().ask(b"hello")
    after = time.monotonic_ns()
    server.stop()
    entries, first = read_log(tmp_path / "log")
    assert (first["program"], list(first)) == (
        "berthd", ["program", "version", "start_monotonic_ns", "start"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["start"])
    assert before <= first["start_monotonic_ns"] + entries[0]["t"] <= after


def test_nothing_is_there_until_it_is_asked_for(berthd, tmp_path):
    """No thread more, and no file: what is off costs nothing but a branch."""

    def tasks(server):
        server.connect().ask(b"hello")
        return len(os.listdir(f"/proc/{server.process.pid}/task"))

    plain = berthd()
    off = tasks(plain)
    assert tasks(berthd("--log", tmp_path / "log")) == off + 1
    plain.send(signal.SIGUSR1)
    plain.wait_for("end of the flight recorders")
    assert tasks(plain) == off + 1


def test_without_a_log_it_goes_to_stderr(berthd):
    server = berthd("--watch", "connections")
    server.connect().ask(b"hello")
    server.wait_for(rf"w0 +{SESSION} connections accepted +peer=127")


def test_a_folder_gets_a_new_file_each_time(berthd, tmp_path):
    servers = [berthd("--log", tmp_path) for _ in range(2)]
    for server in servers:
        (line,) = server.wait_for("log file ")
        server.stop()
        assert line.removeprefix("log file ") in map(str, tmp_path.iterdir())
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    assert all(re.fullmatch(r"berthd-\d{12}(-\d+)?\.log", name) for name in names), names


def test_errors_are_in_the_log_whatever_is_watched(berthd, tmp_path):
    server = berthd("--log", tmp_path / "log")
    client = server.connect()
    client.send(b"\xff\xff\xff\xff")
    client.read_end()
    server.stop()
    entries, _ = read_log(tmp_path / "log")
    text = "".join(e["text"] for e in of_mode(entries, "error"))
    assert "ff ff ff ff" in text and "maximum of 1048576" in text
    (summary,) = of_mode(entries, "summary")
    assert summary["text"] in server.said()


@pytest.mark.parametrize("option, value", [
    ("--watch", "everything"), ("--watch", ""), ("--watch", "flow,"), ("--watch", "flow,error"),
    ("--log", ""), ("--log", "/nowhere/at/all"), ("--log-format", "xml"),
])
def test_nonsense_is_refused_by_name(backend, option, value):
    status, out, err = run("berthd", "--backend", backend, "--listen", "127.0.0.1:0", option, value)
    assert status == 2
    assert option in err and value in err
    assert "listening" not in out


# ---- the flight recorder


LIFE = "accepted opened delivered delivered peer_ended closing shut joining closed"


def recorded(lines):
    """Of each connection, by slot and generation, its events in order."""
    lives = {}
    for entry in map(fields, lines):
        lives.setdefault((entry["slot"], entry["generation"]), []).append(entry)
    return lives


@pytest.mark.parametrize("log", [True, False])
def test_the_flight_recorder_is_written_down(berthd, tmp_path, log):
    """Nothing is watched, and still it is there; the server serves on."""
    path = tmp_path / "log"
    server = berthd(*(["--log", path] if log else []))
    converse(server)

    def dump(count):
        """The lines of the dump of this number, which this asks for."""
        server.send(signal.SIGUSR1)
        dumps = []

        def written():
            text = path.read_text() if log else server.said()
            lines = [line for line in text.splitlines() if " recorder " in line]
            dumps[:] = "\n".join(lines).split("end of the flight recorders")
            return len(dumps) > count

        wait_until(written, f"the end of dump {count}")
        return [line for line in dumps[count - 1].splitlines() if " slot=" in line]

    lines = dump(1)
    for count in range(2, 100):
        if sum(" closed " in line for line in lines) == 2:
            break  # a client may see its end before the server is through with it
        lines = dump(count)
    lives = recorded(lines)
    assert [" ".join(e["event"] for e in life) for life in lives.values()] == [LIFE, LIFE]
    for life in lives.values():
        assert [e["t"] for e in life] == sorted(e["t"] for e in life)
        assert life[0]["t"] > 0
    places = [(e["slot"], e["generation"]) for e in map(fields, lines)]
    assert places == sorted(places)  # one connection after the other
    server.connect().ask(b"hello")
    server.stop()
