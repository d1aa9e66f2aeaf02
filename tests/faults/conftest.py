"""What the fault tests share: servers that must come through everything unharmed, and the rows that
docs/FAULTS.md is made from.

They are the e2e tests' servers and peers (tests/e2e/conftest.py, peer.py), and what holds there for
BERTH_BIN, BERTH_BACKENDS and BERTH_SANITIZE holds here. On top of that:

  scale(quick, full)   a count: the second with BERTH_FULL=1, the full form of the same test
  berthd(...)          a server that is held to the common oracle when its test has passed
  result(id, figure)   the fault was met, and this is the figure

A test of fault F07 is named test_f07_..., and says its figure with result("F07", ...). What comes of
it is a row in $BERTH_FAULTS_DIR/F07.<backend>.kernel.<test>.json, if that is set: also when it
fails.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

E2E = Path(__file__).parents[1] / "e2e"
sys.path.insert(0, str(E2E))


def load_e2e():
    """The e2e tests' conftest.py, under another name than this one's."""
    spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["e2e_conftest"] = module
    spec.loader.exec_module(module)
    return module


load_e2e()

import peer  # noqa: E402
from e2e_conftest import *  # noqa: E402, F401, F403  (pytest's hooks among it)
from e2e_conftest import BIN, SANITIZED, Berthd, in_child  # noqa: E402

FULL = os.environ.get("BERTH_FULL") == "1"
PINGS, BATCH = 1000, 250
LOOK = 0.01  # seconds between two looks at a server that is to come to rest


def scale(quick, full):
    return full if FULL else quick


# ------------------------------------------------------------------------------------- the servers


class Server(Berthd):
    """A berthd that is held to the oracle. Its console is open, for its counters."""

    def __init__(self, options, limits, framing=peer.SEED, prepare=in_child, network=None):
        self.framing, self.network = framing, network
        with network.at_server() if network else nullcontext():
            super().__init__([*options, "--console"], limits, subprocess.PIPE, prepare)
        self.killed = False
        self.wait_for("^commands: ")  # every worker serves
        self.held = self.descriptors()
        self.most = int(dict(zip(options, options[1:])).get("--max-connections", 3000))

    def connect(self, which=0, host=None, **options):
        with self.network.at_client() if self.network else nullcontext():
            return super().connect(which, host, **{"framing": self.framing, **options})

    def descriptors(self):
        """What it has open, by kind: those of a kind are alike, whatever their numbers."""
        folder = f"/proc/{self.process.pid}/fd"
        kinds = Counter()
        for name in os.listdir(folder):
            try:
                kinds[re.sub(r"\d+", "N", os.readlink(f"{folder}/{name}"))] += 1
            except FileNotFoundError:  # closed since
                pass
        return kinds

    def stats(self):
        """Its counters, by the words that it says them with."""
        with self.news:
            begin = len(self.lines)
        self.enter("stats")
        self.enter("c")  # its answer ends the others'
        ended = re.compile("clients connected now: ")
        with self.news:
            assert self.news.wait_for(lambda: any(map(ended.match, self.lines[begin:])),
                                      peer.PATIENCE), "the console does not answer"
            found = (re.fullmatch(r" *(\d+)  (.+)", line) for line in self.lines[begin:])
            return {match[2]: int(match[1]) for match in found if match}

    def wait_until(self, condition, what):
        """Looks until the condition on its counters holds; returns these."""
        until = time.monotonic() + peer.PATIENCE
        while not condition(stats := self.stats()):
            assert time.monotonic() < until, f"never came: {what}\n{stats}\n{self.said()[-2000:]}"
            time.sleep(LOOK)
        return stats

    def kill(self):
        """Ends it without a word, as the test wants it; the oracle then has nothing to say."""
        self.killed = True
        self.process.kill()
        self.process.wait()
        self.reader.join(peer.PATIENCE)

    def oracle(self):
        """The common oracle: nothing is left over, it serves as before, and ends in order. One
        that its test has ended must have ended in order."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self.process.poll() is not None:
            assert self.wait() == 0, self.said()
            self.summary()
            return
        self._comes_to_rest()
        self._answers_pings()
        stats = self._comes_to_rest()
        self.send(signal.SIGTERM)
        assert self.wait() == 0, self.said()
        self._sums_up(stats)

    def _comes_to_rest(self):
        stats = self.wait_until(lambda stats: stats["connections open"] == 0, "no open connections")
        until = time.monotonic() + peer.PATIENCE
        while (now := self.descriptors()) != self.held:
            assert time.monotonic() < until, f"descriptors at the start {self.held}, now {now}"
            time.sleep(LOOK)
        return stats

    def _answers_pings(self):
        with self.connect().sock as sock:
            client = self.clients.pop()
            ping = bytes(self.framing.size) if isinstance(self.framing, peer.Fixed) else b"ping"
            for _ in range(PINGS // BATCH):
                client.ask(*BATCH * [ping])
            sock.close()

    def _sums_up(self, stats):
        summary = self.summary()
        assert summary.connections == stats["connections accepted"]
        assert stats["connections ended"] == (stats["connections accepted"]
                                              + stats["outgoing connections made"])
        assert summary.most == stats["the most at once"] <= self.most
        assert summary.messages == stats["messages received whole"] >= PINGS
        assert summary.bytes_in == stats["bytes received"]
        assert summary.bytes_out == stats["bytes sent"]

    def end(self):
        """After a test that failed: no more is asked of it."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        print(self.said()[-4000:])


@contextmanager
def preloaded(name, **environment):
    """Programs that are started inside have preload/<name>.c in front of the C library."""
    before = dict(os.environ)
    os.environ.update(environment, LD_PRELOAD=str(BIN / "preload" / f"{name}.so"))
    if SANITIZED:  # its library need not be the first
        os.environ["ASAN_OPTIONS"] = "verify_asan_link_order=0"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def berthd(backend, request):
    """Starts berthd with options: server = berthd("--max-connections", 30). `framing` is its
    --frame as the peer knows it, `prepare` as in e2e's Berthd, `network` where it and its clients
    are (network.py)."""
    started = []

    def start(*options, workers=1, limits=None, **more):
        options = ["--backend", backend, "--workers", workers, *options]
        started.append(Server(options, limits or {}, **more))
        return started[-1]

    yield start
    try:
        for server in started:
            if request.node.stash[CALL_PASSED] and not server.killed:
                server.oracle()
    finally:
        for server in started:
            server.end()


@pytest.fixture
def server(berthd):
    """A berthd with its defaults, but for one worker."""
    return berthd()


# ---------------------------------------------------------------------------------------- the rows

CALL_PASSED = pytest.StashKey()
NOTES = pytest.StashKey()  # the figure of each fault that was met
REPORTS = pytest.StashKey()
WRITTEN = set()  # files that have rows of this run


@pytest.fixture
def result(request):
    """result("F07", "1,000 readers, at most 9.1 MiB queued")"""

    def note(fault, figure):
        request.node.stash[NOTES][fault] = figure

    return note


def pytest_runtest_setup(item):
    item.stash[CALL_PASSED] = False
    item.stash[NOTES] = {}
    item.stash[REPORTS] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    item.stash[REPORTS].append(report)
    if report.when == "call":
        item.stash[CALL_PASSED] = report.passed
    if report.when == "teardown":
        write_rows(item)


def write_rows(item):
    folder = os.environ.get("BERTH_FAULTS_DIR")
    reports, notes = item.stash[REPORTS], item.stash[NOTES]
    if not folder or any(report.skipped for report in reports):
        return
    failure = next((report for report in reports if report.failed), None)
    faults = set(notes) | {"F" + number for number in re.findall(r"(?<=f)\d\d(?=_)", item.name)}
    for fault in sorted(faults):
        figure = notes.get(fault, "no figure") if failure is None else reason_of(failure)
        write_row(Path(folder), {
            "id": fault, "backend": backend_of(item), "where": "kernel",
            "passed": failure is None and fault in notes, "figure": figure, "command": command(),
            "seconds": round(sum(report.duration for report in reports), 1), "test": item.name,
        })


def backend_of(item):
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("backend", "any") if callspec else "any"


def reason_of(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    return f"{report.when}: {crash.message.splitlines()[0]}" if crash else f"{report.when} failed"


def command():
    """What a reader types to see the same."""
    full = " --full" if FULL else ""
    return f"./dev test{full} -R {os.environ.get('BERTH_FAULTS_TEST', 'faults')}"


def write_row(folder, row):
    """Adds it to those of this run; the file is this test's alone, and begins anew with each run."""
    folder.mkdir(parents=True, exist_ok=True)
    test = os.environ.get("BERTH_FAULTS_TEST", "faults")
    name = "{id}.{backend}.{where}.".format(**row) + test + ".json"
    with open(folder / name, "a" if name in WRITTEN else "w", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    WRITTEN.add(name)
