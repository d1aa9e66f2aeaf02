"""The console of berthd: each command, through a pipe, and once on a terminal."""

import errno
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import BIN, MEMORY_SANITIZED, THREAD_SANITIZED
from peer import Client, PATIENCE, assert_quiet
from terminal import Terminal

LISTED = r"^(\d{10}) +(\S+) +([\d.]+) +(\d+) +(\d+) +(\d+)$"
HELLO = b"hello"


def peer_of(client):
    return "%s:%d" % client.sock.getsockname()[:2]


def answer(server, line, pattern):
    """What the server says to a line: the first new line that fits."""
    before = len([old for old in server.lines if re.search(pattern, old)])
    server.enter(line)
    return server.wait_for(pattern, before + 1)[before]


@pytest.mark.parametrize("entry", ["C", "c", "  c \r"])
def test_c_counts_the_clients(berthd, entry):
    server = berthd(console=True, workers=2)
    assert answer(server, entry, "clients connected now").endswith(": 0")
    clients = server.crowd(3)
    for client in clients:
        client.ask(HELLO)
    assert answer(server, entry, "clients connected now").endswith(": 3")


def test_t_and_f_turn_the_flow_on_and_off(berthd, tmp_path):
    log = tmp_path / "log"
    server = berthd("--log", log, "--watch", "connections", console=True)
    client = server.connect()
    client.ask(b"before")
    assert "already" in answer(server, "f", "^the flow is")
    answer(server, "T", "^the flow is watched from now on$")
    client.ask(b"during")
    assert "already" in answer(server, "t", "already$")
    answer(server, "F", "^the flow is no longer watched$")
    client.ask(*[b"afterwards"] * 3)
    client.close()
    server.stop()
    lines = [line.split() for line in log.read_text().splitlines()]
    flow = [line for line in lines if "flow" in line and "received" in line]
    assert len(flow) == 1, flow  # the 10 bytes of "during" with its length
    assert "bytes=10" in flow[0]
    assert [line for line in lines if "connections" in line and "closed" in line]


def test_list_shows_every_connection_by_its_id(berthd):
    server = berthd(console=True, workers=2)
    clients = server.crowd(5)
    for number, client in enumerate(clients, 1):
        client.ask(*[HELLO] * number)
    assert answer(server, "LIST", r"^\d+ connections$") == "5 connections"
    rows = [re.search(LISTED, line).groups() for line in server.lines if re.search(LISTED, line)]
    ids = [int(row[0]) for row in rows]
    assert ids == sorted(ids) and set(ids) == set(range(1000000001, 1000000006))
    known = {peer_of(client): (number, 5 * number) for number, client in enumerate(clients, 1)}
    assert {row[1]: (int(row[3]), int(row[4])) for row in rows} == known
    assert max(float(row[2]) for row in rows) < PATIENCE  # what is queued may not be noted as sent yet


def test_a_long_list_is_cut_and_counted(berthd):
    server = berthd(console=True, workers=2)
    for client in server.crowd(105):
        client.ask(HELLO)
    assert answer(server, "list", r"^\d+ connections$") == "105 connections"
    ids = [int(line[:10]) for line in server.lines if re.search(LISTED, line)]
    assert ids == list(range(1000000001, 1000000101))
    assert "and 5 more" in server.lines


def test_list_shows_bytes_that_wait(berthd):
    """The client does not read; what the system does not take stays queued."""
    server = berthd("--max-message", 1 << 20, console=True)
    client = server.connect(receive_buffer=4096)
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send_messages(bytes(1 << 20))
    answer(server, "list", "^1 connections$")
    (row,) = [re.search(LISTED, line) for line in server.lines if re.search(LISTED, line)]
    assert int(row[6]) > 0


def test_kick_closes_one(berthd):
    server = berthd(console=True, workers=2)
    first, second, third = server.crowd(3)
    for client in (first, second, third):
        client.ask(HELLO)
    answer(server, "list", "^3 connections$")
    ids = {row[2]: row[1] for row in (re.search(LISTED, line) for line in server.lines) if row}
    wanted = ids[peer_of(second)]
    assert wanted in answer(server, f"kick {wanted}", "closing the connection")
    second.read_end()
    second.close()
    first.ask(HELLO)
    third.ask(HELLO)
    server.enter(f"kick {wanted}")
    assert wanted in server.wait_for("no connection has the session id|closing the")[-1]


def test_kicking_nobody_says_so(berthd):
    server = berthd(console=True)
    assert "1000000007" in answer(server, "kick 1000000007", "no connection has the session id")


def expect_refusal(server):
    """New clients are turned away, as soon as the workers have heard of it."""
    until = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as sock:
            sock.settimeout(PATIENCE)
            if sock.connect_ex(server.address()) == errno.ECONNREFUSED:
                return
        assert time.monotonic() < until, "clients are still taken"


def test_stop_refuses_new_clients_and_start_takes_them_again(berthd):
    server = berthd(console=True)
    client = server.connect()
    client.ask(HELLO)
    answer(server, "stop", "^stopped listening")
    expect_refusal(server)
    client.ask(HELLO)
    assert "already" in answer(server, "stop", "already")
    answer(server, "start", "^listening again$")
    other = server.connect()
    other.ask(HELLO)
    client.ask(HELLO)
    server.enter("start")
    server.wait_for("listening already")


def test_drain_ends_when_all_have_left(berthd):
    server = berthd("--stop-timeout", 60_000, console=True)
    first, second = server.crowd(2)
    first.ask(HELLO)
    second.ask(HELLO)
    answer(server, "drain", "^draining")
    expect_refusal(server)
    first.close()
    second.ask(HELLO)
    assert server.process.poll() is None
    second.close()
    assert server.wait() == 0
    assert "drained: all clients have left" in server.lines
    assert server.summary().messages == 3


def test_a_drain_without_clients_ends_at_once(berthd):
    server = berthd(console=True)
    server.enter("drain")
    assert server.wait() == 0


def test_a_drain_ends_at_the_stop_timeout(berthd):
    server = berthd("--stop-timeout", 100, console=True)
    client = server.connect()
    client.ask(HELLO)
    server.enter("drain")
    client.read_end()
    client.close()
    assert server.wait() == 0
    assert "draining ends: 1 clients have not left" in server.lines


def test_start_calls_a_drain_off(berthd):
    server = berthd("--stop-timeout", 60_000, console=True)
    client = server.connect()
    client.ask(HELLO)
    answer(server, "drain", "^draining")
    answer(server, "start", "^listening again$")
    client.close()
    other = server.connect()
    other.ask(HELLO)
    other.close()
    server.connect().ask(HELLO)


def test_stats_shows_the_counters(berthd):
    server = berthd(console=True)
    client = server.connect()
    client.ask(*[HELLO] * 7)
    assert re.match(r" +7 ", answer(server, "Stats", "messages received whole"))
    assert re.match(r" +1 ", server.wait_for("connections accepted")[0])
    assert re.match(r" +63 ", server.wait_for("bytes received$")[0])


def test_kept_shows_the_last_messages_with_their_sessions(berthd):
    server = berthd("--keep-data", 30, console=True)
    client = server.connect()
    client.ask(*(b"M%d" % number for number in range(25)))
    ip, port = client.sock.getsockname()[:2]
    line = answer(server, "kept", "10025")
    assert line == f"session 1000000001, {ip}: {port}, 10025, M24"
    assert len([line for line in server.lines if line.startswith("session 1000000001")]) == 20


def test_session_ids_begin_elsewhere(berthd):
    server = berthd("--keep-data", 2, "--first-session-id", 5, console=True)
    for client in server.crowd(2):
        client.ask(HELLO)
    assert answer(server, "kept", "10002").startswith("session 6, ")
    server.enter("kick 5")
    assert "session 5" in server.wait_for("closing the connection|no connection")[0]


def test_kept_says_at_once_when_nothing_is_yet(berthd):
    """Also with room for so many that a look at all of it would take seconds."""
    if MEMORY_SANITIZED or THREAD_SANITIZED:
        pytest.skip("the sanitizer itself takes half a minute to look at all of it")
    server = berthd("--keep-data", 100_000_000, console=True)
    before = server.cpu_seconds()
    answer(server, "kept", "^no message has been kept so far$")
    spent = server.cpu_seconds() - before
    assert spent < 0.2, f"{spent} s"


def test_kept_says_when_nothing_is(berthd):
    server = berthd(console=True)
    assert "--keep-data" in answer(server, "kept", "no messages are kept")


@pytest.mark.parametrize("entry", ["help", "?", "Help"])
def test_help_lists_every_command(berthd, entry):
    server = berthd(console=True)
    answer(server, entry, "help, ?")
    for word in ("C", "T, F", "list", "kick ID", "stop", "start", "drain", "stats", "kept", "Z"):
        assert any(line.startswith(f"  {word} ") for line in server.lines), word


@pytest.mark.parametrize("entry", ["z", "Z"])
def test_z_ends_in_order(berthd, entry):
    server = berthd(console=True)
    client = server.connect()
    client.send_messages(*[HELLO] * 10)
    client.read_replies(HELLO)
    server.enter(entry)
    client.read_replies(*[HELLO] * 9)
    client.read_end()
    client.close()
    assert server.wait() == 0
    assert server.summary().messages == 10


def test_a_second_z_cuts(berthd):
    """The client does not read, so that an orderly end would wait for its time to pass."""
    server = berthd("--stop-timeout", 3_600_000, "--linger", 3_600_000, console=True)
    client = server.connect(receive_buffer=4096)
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send_messages(bytes(65536))
    server.enter("z")
    server.wait_for("^ending$")
    server.enter("z")
    assert server.wait() == 0


@pytest.mark.parametrize("entry, note", [
    ("frobnicate", "'frobnicate' is no command"),
    ("list all", "'list all' has something behind the command"),
    ("kick", "'kick' needs a session id"),
    ("kick 1x", "'kick 1x' needs a session id"),
    ("kick 99999999999999999999", "needs a session id"),
    ("x" * 5000, "'xxxxxxxxxxxxxxxxxxxx' and so on is too long"),
    ("a\x1b[2Jb", "'a\\?\\[2Jb' is no command"),
], ids=lambda value: value[:12].strip("\x1b"))
def test_what_is_no_command_is_named(berthd, entry, note):
    server = berthd(console=True)
    server.enter(entry)
    server.wait_for(note)
    server.connect().ask(HELLO)


def test_an_empty_line_says_nothing(berthd):
    server = berthd(console=True)
    answer(server, "c", "clients connected now")
    before = len(server.lines)
    server.enter("\n   \n")
    answer(server, "c", "clients connected now")
    assert len(server.lines) == before + 1


def test_the_end_of_the_input_is_not_the_end_of_the_server(berthd):
    server = berthd(console=True)
    server.process.stdin.write("c")  # a last line needs no newline
    server.process.stdin.close()
    server.wait_for("clients connected now: 0")
    server.connect().ask(HELLO)


@pytest.mark.parametrize("options", [["--end-with-input"], ["--console", "--end-with-input=yes"]],
                         ids=str)
def test_it_is_if_asked(berthd, options):
    server = berthd(*options, stdin=subprocess.PIPE)
    client = server.connect()
    client.ask(HELLO)
    server.process.stdin.close()
    client.read_end()
    client.close()
    assert server.wait() == 0
    assert server.summary().messages == 1


def test_without_a_console_input_is_not_read(berthd):
    server = berthd(stdin=subprocess.PIPE)
    server.enter("z")
    server.connect().ask(HELLO)
    assert_quiet([server.connect()], 0.1)
    assert "ending" not in server.lines


# ------------------------------------------------------------------------------------- on a terminal


@pytest.fixture
def terminal(backend):
    opened = []

    def start(program, *options):
        opened.append(Terminal(program, *options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_on_a_terminal_it_has_a_console(terminal, backend):
    at = terminal("berthd", "--backend", backend, "--listen", "127.0.0.1:0")
    port = int(at.expect(r"listening on 127\.0\.0\.1:(\d+)")[1])
    at.expect("commands: C counts")
    client = Client(("127.0.0.1", port))
    client.ask(HELLO)
    at.type("c")
    at.expect("clients connected now: 1")
    client.close()
    at.type("Z")
    at.expect("1 connections served")
    assert at.wait() == 0


def test_a_control_d_does_not_end_it(terminal, backend):
    at = terminal("berthd", "--backend", backend, "--listen", "127.0.0.1:0")
    port = int(at.expect(r"listening on 127\.0\.0\.1:(\d+)")[1])
    at.end_input()
    client = Client(("127.0.0.1", port))
    client.ask(HELLO)
    client.close()
    at.process.send_signal(signal.SIGTERM)
    at.expect("1 connections served")
    assert at.wait() == 0


def test_a_job_in_the_background_is_not_stopped_by_typing(terminal, backend):
    """Whoever types at the shell must not stop the server that runs behind it."""
    command = f"{BIN}/berthd --backend {backend} --listen 127.0.0.1:0 & echo job $!; wait"
    at = terminal("/bin/sh", "-mc", command)
    job = int(at.expect(r"job (\d+)")[1])
    port = int(at.expect(r"listening on 127\.0\.0\.1:(\d+)")[1])
    try:
        at.expect("commands: C counts")
        at.type("z")
        client = Client(("127.0.0.1", port))
        for _ in range(10):
            client.ask(HELLO)
        with open(f"/proc/{job}/stat", encoding="ascii") as file:
            assert file.read().rsplit(")", 1)[1].split()[0] != "T"
        client.close()
    finally:
        os.kill(job, signal.SIGTERM)
    at.expect("1 connections served")
    assert at.wait() == 0
