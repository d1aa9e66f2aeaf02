"""F44: counters that reach their end while the server runs: transmission ids wrap to 0, and the
milliseconds in which deadlines count pass 2^32 (a machine that has been up for 49.7 days)."""

import time

from conftest import in_child, scale
from peer import readable
from timespace import enter_time_namespace, need_time_namespaces

WRAP = 2**32
MESSAGES = scale(2000, 20_000)
IDLE_MS = 400
BEFORE_WRAP_S = 0.7
STAMP_WRAP_S = WRAP / 1000


def test_f44_transmission_ids(berthd, result):
    server = berthd("--first-transmission-id", WRAP - MESSAGES // 2, workers=2)
    clients, ids = server.crowd(10), []
    for _ in range(MESSAGES // 100):
        for client in clients:
            client.send_messages(*10 * [b"hello"])
        for client in clients:
            mine = [client.read_reply()[0] for _ in range(10)]
            steps = [(b - a) % WRAP for a, b in zip(mine, mine[1:])]
            assert all(0 < step < WRAP // 2 for step in steps)
            ids += mine
    wanted = {(WRAP - MESSAGES // 2 + number) % WRAP for number in range(MESSAGES)}
    assert len(ids) == MESSAGES and set(ids) == wanted
    result("F44", f"{MESSAGES:,} transmission ids across 2^32: each once, rising on every connection")


def test_f44_milliseconds(berthd, result):
    """Clients that talk stay, across the wrap, and silent ones end in time: before, on and after
    it."""
    need_time_namespaces()
    begin = time.monotonic() + BEFORE_WRAP_S
    wrap = (int(begin // STAMP_WRAP_S) + 1) * STAMP_WRAP_S
    offset = int(wrap - begin)
    wrap_at = wrap - offset

    def prepare(limits):
        def become():
            in_child(limits)()
            enter_time_namespace(offset)

        return become

    server = berthd("--receive-idle-timeout", IDLE_MS, "--message-timeout", IDLE_MS,
                    prepare=prepare)
    talker = server.connect()
    silent, late, ended = [], [], 0
    while time.monotonic() < wrap_at + 2 * IDLE_MS / 1000 or silent:
        talker.ask(b"still there")
        if time.monotonic() < wrap_at + IDLE_MS / 1000:
            client = server.connect()
            begin = time.monotonic()
            client.ask(b"then nothing")
            silent.append((begin, client))
        for client in readable([client for _, client in silent], 0.02):
            (begin,) = [begin for begin, other in silent if other is client]
            client.read_end()
            late.append((time.monotonic() - begin) * 1000 - IDLE_MS)
            silent.remove((begin, client))
            ended += 1
    assert min(late) >= 0 and max(late) < 2 * IDLE_MS, late
    assert ended > 20
    talker.ask(b"to the last")
    result("F44", f"{ended} idle deadlines across 2^32 ms of the clock: none early, at most "
                  f"{max(late):.0f} ms late, and who talked stayed")
