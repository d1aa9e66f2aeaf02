"""Honest clients beside a fault: they ask, read the answer, ask again, and measure.

They are a process of their own, so that a test that makes trouble in Python does not hold them up:

    good = Good(server)              100 clients, from now on; their messages are short, or have
                                     `size` bytes more
    before = good.window(1.0)        answers, p50, p99 and the longest, in ms, of the next second
    good.begin()                     a window that ends when
    during = good.end()              the test says so
    good.stop()                      every answer was right, or this fails

    good.py HOST PORT CLIENTS SIZE   the process; a line on its input ends a window, and is answered
                                     by a line of JSON; the end of its input ends it
"""

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

import peer  # noqa: E402

CLIENTS = 100

Window = namedtuple("Window", "answers p50_ms p99_ms most_ms")


class Good:
    def __init__(self, server, clients=CLIENTS, size=0):
        host, port = server.address()
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, host, str(port), str(clients), str(size)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == "ready\n", "the good clients could not begin"

    def begin(self):
        self._ask()

    def end(self):
        return Window(**self._ask())

    def window(self, seconds):
        self.begin()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.end()
        raise AssertionError("the good clients have ended")

    def _ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the good clients have ended: see their last words above"
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(peer.PATIENCE) == 0, "a good client was served wrongly"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Asker:
    """One of them."""

    def __init__(self, address, number, size):
        self.client = peer.Client(address)
        self.text = b"good %d" % number + bytes(size)
        self.ask()

    def ask(self):
        self.begin = time.monotonic()
        self.client.send_messages(self.text)

    def hear(self):
        self.client.read_replies(self.text)
        took = time.monotonic() - self.begin
        self.ask()
        return took


def figures(times):
    times.sort()
    at = lambda part: round(times[int(part * (len(times) - 1))] * 1000, 3) if times else 0  # noqa: E731
    return {"answers": len(times), "p50_ms": at(0.5), "p99_ms": at(0.99), "most_ms": at(1)}


def main(host, port, clients, size):
    askers = [Asker((host, int(port)), number, int(size)) for number in range(int(clients))]
    times = []
    with selectors.DefaultSelector() as selector:
        for asker in askers:
            selector.register(asker.client, selectors.EVENT_READ, asker)
        selector.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.data:
                    times.append(key.data.hear())
                elif not os.read(0, 100):
                    selector.unregister(0)
                    return finish(askers, selector)
                else:
                    print(json.dumps(figures(times)), flush=True)
                    times = []


def finish(askers, selector):
    """Each has a question on its way, and hears its answer and then the end."""
    for asker in askers:
        selector.unregister(asker.client)
        asker.client.sock.shutdown(socket.SHUT_WR)
        asker.client.read_replies(asker.text)
        asker.client.read_end()
        asker.client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
