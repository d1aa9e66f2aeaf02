"""berthload's commands while a run goes on. The server answers when the test lets it, so that what
a status must say is known exactly."""

import json
import re
import socket
import struct
import subprocess
import threading

import pytest

import conftest
from conftest import run
from peer import FIRST_ID, PATIENCE, SEED, EndOfStream, Stream
from terminal import Terminal


class Gate:
    """Serves the seed's protocol; every reply waits for one permit."""

    def __init__(self):
        self.permits = threading.Semaphore(0)
        self.closed = False
        self.last_id = FIRST_ID - 1
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock):
        with sock:
            stream = Stream(sock)
            try:
                while True:
                    message = SEED.decode(stream)
                    self.permits.acquire()
                    if self.closed:
                        return
                    self.last_id += 1
                    sock.sendall(SEED.encode(struct.pack("<I", self.last_id) + message))
            except (EndOfStream, AssertionError, OSError):
                return

    def allow(self, count):
        self.permits.release(count)

    def close(self):
        self.closed = True
        self.listener.close()
        self.allow(1000)


@pytest.fixture
def gate():
    server = Gate()
    yield server
    server.close()


@pytest.fixture
def load(backend, gate):
    """berthload on a terminal: one connection, 10 messages, one at a time."""
    started = []

    def start(*options):
        started.append(Terminal("berthload", "--connect", gate.address, "--backend", backend,
                                "--workers", 1, "--messages", 10, *options))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()
        print(terminal.text)


def await_status(terminal, pattern):
    """Asks until the status is this: what it counts happens when it happens."""
    for _ in range(200):
        terminal.type("c")
        status = terminal.expect(r"\d+ messages sent.* open")[0]
        if re.search(pattern, status):
            return
    raise AssertionError(f"no status like {pattern!r}; the last was {status!r}")


def test_the_status(load, gate):
    terminal = load()
    await_status(terminal, r"^1 messages sent \(10\.00 % of 10\), 0 connect retries, "
                           r"0 connections finished, 1 open$")
    gate.allow(4)
    await_status(terminal, r"^5 messages sent \(50\.00 % of 10\)")
    gate.allow(6)
    terminal.expect(r"sent 10 messages, 10 answered rightly")
    assert terminal.wait() == 0  # without questions it ends with the run


def test_stop_aborts_the_run(load, gate, tmp_path):
    terminal = load("--log", tmp_path / "log")
    gate.allow(2)
    await_status(terminal, r"^3 messages sent")
    terminal.type("S")
    terminal.expect(r"stopping")
    gate.allow(1)  # what is on its way is still answered
    terminal.expect(r"1 connection, 0 messages: the run was stopped")
    terminal.expect(r"sent 3 messages, 3 answered rightly, 7 never sent")
    assert terminal.wait() == 1
    log = (tmp_path / "log").read_text()
    assert re.search(r' - +- +error +stopped +reason="the run was stopped"', log), log


def test_stop_aborts_a_run_for_a_time_too(backend, gate):
    gate.allow(1_000_000)
    terminal = Terminal("berthload", "--connect", gate.address, "--backend", backend,
                        "--duration", "100s")
    try:
        await_status(terminal, r"^[1-9]\d* messages sent")
        terminal.type("S")
        terminal.expect(r"failure: the run was aborted")
        terminal.expect(r"answered rightly, stopped before its time")
        assert terminal.wait() == 1
    finally:
        terminal.close()
        print(terminal.text)


def test_close_is_right_when_all_that_was_sent_is_answered(load, gate):
    terminal = load()
    gate.allow(2)
    await_status(terminal, r"^3 messages sent")
    terminal.type("close")
    terminal.expect(r"closing")
    gate.allow(1)
    terminal.expect(r"sent 3 messages, 3 answered rightly, closed before more were sent")
    assert terminal.wait() == 0


def test_close_is_not_right_when_a_reply_is_missing(load, gate):
    terminal = load()
    await_status(terminal, r"^1 messages sent")
    terminal.type("z")
    terminal.expect(r"closing")
    terminal.type("z")  # nobody wants to wait for it
    terminal.expect(r"sent 1 messages, 0 answered rightly, 1 not")
    assert terminal.wait() == 1


def test_flow_is_switched_on_and_off(load, gate, tmp_path):
    log = tmp_path / "log"
    terminal = load("--log", log, "--log-format", "json", "--watch", "connections")
    await_status(terminal, r"^1 messages sent")
    terminal.type("f")
    terminal.expect(r"the flow is not logged anyway")
    terminal.type("t")
    terminal.expect(r"the flow is logged from here on")
    terminal.type("T")
    terminal.expect(r"the flow is being logged already")
    gate.allow(2)
    await_status(terminal, r"^3 messages sent")
    terminal.type("F")
    terminal.expect(r"the flow is not logged from here on")
    gate.allow(8)
    assert terminal.wait() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    flow = [(line["event"], line.get("index")) for line in lines if line["mode"] == "flow"]
    assert flow[0] == ("watch_on", None)
    assert flow[-1] == ("watch_off", None)
    verified = [index for event, index in flow if event == "verified"]
    assert verified == [1, 2], flow
    assert [index for event, index in flow if event == "queued"] == [2, 3], flow


def test_flow_needs_a_log(load, gate):
    terminal = load()
    terminal.type("t")
    terminal.expect(r"there is no log")
    terminal.type("stop")
    terminal.expect(r"stopping")
    gate.allow(1)
    assert terminal.wait() == 1


def test_help_lists_what_there_is_and_the_rest_is_named(load, gate):
    terminal = load()
    terminal.type("h")
    for letter in "CTFSZH":
        terminal.expect(rf"\n  {letter}, ")
    terminal.type("restart now\x07")
    terminal.expect(r'"restart now\?" is no command')
    terminal.type("x" * 600)
    terminal.expect(r"is no command")
    terminal.type("")  # nothing
    gate.allow(10)
    terminal.expect(r"sent 10 messages, 10 answered rightly")
    assert terminal.wait() == 0


def test_the_end_of_a_terminals_input_is_not_an_end(load, gate):
    terminal = load()
    await_status(terminal, r"^1 messages sent")
    terminal.end_input()
    gate.allow(3)
    await_status(terminal, r"^4 messages sent")  # and commands go on
    gate.allow(7)
    assert terminal.wait() == 0
    assert "sent 10 messages, 10 answered rightly" in terminal.text


def test_the_end_of_any_other_input_is_not_an_end(backend, server):
    address = "%s:%d" % server.address()
    status, out, err = run("berthload", "--connect", address, "--backend", backend, "--console",
                           "--messages", 100)
    assert (status, err) == (0, ""), out
    assert "sent 100 messages, 100 answered rightly" in out


def test_commands_from_a_pipe_need_the_option(backend, gate):
    command = [conftest.BIN / "berthload", "--connect", gate.address, "--backend", backend,
               "--messages", "2"]
    for option, said in (["--console"], True), ([], False):
        with subprocess.Popen(command + option, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True,
                              preexec_fn=conftest.in_child({})) as process:
            process.stdin.write("status\nnonsense\n")
            process.stdin.flush()
            seen = []
            if said:
                for line in process.stdout:
                    seen.append(line)
                    if "nonsense" in line:
                        break
            gate.allow(2)
            out, _ = process.communicate(timeout=PATIENCE)
            text = "".join(seen) + out
            assert process.returncode == 0, text
            assert ("connect retries" in text) == said, text
