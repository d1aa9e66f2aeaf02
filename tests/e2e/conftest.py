"""Starts the real programs, on each backend, and ends them properly.

BERTH_BIN is the folder of the programs, BERTH_BACKENDS the backends to run on (epoll,uring),
BERTH_FULL=1 runs the long tests too, BERTH_SANITIZE is set if the programs have sanitizers.
"""

import ctypes
import errno
import os
import platform
import re
import resource
import signal
import subprocess
import threading
from collections import namedtuple
from pathlib import Path

import pytest

import peer

BIN = Path(os.environ.get("BERTH_BIN", Path(__file__).parents[2] / "build" / "bin"))
BACKENDS = os.environ.get("BERTH_BACKENDS", "epoll,uring").split(",")
SANITIZED = bool(os.environ.get("BERTH_SANITIZE"))
THREAD_SANITIZED = os.environ.get("BERTH_SANITIZE") == "thread"
SHADOW = 8 if THREAD_SANITIZED else 1  # what ThreadSanitizer keeps about a byte of memory, at most
MEMORY_SANITIZED = os.environ.get("BERTH_SANITIZE") == "memory"
NOTHING_RAN = 77  # what CTest lists as skipped

PR_SET_PDEATHSIG = 1
SYS_IO_URING_SETUP = 425
LIBC = ctypes.CDLL(None, use_errno=True)

Summary = namedtuple("Summary", "connections most messages bytes_in bytes_out")


def has_uring():
    """Whether this kernel has io_uring and lets us use it; asked with arguments that make no
    sense, so that nothing is made."""
    if platform.machine() not in ("x86_64", "aarch64"):
        return True
    LIBC.syscall(SYS_IO_URING_SETUP, 0, None)
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", BACKENDS)


def pytest_configure(config):
    config.addinivalue_line("markers", "full: long; runs with BERTH_FULL=1 only")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("full") and os.environ.get("BERTH_FULL") != "1":
            item.add_marker(pytest.mark.skip(reason="long: BERTH_FULL=1 runs it"))
        if "uring" in item.name and not has_uring():
            item.add_marker(pytest.mark.skip(reason="no io_uring on this machine"))


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    if stats.get("skipped") and not any(stats.get(k) for k in ("passed", "failed", "error")):
        terminalreporter._session.exitstatus = NOTHING_RAN


def in_child(limits):
    """What a child does before it becomes a program: it must not outlive the test, whatever
    happens to the test."""

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return prepare


def skip_unseen(options):
    """Skips a test that MemorySanitizer cannot run (tests/memory/memory.cmake)."""
    if MEMORY_SANITIZED and "--config" in options:
        pytest.skip("inih, which reads configurations, is not built with MemorySanitizer")


def run(program, *options, seconds=peer.PATIENCE, limits=None):
    """Runs a program to its end: its exit status, stdout and stderr."""
    skip_unseen(options)
    done = subprocess.run(
        [BIN / program, *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=seconds, preexec_fn=in_child(limits or {}),
    )
    return done.returncode, done.stdout, done.stderr


class Berthd:
    """A running berthd. `prepare` makes what its process does before it becomes berthd."""

    def __init__(self, options, limits, stdin=subprocess.DEVNULL, prepare=in_child):
        options = [str(option) for option in options]
        skip_unseen(options)
        if "--listen" not in options:
            options += ["--listen", "127.0.0.1:0"]
        self.clients = []
        self.lines = []
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            [BIN / "berthd", *options], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, preexec_fn=prepare(limits),
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.addresses = self._addresses(options.count("--listen"))

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def said(self):
        with self.news:
            return "\n".join(self.lines)

    def wait_for(self, pattern, count=1):
        """The first `count` lines that fit; berthd writes them when it does something."""

        def found():
            return [line for line in self.lines if re.search(pattern, line)]

        with self.news:
            enough = self.news.wait_for(lambda: len(found()) >= count, peer.PATIENCE)
            assert enough, f"no line like {pattern!r} in:\n" + "\n".join(self.lines)
            return found()[:count]

    def _addresses(self, count):
        """Where it listens, as it says: one line for each --listen."""
        lines = self.wait_for(r"listening on ", count)
        return [re.search(r"listening on (\S+):(\d+)", line).groups() for line in lines]

    def address(self, which=0, host=None):
        told, port = self.addresses[which]
        return host or told.strip("[]"), int(port)

    def connect(self, which=0, host=None, **options):
        client = peer.Client(self.address(which, host), **options)
        self.clients.append(client)
        return client

    def crowd(self, count, **options):
        return [self.connect(**options) for _ in range(count)]

    def enter(self, line):
        """Types a line at the console of a server that was started with console=True."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit status, once it has ended of itself."""
        status = self.process.wait(peer.PATIENCE)
        self.reader.join(peer.PATIENCE)
        return status

    def stop(self, number=signal.SIGTERM):
        """Lets the clients leave, stops it, and returns its summary."""
        for client in self.clients:
            client.close()
        self.send(number)
        assert self.wait() == 0, self.said()
        return self.summary()

    def summary(self):
        """The numbers that it ends with."""
        text = self.said().replace(",", "")
        numbers = [re.search(pattern, text) for pattern in SUMMARY_PATTERNS]
        assert all(numbers), f"no summary in:\n{text}"
        return Summary(*(int(match[1]) for match in numbers))

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        """Of all its threads that live, to the nanosecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def end(self):
        """After a test, whatever it left: the server must still be able to end properly."""
        try:
            if self.process.poll() is None:
                self.stop()
            else:
                self.wait()
                assert self.process.returncode == 0, self.said()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for client in self.clients:
                client.close()
            print(self.said())


SUMMARY_PATTERNS = (
    r"(\d+) connections served",
    r"(\d+) at once",
    r"(\d+) messages",
    r"(\d+) bytes received",
    r"(\d+) bytes sent",
)


@pytest.fixture
def berthd(backend):
    """Starts berthd with options: server = berthd("--max-connections", 30)."""
    started = []

    def start(*options, workers=1, limits=None, console=False, stdin=subprocess.DEVNULL):
        options = ["--backend", backend, "--workers", workers, *options]
        if console:
            options.append("--console")
            stdin = subprocess.PIPE
        started.append(Berthd(options, limits or {}, stdin))
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture
def server(berthd):
    """A berthd with its defaults, but for one worker."""
    return berthd()
