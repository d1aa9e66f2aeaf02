"""vex relay passes bytes as they are, and each fault that it is told to make is seen, and counted."""

import random
import socket
import struct
import threading
import time

import pytest

from conftest import is_quiet, needs_repair, peer, read_all, read_exactly

DATA = random.Random(1).randbytes(100_000)


@pytest.fixture
def between(listener, relay):
    """A relay, and the two ends of a first connection through it."""

    def start(*options):
        program = relay(listener.address, *options)
        return program, *connect(program, listener)

    return start


def connect(program, listener):
    client = socket.create_connection(program.address, peer.PATIENCE)
    listener.taken.append(client)  # closed with the others
    return client, listener.take()


def pass_on(source, sink, data=DATA, end=True):
    """Sends from one, and what the other got; with end, all up to the end of the stream."""

    def send():
        source.sendall(data)
        if end:
            source.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    got = read_all(sink) if end else read_exactly(sink, len(data))
    sender.join()
    return got


@pytest.mark.parametrize("options", [
    [], ["--split", "1..7"], ["--join", "20"], ["--stall", "20"], ["--late-fin", "20"],
    ["--split", "3..4000", "--join", "2", "--stall", "5", "--late-fin", "9", "--seed", "5"],
])
def test_bytes_pass_unchanged_both_ways(between, options):
    program, client, server = between(*options)
    assert pass_on(client, server) == DATA
    assert pass_on(server, client, DATA[::-1]) == DATA[::-1]
    done = program.stop()
    assert (done["connections"], done["open"], done["refused"]) == (1, 0, 0)
    assert (done["bytes_up"], done["bytes_down"]) == (len(DATA), len(DATA))
    for fault in ("flips", "vanished", "resets", "resets_passed"):
        assert done[fault] == 0
    assert done["joins"] > 0 or "--join" not in options


def test_many_connections_at_once(listener, relay):
    program = relay(listener.address, "--split", "1..500")
    pairs = [connect(program, listener) for _ in range(50)]
    for number, (client, server) in enumerate(pairs):
        client.sendall(b"%d" % number * 1000)
        client.shutdown(socket.SHUT_WR)
    for number, (client, server) in enumerate(pairs):
        got = read_all(server)
        assert got == b"%d" % (int(got[:2]) if number > 9 else number) * 1000
        server.sendall(got)
        server.close()
    for number, (client, _) in enumerate(pairs):
        assert read_all(client) == b"%d" % number * 1000
    assert program.stop()["connections"] == 50


def test_bytes_go_one_by_one(between):
    program, client, server = between("--split", "1")
    assert pass_on(client, server, DATA[:5000]) == DATA[:5000]
    client.close()
    assert program.stop()["pieces"] == 5000


def test_what_is_joined_comes_late_and_together(between):
    program, client, server = between("--join", "150")
    begin = time.monotonic()
    for byte in b"separate":
        client.sendall(bytes([byte]))
    assert server.recv(100) == b"separate"
    assert time.monotonic() - begin >= 0.15
    done = program.stop()
    assert (done["joins"], done["pieces"]) == (1, 1)


def test_some_arrivals_are_stalled(between):
    program, client, server = between("--stall", "40")
    gaps = []
    for _ in range(100):
        begin = time.monotonic()
        client.sendall(b"x")
        server.recv(1)
        gaps.append(time.monotonic() - begin)
    done = program.stop()
    assert 3 <= done["stalls"] <= 40
    assert sum(gap > 0.001 for gap in gaps) >= done["stalls"] - 2
    assert max(gaps) > 0.01


def test_an_end_comes_late(between):
    program, client, server = between("--late-fin", "200")
    client.sendall(b"all")
    client.shutdown(socket.SHUT_WR)
    assert read_exactly(server, 3) == b"all"
    begin = time.monotonic()
    assert is_quiet(server, 0.1)
    assert server.recv(1) == b""
    assert 0.1 <= time.monotonic() - begin < 2
    assert program.stop()["fins_late"] == 1


def flipped(between, seed):
    program, client, server = between("--flip", "0.001", "--seed", seed)
    got = pass_on(client, server)
    changed = [(at, a ^ b) for at, (a, b) in enumerate(zip(DATA, got)) if a != b]
    assert len(got) == len(DATA)
    assert program.stop()["flips"] == len(changed)
    return changed


def test_flips_are_the_seeds(between):
    first = flipped(between, 1)
    assert 50 <= len(first) <= 200
    assert all(bits in (1, 2, 4, 8, 16, 32, 64, 128) for _, bits in first)
    assert flipped(between, 1) == first
    assert flipped(between, 2) != first


def test_a_connection_is_reset_at_the_same_place(between):
    places = []
    for seed in (3, 3, 4):
        program, client, server = between("--reset", "1", "--seed", seed)
        got = bytearray()
        sender = threading.Thread(target=send_all, args=[client])
        sender.start()
        with pytest.raises(ConnectionResetError):
            while piece := server.recv(65536):
                got += piece
        sender.join()
        assert got == DATA[: len(got)]
        places.append(len(got))
        done = program.stop()
        assert (done["resets"], done["resets_passed"], done["bytes_up"]) == (1, 0, len(got))
    assert places[0] == places[1] < 65536
    assert places[0] != places[2]


def send_all(sock):
    try:
        sock.sendall(DATA)
    except OSError:
        pass


@needs_repair
def test_a_connection_vanishes_for_both(between):
    program, client, server = between("--vanish", "1", "--seed", "2")
    client.sendall(DATA[:65536])
    got = bytearray()
    while not is_quiet(server):
        assert (piece := server.recv(65536)), "it ended"
        got += piece
    assert got == DATA[: len(got)]
    done = program.stop()
    assert (done["vanished"], done["bytes_up"], done["resets"]) == (1, len(got), 0)
    assert is_quiet(server)


@pytest.mark.parametrize("which", ["client", "server"])
def test_a_reset_is_passed_on(between, which):
    program, client, server = between()
    assert pass_on(client, server, b"before", end=False) == b"before"
    first, other = (client, server) if which == "client" else (server, client)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    with pytest.raises(ConnectionResetError):
        other.recv(1)
    assert program.stop()["resets_passed"] == 1


def test_a_share_of_the_connections(listener, relay):
    program = relay(listener.address, "--reset", "0.3")
    for _ in range(100):
        client, server = connect(program, listener)
        send_all(client)
        client.close()
        try:
            read_all(server)
        except ConnectionResetError:
            pass
        server.close()
    assert 15 <= program.stop()["resets"] <= 45


def test_a_server_that_is_not_there(listener, relay):
    program = relay(listener.address)
    listener.sock.close()
    with pytest.raises(ConnectionResetError):  # where it is noticed depends on who is faster
        with socket.create_connection(program.address, peer.PATIENCE) as client:
            client.recv(1)
    assert program.stop()["refused"] == 1


def test_it_ends_by_itself(listener, relay):
    program = relay(listener.address, "--seconds", "1")
    client, server = connect(program, listener)
    assert server.recv(1) == b""
    assert client.recv(1) == b""
    assert program.ended(0, peer.PATIENCE)["open"] == 1


def test_what_is_wrong_is_said(listener, relay):
    for options in (["--split", "0"], ["--flip", "1.5"], ["--flip", "x"], ["--reset", "2"],
                    ["--split", "5..4"]):
        with pytest.raises(AssertionError, match="cannot be"):
            relay(listener.address, *options)
