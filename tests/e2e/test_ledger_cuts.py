"""Connections that are cut in the middle of a run: both ledgers still close, what is unknown is so
for the reason that was planted, and no more than was on its way."""

import random
import threading

import pytest

from ledgers import check, closes, load
from relay import STILL, TO_CLIENT, TO_SERVER, Passage, Relay

SEED_NUMBER = 46
ENDS = ["--unknown", "reset", "--unknown", "the peer ended"]


class Cut(Passage):
    """Resets both ends once so many bytes have come from both together."""

    def __init__(self, number, dice):
        super().__init__(number)
        self.left = dice.choice([0, dice.randrange(200), dice.randrange(20_000), 1 << 40])

    def passing(self, direction, data):
        self.left -= len(data)
        return data if self.left >= 0 else None


@pytest.mark.parametrize("handler", [["--handler", "echo"], ["--handler", "pool"], ["--delay", 1]],
                         ids=["echo", "pool", "delay"])
def test_connections_that_are_reset(berthd, backend, tmp_path, handler):
    dice = random.Random(SEED_NUMBER)
    server = berthd("--ledger", tmp_path / "server", *handler, workers=2)
    relay = Relay(server.address(), lambda number: Cut(number, dice))
    _, told, err = load(relay.address, backend, tmp_path / "client", "--connections", 60,
                        "--at-once", 12, "--messages", 120, "--size", "48-300", "--pipeline", 24)
    relay.close()
    assert told["results"]["connections_made"] == 60, err
    server.stop()
    sums = closes(tmp_path / "client", tmp_path / "server", options=ENDS)
    assert sums["unknown"] > 0 and sums["not sent"] > 0 and sums["answered"] > 0
    assert sums["scheduled"] == 60 * 120
    status, account = check(tmp_path / "client", tmp_path / "server", options=["--clean"])
    assert status == 1  # and this is not clean


class Clogged(Passage):
    """Lets nothing more through to the client after so many bytes, while the client sends on; when
    nothing moves any more, both ends are reset."""

    def __init__(self, number, most):
        super().__init__(number)
        self.left = most
        self.clogged = threading.Event()

    def passing(self, direction, data):
        if direction == TO_SERVER:
            return data
        self.left -= len(data)
        if self.left < 0:
            self.clogged.wait(2 * STILL)  # check_style: allow(sleep) the peer is one that stalls
            return None
        return data


@pytest.mark.parametrize("handler", ["echo", "pool"])
def test_replies_that_were_made_and_never_left(berthd, backend, tmp_path, handler):
    """The server's queues are full when the connections are reset: what was handed to the system is
    less than what was made, and both are known."""
    server = berthd("--ledger", tmp_path / "server", "--handler", handler, workers=2)
    relay = Relay(server.address(), lambda number: Clogged(number, 100_000 * number))
    load(relay.address, backend, tmp_path / "client", "--connections", 3, "--messages", 20_000,
         "--size", "900-5000", "--pipeline", 8000)
    relay.close()
    server.stop()
    sums = closes(tmp_path / "client", tmp_path / "server", options=ENDS)
    assert sums["dropped"] > 0
    assert sums["answered"] < sums["out"] < sums["made"] <= sums["dispatched"] <= sums["received"]


class Repeating(Passage):
    """Sends what the first write brought to one side twice. A message fits."""

    def __init__(self, number, direction):
        super().__init__(number)
        self.direction = direction
        self.done = False

    def passing(self, direction, data):
        if direction != self.direction or self.done:
            return data
        self.done = True
        return data + data


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT], ids=["request", "reply"])
def test_a_relay_that_repeats(berthd, backend, tmp_path, direction):
    """A message that comes twice is seen on the way in, and so is its second answer; an answer that
    comes twice has an id that does not rise."""
    server = berthd("--ledger", tmp_path / "server")
    relay = Relay(server.address(), lambda number: Repeating(number, direction))
    _, told, _ = load(relay.address, backend, tmp_path / "client", "--messages", 5)
    relay.close()
    server.stop()
    assert told["ledger"]["duplicated"] == 1
    status, account = check(tmp_path / "client", tmp_path / "server")
    whats = [problem["what"] for problem in account["problems"]]
    assert status == 1
    if direction == TO_SERVER:
        assert any(what.startswith("more than there can be: sent 5, received 6") for what in whats)
        assert whats.count("1 counted: duplicated") == 2
    else:
        assert whats == ["1 counted: duplicated"]


class Crossed(Passage):
    """Puts a message of the first connection into the second one."""

    first = None

    def passing(self, direction, data):
        if direction == TO_SERVER and self.number == 1 and Crossed.first is None:
            Crossed.first = data
        elif direction == TO_SERVER and self.number == 2 and not self.meddled:
            self.meddled = True
            return data + Crossed.first
        return data


def test_another_connections_message_is_refused(berthd, backend, tmp_path):
    """M10.3: what it asked for on that connection was nothing, and the client says so."""
    Crossed.first = None
    server = berthd("--ledger", tmp_path / "server")
    relay = Relay(server.address(), Crossed)
    load(relay.address, backend, tmp_path / "client", "--messages", 5, "--connections", 2,
         "--at-once", 1)
    relay.close()
    server.stop()
    _, account = check(tmp_path / "client", tmp_path / "server")
    whats = {problem["what"] for problem in account["problems"]}
    assert "1 counted: foreign" in whats and "1 counted: unasked" in whats
    assert account["sums"]["rejected"] == 1
    assert ["rejected", "it is another connection's message", 1] in account["reasons"]
