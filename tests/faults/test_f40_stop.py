"""F40: a stop under load, at a random moment. Whoever had asked and been heard is answered, every
stream ends cleanly behind whole replies, and it takes no longer than allowed. A second signal ends
the rest at once."""

import random
import signal
import time

import pytest

from conftest import scale
from talkers import crowd, talk_until

STOPS = scale(5, 200)
CLIENTS, WINDOW = 10, 8
STOP_TIMEOUT_MS = 5000
AT_ONCE_S = 1.0


def stop_once(berthd, seed):
    """Replies, and how long the stop took."""
    rng = random.Random(seed)
    server = berthd("--stop-timeout", STOP_TIMEOUT_MS, workers=rng.choice([1, 2]))
    talkers = crowd(server, CLIENTS, WINDOW, seed)
    moment = time.monotonic() + rng.random() * 0.05
    sent = []

    def stop():
        if time.monotonic() < moment:
            return False
        server.send(signal.SIGTERM)
        sent.append(time.monotonic())
        return True

    talk_until(talkers, stop)
    for talker in talkers:
        assert talker.ended == "end", f"seed {seed}"
        talker.client.close()
    assert server.wait() == 0
    took = time.monotonic() - sent[0]
    replies = sum(talker.answered for talker in talkers)
    assert server.summary().messages == replies, f"seed {seed}: not all that was heard is answered"
    return replies, took


def test_f40_stop(berthd, result):
    answers, longest = 0, 0
    for seed in range(STOPS):
        replies, took = stop_once(berthd, seed)
        answers, longest = answers + replies, max(longest, took)
    assert longest * 1000 < STOP_TIMEOUT_MS
    result("F40", f"{STOPS} stops: {answers:,} messages were heard, and {answers:,} answered; the "
                  f"longest took {longest * 1000:,.0f} ms")


def test_f40_a_second_signal(berthd, result):
    """The client reads nothing, and would be waited for."""
    server = berthd("--stop-timeout", STOP_TIMEOUT_MS, "--linger", STOP_TIMEOUT_MS)
    client = server.connect(receive_buffer=4096)
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send_messages(bytes(65536))
    other = server.connect()
    other.ask(b"hello")
    server.send(signal.SIGTERM)
    other.read_end()
    begin = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.wait() == 0
    took = time.monotonic() - begin
    assert took < AT_ONCE_S
    result("F40", f"with a client that reads nothing, the second signal ended it in "
                  f"{took * 1000:,.0f} ms")
