"""F33: io_uring cannot be had: forbidden, unknown to the kernel, without the part that cannot be
done without, or not for so many workers, as memory is counted (RLIMIT_MEMLOCK).

Left to choose, both programs work on epoll, and the server says so, and why, in one line. Asked
for io_uring by name, they say why not and end. tests/variants/test_fallback.py runs the e2e suite
there.
"""

import errno
import os

import pytest
from conftest import run, scale
from refusal import little_memory, put_behind, refuse

MESSAGES = scale(50, 2000)
WORKERS = 3

# What is refused, and the reason that must be told.
REFUSALS = {
    "forbidden": (refuse("io_uring_setup=EPERM"), errno.EPERM),
    "unknown": (refuse("io_uring_setup=ENOSYS"), errno.ENOSYS),
    "buffer_ring": (refuse("io_uring_register:22=EINVAL"), errno.EINVAL),
    "no_memory": (little_memory(0), errno.ENOMEM),
    "memory_for_one": (little_memory(200), errno.ENOMEM),
}
# Whether the kernel counts a ring's memory.
COUNTED = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 14)


def backend_lines(said):
    return [line for line in said.split("\n") if "backend uring: " in line
            or "backend epoll: " in line]


def chosen(said, reason):
    """The one line, and that it is right."""
    (line,) = backend_lines(said)
    if reason == errno.ENOMEM and not COUNTED and "backend uring: " in line:
        return line
    assert "backend epoll: " in line
    assert os.strerror(reason) in line
    return line


def load(server, *options):
    return run("berthload", "--connect", "%s:%d" % server.address(), "--connections", 20,
               "--messages", MESSAGES, "--pipeline", 4, "--workers", WORKERS, *options)


def by_choice(berthd, reason):
    server = berthd("--backend", "auto", workers=WORKERS)
    chosen(server.said(), reason)
    status, said, errors = load(server, "--backend", "auto")
    assert status == 0, said + errors
    assert not backend_lines(said + errors), said + errors
    server.oracle()
    return f"epoll and one line, {20 * MESSAGES:,} of {20 * MESSAGES:,} messages answered"


def by_name(berthd, reason):
    """Both end at once, with their exit status for what cannot be done here."""
    if reason == errno.ENOMEM and not COUNTED:
        return "not counted by this kernel"
    listener = berthd("--backend", "epoll")
    for outcome in (run("berthd", "--backend", "uring", "--workers", WORKERS, "--listen",
                        "127.0.0.1:0"), load(listener, "--backend", "uring")):
        status, said, errors = outcome
        (line,) = backend_lines(said + errors)
        assert status == 1
        assert "--backend: backend uring: " in line
        assert os.strerror(reason) in line
    return "both programs end with status 1 and the reason"


@pytest.mark.parametrize("missing", REFUSALS)
def test_f33_no_uring(berthd, backend, missing, result, tmp_path, monkeypatch):
    command, reason = REFUSALS[missing]
    put_behind(tmp_path, monkeypatch, lambda _: command)
    how = by_choice if backend == "epoll" else by_name
    result("F33", f"{missing}: {how(berthd, reason)}")
