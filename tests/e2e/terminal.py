"""A program on a terminal of its own: what it shows, and what is typed."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

import conftest
import peer


class Terminal:
    """Starts a program on a new terminal that does not echo, so that what is read is what the
    program wrote. `environment` is laid over the test's own."""

    def __init__(self, program, *options, environment=None):
        try:
            self.master, slave = pty.openpty()
        except OSError as what:
            pytest.skip(f"this system gives no terminals: {what}")
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.text = ""
        self.seen = 0
        self.process = subprocess.Popen(
            [conftest.BIN / program, *map(str, options)], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env={**os.environ, **(environment or {})},
            preexec_fn=self._prepare,
        )
        os.close(slave)

    @staticmethod
    def _prepare():
        conftest.in_child({})()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # it controls the program, as a real one does

    def _more(self, deadline):
        """Reads what there is, or waits for it. False: the program is gone, or time is up."""
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # its last process has closed it
            return False
        self.text += data.decode("latin-1")
        return bool(data)

    def expect(self, pattern):
        """What is shown next must contain this; returns the match, and goes on behind it."""
        deadline = time.monotonic() + peer.PATIENCE
        while True:
            match = re.compile(pattern).search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            if not self._more(deadline):
                raise AssertionError(f"no {pattern!r} in what came after:\n{self.text[:self.seen]}"
                                     f"<<< here >>>{self.text[self.seen:]}")

    def type(self, text):
        """Types a line, and Enter."""
        os.write(self.master, text.encode("latin-1") + b"\n")

    def end_input(self):
        """Ctrl-D."""
        os.write(self.master, b"\x04")

    def answer(self, question, text):
        self.expect(question)
        self.type(text)

    def wait(self):
        """Its exit status; what it still showed is then in text."""
        deadline = time.monotonic() + peer.PATIENCE
        while self._more(deadline):
            pass
        status = self.process.wait(max(0.1, deadline - time.monotonic()))
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
