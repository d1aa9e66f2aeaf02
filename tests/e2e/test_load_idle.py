"""berthload with connections that are idle: all are opened, each is answered once, then some go on.
And from where it connects."""

import pytest

from conftest import run
from loading import load, succeed

FEW = 40
ACTIVE = 7


@pytest.mark.parametrize("pipeline", [1, 5])
def test_the_idle_ones_send_one_message_and_stay(berthd, backend, pipeline):
    server = berthd("--max-connections", FEW, workers=2)
    told, _ = succeed(server.address(), backend, "--connections", FEW, "--idle", FEW - ACTIVE,
                      "--duration", "500ms", "--pipeline", pipeline, "--workers", 2)
    results = told["results"]
    summary = server.stop()
    assert (summary.connections, summary.most) == (FEW, FEW)
    assert summary.messages == results["messages_answered"] == results["messages_sent"]
    assert results["first_answers"] == FEW
    assert results["messages_answered"] > FEW + ACTIVE  # those who are active went on
    assert results["connections_most"] == FEW
    assert 0.4e9 < results["traffic_ns"] < 5e9
    assert told["latency_ns"]["count"] == results["messages_answered"] - FEW


def test_all_may_be_idle(berthd, backend):
    server = berthd("--max-connections", FEW)
    told, _ = succeed(server.address(), backend, "--connections", FEW, "--idle", FEW, "--duration",
                      "300ms")
    assert told["results"]["messages_answered"] == FEW
    assert server.stop().messages == FEW


def test_the_idle_ones_end_after_the_last_answer(berthd, backend):
    """Their ends, of which there may be many, must not be in the way of an answer."""
    server = berthd("--delay", 700, "--watch", "connections")
    told, _ = succeed(server.address(), backend, "--connections", 3, "--idle", 2, "--duration",
                      "200ms", "--answer-timeout", "4s")
    assert told["results"]["messages_answered"] == 4
    server.stop()
    ends = [line for line in server.lines if "connections closed" in line]
    assert ["messages=2" in line for line in ends] == [True, False, False], ends


def test_an_idle_connection_that_ends_early_is_a_failure(berthd, backend):
    server = berthd("--receive-idle-timeout", 200)
    status, told, err = load(server.address(), backend, "--connections", 3, "--idle", 2,
                             "--duration", "2s")
    assert status == 1
    assert "2 idle connections lost" in err.splitlines()[-1]
    assert told["results"]["idle_lost"] == 2
    assert server.stop().connections == 3


@pytest.mark.parametrize("options, why", [
    (["--idle", 2], "--idle: needs --duration"),
    (["--idle", 4, "--duration", "1s"], "--idle: 4 are more than all connections, 3"),
    (["--idle", 0, "--duration", "1s"], "--idle"),
])
def test_what_cannot_be(options, why):
    status, _, err = run("berthload", "--connect", "127.0.0.1:1", "--connections", 3, *options)
    assert status == 2
    assert why in err


def test_connections_come_from_all_sources_in_turn(berthd, backend):
    server = berthd("--max-connections", 10, "--watch", "connections")
    succeed(server.address(), backend, "--connections", 6, "--source", "127.0.9.254-127.0.10.1")
    server.stop()
    text = "\n".join(server.lines)
    for host in ("127.0.9.254", "127.0.9.255", "127.0.10.0", "127.0.10.1"):
        assert f"{host}:" in text


@pytest.mark.parametrize("source", ["", "127.0.0", "::1", "localhost", "127.0.0.2-127.0.0.1",
                                    "127.0.0.1-", "10.0.0.0-10.1.0.0", "127.0.0.1:5"])
def test_bad_sources(source):
    status, _, err = run("berthload", "--connect", "127.0.0.1:1", "--source", source)
    assert status == 2
    assert "--source" in err


def test_a_source_of_the_wrong_family():
    status, _, err = run("berthload", "--connect", "[::1]:1", "--source", "127.0.0.1")
    assert status == 1
    assert "--source: ::1 has no IPv4 address" in err
