"""Runs of vex as a whole: how many, how fast, where from, how long, and what it says at its end."""

import json
import re
import subprocess
import time

import pytest

from conftest import peer
from vex import BIN, run_vex, text_of


def called(*arguments):
    done = subprocess.run([BIN / "vex", *map(str, arguments)], capture_output=True, text=True,
                          timeout=peer.PATIENCE)
    return done.returncode, done.stdout, done.stderr


def test_so_many_at_once_and_no_more(listener, misbehave):
    program = misbehave(listener.address, "connect; expect-eof", "--connections", 50,
                        "--at-once", 7)
    socks = [listener.take() for _ in range(7)]
    listener.sock.settimeout(peer.QUIET)
    with pytest.raises(TimeoutError):
        listener.take()
    listener.sock.settimeout(peer.PATIENCE)
    for _ in range(43):
        socks.pop(0).close()
        socks.append(listener.take())
    for sock in socks:
        sock.close()
    done = program.result()
    assert (done["made"], done["ended_eof"], done["done"]) == (50, 50, 50)


def test_a_rate_is_kept(echo):
    begin = time.monotonic()
    done = run_vex(echo().address, "connect; ping 1", "--connections", 51, "--rate", 100)
    assert done["done"] == 51
    assert 0.5 <= time.monotonic() - begin
    assert 0.45 < done["seconds"] < 2


def test_sources_take_turns(listener, misbehave):
    program = misbehave(listener.address, "connect; expect-eof", "--connections", 8, "--source",
                        "127.0.0.2..4", "--source", "127.0.0.9", "--rate", 1000)
    hosts = []
    for _ in range(8):
        listener.take().close()
        hosts.append(listener.came_from[0])
    assert sorted(hosts) == sorted([f"127.0.0.{last}" for last in (2, 3, 4, 9)] * 2)
    program.result()


def test_nobody_is_there(listener):
    listener.sock.close()
    done = run_vex(listener.address, "connect; ping 1", "--connections", 5, status=1)
    assert (done["refused"], done["made"], done["failed"]) == (5, 0, 5)
    assert "'connect' at 1: Connection refused" in done["failure"]


def test_no_wait_is_without_a_limit(listener, misbehave):
    """Nobody reads, and nobody answers."""
    for script in ("connect; read 1", "connect; replies 1", "connect; ping 1", "connect; expect-eof",
                   "connect; noread; frames 100000000 100"):
        program = misbehave(listener.address, script, "--timeout", 200)
        listener.take()
        done = program.result(1)
        assert (done["ended_timeout"], done["failed"]) == (1, 1)
        assert done["seconds"] < 3


def test_the_time_may_be_over(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 1; pause 3600s", "--connections", 3,
                        "--at-once", 2, "--seconds", 0.75)
    socks = [listener.take(), listener.take()]
    done = program.result()
    assert (done["stopped"], done["unstarted"], done["failed"]) == (2, 1, 0)
    assert done["ended_itself"] == 2
    assert len(socks) == 2


def test_a_signal_ends_it_as_time_does(listener, misbehave):
    program = misbehave(listener.address, "connect; repeat 1000000000 { pause 1ms }")
    program.wait_connected()
    program.signal()
    assert program.result()["stopped"] == 1


def test_one_that_never_waits_does_not_hold_up_the_others(echo):
    """Endless work on each connection, and a time that is over nevertheless."""
    done = run_vex(echo().address, "connect; repeat 1000000000000 { noread; doread }",
                   "--connections", 3, "--seconds", 1)
    assert (done["made"], done["stopped"]) == (3, 3)


def test_thousands_at_once(listener, misbehave):
    """The server of this test only counts them. (The ten thousand are in tests/faults.)"""
    count = 4000
    program = misbehave(listener.address, "connect; pause 3600s", "--connections", count)
    for _ in range(count):
        listener.take()
    program.wait_connected()
    program.signal()
    done = program.result()
    assert (done["made"], done["refused"], done["ended_itself"]) == (count, 0, count)


# -------------------------------------------------------------------------------------- what it says


def test_the_line_and_the_object_say_the_same(echo, tmp_path):
    server = echo()
    path = tmp_path / "out.json"
    status, out, err = called("--seed", 77, "--json", path, text_of(server.address),
                              "connect; frames 5 10; replies; ping 1")
    assert (status, err) == (0, "")
    done = json.loads(path.read_text())
    assert out.splitlines()[0] == "vex: 1 connected"
    line = out.splitlines()[1]
    for piece in ("seed 77", f"out {done['bytes_out']} bytes, 6 frames", "1 connections made",
                  f"in {done['bytes_in']} bytes, 6 frames", "0 wrong", "1 pings"):
        assert piece in line
    assert done["seed"] == 77


def test_a_script_may_be_in_a_file(echo, tmp_path):
    path = tmp_path / "script"
    path.write_text("# all of it\nconnect\nping 5\n")
    assert run_vex(echo().address, f"@{path}")["frames_in"] == 1
    path.write_text("connect\n  pong 5\n")
    status, _, err = called("127.0.0.1:1", f"@{path}")
    assert status == 2
    assert "step 2, 'pong' at line 2, 3: is no verb" in err


@pytest.mark.parametrize("arguments, said", [
    (["127.0.0.1:1", "connect; frmae 5"], "step 2, 'frmae' at 10: is no verb"),
    (["--length", "1", "127.0.0.1:1", "connect; frame 256"], "step 2, 'frame' at 10"),
    (["--replies", "bytes", "127.0.0.1:1", "connect; ping 5"], "ping and replies need"),
    (["127.0.0.1:1"], "something is missing"),
    (["127.0.0.1:1", "connect", "x"], "there is one too many: x"),
    (["--nonsense", "1", "127.0.0.1:1", "connect"], "there is no --nonsense"),
    (["127.0.0.1:1", "connect", "--seed"], "a value is missing behind --seed"),
    (["--connections", "0", "127.0.0.1:1", "connect"], "--connections cannot be '0'"),
    (["--connections=1x", "127.0.0.1:1", "connect"], "--connections cannot be '1x'"),
    (["--source", "127.0.0.300", "127.0.0.1:1", "connect"], "--source cannot be"),
    (["--source", "127.0.0.5..4", "127.0.0.1:1", "connect"], "--source cannot be"),
    (["--seconds", "0", "127.0.0.1:1", "connect"], "--seconds cannot be '0'"),
    (["--seconds", "1.", "127.0.0.1:1", "connect"], "--seconds cannot be '1.'"),
    (["--length", "3", "127.0.0.1:1", "connect"], "--length cannot be '3'"),
    (["--replies", "no", "127.0.0.1:1", "connect"], "--replies cannot be 'no'"),
    (["localhost:1", "connect"], "cannot be 'localhost:1'"),
    (["127.0.0.1", "connect"], "cannot be '127.0.0.1'"),
    (["@/nowhere", "connect"], "cannot be '@/nowhere'"),
    (["127.0.0.1:1", "@/nowhere"], "cannot read /nowhere"),
])
def test_what_is_wrong_is_said(arguments, said):
    status, out, err = called(*arguments)
    assert (status, out) == (2, "")
    assert said in err


def test_help_names_every_verb():
    status, out, _ = called("--help")
    assert status == 0
    for verb in ("connect", "send", "frame", "frames", "part", "ping", "read", "replies", "pause",
                 "shut", "close", "reset", "vanish", "expect-eof", "expect-reset", "expect-end",
                 "repeat", "bytes", "noread", "doread", "rcvbuf", "sndbuf"):
        assert re.search(rf"(^|[ ;,]) *{verb}[ :]", out), verb
