"""The messages kept for the end (--keep-data): the seed's listing, with none lost."""

import re

HEADING = "messages received, in order of arrival"


def listing(server):
    """(ip, port, id, text) of each line, and what stands behind them."""
    lines = server.said().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith(HEADING)]
    found, rest = [], []
    for line in lines[at + 1 :]:
        match = re.fullmatch(r"([^ ]+): (\d+), (\d+), (.*)", line)
        if match and not rest:
            found.append((match[1], int(match[2]), int(match[3]), match[4]))
        else:
            rest.append(line)
    return found, rest


def own(client):
    return client.sock.getsockname()[:2]


def test_the_listing_has_the_seeds_form(berthd):
    server = berthd("--keep-data", 100)
    first, second = server.crowd(2)
    first.ask(b"M1-C1")
    second.ask(b"M1-C2")
    first.ask(b"M2-C1")
    (ip, one), (_, two) = own(first), own(second)
    server.stop()
    found, rest = listing(server)
    assert found == [(ip, one, 10001, "M1-C1"), (ip, two, 10002, "M1-C2"), (ip, one, 10003, "M2-C1")]
    assert rest[:2] == ["highest number of simultaneous connections: 2", "transmissions received: 3"]


def test_without_the_option_nothing_is_listed(server):
    server.connect().ask(b"M1-C1")
    server.stop()
    assert HEADING not in server.said() and "M1-C1" not in server.said()


def test_ipv6_clients_are_listed_too(berthd):
    server = berthd("--keep-data", 1, "--listen", "[::1]:0")
    client = server.connect()
    client.ask(b"six")
    ip, port = own(client)
    server.stop()
    assert listing(server)[0] == [(ip, port, 10001, "six")]


def test_bytes_that_would_break_a_line_are_written_as_numbers(berthd):
    server = berthd("--keep-data", 10)
    server.connect().ask(b"a\nb\0\xff\\x", b"", b"long" * 500)
    server.stop()
    texts = [line[3] for line in listing(server)[0]]
    assert texts == ["a\\x0ab\\x00\\xff\\\\x", "", "long" * 500]


def test_the_first_are_kept_and_the_rest_is_counted(berthd):
    server = berthd("--keep-data", 3)
    server.connect().ask(*(b"%d" % number for number in range(10)))
    server.stop()
    found, rest = listing(server)
    assert [line[3] for line in found] == ["0", "1", "2"]
    assert rest[0].startswith("7 more messages were not kept")
    assert "transmissions received: 10" in rest


def test_bytes_are_bounded_as_well(berthd):
    server = berthd("--keep-data", 100, "--keep-data-bytes", 25)
    server.connect().ask(*(b"%d" % number * 10 for number in range(5)))
    server.stop()
    found, rest = listing(server)
    assert [line[3] for line in found] == ["0" * 10, "1" * 10]
    assert rest[0].startswith("3 more messages were not kept")


def test_messages_without_a_reply_are_kept_too(berthd):
    server = berthd("--keep-data", 10, "--reply", "none")
    client = server.connect()
    client.send_messages(b"a", b"b")
    client.half_close()
    client.read_end()
    server.stop()
    assert [line[2:] for line in listing(server)[0]] == [(10001, "a"), (10002, "b")]


def test_none_is_lost_under_load(berthd):
    """The seed lost entries (its defect 9): 1000 connections, 50 messages each, several workers."""
    connections, messages = 1000, 50
    server = berthd("--keep-data", 60_000, workers=3)
    clients = server.crowd(connections)
    texts = {}
    for number, client in enumerate(clients, 1):
        texts[client] = [b"M%d-C%d" % (i, number) for i in range(1, messages + 1)]
    for i in range(0, messages, 10):
        for client in clients:
            client.send_messages(*texts[client][i : i + 10])
    replied = {}
    for client in clients:
        ids = client.read_replies(*texts[client])
        port = own(client)[1]
        replied.update({number: (port, text.decode()) for number, text in zip(ids, texts[client])})
    server.stop()
    found, rest = listing(server)
    assert len(found) == connections * messages
    assert [line[2] for line in found] == list(range(10001, 10001 + connections * messages))
    wrong = [line for line in found if replied[line[2]] != (line[1], line[3])]
    assert wrong == []
    assert rest[:2] == [f"highest number of simultaneous connections: {connections}",
                        f"transmissions received: {connections * messages}"]
