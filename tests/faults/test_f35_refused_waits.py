"""F35: the one system call of a turn is refused again and again, at the server and at the load
tester. The kernel keeps what was not taken (fact K18); nothing may be lost, doubled or held up for
good.

On io_uring it is io_uring_enter, for want of memory (EBUSY, EAGAIN, ENOMEM) or by a signal (EINTR);
on epoll the wait, by a signal. A seccomp filter refuses it (tests/variants/refuse.c), so that it is
the real programs and the real call.
"""

import re
import time
from functools import partial

import peer
from conftest import LOOK, PINGS, run, scale
from refusal import PROGRAMS, put_behind, refuse

# So many that a turn does not come to its end, and starts more before what was refused is taken;
# and so large that many sends are of several pieces, whose list must still be there. (That takes an
# older kernel: a newer one has nothing to give while it refuses.)
CONNECTIONS, PIPELINE, SIZES = 600, 4, "1-20000"
MESSAGES = scale(6, 100)

# One in two or three calls, of both programs, by backend; and what the kernel lacks beside.
REFUSALS = {
    "uring": [(["io_uring_enter=EBUSY/3"], ""), (["io_uring_enter=EAGAIN/3"], "defer_taskrun"),
              (["io_uring_enter=ENOMEM/3"], "single_issuer,multishot_receive"),
              (["io_uring_enter=EINTR/3"], "")],
    "epoll": [(["epoll_wait=EINTR/2"], "")],
}


def tallied(folder, rules, program):
    return refuse("--tally", folder / f"{program}.sum", *rules)


def tally(folder, program):
    """How many calls were refused, of how many, once the program is gone."""
    path = folder / f"{program}.sum"
    until = time.monotonic() + peer.PATIENCE
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until, f"{program} has left no tally"
        time.sleep(LOOK)
    return map(int, re.search(r"refused (\d+) of (\d+)\n", path.read_text()).groups())


def load(server, backend):
    planned = CONNECTIONS * MESSAGES
    status, said, errors = run(
        "berthload", "--connect", "%s:%d" % server.address(), "--backend", backend,
        "--connections", CONNECTIONS, "--messages", MESSAGES, "--pipeline", PIPELINE, "--size",
        SIZES, "--quiet")
    assert status == 0, said + errors
    assert f"sent {planned:,} messages, {planned:,} answered rightly" in said, said
    server.oracle()
    assert server.summary().messages == planned + PINGS
    return planned


def test_f35_refused_waits(berthd, backend, result, tmp_path, monkeypatch):
    messages = refused = calls = 0
    for number, (rules, lacking) in enumerate(REFUSALS[backend]):
        folder = tmp_path / str(number)
        put_behind(folder, monkeypatch, partial(tallied, folder, rules), lacking)
        messages += load(berthd(workers=2), backend)
        for program in PROGRAMS:
            of_it, of = tally(folder, program)
            assert of_it >= of // 3 > 0, (program, rules, of_it, of)
            refused, calls = refused + of_it, calls + of
    result("F35", f"{refused:,} of {calls:,} calls refused, {messages:,} of {messages:,} messages "
                  "answered rightly")
