#!/usr/bin/env python3
"""bench/run's own parts, without a benchmark: the order of a round, the interval of a ratio, and the
page, on planted runs.

    bench_page.py TREE
"""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from xml.etree import ElementTree

sys.dont_write_bytecode = True
TREE = Path(sys.argv[1])
sys.path.insert(0, str(TREE / "bench"))

import measure  # noqa: E402
import page  # noqa: E402


def load_run():
    loader = SourceFileLoader("run", str(TREE / "bench" / "run"))
    module = module_from_spec(spec_from_loader("run", loader))
    loader.exec_module(module)
    return module


def run_of(cpu_ns):
    return {"cpu_ns": cpu_ns, "rate": 1e9 / cpu_ns, "p50_us": 10.0, "p99_us": 20.0,
            "p999_us": 30.0, "switches": 0.01, "load_busy": 0.9, "foreign": 0.0}


def every_server_is_first_as_often(run):
    servers = ["a", "b", "c", "d", "e"]
    firsts = [run.turned(servers, number)[0] for number in range(10)]
    assert sorted(run.turned(servers, 3)) == servers
    assert all(firsts.count(server) == 2 for server in servers), firsts


def an_interval_holds_its_median():
    low, high = measure.interval([1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.03, 0.97, 1.0])
    assert low <= 1.0 <= high and 0.97 <= low and high <= 1.03, (low, high)
    assert measure.interval([1.0] * 9) == (1.0, 1.0)


def the_page_shows_every_server_in_every_cell():
    servers = {"berthd-uring": 4000, "epoll": 4100, "go": 5600, "a<b": 9000}
    rounds = [{server: run_of(cost * share) for server, cost in servers.items()}
              for share in (0.9, 1.0, 1.2)]
    cells = [{"cell": name, "connections": connections, "size": 25, "pipeline": 1,
              "medians": {server: run_of(cost) for server, cost in servers.items()},
              "rounds": rounds} for name, connections in (("1x25x1", 1), ("50x25x1", 50))]
    text = page.drawn({"cells": cells, "date": "2026-01-01", "processor": "P", "cpus": 2,
                       "kernel": "6.18", "rounds": 3, "seconds": 1.0})
    assert text.count("<svg") == len(cells) * len(page.FIGURES)
    assert "a<b" not in text and "raw epoll" in text and "4,100" in text
    assert "http" not in text.replace("http-equiv", ""), "the page needs something from elsewhere"
    body = text[text.index("<main>"):text.index("</main>") + len("</main>")]
    ElementTree.fromstring(body)  # well formed


def main():
    run = load_run()
    every_server_is_first_as_often(run)
    an_interval_holds_its_median()
    the_page_shows_every_server_in_every_cell()


if __name__ == "__main__":
    main()
