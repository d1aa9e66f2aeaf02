"""F41: the server is killed under load, and started again at once on the same port. A client knows
what is unknown: at most what it had on its way. Nothing is answered twice."""

import random
import time

from conftest import scale
from talkers import crowd, talk_until

KILLS = scale(5, 100)
CLIENTS, WINDOW = 20, 16


def test_f41_kill(berthd, result):
    rng = random.Random(41)
    port, answered, most_unknown, slowest = 0, 0, 0, 0
    for _ in range(KILLS):
        begin = time.monotonic()
        server = berthd("--listen", f"127.0.0.1:{port}", workers=2)
        slowest = max(slowest, time.monotonic() - begin)
        port = server.address()[1]
        talkers = crowd(server, CLIENTS, WINDOW, rng.random())
        moment = time.monotonic() + rng.random() * 0.1

        def kill():
            if time.monotonic() >= moment:
                server.kill()
            return server.killed

        talk_until(talkers, kill)
        for talker in talkers:
            assert talker.unknown <= WINDOW
            answered += talker.answered
            most_unknown = max(most_unknown, talker.unknown)
            talker.client.close()
    server = berthd("--listen", f"127.0.0.1:{port}")
    server.connect().ask(b"still there")
    result("F41", f"{KILLS} kills among {answered:,} answers: at most {most_unknown} of a client's "
                  f"messages unknown, {WINDOW} were on their way; 0 answered twice; started again in "
                  f"at most {slowest * 1000:.0f} ms")
