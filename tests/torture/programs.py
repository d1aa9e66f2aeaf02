#!/usr/bin/env python3
"""berthd and berthload with every allocation failed, one after the other.

    programs.py BIN-FOLDER epoll|uring [--scenario NAME [--point N [--on]]]

Each scenario runs a program that counts its allocations (program_failing.c), once without a
failure and then with each of them failed: that one alone, and it with all that follow. However it
ends, it says what is wrong and has an exit status; it does not crash, hang, or say that all is
well when it is not. A server that came to listen serves 100 messages, as the data path needs
nothing. Without BERTH_FULL=1 each scenario and way has at most so many points, spread evenly.
"""

import ctypes
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
import peer  # noqa: E402

PATIENCE = 20.0  # for one wait; far more than any takes, also on a machine with much to do
MESSAGES = 100
POINTS_SHORT = 2 if os.environ.get("BERTH_SANITIZE") else 4  # a sanitized program starts slowly
SKIPPED = 77
FULL = os.environ.get("BERTH_FULL") == "1"
ADDRESS = re.compile(r"listening on (\S+):(\d+)")


class Failure(Exception):
    """What a program did that it must not do."""


class Program:
    """A running program whose allocations are counted."""

    def __init__(self, path, options, point, on, folder):
        self.report = folder / "report"
        self.report.unlink(missing_ok=True)
        environment = dict(os.environ, BERTH_TORTURE_POINT=str(point),
                           BERTH_TORTURE_REPORT=str(self.report))
        if on:
            environment["BERTH_TORTURE_ON"] = "1"
        self.lines, self.news = [], threading.Condition()
        self.process = subprocess.Popen(
            [path, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment,
        )
        self.errors = []
        self.readers = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()
        with self.news:
            self.lines.append(None)  # the end
            self.news.notify_all()

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def address(self):
        """Where it listens, or None if it ended instead."""

        def told():
            return next((m for m in (ADDRESS.search(line or "") for line in self.lines) if m), None)

        with self.news:
            if not self.news.wait_for(lambda: told() or None in self.lines, PATIENCE):
                raise Failure("it neither listens nor ends")
            match = told()
        return (match[1], int(match[2])) if match else None

    def say(self, text):
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which is seen elsewhere

    def end(self):
        """Waits for its end. Its exit status, what it said, and what it said of errors."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure("it does not end") from None
        for reader in self.readers:
            reader.join(PATIENCE)
        return status, "".join(line for line in self.lines if line), "".join(self.errors)

    def counted(self):
        """How many allocations there were, and whether one has failed."""
        text = self.report.read_text() if self.report.exists() else ""
        if not text.endswith("\n"):
            raise Failure("it ended without its last words")
        count, failed = text.split()
        return int(count), failed == "1"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass


# ------------------------------------------------------------------------------------ what happens


def serve_messages(address):
    client = peer.Client(address)
    client.sock.settimeout(PATIENCE)
    try:
        for first in range(0, MESSAGES, 20):
            client.ask(*(b"message %d " % number * 5 for number in range(first, first + 20)))
    finally:
        client.close()


def run_server(program, commands):
    """Serves, obeys, and ends. Returns whether it served: it may listen already, and find that its
    workers cannot start."""
    address = program.address()
    if address is None:
        return False
    try:
        serve_messages(address)
        if commands:
            program.say(commands)
            program.process.send_signal(signal.SIGUSR1)
            serve_messages(address)
    except (OSError, peer.EndOfStream, AssertionError) as why:
        if program.end()[0] == 0:
            raise Failure(f"it did not serve, and ended well: {why}") from why
        return False
    program.process.send_signal(signal.SIGTERM)
    return True


def complains(name, errors):
    """Whether it said what is wrong, with nothing left out in the middle."""
    lines = [line for line in errors.splitlines() if line.startswith(name + ":")]
    return bool(lines) and not any(": :" in line for line in lines)


def shape(told):
    """The names in a JSON object, at every depth."""
    if isinstance(told, dict):
        return {key: shape(value) for key, value in told.items()}
    return type(told).__name__ if isinstance(told, (str, bool)) else None


def check_server(program, served):
    status, said, errors = program.end()
    if status not in (0, 1, 2):
        raise Failure(f"exit status {status}")
    if status == 0 and not served:
        raise Failure("it ended well and did not serve")
    if status == 0 and "connections served" not in said:
        raise Failure("it ended well without its summary")
    if "clipped" in errors:
        raise Failure("it took the system's limit of the backlog for another")
    if status != 0 and not complains("berthd", errors):
        raise Failure(f"exit status {status} without a word")
    return status


def check_client(program, report, wanted):
    """`wanted` is the shape of a whole report, or None where none is known."""
    status, said, errors = program.end()
    if status not in (0, 1, 2):
        raise Failure(f"exit status {status}")
    if status != 0 and not complains("berthload", errors):
        raise Failure(f"exit status {status} without a word:\n{said}{errors}")
    if status == 0 and "sent 200 messages, 200 answered rightly" not in said + errors:
        raise Failure(f"it ended well without its summary:\n{said}{errors}")
    if status == 0 and report is not None:
        told = json.loads(report.read_text())
        if told["results"]["messages_answered"] != 200 or wanted not in (None, shape(told)):
            raise Failure("it ended well, and its report is not whole")
    return status


# -------------------------------------------------------------------------------------- scenarios


class Torture:
    def __init__(self, folder, backend, scratch):
        self.folder, self.backend, self.scratch = folder, backend, scratch
        self.status = None  # of the last run
        self.shape = None  # of a whole report
        self.other = None  # an honest berthd, for berthload

    def start(self, name, point, on, options):
        return Program(self.folder / name, options, point, on, self.scratch)

    def server_plain(self, point, on):
        return self.server(point, on, ["--workers", 2], None)

    def server_full(self, point, on):
        log = self.scratch / "log"
        log.unlink(missing_ok=True)
        settings = self.scratch / "settings"
        settings.write_text("[berthd]\nkeep-data = 50\n")
        options = ["--workers", 1, "--handler", "pool", "--threads", 2, "--config", settings,
                   "--watch", "flow,connections,data,threads", "--log", log, "--console"]
        return self.server(point, on, options, "C\nlist\nstats\nkept\nF\nT\nstop\nstart\nhelp\n")

    def server(self, point, on, options, commands):
        listen = ["--listen", "127.0.0.1:0", "--backend", self.backend]
        program = self.start("berthd_torture", point, on, listen + options)
        try:
            self.status = check_server(program, run_server(program, commands))
            return program.counted()
        finally:
            program.kill()

    def server_settings(self, point, on):
        """Writes its settings down."""
        path = self.scratch / "written"
        path.unlink(missing_ok=True)
        program = self.start("berthd_torture", point, on, ["--write-config", path])
        try:
            status, _, errors = program.end()
            self.status = status
            if status not in (0, 1, 2) or (status != 0 and not complains("berthd", errors)):
                raise Failure(f"exit status {status}")
            if status == 0 and len(path.read_text()) < 1000:
                raise Failure("it ended well, and the settings are not there")
            return program.counted()
        finally:
            program.kill()

    def client_plain(self, point, on):
        return self.client(point, on, ["--workers", 1], None)

    def client_full(self, point, on):
        report, log = self.scratch / "report.json", self.scratch / "client.log"
        log.unlink(missing_ok=True)
        options = ["--workers", 2, "--test-connection", "--json", report, "--log", log, "--watch",
                   "flow,connections,data", "--console", "--at-once", 2, "--long"]
        return self.client(point, on, options, report)

    def client(self, point, on, options, report):
        load = ["--connect", "127.0.0.1:%d" % self.other[1], "--backend", self.backend,
                "--connections", 4, "--messages", 50, "--pipeline", 4, "--timeout", 15,
                "--retry", 3]
        program = self.start("berthload_torture", point, on, load + options)
        try:
            program.say("C\n")
            self.status = check_client(program, report, self.shape)
            if point == 0 and report is not None:
                self.shape = shape(json.loads(report.read_text()))
            return program.counted()
        finally:
            program.kill()


NAMES = ("server_plain", "server_full", "server_settings", "client_plain", "client_full")


def run_points(torture, name, on, only):
    """How many points were failed."""
    run = getattr(torture, name)
    if only:
        run(only, on)
        return 1
    try:
        count, failed = run(0, False)
    except Failure as why:
        raise SystemExit(f"{name}: {why}") from why
    if failed or torture.status != 0:
        raise SystemExit(f"{name}: exit status {torture.status} though nothing failed")
    step = 1 if FULL else max(1, -(-count // POINTS_SHORT))
    points, point, failed = 0, 1, True
    while failed:
        try:
            _, failed = run(point, on)
        except (Failure, AssertionError, OSError) as why:
            way = " --on" if on else ""
            print(f"{name}, point {point}: {why}\nto repeat: programs.py {torture.folder} "
                  f"{torture.backend} --scenario {name} --point {point}{way}", file=sys.stderr)
            raise SystemExit(1) from why
        points += failed
        point += step
        if point > 5000:
            raise SystemExit(f"{name} does not end")
    return points


def serve_honestly(torture):
    """The server that berthload is run against, for as long as this process lives."""
    server = Program(torture.folder / "berthd", ["--listen", "127.0.0.1:0", "--workers", 1], 0,
                     False, torture.scratch)
    torture.other = server.address()
    return server


def write_row(backend, met, points, seconds):
    """A row for docs/FAULTS.md; before the run it says that the fault is not met."""
    folder, test = os.environ.get("BERTH_FAULTS_DIR"), os.environ.get("BERTH_FAULTS_TEST")
    if not folder or not test:
        return
    row = {"id": "F12", "backend": backend, "where": "kernel", "passed": met,
           "figure": f"{points} allocations of berthd and berthload failed, "
                     + ("each ended in order" if met else "and not to the end"),
           "command": f"./dev test{' --full' if FULL else ''} -R {test}",
           "seconds": round(seconds, 1)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    end = ".full.json" if FULL else ".json"
    Path(folder, f"F12.{backend}.programs{end}").write_text(json.dumps(row) + "\n")


def has_uring():
    """Asked with arguments that make no sense, so that nothing is made."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)  # io_uring_setup
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def main(arguments):
    folder, backend, *rest = arguments
    if backend == "uring" and not has_uring():
        print("no io_uring on this machine")
        return SKIPPED
    only = dict(zip(rest[::2], rest[1::2]))
    ways = [True] if "--on" in rest else [False] if "--point" in rest else [False, True]
    total = 0
    began = time.monotonic()
    if not only:
        write_row(backend, False, 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        torture = Torture(Path(folder), backend, Path(scratch))
        server = serve_honestly(torture)
        try:
            for name in NAMES:
                if only.get("--scenario", name) != name:
                    continue
                points = [run_points(torture, name, on, int(only.get("--point", 0)))
                          for on in ways]
                print(f"{name:<18} {backend:<6} points {points}", flush=True)
                total += sum(points)
        finally:
            server.process.send_signal(signal.SIGTERM)
            server.end()
            server.kill()
    seconds = time.monotonic() - began
    print(f"{total} points failed in {seconds:.1f} s")
    if not only:
        write_row(backend, True, total, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
