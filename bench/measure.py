"""One run of one server under one load, on pinned CPUs: what bench/run is made of.

The server is pinned to one CPU and the load to another. The main figure is what a message costs
the server: CPU nanoseconds of all its threads in the window, divided by the messages answered in
the window. The load generator takes both at the same two moments (bench/peers/load.c).
"""

import json
import os
import re
import signal
import statistics
import subprocess
import random
import time
from dataclasses import dataclass
from pathlib import Path

DISTURBED = 0.06  # of one CPU, by anything that is neither the server nor the load
TRIES = 6  # for one pair, or one round of servers
STOP_SECONDS = 10


class Invalid(Exception):
    """A run that proves nothing: a wrong reply, a program that failed."""


class Starved(Exception):
    """A window in which something else left the server no CPU at all."""


@dataclass(frozen=True)
class Load:
    """What is asked of a server: a cell of the tables."""

    connections: int
    size: int
    pipeline: int

    @property
    def name(self):
        return f"{self.connections}x{self.size}x{self.pipeline}"


@dataclass(frozen=True)
class Connects(Load):
    """So many connections at once, each with one message; one that ends lets the next begin."""

    @property
    def name(self):
        return f"connects-{self.connections}"


@dataclass(frozen=True)
class Run:
    """One window of one server."""

    cpu_ns: float  # of the server, per message
    rate: float  # messages per second
    p50_us: float
    p99_us: float
    p999_us: float
    load_busy: float  # the load generator's CPU / window
    switches: float  # the server's voluntary context switches per message
    foreign: float  # of a CPU, used by something else


def pinned(cpu):
    """What a child does before it becomes a program."""
    return lambda: os.sched_setaffinity(0, {cpu})


class Server:
    """A server process from its "listening on" line to its end."""

    def __init__(self, command, cpu):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, preexec_fn=pinned(cpu),
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            match = re.search(r"listening on \S*:(\d+)", line)
            if match:
                self.port = int(match[1])
                return
        self.process.wait()
        raise Invalid(f"{' '.join(self.command)} does not serve:\n{''.join(said)}")

    def stop(self, ends_itself):
        """A peer just dies of a SIGTERM; berthd has to end with status 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            said, _ = self.process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Invalid(f"{self.command[0]} did not end on SIGTERM") from None
        status = self.process.returncode
        if status != (0 if ends_itself else -signal.SIGTERM):
            raise Invalid(f"{self.command[0]} ended with status {status}:\n{said}")


def berthd_command(program, backend, load, options=()):
    return [
        program, "--listen", "127.0.0.1:0", "--workers", 1, "--backend", backend,
        "--max-connections", load.connections + 16, *options,
    ]


def raw_load_command(program, load, port, pid, window, rate=0):
    return [
        program, "--port", port, "--connections", load.connections, "--size", load.size,
        "--pipeline", load.pipeline, "--warmup", window.warmup, "--seconds", window.seconds,
        "--rate", rate, "--watch", pid,
    ]


def berthload_command(program, load, port, window):
    # Its window is the whole run, so what connecting costs is in the figure, for A and B alike.
    return [
        program, "--connect", f"127.0.0.1:{port}", "--workers", 1,
        "--connections", load.connections, "--size", load.size, "--pipeline", load.pipeline,
        "--duration", window.warmup + window.seconds, "--json", "-",
    ]


def connects_command(program, load, port, count):
    # The side that closes first keeps the port for a minute: 14,000 from one address go fast.
    return [
        program, "--connect", f"127.0.0.1:{port}", "--workers", 1, "--connections", count,
        "--at-once", load.connections, "--messages", 1, "--size", load.size, "--json", "-",
        "--source", f"127.0.1.1-127.0.1.{count // 10_000 + 1}",
    ]


def cost_of(pid):
    """CPU ns, ns spent waiting for a CPU and voluntary switches of a process, all threads."""
    cpu = waited = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        first, second, _ = (task / "schedstat").read_text().split()
        status = (task / "status").read_text()
        cpu += int(first)
        waited += int(second)
        switches += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])
    return cpu, waited, switches


def busy_ns():
    """What all CPUs have worked so far; the kernel counts it in steps of 10 ms."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(fields[i]) for i in (1, 2, 3, 6, 7, 8)) * 10_000_000


def run_load(command, cpu, pid):
    """The load generator's result, and everything about its whole run that peer_load would say
    about its window."""
    server, busy, begin = cost_of(pid), busy_ns(), time.monotonic_ns()
    load = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=pinned(cpu),
    )
    with load.stdout, load.stderr:
        out, err = load.stdout.read(), load.stderr.read()
    _, status, used = os.wait4(load.pid, 0)
    load.returncode = os.waitstatus_to_exitcode(status)
    after = cost_of(pid)
    if load.returncode != 0:
        raise Invalid(f"{command[0]}: status {load.returncode}\n{out}{err}")
    whole = {
        "wall_ns": time.monotonic_ns() - begin,
        "busy_ns": busy_ns() - busy,
        "load_cpu_ns": (used.ru_utime + used.ru_stime) * 1e9,
        "load_waited_ns": 0,
        "server_cpu_ns": after[0] - server[0],
        "server_waited_ns": after[1] - server[1],
        "server_switches": after[2] - server[2],
    }
    return json.loads(out), whole


def berthload_figures(said, whole):
    """berthload's own JSON in the words of peer_load."""
    return whole | {
        "messages": said["results"]["messages_answered"],
        "traffic_ns": said["results"]["traffic_ns"],
        "p50_us": said["latency_ns"]["p50"] / 1e3,
        "p99_us": said["latency_ns"]["p99"] / 1e3,
        "p999_us": said["latency_ns"]["p99.9"] / 1e3,
    }


def as_run(figures):
    wall, messages = figures["wall_ns"], figures["messages"]
    # Two signs of a disturbance: CPU that neither of ours used, and time for which one of ours
    # could have run and did not. The second also shows what is too short for the first.
    foreign = figures["busy_ns"] - figures["load_cpu_ns"] - figures["server_cpu_ns"]
    waited = figures["load_waited_ns"] + figures["server_waited_ns"]
    foreign = max(foreign, waited, 0) / wall
    if messages == 0:
        raise Starved if foreign > DISTURBED else Invalid("nothing was answered in the window")
    return Run(
        cpu_ns=figures["server_cpu_ns"] / messages,
        rate=messages * 1e9 / figures.get("traffic_ns", wall),
        p50_us=figures["p50_us"],
        p99_us=figures["p99_us"],
        p999_us=figures["p999_us"],
        load_busy=figures["load_cpu_ns"] / wall,
        switches=figures["server_switches"] / messages,
        foreign=foreign,
    )


def undisturbed(attempt):
    """Calls `attempt` for its runs, by name, and again while something else uses the machine. If
    it always does, the least disturbed ones. Also how many were thrown away."""
    best = None
    for thrown_away in range(TRIES):
        try:
            runs = attempt()
        except Starved:
            continue
        worst = max(run.foreign for run in runs.values())
        if best is None or worst < best[0]:
            best = (worst, runs)
        if worst <= DISTURBED:
            break
    if best is None:
        raise Invalid("something else leaves the programs no CPU")
    return best[1], thrown_away


def interval(ratios, rounds=10_000):
    """The 95 % bootstrap interval of the median. Seeded: the same runs give the same interval."""
    rng = random.Random(1)
    medians = sorted(
        statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(rounds)
    )
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975) - 1]


def median_of(runs):
    return {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in Run.__dataclass_fields__
    }
