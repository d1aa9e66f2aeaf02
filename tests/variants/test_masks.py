"""F34: the e2e suite on kernels that lack some of what Berth uses of io_uring.

    test_masks.py BIN             one mask, another each day; with BERTH_FULL=1 all of them
    test_masks.py BIN MASK...     these: defer_taskrun,ring_fd

A mask is what is turned off: each feature of src/io/feature.h alone, each pair, all, and all that
the ring can do without. The programs of BIN/variants find out what that comes to (one feature may
be built on another; without one that is needed it is epoll), and say so in one line. Masks that
come to the same are run once, under the first one's name.
"""

import re
import sys
import time
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path

import suites

TOP = Path(__file__).resolve().parents[2]

# Not about what goes through io.h, or not more than what is left.
LEFT_OUT = {"console", "log", "log_lost", "load_log", "questions", "server_console", "watch"}
# Of a sample: little of everything.
SAMPLE = ["both", "buffers", "echo", "endings", "frames", "limits", "load", "load_connections",
          "replies", "stop"]


def features():
    """Their names, and those that the ring needs."""
    text = (TOP / "src/io/feature.h").read_text(encoding="utf-8")
    rows = re.findall(r'X\(\w+, "(\w+)", (true|false), "[\d.]+"\)', text)
    return [name for name, _ in rows], [name for name, needed in rows if needed == "true"]


def masks_wanted():
    names, needed = features()
    for count in (1, 2):
        yield from combinations(names, count)
    yield tuple(name for name in names if name not in needed)
    yield tuple(names)


def suite_of(programs, mask, backends):
    name = ",".join(mask)
    return suites.Suite(name, programs, backends, {"BERTH_TEST_FEATURES_OFF": name})


def comes_to(programs, mask):
    """What is really off ("epoll" if there is no ring), from the one line that says so."""
    lines = suite_of(programs, mask, "auto").backend_lines()
    if len(lines) != 1:
        sys.exit(f"{','.join(mask)}: not one line about the backend but {lines}")
    if "backend epoll: " in lines[0]:
        if not any(f"{name}: turned off" in lines[0] for name in mask):
            sys.exit(f"{','.join(mask)}: the line does not say why: {lines[0]}")
        return "epoll"
    without = re.search(r"\(without (.*)\)$", lines[0])
    off = frozenset(re.findall(r"(\w+)(?=[,:])", without[1] if without else ""))
    if not set(mask) <= off:
        sys.exit(f"{','.join(mask)}: not all of it is off: {lines[0]}")
    return off


def different(programs, masks):
    found = {}
    for mask in masks:
        found.setdefault(comes_to(programs, mask), mask)
    return found


def main():
    binaries = Path(sys.argv[1])
    programs = binaries / "variants"
    given = [tuple(word.split(",")) for word in sys.argv[2:]]
    wanted = given or list(masks_wanted())
    found = different(programs, wanted)
    chosen = list(found.items())
    if not suites.FULL and not given:
        day = datetime.now(timezone.utc).date()
        chosen = [chosen[day.toordinal() % len(chosen)]]
        print(f"the mask of {day}, of {len(found)}; again: {sys.executable} {__file__} {binaries} "
              f"{','.join(chosen[0][1])}", flush=True)
    begin = time.monotonic()
    kernels = [suite_of(programs, mask, "auto" if off == "epoll" else "uring")
               for off, mask in chosen]
    files = suites.nouns(LEFT_OUT) if suites.FULL else SAMPLE
    passed = suites.run_all(kernels, files)
    tests = sum(kernel.tests for kernel in kernels)
    good = sum(not kernel.failures for kernel in kernels)
    if suites.FULL:
        figure = (f"{len(wanted)} masks, {len(found)} of them different: {good} of {len(kernels)} "
                  f"passed, {tests:,} tests")
    else:
        figure = f"{good} of {len(kernels)} masks ({kernels[0].name}), {tests:,} tests"
    print(figure)
    suites.write_row("F34", "uring", passed, figure, time.monotonic() - begin)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
