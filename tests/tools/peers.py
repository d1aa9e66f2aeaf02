"""The peers that Berth is measured against, as far as they are built: each gives right answers to
peer_load and to a stream that ends anywhere, is not moved by a client that does not read, and dies
of a SIGTERM as bench/run expects it. And their sources are short.

    peers.py SOURCE BIN
"""

import os
import select
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
SOURCE, BIN = (Path(word).resolve() for word in sys.argv[1:3])
sys.path.insert(0, str(SOURCE / "bench"))
import measure  # noqa: E402

LINES = 200  # every source is shorter, but for the load generator's
CELLS = ((50, 25, 16), (50, 65536, 4), (4, 1 << 20, 1), (300, 25, 4))  # connections, size, pipeline
MESSAGE_MAX = 1 << 20
FIRST_ID = 10001
SECONDS = 20  # for what takes less than one

STALLED = 0.2  # nothing more is taken for so long
BUFFERS = 128 << 20  # more than the kernel holds for both ends of a connection


@contextmanager
def serving(program):
    """The port of a fresh server, which must end by SIGTERM and by nothing before."""
    server = measure.Server([program], min(os.sched_getaffinity(0)))
    try:
        yield server.port
        server.stop(ends_itself=False)
    finally:
        server.process.kill()
        server.process.communicate()


def connect(port):
    """With small buffers of its own, so that the server's sends are short when it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.settimeout(SECONDS)
    client.connect(("127.0.0.1", port))
    return client


def message(number, size):
    return (struct.pack("<I", number) * (size // 4 + 1))[:size]


def request(number, size):
    return struct.pack("<I", size) + message(number, size)


def check_replies(got, sizes):
    """The replies of a connection that had the server for itself."""
    at = 0
    for number, size in enumerate(sizes):
        wanted = struct.pack("<II", size + 4, FIRST_ID + number) + message(number, size)
        assert got[at : at + len(wanted)] == wanted, f"reply {number} of {size} bytes is wrong"
        at += len(wanted)
    assert at == len(got), f"{len(got) - at} bytes too many"


def read_to_end(client):
    got = bytearray()
    while piece := client.recv(1 << 20):
        got += piece
    return got


def play_load(program, cell):
    """It asks for a reply to each of its messages, and checks them and their ids."""
    with serving(program) as port:
        connections, size, pipeline = cell
        command = [
            BIN / "peer_load", "--port", port, "--connections", connections, "--size", size,
            "--pipeline", pipeline, "--warmup", 0.02, "--seconds", 0.1,
        ]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=SECONDS)
        assert done.returncode == 0, f"{cell}: {done.stdout}{done.stderr}"


def play_pieces(program):
    """Frames that come byte by byte; one that is cut off by the client's end has no answer."""
    sizes = [25, 0, 1, 4, 300]
    stream = b"".join(request(number, size) for number, size in enumerate(sizes))
    with serving(program) as port, connect(port) as client:
        for byte in stream + request(9, 25)[:-1]:
            client.send(bytes((byte,)))
        client.shutdown(socket.SHUT_WR)
        check_replies(read_to_end(client), sizes)


def play_slow_reader(program):
    """A client sends until nothing is taken any more, ends its side, and reads only then."""
    sizes, left, sent = [], memoryview(b""), 0
    with serving(program) as port, connect(port) as client:
        client.setblocking(False)
        while select.select((), (client,), (), STALLED)[1]:
            if not left:
                sizes.append((25, 70_000, 0, 1_000_000, 4_000)[len(sizes) % 5])
                left = memoryview(request(len(sizes) - 1, sizes[-1]))
            taken = client.send(left)
            left, sent = left[taken:], sent + taken
            assert sent < BUFFERS, "it reads on though its replies are not read"
        got = bytearray()
        while left:
            readable, writable, _ = select.select((client,), (client,), (), SECONDS)
            assert readable or writable, "it stands still"
            if readable:
                piece = client.recv(1 << 20)
                assert piece, "it ended too early"
                got += piece
            if writable:
                left = left[client.send(left) :]
        client.settimeout(SECONDS)
        client.shutdown(socket.SHUT_WR)
        got += read_to_end(client)
    check_replies(got, sizes)


def play_refused(program):
    """A length that is too large ends the connection, and no other one."""
    with serving(program) as port, connect(port) as client, connect(port) as other:
        client.sendall(struct.pack("<I", MESSAGE_MAX + 1))
        try:
            assert read_to_end(client) == b"", "it answers what is too large"
        except ConnectionResetError:
            pass
        other.sendall(request(0, 25))
        other.shutdown(socket.SHUT_WR)
        check_replies(read_to_end(other), [25])


def check_lines():
    for path in sorted((SOURCE / "bench/peers").iterdir()):
        if path.suffix in (".c", ".h", ".cpp", ".go", ".js") and path.name != "load.c":
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines < LINES, f"bench/peers/{path.name} has {lines} lines"


def main():
    check_lines()
    programs = sorted(path for path in BIN.glob("peer_*") if path.name != "peer_load")
    assert BIN / "peer_epoll" in programs, "peer_epoll is not built"
    for program in programs:
        try:
            for cell in CELLS:
                play_load(program, cell)
            play_pieces(program)
            play_slow_reader(program)
            play_refused(program)
        except (AssertionError, OSError, subprocess.TimeoutExpired, measure.Invalid) as what:
            sys.exit(f"{program.name}: {what}")
    print("right: " + ", ".join(program.name for program in programs))


main()
