"""F33: the e2e suite where io_uring is refused.

    test_fallback.py BIN     a few files, EPERM; with BERTH_FULL=1 all that serve, EPERM and ENOSYS

A seccomp filter around the real programs (refuse.c) refuses io_uring_setup, as a container's does,
or the sysctl kernel.io_uring_disabled (EPERM), or an old kernel (ENOSYS). Left to choose, the
programs then serve on epoll, and say so, and why, in one line.
"""

import errno
import os
import sys
import time
from pathlib import Path

import suites

SAMPLE = ["both", "echo", "limits", "load", "stop"]


def suite_of(binaries, error):
    refuse = (binaries / "variants" / "refuse").resolve()
    suite = suites.Suite(error, binaries, "auto", under=[refuse, f"io_uring_setup={error}", "--"])
    lines = suite.backend_lines()
    reason = os.strerror(getattr(errno, error))
    if len(lines) != 1 or not lines[0].endswith(f"backend epoll: io_uring_setup: {reason}"):
        sys.exit(f"{error}: not one line that says epoll, and why, but {lines}")
    return suite


def main():
    binaries = Path(sys.argv[1])
    begin = time.monotonic()
    kernels = [suite_of(binaries, error) for error in (["EPERM", "ENOSYS"] if suites.FULL
                                                       else ["EPERM"])]
    passed = suites.run_all(kernels, suites.nouns(set()) if suites.FULL else SAMPLE)
    figure = "; ".join(f"{kernel.name}: epoll and one line, {kernel.files - len(kernel.failures)} "
                       f"of {kernel.files} files, {kernel.tests} tests" for kernel in kernels)
    print(figure)
    suites.write_row("F33", "epoll", passed, figure, time.monotonic() - begin)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
