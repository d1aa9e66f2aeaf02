"""Reads berthd's log, in either format, into the same entries."""

import json
import re
import time

import peer

LINE = re.compile(r" *(\d+)\.(\d{9}) +(\S+) +(\S+) +(\S+) +(\S+)(.*)")
DETAIL = re.compile(r' +(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def fields(line):
    """A line of the text format, as its JSON twin would say it."""
    seconds, ns, worker, conn, mode, event, rest = LINE.fullmatch(line).groups()
    entry = {"t": int(seconds) * 10**9 + int(ns)}
    if worker != "-":
        entry["worker"] = int(worker[1:])
    entry |= {"mode": mode, "event": event}
    if conn != "-":
        entry["conn"] = int(conn)
    assert DETAIL.sub("", rest) == "", line
    for key, value in DETAIL.findall(rest):
        plain = key in ("peer", "local")
        entry[key] = value if plain else json.loads(value)
    return entry


def read_log(path):
    """The lines behind the first, and the first."""
    first, *lines = path.read_text().splitlines()
    if first.startswith("{"):
        return [json.loads(line) for line in lines], json.loads(first)
    return [fields(line) for line in lines], first


def of_mode(entries, mode):
    return [entry for entry in entries if entry["mode"] == mode]


def wait_until(condition, what):
    until = time.monotonic() + peer.PATIENCE
    while not condition():
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.005)  # between two looks at a file or a process


def wait_for_lines(path, word, count):
    """Until a log that is being written has so many lines with the word."""
    wait_until(lambda: path.exists() and path.read_text().count(f" {word} ") >= count,
               f"{count} lines with {word} in {path}")
