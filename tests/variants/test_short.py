"""F17: the e2e suite where every receive and every send is short.

    test_short.py BIN BACKEND           a few files, byte by byte; with BERTH_FULL=1 all of them, byte
                                        by byte and in pieces of random sizes
    test_short.py BIN BACKEND NOUN...   these files

The programs of BIN/variants serve with the fault-injecting backend around BACKEND (faults.c). At its
end each says how often it cut something; a suite in which nothing was cut proves nothing.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import suites

SKIPPED = 77  # CTest's word for it

PLANS = {
    "byte by byte": "receive_most=1,send_most=1,seed=7",
    "random pieces": "split=50,short_send=50,drop_more=10,seed=8",
}
SAMPLE = ["echo", "frames", "lengths", "replies"]
# Tests of how often something is received, sent or written about it, and those whose relay or server
# takes what comes at once for one message: by file.
COUNTS = {
    "ledger": ["test_what_a_dishonest_server_does_is_found"],
    "ledger_cuts": ["test_a_relay_that_repeats", "test_another_connections_message_is_refused"],
    "load_log": ["test_flow_as_json"],
    "load_run": ["test_no_operation_carries_more_than_the_buffer"],
    "server_console": ["test_t_and_f_turn_the_flow_on_and_off"],
    "watch": ["test_a_server_that_is_watched_and_idle_sleeps", "test_flow",
              "test_both_formats_say_the_same"],
}
# Tests that move megabytes, or whose point is when something happens: a system call and a segment for
# every byte takes a hundred times as long.
SLOW = {
    "both": ["test_large_messages"],
    "deadlines": ["test_a_client_that_reads_nothing_is_reset",
                  "test_a_server_that_was_stopped_hears_before_it_ends_anybody"],
    "ledger": ["test_a_clean_run_closes", "test_ledger_run"],
    "ledger_cuts": ["test_replies_that_were_made_and_never_left"],
    "load_run": ["test_growing_messages_come_back_from_berthd"],
    "seed": ["test_7_a_thousand_connections", "test_8_eight_thousand_connections"],
    "server_console": ["test_list_shows_bytes_that_wait"],
}
LEFT_OUT = {
    "byte by byte": {noun: [*COUNTS.get(noun, []), *SLOW.get(noun, [])]
                     for noun in {*COUNTS, *SLOW}},
    "random pieces": COUNTS,
}


def suite_of(programs, backend, name, tally):
    return suites.Suite(f"{name}, {backend}", programs, backend,
                        {"BERTH_TEST_FAULTS": PLANS[name], "BERTH_TEST_FAULTS_TALLY": str(tally)},
                        left_out=LEFT_OUT[name])


def cuts(tally):
    """Receives and sends that were cut, by all programs of a suite."""
    text = tally.read_text(encoding="utf-8") if tally.exists() else ""
    return [sum(map(int, re.findall(rf"{name}=(\d+)", text))) for name in
            ("receives_cut", "sends_cut")]


def main():
    programs, backend = Path(sys.argv[1]) / "variants", sys.argv[2]
    names = list(PLANS) if suites.FULL else list(PLANS)[:1]
    files = suites.nouns(set()) if suites.FULL else SAMPLE
    files = sys.argv[3:] or files
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tallies = [Path(folder, f"tally{i}") for i in range(len(names))]
        runs = [suite_of(programs, backend, name, tally) for name, tally in zip(names, tallies)]
        if backend == "uring" and "backend epoll: " in runs[0].backend_lines()[0]:
            print("skipped: no io_uring here")
            sys.exit(SKIPPED)
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
