"""Ledgers of both programs: a clean run closes with all six terms equal, whatever is sent and
whoever answers; what a dishonest server does is found; what cannot be written is told."""

import os
import resource
import signal
import struct
import subprocess
import sys

import pytest

from conftest import BIN, in_child, run
from ledgers import check, closes, load
from loading import Server, frame, right
from peer import PATIENCE, SEED

SIX = ["sent", "received", "dispatched", "made", "out", "answered"]
EXCEPTIONS = ["duplicated", "reordered", "corrupted", "unasked", "late", "skipped", "refused"]


@pytest.fixture
def ledgers(tmp_path):
    return tmp_path / "client.ledger", tmp_path / "server.ledger"


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def clean_run(berthd, backend, ledgers, *options, server=(), messages):
    """A run without faults, whose ledgers must be clean."""
    client_file, server_file = ledgers
    started = berthd("--ledger", server_file, *server, workers=2)
    status, told, err = load(started.address(), backend, client_file, *options)
    assert status == 0, err
    assert told["ledger"]["whole"] and not any(told["ledger"][name] for name in EXCEPTIONS)
    started.stop()
    sums = closes(client_file, server_file, options=["--clean"])
    assert [sums[name] for name in SIX] == 6 * [messages]


CLEAN = {
    "text size": (["--messages", 200], []),
    "a mark alone": (["--messages", 200, "--size", 48], []),
    "any size": (["--messages", 300, "--size", "48-5000", "--pipeline", 40], []),
    "large": (["--messages", 10, "--size", 300000, "--pipeline", 3], []),
    "varint": (["--messages", 200, "--frame", "varint", "--size", "48-400", "--pipeline", 9],
               ["--frame", "varint"]),
    "fixed, without ids": (["--messages", 200, "--frame", "fixed:100", "--pipeline", 9],
                           ["--frame", "fixed:100"]),
    "big-endian": (["--messages", 200, "--frame", "length:2:be:offset=2:itself", "--size", "48-999"],
                   ["--frame", "length:2:be:offset=2:itself"]),
    "pool": (["--messages", 300, "--size", "48-900", "--pipeline", 64], ["--handler", "pool"]),
    "delay": (["--messages", 60, "--size", "48-900", "--pipeline", 16], ["--delay", 2]),
    "many threads": (["--messages", 300, "--pipeline", 64, "--workers", 2],
                     ["--handler", "pool", "--threads", 16, "--window", 7]),
    "watched": (["--messages", 60, "--pipeline", 8, "--watch", "flow,data", "--log", "/dev/null"],
                ["--watch", "flow,connections,data,threads", "--log", "/dev/null"]),
    "small buffers": (["--messages", 60, "--size", "48-200", "--pipeline", 8, "--buffer-size", 7],
                      ["--buffer-size", 5]),
}


@pytest.mark.parametrize("options, server", CLEAN.values(), ids=CLEAN)
def test_a_clean_run_closes(berthd, backend, ledgers, options, server):
    clean_run(berthd, backend, ledgers, "--connections", 5, *options, server=server,
              messages=5 * options[1])


def test_connections_one_after_the_other(berthd, backend, ledgers):
    clean_run(berthd, backend, ledgers, "--connections", 300, "--at-once", 20, "--messages", 3,
              messages=900)


def test_a_duration(berthd, backend, ledgers):
    client_file, server_file = ledgers
    server = berthd("--ledger", server_file)
    status, told, err = load(server.address(), backend, client_file, "--duration", "200ms",
                             "--connections", 3, "--pipeline", 8)
    assert status == 0, err
    server.stop()
    sums = closes(client_file, server_file, options=["--clean"])
    assert sums["scheduled"] == sums["answered"] == told["results"]["messages_sent"] > 0


def test_several_clients_share_a_server(berthd, backend, tmp_path):
    server = berthd("--ledger", tmp_path / "server")
    for number in range(3):
        status, _, err = load(server.address(), backend, tmp_path / f"client{number}", "--messages",
                              50, "--connections", 3)
        assert status == 0, err
    server.stop()
    files = [tmp_path / f"client{number}" for number in range(3)]
    sums = closes(*files, tmp_path / "server", options=["--clean"])
    assert sums["answered"] == sums["received"] == 450
    status, account = check(*files[1:], tmp_path / "server", options=["--clean"])
    assert status == 1  # the server knows connections that nobody here made
    assert "no client here made" in account["problems"][0]["what"]


def test_clients_without_marks_are_served_beside_them(berthd, backend, ledgers):
    """M10.6; and their messages are in the sums that must be the library's."""
    client_file, server_file = ledgers
    server = berthd("--ledger", server_file)
    plain = server.connect()
    plain.ask(b"hello")
    status, _, err = load(server.address(), backend, client_file, "--messages", 20)
    assert status == 0, err
    plain.ask(b"still here")
    server.stop()
    closes(client_file, server_file, options=["--clean"])


def test_every_third_is_answered(berthd, backend, ledgers):
    client_file, server_file = ledgers
    server = berthd("--ledger", server_file, "--reply", "every:3")
    status, told, _ = load(server.address(), backend, client_file, "--messages", 90, "--pipeline",
                           12, "--connections", 4)
    assert status == 1
    assert told["ledger"]["skipped"] == 240
    server.stop()
    sums = closes(client_file, server_file, options=["--unknown", "a later message was answered"])
    assert [sums[name] for name in SIX] == [360, 360, 360, 120, 120, 120]
    assert sums["unreplied"] == sums["unknown"] == 240


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("handler", ["echo", "pool"])
def test_a_server_that_is_stopped_under_load(berthd, backend, ledgers, handler, signals):
    """In order (M9.4), or cut: what it had received and what left is accounted for."""
    client_file, server_file = ledgers
    server = berthd("--ledger", server_file, "--handler", handler, workers=2)
    client = subprocess.Popen(
        [BIN / "berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
         "--ledger", client_file, "--connections", "6", "--duration", "30", "--pipeline", "40",
         "--retry", "no", "--console"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=in_child({}))
    try:
        server.wait_for("listening")
        client.stdin.write("status\n")
        client.stdin.flush()
        line = client.stdout.readline()
        while " sent" not in line or line.startswith(("0 ", "sent 0")):
            client.stdin.write("status\n")
            client.stdin.flush()
            line = client.stdout.readline()
        for _ in range(signals):
            server.send(signal.SIGTERM)
        assert server.wait() == 0
        client.communicate(timeout=PATIENCE)
    finally:
        client.kill()
        client.wait()
    sums = closes(client_file, server_file)
    assert sums["received"] > 0
    if signals == 1:  # what was received was answered, and what was answered left
        assert sums["dispatched"] == sums["made"] == sums["out"]


# ---- servers that are not honest: Python's, on the seed's protocol


def dishonest(name):
    """Spoils the 8th reply of its connection in one way."""

    def answer(index, number, message):
        whole = frame(number, message)
        if index != 7:
            return whole
        return {
            "duplicated": lambda: whole + frame(number, message),
            "corrupted": lambda: whole[:-3] + bytes([whole[-3] ^ 16]) + whole[-2:],
            "skipped": lambda: b"",
            "unasked": lambda: frame(number, named(message, 500)),
            "refused": lambda: frame(number, refusal(message)),
        }[name]()

    return answer


def swapping():
    held = {}

    def answer(index, number, message):
        if index % 2 == 0:
            held["message"] = message
            return b""
        return frame(number - 1, message) + frame(number, held["message"])

    return answer


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sealed(magic, body):
    return magic + struct.pack("<I", crc32c(body)) + body


def named(message, sequence):
    """The same message with another sequence and a CRC that fits."""
    return sealed(message[:4], message[8:24] + struct.pack("<Q", sequence) + message[32:])


def refusal(message):
    """M10.4"""
    return sealed(b"BLr1", message[8:32] + struct.pack("<QII", 0, 48, 1))


@pytest.mark.parametrize("what", ["duplicated", "corrupted", "skipped", "unasked", "refused",
                                  "reordered"])
def test_what_a_dishonest_server_does_is_found(serve, backend, ledgers, what):
    server = serve(dishonest(what) if what != "reordered" else swapping())
    status, told, err = load(server.address, backend, ledgers[0], "--messages", 20, "--pipeline", 2)
    assert status == 1
    assert told["ledger"]["whole"]
    found = {name for name in EXCEPTIONS if told["ledger"][name] > 0}
    assert found == {what}, err
    assert told["ledger"][what] == (10 if what == "reordered" else 1)
    aborted = {"duplicated": 0, "reordered": 0, "unasked": 13}.get(what, 1)
    assert told["results"]["messages_aborted"] == aborted
    status, account = check(ledgers[0], options=["--clean"])
    assert status == 1 and account["problems"]
    assert not [p for p in account["problems"] if "is not" in p["what"]], "a sum does not add up"
    allowed = ["--allow", what] if what in ("duplicated", "corrupted", "unasked", "reordered") else []
    closes(ledgers[0], options=allowed)


def test_bytes_after_the_last_answer_are_late(serve, backend, ledgers):
    """Also where another connection was not well, so that the totals cannot tell."""

    def answer(index, number, message):
        whole = frame(number, message)
        if message[20] == 1 and index == 4:
            return None
        return whole + (b"ab" if index == 9 else b"")

    _, told, _ = load(serve(answer).address, backend, ledgers[0], "--messages", 10, "--connections",
                      2)
    assert (told["ledger"]["late"], told["ledger"]["late_bytes"]) == (1, 2)
    status, account = check(ledgers[0])
    assert status == 1
    assert [p["what"] for p in account["problems"]] == ["1 counted: late"]
    assert account["problems"][0]["connection"] == 2


def test_a_server_that_forgets_marks_is_right(serve, backend, ledgers):
    """Who echoes marked messages as they are needs to know nothing of marks."""
    status, _, err = load(serve(right).address, backend, ledgers[0], "--messages", 50, "--pipeline",
                          5, "--connections", 3)
    assert status == 0, err
    closes(ledgers[0], options=["--clean"])


def test_bare_replies(serve, backend, ledgers):
    status, _, err = load(serve(lambda _, number, message: SEED.encode(message)).address, backend,
                          ledgers[0], "--reply", "bare", "--messages", 50, "--pipeline", 5, "--size",
                          "48-500")
    assert status == 0, err
    closes(ledgers[0], options=["--clean"])


def test_what_is_watched_may_change_under_a_ledger(berthd, backend, ledgers):
    """The console turns modes on and off; the ledger needs its events all the same."""
    server = berthd("--ledger", ledgers[1], "--log", "/dev/null", console=True)
    for number, line in enumerate(["t", "f", "t"]):
        server.enter(line)
        file = f"{ledgers[0]}{number}"
        status, _, err = load(server.address(), backend, file, "--messages", 50)
        assert status == 0, err
    server.stop()
    closes(*(f"{ledgers[0]}{number}" for number in range(3)), ledgers[1], options=["--clean"])


def test_connections_that_are_never_made(backend, ledgers, tmp_path):
    status, told, err = load("127.0.0.1:1", backend, ledgers[0], "--messages", 7, "--connections",
                             3, "--retry", "no")
    assert status == 1
    sums = closes(ledgers[0])
    assert (sums["scheduled"], sums["not sent"], sums.get("sent", 0)) == (21, 21, 0)


# ---- limits, and files that cannot be written

REFUSED = [
    ("berthload", ["--size", "20"], "--size: with --ledger each message has at least 48 bytes"),
    ("berthload", ["--frame", "delimiter:\\n"], "--ledger: cannot be combined with --frame delim"),
    ("berthload", ["--long"], "--long: cannot be combined with --ledger"),
    ("berthd", ["--frame", "delimiter:\\n"], "--ledger: the framing 'delimiter:\\n' cannot carry"),
    ("berthd", ["--max-message", "47"], "--ledger: the framing 'length:4:le' cannot carry"),
    ("berthd", ["--frame", "fixed:47"], "--ledger: the framing 'fixed:47' cannot carry"),
]
WHERE = {"berthload": ["--connect", "127.0.0.1:1", "--retry", "no"],
         "berthd": ["--listen", "127.0.0.1:0"]}


@pytest.mark.parametrize("program, options, says", REFUSED)
def test_what_cannot_carry_marks_is_refused(program, options, says, tmp_path):
    status, _, err = run(program, *WHERE[program], "--ledger", tmp_path / "ledger", *options)
    assert status == 2
    assert says in err
    assert not (tmp_path / "ledger").exists()


UNWRITABLE = {"/dev/full": "No space left", "/nowhere/ledger": "No such file", "/": "a directory"}


@pytest.mark.parametrize("program", WHERE)
@pytest.mark.parametrize("path, says", UNWRITABLE.items())
def test_a_file_that_cannot_be_written_is_named(program, path, says):
    status, _, err = run(program, *WHERE[program], "--ledger", path)
    assert status == 2
    assert f"{program}: --ledger: {path}: " in err and says in err


def limited(bytes_most):
    """A child whose files cannot grow beyond that, as on a disk that is full in the middle."""

    def prepare():
        in_child({})()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_most, bytes_most))

    return prepare


def test_a_disk_that_fills_ends_the_run(server, backend, ledgers):
    done = subprocess.run(
        [BIN / "berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
         "--ledger", ledgers[0], "--connections", "100000", "--at-once", "4"],
        preexec_fn=limited(16000), restore_signals=False, capture_output=True, text=True,
        timeout=PATIENCE)
    assert done.returncode == 1
    assert "the ledger could not be written" in done.stderr
    assert "File too large" in done.stderr
    assert "no whole ledger" in done.stdout.strip().split("\n")[-1]
    status, account = check(ledgers[0])
    assert status == 1
    assert "has no end" in str(account["problems"])


def test_a_server_on_a_disk_that_fills_serves_on(backend, ledgers):
    server = subprocess.Popen(
        [BIN / "berthd", "--listen", "127.0.0.1:0", "--backend", backend, "--ledger", ledgers[1]],
        preexec_fn=limited(16000), restore_signals=False, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        while not line.startswith("listening on "):
            line = server.stdout.readline()
        status, told, err = load(line.split()[-1], backend, ledgers[0], "--connections", 200,
                                 "--at-once", 4)
        assert status == 0, err
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=PATIENCE)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 1
    assert "berthd: --ledger: " in err and "File too large" in err
    status, account = check(*ledgers)
    assert status == 1 and "has no end" in str(account["problems"])


def test_ledger_run(backend):
    """./dev ledger, shortened."""
    tool = os.path.join(os.path.dirname(__file__), "../../tools/ledger_run")
    done = subprocess.run(
        [sys.executable, "-B", tool, "--messages", "20000", "--clients", "2", "--backend", backend,
         "--size", "48-300", "--server=--handler pool", BIN],
        capture_output=True, text=True, timeout=PATIENCE, preexec_fn=in_child({}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the ledger closes: 20,000 messages sent, all six terms equal" in done.stdout
