"""Runs the e2e suite (tests/e2e) as a whole on kernels that lack something, several kernels in one
go, and writes a row for docs/FAULTS.md.

A suite is a name, the environment that its tests run in, and the command in front of them, if any.
Files are run some at a time, those that are large, or measured in time, last and fewer at a time.
Each is a pytest process of its own, so a file is also what is repeated when it fails: the command is
printed.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

E2E = Path(__file__).resolve().parents[1] / "e2e"
LARGE = {"descriptors", "slow_reader", "thousands", "seed"}  # serial in e2e.cmake
LONG = ["ledger", "ledger_cuts", "defects"]  # begun first, so that none is waited for at the end
# A test waits for more than half of its time. More at a time make a suite's longer and not the whole
# shorter.
JOBS = 2 * (os.cpu_count() or 1) + 1
JOBS_LARGE = os.cpu_count() or 1
FILE_SECONDS = 240
PATIENCE = 20  # of the tests, for one event
START_SECONDS = 10
FULL = os.environ.get("BERTH_FULL") == "1"

# About options, help and files of settings, not about what is served; and large counts, which are
# the same code again.
NOT_ABOUT_IO = {"config", "example", "options", "settings", "full"}


def nouns(leave_out):
    found = {path.stem.removeprefix("test_") for path in E2E.glob("test_*.py")}
    return sorted(found - NOT_ABOUT_IO - leave_out)


class Suite:
    """`programs` is the folder of berthd and berthload; `left_out` has, by file, names of tests that
    are not run (those that begin so, too)."""

    def __init__(self, name, programs, backends, environment=None, under=(), left_out=None):
        self.name, self.programs, self.under = name, Path(programs).resolve(), list(map(str, under))
        self.left_out = left_out or {}
        self.environment = {"BERTH_BIN": str(self.programs), "BERTH_BACKENDS": backends,
                            "BERTH_TEST_SECONDS": str(PATIENCE), **(environment or {})}
        self.tests = self.files = 0
        self.seconds = 0.0
        self.failures = []

    def backend_lines(self):
        """What berthd says of its backend when it is left to choose: every such line."""
        command = [*self.under, self.programs / "berthd", "--listen", "127.0.0.1:0", "--workers",
                   "1"]
        berthd = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, env={**os.environ, **self.environment})
        lines = []
        for line in berthd.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("listening on"):
                berthd.send_signal(signal.SIGTERM)
        if berthd.wait(START_SECONDS) != 0:
            sys.exit(f"{self.name}: berthd does not serve:\n" + "\n".join(lines))
        return [line for line in lines if re.search(r"\bbackend (uring|epoll): ", line)]

    def command(self, noun):
        names = self.left_out.get(noun, ())
        chosen = ["-k", " and ".join(f"not {name}" for name in names)] if names else []
        return [*self.under, sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                *chosen, str(E2E / f"test_{noun}.py")]

    def typed(self, noun):
        """The same, as a person types it."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*settings, shlex.join(self.command(noun))])

    def run(self, noun):
        begin = time.monotonic()
        environment = {**os.environ, **self.environment}
        environment.pop("BERTH_FULL", None)
        process = subprocess.Popen(self.command(noun), stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=environment, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=FILE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0] + f"\nnot done after {FILE_SECONDS} s"
        passed = re.search(r"(\d+) passed", said)
        self.tests += int(passed[1]) if passed else 0
        self.files += 1
        self.seconds += time.monotonic() - begin
        if process.returncode != 0 or not passed or re.search(r"\d+ skipped", said):
            self.failures.append(noun)
            print(f"--- {self.name}: test_{noun}.py, exit status {process.returncode}\n{said}\n"
                  f"again: {self.typed(noun)}\n", flush=True)


def run_all(suites, chosen):
    """Whether every chosen file passes in every suite, and none of their tests is skipped."""
    long = [noun for noun in LONG if noun in chosen]
    large = [noun for noun in chosen if noun in LARGE]
    others = [noun for noun in chosen if noun not in LARGE and noun not in LONG]
    for jobs, nouns_now in (JOBS, long + others), (JOBS_LARGE, large):
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda pair: pair[0].run(pair[1]),
                          [(suite, noun) for noun in nouns_now for suite in suites]))
    for suite in suites:
        verdict = f"FAILED {', '.join(suite.failures)}" if suite.failures else "passed"
        print(f"{suite.name}: {verdict}: {suite.files} files, {suite.tests} tests, "
              f"{suite.seconds:.0f} s")
    return not any(suite.failures for suite in suites)


def write_row(fault, backend, passed, figure, seconds):
    """tests/faults/conftest.py says what a row is."""
    folder = os.environ.get("BERTH_FAULTS_DIR")
    if not folder:
        return
    form = " --full" if FULL else ""
    row = {"id": fault, "backend": backend, "where": "kernel", "passed": passed, "figure": figure,
           "command": f"./dev test{form} -R {os.environ.get('BERTH_FAULTS_TEST', 'variants')}",
           "seconds": round(seconds, 1)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    name = f"{fault}.{backend}.kernel" + (".full.json" if FULL else ".json")
    Path(folder, name).write_text(json.dumps(row) + "\n", encoding="utf-8")
