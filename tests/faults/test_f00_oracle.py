"""The harness itself: the oracle finds what it is to find, and a row says what happened."""

import json
import signal
from types import SimpleNamespace

import pytest

import conftest
import peer

SOON = 0.1  # seconds, instead of the usual patience: it waits in vain


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(peer, "PATIENCE", SOON)


def fails(server, what):
    with pytest.raises((AssertionError, OSError), match=what):
        server.oracle()
    server.kill()


def test_a_connection_is_left(server, soon):
    left = peer.Client(server.address())
    left.ask(b"hello")
    fails(server, "no open connections")
    left.close()


def test_a_descriptor_is_left(server, soon):
    server.held["socket:[N]"] -= 1
    fails(server, "descriptors at the start")


def test_it_died(server, soon):
    server.send(signal.SIGKILL)
    server.process.wait()
    fails(server, "assert -9 == 0")


def test_it_stands_still(server, soon):
    server.send(signal.SIGSTOP)
    fails(server, "the console does not answer")


def test_the_sums_do_not_agree(server, monkeypatch):
    stats = server.stats
    monkeypatch.setattr(server, "stats", lambda: stats() | {"bytes received": 1})
    with pytest.raises(AssertionError, match="assert 8000 == 1"):
        server.oracle()


def row_of(tmp_path, monkeypatch, notes, *outcomes):
    """What is written for a test of F07 whose setup, call and teardown came out so."""
    monkeypatch.setenv("BERTH_FAULTS_DIR", str(tmp_path))
    monkeypatch.setattr(conftest, "WRITTEN", set())
    reports = [SimpleNamespace(when=when, failed=outcome == "failed", skipped=outcome == "skipped",
                               duration=1, longrepr=None)
               for when, outcome in zip(("setup", "call", "teardown"), outcomes)]
    item = SimpleNamespace(name="test_f07_x[epoll]", stash=pytest.Stash(),
                           callspec=SimpleNamespace(params={"backend": "epoll"}))
    item.stash[conftest.REPORTS], item.stash[conftest.NOTES] = reports, notes
    conftest.write_rows(item)
    found = list(tmp_path.iterdir())
    return json.loads(found[0].read_text()) if found else None


def test_rows(tmp_path, monkeypatch):
    good = row_of(tmp_path, monkeypatch, {"F07": "9 of 9"}, "passed", "passed", "passed")
    assert (good["id"], good["backend"], good["passed"]) == ("F07", "epoll", True)
    assert (good["figure"], good["seconds"]) == ("9 of 9", 3)
    assert not row_of(tmp_path, monkeypatch, {}, "passed", "failed", "passed")["passed"]
    late = row_of(tmp_path, monkeypatch, {"F07": "9 of 9"}, "passed", "passed", "failed")
    assert (late["passed"], late["figure"]) == (False, "teardown failed")
    silent = row_of(tmp_path, monkeypatch, {}, "passed", "passed", "passed")
    assert not silent["passed"], "it passed, and said no figure"


def test_what_is_skipped_has_no_row(tmp_path, monkeypatch):
    assert row_of(tmp_path, monkeypatch, {}, "passed", "skipped", "passed") is None
