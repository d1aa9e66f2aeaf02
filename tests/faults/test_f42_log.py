"""F42: the log cannot be written: the disk is full, or who reads it stands still. The clients do not
notice; what was lost is counted and said."""

import os
import re

import pytest

from conftest import scale
from good import Good

SECONDS = scale(0.7, 10)
CLIENTS = 50

# Against a log that can be written. Both are measured on a machine with other things to do; a log
# that held a worker up would make every client wait until the test ends.
P99_MAX = 3
SLACK_MS = 250


def full_disk(_):
    return "/dev/full"


def reader_that_stands_still(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def measure(berthd, log):
    """What the clients saw, and how many lines were lost."""
    server = berthd("--watch", "flow,data", "--log", log)
    with Good(server, CLIENTS) as good:
        window = good.window(SECONDS)
        good.stop()
    server.oracle()
    lost = re.search(r"^berthd: (\d+) lines of the log were lost$", server.said(), re.MULTILINE)
    return window, int(lost[1]) if lost else 0


@pytest.mark.parametrize("sink", [full_disk, reader_that_stands_still],
                         ids=lambda sink: sink.__name__)
def test_f42_log(berthd, result, tmp_path, sink):
    before, _ = measure(berthd, tmp_path / "log")
    during, lost = measure(berthd, sink(tmp_path))
    assert during.p99_ms < before.p99_ms * P99_MAX + SLACK_MS
    assert lost > during.answers, "each answer has several lines"
    result("F42", f"{sink.__name__.replace('_', ' ')}: {during.answers:,} answers, p99 "
                  f"{during.p99_ms:.1f} ms (with a good log {before.answers:,}, "
                  f"{before.p99_ms:.1f} ms); {lost:,} lines lost, and counted")
