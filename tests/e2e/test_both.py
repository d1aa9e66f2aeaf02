"""berthd and berthload with each other: every framing, many connections."""

import json

import pytest

from conftest import run

FRAMES = ["length:4:le", "length:2:be", "varint", "delimiter:\\r\\n", "fixed:16"]


def load(server, backend, *options):
    status, out, err = run("berthload", "--connect", "127.0.0.1:%d" % server.address()[1],
                           "--backend", backend, *options)
    print(out, err)
    return status, out


@pytest.mark.parametrize("name", FRAMES)
def test_every_framing(berthd, backend, name):
    server = berthd("--frame", name)
    status, _ = load(server, backend, "--frame", name, "--connections", 20, "--messages", 50,
                     "--pipeline", 4)
    assert status == 0
    summary = server.stop()
    assert (summary.connections, summary.messages) == (20, 1000)


@pytest.mark.parametrize("workers", [1, 3])
def test_more_connections_than_the_limit(berthd, backend, workers):
    """Those that wait are served as others finish."""
    server = berthd("--max-connections", 10, workers=workers)
    status, out = load(server, backend, "--connections", 100, "--messages", 10, "--workers",
                       workers, "--json", "-")
    assert status == 0
    assert json.loads(out)["results"]["messages_answered"] == 1000
    summary = server.stop()
    assert (summary.connections, summary.messages) == (100, 1000)
    assert summary.most <= 10


def test_small_buffers_on_both_sides(berthd, backend):
    server = berthd("--buffer-size", 3)
    status, _ = load(server, backend, "--buffer-size", 5, "--connections", 3, "--messages", 5)
    assert status == 0


def test_large_messages(berthd, backend):
    server = berthd("--max-message", 2_000_000)
    status, _ = load(server, backend, "--connections", 4, "--messages", 10, "--size", 1_000_000,
                     "--max-message", 2_000_000, "--pipeline", 3)
    assert status == 0
