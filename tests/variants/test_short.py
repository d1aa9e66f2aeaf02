"""F17: the e2e suite where every receive and every send is short.

    test_short.py BIN BACKEND           a few files, byte by byte; with BERTH_FULL=1 all that are not
                                        in LEFT_OUT, byte by byte and in pieces of random sizes
    test_short.py BIN BACKEND NOUN...   these files

The programs of BIN/variants serve with the fault-injecting backend around BACKEND (faults.c). At its
end each says how often it cut something; a suite in which nothing was cut proves nothing.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import suites

PLANS = {
    "byte by byte": "receive_most=1,send_most=1,seed=7",
    "random pieces": "split=50,short_send=50,drop_more=10,seed=8",
}
SAMPLE = ["echo", "frames", "lengths", "replies"]
LEFT_OUT = {}


def suite_of(programs, backend, name, tally):
    return suites.Suite(f"{name}, {backend}", programs, backend,
                        {"BERTH_TEST_FAULTS": PLANS[name], "BERTH_TEST_FAULTS_TALLY": str(tally)})


def cuts(tally):
    """Receives and sends that were cut, by all programs of a suite."""
    text = tally.read_text(encoding="utf-8") if tally.exists() else ""
    return [sum(map(int, re.findall(rf"{name}=(\d+)", text))) for name in
            ("receives_cut", "sends_cut")]


def main():
    programs, backend = Path(sys.argv[1]) / "variants", sys.argv[2]
    names = list(PLANS) if suites.FULL else list(PLANS)[:1]
    files = suites.nouns(set(LEFT_OUT)) if suites.FULL else SAMPLE
    files = sys.argv[3:] or files
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tallies = [Path(folder, f"tally{i}") for i in range(len(names))]
        runs = [suite_of(programs, backend, name, tally) for name, tally in zip(names, tallies)]
        passed = suites.run_all(runs, files)
        counted = [cuts(tally) for tally in tallies]
    passed = passed and all(count > 0 for pair in counted for count in pair)
    figure = "; ".join(f"{name}: {run.files - len(run.failures)} of {run.files} files, "
                       f"{run.tests} tests, {receives:,} receives and {sends:,} sends cut"
                       for name, run, (receives, sends) in zip(names, runs, counted))
    print(figure)
    suites.write_row("F17", backend, passed, figure, time.monotonic() - begin)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
