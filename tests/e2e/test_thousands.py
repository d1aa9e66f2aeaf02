"""3,000 connections at once through buffers of 3 bytes, as the seed's article promises, and the
3,001st, which waits."""

from peer import assert_quiet, read_first, read_first_replies

CONNECTIONS = 3000
MESSAGES = 5


def text(connection, number):
    return b"M%d-C%d" % (number + 1, connection + 1)


def test_three_thousand_at_once_and_one_more(berthd):
    server = berthd("--max-connections", CONNECTIONS, "--buffer-size", 3)
    clients = server.crowd(CONNECTIONS)
    for number, client in enumerate(clients):
        client.send_messages(*(text(number, n) for n in range(MESSAGES)))

    numbers = {client: number for number, client in enumerate(clients)}
    read_first(clients, CONNECTIONS, lambda client: client.read_replies(
        *(text(numbers[client], n) for n in range(MESSAGES))))

    one_more = server.connect()
    one_more.send_messages(b"one more")
    assert_quiet([one_more])
    clients[1234].close()
    read_first_replies([one_more], 1, b"one more")

    summary = server.stop()
    assert summary.connections == CONNECTIONS + 1
    assert summary.most == CONNECTIONS
    assert summary.messages == CONNECTIONS * MESSAGES + 1
