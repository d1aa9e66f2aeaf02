"""Networks that a test may break: namespaces of its own, which vanish with it.

    with Network() as network:               two machines, SERVER and CLIENT, and a cable
        server = berthd(..., network=network)
        network.cable(False)                 pulled: nothing arrives any more, and nobody is told

    with network.at_client(): ...            sockets made and programs started inside are there

What needs the right to make namespaces is skipped without it.
"""

import ctypes
import errno
import os
import subprocess
import threading
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
MINE = "/proc/thread-self/ns/net"

# Where a classic BPF program finds a random number: SKF_AD_OFF + SKF_AD_RANDOM. The program of lose()
# loads it, takes it modulo 100, and drops (2) what is below the percentage, else passes it (0).
BPF_RANDOM = 0xFFFFF000 + 56

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"  # addresses that are for examples (RFC 5737)


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def new_namespace():
    """A descriptor that keeps it alive. Made by a thread that ends, so that nobody stays in it."""
    made = []

    def make():
        try:
            call("unshare", CLONE_NEWNET)
            made.append(os.open(MINE, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        assert made[0].errno in (errno.EPERM, errno.ENOSYS), made[0]
        pytest.skip(f"this user may not make network namespaces: {made[0].strerror}")
    return made[0]


@contextmanager
def inside(namespace):
    """This thread is in the namespace, and so are programs that it starts."""
    before = os.open(MINE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("setns", namespace, CLONE_NEWNET)
        yield
    finally:
        call("setns", before, CLONE_NEWNET)
        os.close(before)


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


class Network:
    def __init__(self):
        self.server, self.client = new_namespace(), new_namespace()

    def __enter__(self):
        with self.at_server():
            command("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
                    f"/proc/{os.getpid()}/fd/{self.client}")
            self._up(SERVER)
        with self.at_client():
            self._up(CLIENT)
        return self

    @staticmethod
    def _up(address):
        command("ip", "link", "set", "lo", "up")
        command("ip", "address", "add", f"{address}/24", "dev", "cable")
        command("ip", "link", "set", "cable", "up")

    def __exit__(self, *_):
        os.close(self.server)
        os.close(self.client)

    def at_server(self):
        return inside(self.server)

    def at_client(self):
        return inside(self.client)

    def set(self, name, value):
        """A setting of the server's system, by its place under /proc/sys."""
        with self.at_server(), open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(f"{value}\n")

    def lose(self, percent):
        """So many of the packets to the server get lost, at random."""
        drop = f"5,32 0 0 {BPF_RANDOM},148 0 0 100,53 1 0 {percent},6 0 0 2,6 0 0 0"
        with self.at_server():
            command("tc", "qdisc", "replace", "dev", "cable", "clsact")
            command("tc", "filter", "replace", "dev", "cable", "ingress", "pref", "1", "handle", "1",
                    "protocol", "ip", "bpf", "da", "bytecode", drop)

    def narrow(self, bits):
        """So many bits a second, each way."""
        for at in (self.at_server, self.at_client):
            with at():
                command("tc", "qdisc", "replace", "dev", "cable", "root", "tbf", "rate", bits,
                        "burst", "4kb", "latency", "400ms")

    def cable(self, plugged):
        """What is sent while it is not goes nowhere, and nobody is told."""
        with self.at_client():
            command("ip", "link", "set", "cable", "up" if plugged else "down")


def counters(network):
    """What the server's system counts, TcpExt and the rest, by name."""
    with network.at_server(), open("/proc/thread-self/net/netstat", encoding="ascii") as file:
        lines = file.read().splitlines()
    found = {}
    for names, numbers in zip(lines[::2], lines[1::2]):
        found.update(zip(names.split()[1:], map(int, numbers.split()[1:])))
    return found


class Alone(Network):
    """One machine, with its own loopback, settings and counters."""

    def __init__(self):
        self.server = self.client = new_namespace()

    def __enter__(self):
        with self.at_server():
            command("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        os.close(self.server)
