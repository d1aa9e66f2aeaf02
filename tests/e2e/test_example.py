"""The server of the README, examples/echo.c: it is compiled, runs, and answers."""

import os
import re
import socket
import subprocess
from pathlib import Path

from peer import PATIENCE, SEED, Stream

MESSAGES = [b"hello", b"", bytes(range(256))]


def test_the_shortest_server_answers():
    program = Path(os.environ["BERTH_BIN"]) / "example_echo"
    with subprocess.Popen([program, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            port = int(re.match(r"listening on 127\.0\.0\.1:(\d+)", line)[1])
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"".join(map(SEED.encode, MESSAGES)))
                stream = Stream(client)
                assert [SEED.decode(stream) for _ in MESSAGES] == MESSAGES
        finally:
            server.kill()
