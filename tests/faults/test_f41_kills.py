"""F41: a server that is killed under load and started again at once. Its clients can tell what is
unknown: no more of a connection than was on its way, and nothing twice."""

import random
import signal
import subprocess

from conftest import BIN, in_child, scale

from ledgers import check, wait_until
from peer import PATIENCE

SEED_NUMBER = 41
KILLS = scale(5, 100)
PIPELINE = 16
RECORDS = 64

# What a killed server's clients see, by how far their bytes had come.
ENDS = ["--unknown", "the peer reset", "--unknown", "the peer ended", "--unknown",
        "the system reported"]


class Server:
    """A server at that port, or at any. A killed one may still have it: the kernel takes a ring
    apart on a thread of its own, and its sockets live until then."""

    def __init__(self, port, backend, ledger):
        self.command = [BIN / "berthd", "--backend", backend, "--workers", "2", "--listen",
                        f"127.0.0.1:{port}", "--ledger", ledger]
        self.process, self.tries = None, 0
        wait_until(self.listens, f"a server at port {port}")

    def listens(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        preexec_fn=in_child({}))
        self.tries += 1
        said = ""
        for line in self.process.stdout:
            said += line
            if line.startswith("listening on "):
                self.port = int(line.rpartition(":")[2])
                return True
        self.process.wait()
        assert "in use" in said, said
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_f41_kills(backend, tmp_path, result):
    dice = random.Random(SEED_NUMBER)
    servers = [tmp_path / f"server-{i}" for i in range(KILLS + 1)]
    client_file = tmp_path / "client"
    tries = 1
    server = Server(0, backend, servers[0])
    client = subprocess.Popen(
        [BIN / "berthload", "--connect", f"127.0.0.1:{server.port}", "--backend", backend,
         "--ledger", client_file, "--connections", "1000000", "--at-once", "8", "--messages", "300",
         "--pipeline", str(PIPELINE), "--retry", "always", "--quiet"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=in_child({}))
    try:
        for ledger, following in zip(servers, servers[1:]):
            least = ledger.stat().st_size + RECORDS * dice.randrange(1, 300)
            wait_until(lambda: ledger.stat().st_size >= least, f"{least} bytes in {ledger}")
            server.kill()
            server = Server(server.port, backend, following)
            tries = max(tries, server.tries)
        least = servers[-1].stat().st_size + RECORDS
        wait_until(lambda: servers[-1].stat().st_size >= least, "a connection to the last one")
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=PATIENCE)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
    finally:
        server.kill()
        client.kill()
        client.wait()
    print(f"a killed server's port was free at the latest after {tries - 1} attempts")
    status, account = check(client_file, *servers, options=["--killed", *ENDS])
    assert status == 0 and account["closes"], err
    sums = account["sums"]
    assert sums["answered"] > 0 and sums["unknown"] > 0
    result("F41", f"{KILLS} kills: {sums['sent']:,} messages sent, {sums['unknown']:,} unknown, on no "
                  f"connection more than the {PIPELINE} on their way; 0 duplicated")
