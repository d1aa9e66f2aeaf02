#!/usr/bin/env python3
"""tools/soak judges rightly: each bound, on planted runs that break it alone, and on one that
breaks none.

    soak.py TREE
"""

import copy
import random
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
SECONDS = 600
MIB = 1 << 20


def load(tree):
    loader = SourceFileLoader("soak", str(Path(tree) / "tools" / "soak"))
    module = module_from_spec(spec_from_loader("soak", loader))
    loader.exec_module(module)
    return module


def good_run():
    """Ten minutes in which nothing is wrong: memory moves a little, and some runs were disturbed."""
    dice = random.Random(7)
    samples = [{"at": float(second), "resident": 80 * MIB + dice.randrange(MIB // 4), "heap": MIB,
                "descriptors": 48, "clients": 40, "rate": 50_000, "others": 0.02,
                "p99": 0.002 * dice.choice((1, 1, 1.2, 5))} for second in range(1, SECONDS)]
    counters = {"connections accepted": 900, "connections ended": 900,
                "messages received whole": 5000, "messages queued to be sent": 5000}
    return {
        "samples": samples, "before": {"descriptors": 9}, "broken": [],
        "after": {"descriptors": 9, "counters": counters, "status": 0, "served": 900},
        "good": SimpleNamespace(answered=4000, runs=600, wrong=[]),
    }


def grows(run, percent):
    for sample in run["samples"]:
        sample["resident"] += round(80 * MIB * percent / 100 * sample["at"] / SECONDS)


def slows(run, factor):
    for sample in run["samples"][SECONDS * 6 // 10:]:
        sample["p99"] *= factor


def disturb(run):
    for sample in run["samples"]:
        sample["others"] = 0.5


def slows_where_disturbed(run):
    for sample in run["samples"][SECONDS * 6 // 10:]:
        sample["others"], sample["p99"] = 0.5, 0.5


def set_heap(run):
    run["samples"][-1]["heap"] += 4096


def set_after(name, value):
    def plant(run):
        run["after"][name] = value

    return plant


def set_counter(name, value):
    def plant(run):
        run["after"]["counters"][name] = value

    return plant


# What is planted, and the bound that must break, if any.
PLANTED = (
    (lambda run: None, None),
    (lambda run: grows(run, 0.5), None),
    (lambda run: grows(run, 3), "memory"),
    (lambda run: grows(run, -5), None),
    (set_heap, "heap"),
    (set_after("descriptors", 10), "descriptors"),
    (lambda run: slows(run, 4), "p99 drift"),
    (lambda run: slows(run, 0.2), None),
    (lambda run: (slows(run, 4), disturb(run)), None),
    (slows_where_disturbed, None),
    (lambda run: run["good"].wrong.append("a reply was wrong"), "good answers"),
    (lambda run: run["broken"].append("silent: the server did not end it"), "promises"),
    (set_counter("connections ended", 899), "counters"),
    (set_after("served", 901), "counters"),
    (set_counter("messages received whole", 3999), "counters"),
    (set_counter("messages queued to be sent", 5001), "counters"),
    (set_after("status", 1), "end"),
)


def main(tree):
    soak = load(tree)
    wrong = 0
    for number, (plant, wanted) in enumerate(PLANTED):
        run = copy.deepcopy(good_run())
        plant(run)
        verdicts = soak.judge(run["samples"], run["before"], run["after"], run["good"],
                              run["broken"])
        broken = [name for name, held, _ in verdicts if not held]
        if broken != ([wanted] if wanted else []):
            print(f"planted number {number}: broken are {broken}, wanted {wanted}")
            print("\n".join(f"  {name}: {figure}" for name, _, figure in verdicts))
            wrong += 1
    print(f"soak: {len(PLANTED)} planted runs, {wrong} misjudged")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
