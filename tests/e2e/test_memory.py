"""The memory plan, against what the system says of the process."""

import re

import pytest

from conftest import SANITIZED
from loading import succeed

MANY = 12_000
FEW = 2_000
CONNECTION_BYTES = 256  # the most that an idle one takes, beside its session
SESSION_BYTES = 80
NEAR = 0.05
PAGES = 0.02  # of a slope: what is touched is whole pages
SOURCES = "127.0.0.1-127.0.0.3"
MIB = 1 << 20

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer has memory of its own")


def planned(server, row):
    """What is reserved, and what is used with all connections idle: bytes."""
    reserved, idle = re.search(rf"^ +{row} +(\d+) +(\d+)$", server.said(), re.M).groups()
    return int(reserved) << 10, int(idle) << 10


def fill(server, backend, count):
    """That many have been there, all at once, each with one small message. Nothing is given back
    when they go."""
    told, _ = succeed(server.address(), backend, "--connections", count, "--idle", count,
                      "--duration", "100ms", "--source", SOURCES)
    assert told["results"]["connections_most"] == count
    return server.resident_bytes()


def start(berthd):
    return berthd("--max-connections", MANY, "--backlog", 65535)


def test_what_is_resident_is_what_was_planned(berthd, backend):
    server = start(berthd)
    empty = server.resident_bytes()  # the program and its libraries
    reserved, idle = planned(server, "in all, used as needed")
    assert fill(server, backend, MANY) - empty == pytest.approx(idle, rel=NEAR)
    assert idle < reserved


def test_an_idle_connection_takes_256_bytes(berthd, backend):
    few = fill(start(berthd), backend, FEW)
    many = fill(start(berthd), backend, MANY)
    slope = (many - few) / (MANY - FEW)
    assert slope < (CONNECTION_BYTES + SESSION_BYTES) * (1 + PAGES), slope


def test_what_is_not_said_is_the_librarys(berthd):
    reserved, _ = planned(berthd(), "receive buffers")
    assert reserved == 16 * 270336  # berth.h


def test_room_for_a_million_costs_nothing_yet(berthd):
    server = berthd("--max-connections", 1_000_000)
    assert server.resident_bytes() < 20 * MIB
    reserved, _ = planned(server, "connections")
    assert reserved > 1_000_000 * 200
