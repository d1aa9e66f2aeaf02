"""Time namespaces: a process whose monotonic clock is somewhere else."""

import ctypes
import errno
import os

import pytest

CLONE_NEWTIME = 0x80
LIBC = ctypes.CDLL(None, use_errno=True)


def need_time_namespaces():
    """Skips the test where there are none."""
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.unshare(CLONE_NEWTIME) == 0 else ctypes.get_errno())
    _, status = os.waitpid(child, 0)
    error = os.waitstatus_to_exitcode(status)
    if error in (errno.EPERM, errno.EINVAL, errno.ENOSYS):
        pytest.skip("this user, or this kernel, makes no time namespaces")
    assert error == 0


def enter_time_namespace(offset_s):
    """The program that this process becomes has a monotonic clock that is so much later."""
    if LIBC.unshare(CLONE_NEWTIME) != 0:
        os._exit(127)
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
        file.write(f"monotonic {offset_s} 0\n")
