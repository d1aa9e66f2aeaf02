"""What berthd says while it runs: looked for as facts, not as words."""

from pathlib import Path

SOMAXCONN = int(Path("/proc/sys/net/core/somaxconn").read_text())


def test_the_backend_is_named(server, backend):
    server.wait_for(rf"\b{backend}\b")


def test_a_clipped_backlog_is_said_once(berthd):
    server = berthd("--backlog", 2 * SOMAXCONN)
    (line,) = server.wait_for("clip")
    assert str(SOMAXCONN) in line.replace(",", "")
    server.connect().ask(b"hello")
    server.stop()
    assert sum("clip" in line or str(SOMAXCONN) in line.replace(",", "")
               for line in server.lines if "backlog" in line) == 1


def test_a_backlog_that_fits_is_not_clipped(berthd):
    server = berthd("--backlog", 16)
    server.connect().ask(b"hello")
    server.stop()
    assert not [line for line in server.lines if "clip" in line]


def test_messages_leave_no_line(server):
    """None is written per message or per ordinary connection."""
    client = server.connect()
    client.ask(b"hello")
    before = len(server.lines)
    client.ask(*[b"hello"] * 500)
    for _ in range(50):
        other = server.connect()
        other.ask(b"hello")
        other.close()
    client.ask(b"hello")
    assert len(server.lines) == before


def test_a_flood_of_refusals_does_not_flood_the_log(server):
    for _ in range(300):
        client = server.connect()
        client.send(b"\xff\xff\xff\xff")
        client.read_end()
        client.close()
    server.stop()
    assert 1 <= sum("ff ff ff ff" in line for line in server.lines) < 300
