"""Each verb of vex does on the wire what it says."""

import socket
import struct
import time

import pytest

from conftest import is_quiet, needs_repair, peer, read_all, read_exactly
from vex import run_vex

TCP_ESTABLISHED = 1


def state_of(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


# ----------------------------------------------------------------------------------------- sending


def sent(listener, misbehave, script, *options):
    """All that a script sends."""
    program = misbehave(listener.address, script, *options)
    data = read_all(listener.take())
    return data, program.result()


def test_send_sends_these_bytes(listener, misbehave):
    script = 'connect; send 0500000068656c6c6f; send "a\\x00b\\r\\n" ff'
    data, done = sent(listener, misbehave, script)
    assert data == b"\x05\0\0\0hello" + b"a\0b\r\n\xff"
    assert done["bytes_out"] == len(data)
    assert done["frames_out"] == 1  # the rest is none, whole


@pytest.mark.parametrize("length, framing", [
    ("4", peer.SEED), ("4be", peer.Length(4, "big")), ("1", peer.Length(1)),
    ("2be", peer.Length(2, "big")), ("2le", peer.Length(2)), ("8be", peer.Length(8, "big")),
])
def test_frames_are_frames(listener, misbehave, length, framing):
    program = misbehave(listener.address, "connect; frame 100; frames 50 25; frame 0",
                        "--length", length)
    stream = peer.Stream(listener.take())
    messages = [framing.decode(stream) for _ in range(52)]
    assert list(map(len, messages)) == [100] + [25] * 50 + [0]
    assert len(set(messages)) == 52  # none is like another
    with pytest.raises(peer.EndOfStream):
        framing.decode(stream)
    assert program.result()["frames_out"] == 52


@pytest.mark.parametrize("part, wanted", [
    ("part 2147483647 14", b"\xff\xff\xff\x7f"), ("part 258 6", b"\x02\x01\0\0"),
    ("part 9 3", b"\x09\0\0"), ("part 9 0", b""), ("part 3 9", b"\x03\0\0\0"),
])
def test_a_part_declares_what_it_does_not_keep(listener, misbehave, part, wanted):
    data, done = sent(listener, misbehave, f"connect; {part}")
    assert len(data) == int(part.split()[-1])
    assert data.startswith(wanted)
    assert done["frames_out"] == (1 if part == "part 3 9" else 0)


def test_bytes_come_in_pieces_and_in_time(listener, misbehave):
    program = misbehave(listener.address, "connect; bytes 3 each 50ms; frame 10; bytes all; frame 9")
    sock = listener.take()
    pieces, times = [], []
    while sum(map(len, pieces)) < 14 + 13:
        pieces.append(sock.recv(100))
        times.append(time.monotonic())
    assert list(map(len, pieces[:4])) == [3, 3, 3, 3]
    assert sum(map(len, pieces[4:])) == 2 + 13  # without a limit from there on
    assert times[3] - times[0] > 3 * 0.045
    assert program.result()["bytes_out"] == 27


def test_numbers_of_a_range_are_the_seeds(listener, misbehave):
    script = "connect; frames 5..9 0..60; repeat 2..8 { frame 1..30; pause 0ms..1ms }"
    runs = [sent(listener, misbehave, script, "--seed", seed)[0] for seed in (1, 1, 2, 3)]
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3


def test_connections_differ(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 50", "--connections", 9)
    socks = [listener.take() for _ in range(9)]
    assert len({read_all(sock) for sock in socks}) == 9
    program.result()


# ----------------------------------------------------------------------------------------- reading


def test_read_waits_for_so_many_bytes(listener, misbehave):
    program = misbehave(listener.address, "connect; read 29; frame 0", "--replies", "bytes")
    sock = listener.take()
    sock.sendall(bytes(28))
    assert is_quiet(sock)
    sock.sendall(b"x")
    assert read_exactly(sock, 4) == bytes(4)
    assert program.result()["bytes_in"] == 29


def push(sock):
    """Sends until nobody takes more; how much that was."""
    sock.setblocking(False)
    count = 0
    try:
        while True:
            count += sock.send(bytes(65536))
    except BlockingIOError:
        return count


@pytest.mark.parametrize("verbs, most", [
    ("rcvbuf 4096; connect; noread", 64 << 10), ("connect; noread; rcvbuf 65536", 512 << 10),
])
def test_noread_fills_the_buffers(listener, misbehave, verbs, most):
    program = misbehave(listener.address, f"{verbs}; frame 0; pause 10s", "--replies", "bytes")
    sock = listener.take()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    read_exactly(sock, 4)
    assert push(sock) < most
    program.kill()


def test_sndbuf_limits_what_waits(listener, misbehave):
    """Nobody reads here, so what it could send is what both systems keep."""
    out = []
    for verbs in ("", "sndbuf 4096; "):
        program = misbehave(listener.address, f"{verbs}connect; frames 100000 1000",
                            "--timeout", 300)
        listener.take()
        out.append(program.result(1)["bytes_out"])
    assert out[1] < out[0] / 4


def test_noread_reads_what_is_asked_for_and_doread_all(listener, misbehave):
    script = "connect; noread; read 10; frame 0; doread; read 5; frame 0; shut; expect-eof"
    program = misbehave(listener.address, script, "--replies", "bytes")
    sock = listener.take()
    sock.sendall(bytes(15))
    assert read_exactly(sock, 8) == bytes(8)
    sock.sendall(bytes(1 << 20))  # more than fits the buffers: somebody reads
    sock.close()
    assert program.result()["bytes_in"] == 15 + (1 << 20)


def test_pause_reads(listener, misbehave):
    program = misbehave(listener.address, "connect; pause 300ms; frame 0", "--replies", "bytes")
    sock = listener.take()
    begin = time.monotonic()
    sock.sendall(bytes(8 << 20))
    assert read_all(sock) == bytes(4)
    assert time.monotonic() - begin > 0.25
    assert program.result()["bytes_in"] == 8 << 20


# ----------------------------------------------------------------------------------------- endings


def test_shut_ends_one_side(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 1; shut; read 3; expect-eof",
                        "--replies", "bytes")
    sock = listener.take()
    assert len(read_all(sock)) == 5
    sock.sendall(b"abc")
    sock.close()
    done = program.result()
    assert (done["bytes_in"], done["ended_eof"]) == (3, 1)


def test_close_is_an_end(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 1; close; pause 10s")
    assert len(read_all(listener.take())) == 5
    program.kill()


def test_reset_is_a_reset(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 1; read 1; reset", "--replies", "bytes")
    sock = listener.take()
    assert len(read_exactly(sock, 5)) == 5
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert program.result()["ended_itself"] == 1


@needs_repair
def test_vanish_is_nothing(listener, misbehave):
    program = misbehave(listener.address, "connect; frame 1; vanish")
    sock = listener.take()
    assert len(read_exactly(sock, 5)) == 5
    program.result()
    assert is_quiet(sock)
    assert state_of(sock) == TCP_ESTABLISHED
    sock.sendall(b"x")  # its system knows nothing of that connection
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_the_scripts_end_closes(listener, misbehave):
    data, done = sent(listener, misbehave, "connect")
    assert data == b""
    assert (done["made"], done["ended_itself"], done["done"]) == (1, 1, 1)


def test_repeat_connects_again(listener, misbehave):
    program = misbehave(listener.address, "repeat 3 { connect; repeat 2 { frame 1 } close }")
    for _ in range(3):
        assert len(read_all(listener.take())) == 10
    assert program.result()["made"] == 3


# ----------------------------------------------------------------------------- what the server does


def end(sock, how):
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how != "stay":
        sock.close()


@pytest.mark.parametrize("how", ["eof", "reset", "stay"])
@pytest.mark.parametrize("expected", ["eof", "reset", "end"])
@pytest.mark.parametrize("mode", ["doread", "noread"])
def test_expectations(listener, misbehave, how, expected, mode):
    script = f"connect; {mode}; pause 0ms; expect-{expected} 400ms; pause 1ms; close"
    program = misbehave(listener.address, script)
    sock = listener.take()
    end(sock, how)
    met = how == expected or (how != "stay" and expected == "end")
    done = program.result(0 if met else 1)
    assert done["unmet"] == (0 if met else 1)
    assert done["cut"] == 0
    assert done["ended_timeout" if how == "stay" else f"ended_{how}"] == 1
    assert (done["failure"] is None) == met
    assert met or f"'expect-{expected}' at" in done["failure"]
    assert done["lives_us"]["count"] == (0 if how == "stay" else 1)


@pytest.mark.parametrize("waiting", [
    "pause 4s", "read 5", "replies 1", "ping 4", "bytes 1 each 500ms; frame 9",
    "frames 100000000 1000",
])
@pytest.mark.parametrize("how", ["eof", "reset"])
def test_an_end_that_nothing_expects_is_a_cut(listener, misbehave, waiting, how):
    program = misbehave(listener.address, f"connect; {waiting}; close; connect; close")
    sock = listener.take()
    if how == "eof":
        sock.shutdown(socket.SHUT_WR)
    else:
        end(sock, how)
    done = program.result(1)
    assert (done["cut"], done["failed"], done["made"]) == (1, 1, 2)  # and the script goes on
    assert done[f"ended_{how}"] == 1
    assert waiting.split("; ")[-1].split()[0] in done["failure"]


def test_an_end_is_looked_for_further_on(listener, misbehave):
    script = "connect; repeat 5 { bytes 1 each 500ms; frame 100 } shut; expect-eof"
    program = misbehave(listener.address, script)
    listener.take().shutdown(socket.SHUT_WR)
    done = program.result()
    assert (done["done"], done["ended_eof"], done["cut"]) == (1, 1, 0)


def test_what_came_before_a_reset_is_counted(echo):
    """It sends on while the server answers one frame, and resets."""
    server = echo(lambda index, message: message if index == 0 else None)
    done = run_vex(server.address, "connect; frames 1000000 10; expect-end")
    assert (done["frames_in"], done["wrong"]) == (1, 0)


# ----------------------------------------------------------------------------------------- replies


def test_pings_are_measured(echo):
    done = run_vex(echo().address, "connect; repeat 20 { ping 0..500 }", "--connections", 5)
    times = done["pings_us"]
    assert times["count"] == 100
    assert 0 < times["least"] <= times["p50"] <= times["p99"] <= times["most"] < 5e6
    assert (done["frames_out"], done["frames_in"], done["wrong"]) == (100, 100, 0)


def test_a_ping_takes_as_long_as_its_answer(listener, misbehave):
    program = misbehave(listener.address, "connect; ping 3", "--replies", "bare")
    sock = listener.take()
    message = peer.SEED.decode(peer.Stream(sock))
    assert is_quiet(sock)
    sock.sendall(peer.SEED.encode(message))
    times = program.result()["pings_us"]
    assert peer.QUIET * 0.9e6 < times["least"]


def test_replies_are_waited_for(listener, misbehave):
    script = "connect; frames 5 1; replies 2; frame 2; replies; shut; expect-eof"
    program = misbehave(listener.address, script, "--replies", "frames")
    sock = listener.take()
    read_exactly(sock, 25)
    sock.sendall(peer.SEED.encode(b"any"))
    assert is_quiet(sock)
    sock.sendall(peer.SEED.encode(b""))
    read_exactly(sock, 6)
    sock.sendall(peer.SEED.encode(b"") * 3)
    assert is_quiet(sock)
    sock.sendall(peer.SEED.encode(b"last"))
    assert sock.recv(1) == b""
    sock.close()
    assert program.result()["frames_in"] == 6


WRONG = {
    "a byte": lambda _, message: bytes([message[0] ^ 1]) + message[1:],
    "the last byte": lambda _, message: message[:-1] + bytes([message[-1] ^ 128]),
    "too long": lambda _, message: message + b"x",
    "too short": lambda _, message: message[:-1],
    "another's": lambda index, message: message if index else b"y" * len(message),
}


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("what", WRONG)
def test_wrong_replies_are_found(echo, what, numbered):
    server = echo(WRONG[what], numbered)
    done = run_vex(server.address, "connect; frames 3 20; replies", "--replies",
                   "id" if numbered else "bare", status=1)
    assert done["wrong"] == 1
    assert (done["failed"], done["done"]) == (1, 0)
    assert "no echo" in done["failure"]


@pytest.mark.parametrize("replies", ["frames", "bytes"])
def test_what_is_not_to_be_compared_is_not(echo, replies):
    server = echo(WRONG["a byte"])
    done = run_vex(server.address, "connect; frames 3 20; read 84", "--replies", replies)
    assert done["wrong"] == 0
    assert done["frames_in"] == (3 if replies == "frames" else 0)


def test_an_id_that_does_not_rise_is_wrong(listener, misbehave):
    program = misbehave(listener.address, "connect; frames 2 0; replies")
    sock = listener.take()
    read_exactly(sock, 8)
    sock.sendall(peer.SEED.encode(struct.pack("<I", 7)) * 2)
    assert program.result(1)["wrong"] == 1


def test_an_answer_without_a_question_is_wrong(listener, misbehave):
    program = misbehave(listener.address, "connect; pause 100ms; frame 0; shut; expect-eof")
    sock = listener.take()
    sock.sendall(peer.SEED.encode(struct.pack("<I", 7)))
    read_all(sock)
    sock.close()
    assert program.result(1)["wrong"] == 1
