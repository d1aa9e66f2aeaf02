"""F37: between honest ends stands a relay that cuts the stream into pieces, down to single bytes, joins
pieces, stalls, and passes on ends late. The ledgers of both sides close: all that was sent was
received, handed over, answered, and heard, once and in its order."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from conftest import scale
from hostile import Relay
from ledgers import check, load

SEEDS = scale(10, 1000)
AT_ONCE = 4
CONNECTIONS, MESSAGES = 4, 50
SMALLEST = 48  # what a ledger's mark takes

FAULTS = ("pieces", "joins", "stalls", "fins_late")


def faults(seed):
    """What the relay does under this seed, and how large the messages then are: single bytes take
    their time."""
    dice = random.Random(seed)
    options, largest = ["--seed", seed], 3000
    if dice.random() < 0.75:
        most = dice.choice([1, 2, 7, 30, 500, 5000])
        options += ["--split", f"1..{most}"]
        largest = min(100 * most, largest)
    for name, times in (("--join", (1, 3)), ("--stall", (2, 10)), ("--late-fin", (1, 20))):
        if dice.random() < 0.5:
            options += [name, dice.choice(times)]
    return options, largest, dice.choice([1, 5, 50])


def one(server, backend, ledger, seed):
    """A relay of its own; what was done to the stream."""
    options, largest, pipeline = faults(seed)
    with Relay(server.address(), *options) as relay:
        status, told, err = load(relay.address, backend, ledger, "--connections", CONNECTIONS,
                                 "--messages", MESSAGES, "--size", f"{SMALLEST}-{largest}",
                                 "--pipeline", pipeline, "--workers", 1, seconds=60)
        assert status == 0, (options, err)
        done = relay.stop()
    assert told["results"]["messages_answered"] == CONNECTIONS * MESSAGES, (options, told)
    return Counter({fault: done[fault] for fault in FAULTS})


def test_f37_relay(berthd, backend, result, tmp_path):
    server_file = tmp_path / "server"
    server = berthd("--ledger", server_file)
    files = [tmp_path / f"client{seed}" for seed in range(SEEDS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        totals = sum(pool.map(lambda seed: one(server, backend, files[seed], seed), range(SEEDS)),
                     Counter())
    copied = server.stats()["received bytes copied because their frame came in parts"]
    assert copied > 0 and all(totals[fault] > 0 for fault in FAULTS), totals
    server.oracle()
    status, account = check(*files, server_file, options=["--clean"])
    messages = SEEDS * CONNECTIONS * MESSAGES
    assert status == 0 and account["closes"]
    assert account["sums"]["sent"] == account["sums"]["answered"] == messages
    result("F37", f"{SEEDS:,} seeds, {messages:,} messages: the ledgers close, all six terms equal; "
                  f"in {totals['pieces']:,} pieces, with {totals['joins']:,} joins, "
                  f"{totals['stalls']:,} stalls and {totals['fins_late']:,} late ends")
