"""What berthd refuses to start with, and that it says which option is at fault."""

import re
import subprocess

import pytest

from conftest import BIN, run

REFUSED = [
    (["--max-connections", "0"], "--max-connections"),
    (["--max-connections", "4000000001"], "--max-connections"),
    (["--max-connections", "ten"], "--max-connections"),
    (["--buffer-size", "0"], "--buffer-size"),
    (["--buffer-size", "-1"], "--buffer-size"),
    (["--workers", "99999"], "--workers"),
    (["--backend", "foo"], "--backend"),
    (["--listen", "nonsense"], "--listen"),
    (["--listen", "127.0.0.1:65536"], "--listen"),
    (["--listen", ""], "--listen"),
    (["--frame", "length:3"], "--frame"),
    (["--frame", "delimiter:"], "--frame"),
    (["--frame", ""], "--frame"),
    (["--frame", "length:1", "--max-message", "255"], "--max-message|--frame"),
    (["--max-message", "0"], "--max-message"),
    (["--max-message", "1073741825"], "--max-message"),
    (["--max-message", "1e3"], "--max-message"),
    (["--no-such-option"], "--no-such-option"),
    (["--backlog", "-1"], "--backlog"),
    (["--first-message-timeout", "-1"], "--first-message-timeout"),
    (["--message-timeout", "86400001"], "--message-timeout"),
    (["--receive-idle-timeout", "1s"], "--receive-idle-timeout"),
    (["--send-idle-timeout", "4294967296"], "--send-idle-timeout"),
    (["--send-progress-timeout", ""], "--send-progress-timeout"),
    (["--max-connections"], "--max-connections"),
    (["stray"], "stray"),
    (["--linger", "0"], "--linger"),
    (["--handler", "magic"], "--handler"),
    (["--handler", "delay"], "--handler.*--delay"),
    (["--handler", "pool", "--delay", "5"], "--delay.*pool"),
    (["--delay", "-1"], "--delay"),
    (["--threads", "0"], "--threads"),
    (["--window", "0"], "--window"),
    (["--window-bytes", "0"], "--window-bytes"),
    (["--reply", "every:0"], "--reply"),
    (["--reply", "often"], "--reply"),
    (["--keep-data", "-1"], "--keep-data"),
    (["--keep-data", "1", "--keep-data-bytes", "0"], "--keep-data-bytes"),
    (["--first-transmission-id", "4294967296"], "--first-transmission-id"),
    (["--first-session-id", "0"], "--first-session-id"),
    (["--stop-timeout", "never"], "--stop-timeout"),
    (["--receive-buffers", "65"], "--receive-buffers"),
    (["--pool", "4096"], "--pool"),
    (["--send-high", "0"], "--send-high"),
    (["--send-low", "300000"], "--send-low"),
    (["--send-max", "1000"], "--send-max"),
]


@pytest.mark.parametrize("options, at_fault", REFUSED, ids=lambda value: str(value))
def test_a_refused_setting_is_named(options, at_fault):
    listen = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
    status, out, err = run("berthd", *listen, *options)
    assert status > 0
    assert re.search(at_fault, err)
    assert "listening" not in out + err


def test_help():
    status, out, err = run("berthd", "--help")
    assert (status, err) == (0, "")
    for option in ("--listen", "--max-connections", "--buffer-size", "--frame", "--backend"):
        assert option in out


def test_version():
    status, out, err = run("berthd", "--version")
    assert (status, err) == (0, "")
    assert re.search(r"\b\d+\.\d+\.\d+\b", out)


@pytest.mark.parametrize("program", ["berthd", "berthload"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_could_not_be_printed_is_no_success(program, option):
    with open("/dev/full", "w") as full:
        assert subprocess.run([BIN / program, option], stdout=full, timeout=5).returncode == 1
