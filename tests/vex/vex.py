"""Runs vex and its relay from tests, and reads what they say.

    done = run_vex(address, "connect; ping 5", "--connections", 10)      its JSON, as a dictionary
    vex = Vex(address, "connect; pause 5s; ...", ...)                    while other things go on
    vex.wait_connected()
    done = vex.result()

    relay = Relay(address, "--split", "1..3")                            relay.address to connect to
    done = relay.stop()

A script that does not come to its end as it says fails the test, unless status=1 is asked for.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

import peer  # noqa: E402

BIN = Path(os.environ.get("BERTH_BIN", Path(__file__).parents[2] / "build" / "bin"))
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def text_of(address):
    return "%s:%d" % tuple(address[:2])


def before(nice):
    """What a child does before it becomes a program: it must not outlive the test."""

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(nice)

    return prepare


class Program:
    """A program of vex's, which says a line, and a JSON object at its end. A nice one takes the
    processors that others leave."""

    def __init__(self, *arguments, nice=0):
        self.said = []
        self.process = subprocess.Popen(
            [BIN / "vex", *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before(nice),
        )

    def wait_for(self, pattern):
        """Its lines up to one like this; they are its events."""
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no line like {pattern!r}: {self.said} {self.process.stderr.read()}")

    def ended(self, status, seconds):
        try:
            out, self.errors = self.process.communicate(timeout=seconds)
        finally:
            self.kill()
        assert self.process.returncode == status, self.errors
        lines = [line for line in (*self.said, *out.splitlines()) if line.startswith("{")]
        return json.loads(lines[-1]) if lines else None

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


class Vex(Program):
    def __init__(self, address, script, *options, nice=0):
        super().__init__("--json", "-", *options, text_of(address), script, nice=nice)

    def wait_connected(self):
        """Until each of its connections has been made once."""
        self.wait_for(r"^vex: \d+ connected")

    def result(self, status=0, seconds=peer.PATIENCE):
        """What came of it, once it has ended; its sums must be right."""
        done = self.ended(status, seconds)
        if done is not None:
            ends = ("ended_eof", "ended_reset", "ended_timeout", "ended_itself")
            assert done["made"] == sum(done[end] for end in ends)
            assert done["scripts"] == sum(
                done[what] for what in ("done", "failed", "stopped", "unstarted"))
        return done


def run_vex(address, script, *options, status=0, seconds=peer.PATIENCE):
    with Vex(address, script, *options) as vex:
        return vex.result(status, seconds)


class Relay(Program):
    def __init__(self, address, *options):
        super().__init__("relay", "--json", "-", "--to", text_of(address), *options)
        host, port = self.wait_for(r"listening on (\S+):(\d+)$").groups()
        self.address = (host.strip("[]"), int(port))

    def stop(self, seconds=peer.PATIENCE):
        self.signal()
        return self.ended(0, seconds)
