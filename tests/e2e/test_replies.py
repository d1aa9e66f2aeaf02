"""Which messages are answered (--reply), and the ids that count all of them."""

import pytest

from peer import Delimiter

MESSAGES = [b"M%d" % number for number in range(1, 12)]


def test_every_third_message_is_answered_with_itself(berthd):
    """The ids count every message, answered or not."""
    server = berthd("--reply", "every:3")
    client = server.connect()
    client.send_messages(*MESSAGES)
    assert client.read_replies(b"M3", b"M6", b"M9") == [10003, 10006, 10009]
    client.send_messages(b"M12")
    assert client.read_replies(b"M12") == [10012]
    client.half_close()
    client.read_end()


def test_every_nth_is_counted_on_each_connection(berthd):
    """The first message of another connection is not the N-th; nor does a batch matter."""
    server = berthd("--reply", "every:2", workers=2)
    first, second = server.crowd(2)
    first.send_messages(b"a1")
    second.send_messages(b"b1", b"b2", b"b3")
    second.read_replies(b"b2")
    first.send_messages(b"a2")
    first.read_replies(b"a2")
    second.send_messages(b"b4")
    second.read_replies(b"b4")
    assert server.stop().messages == 6


def test_none_answers_nothing_and_receives_all(berthd):
    server = berthd("--reply", "none")
    client = server.connect()
    client.send_messages(*MESSAGES)
    client.half_close()
    client.read_end()
    summary = server.stop()
    assert (summary.messages, summary.bytes_out) == (len(MESSAGES), 0)


def test_every_works_without_ids(berthd):
    server = berthd("--frame", "delimiter:\\n", "--reply", "every:5")
    client = server.connect(framing=Delimiter(b"\n"))
    client.send_messages(*MESSAGES)
    client.read_replies(b"M5", b"M10")


def test_ids_begin_elsewhere_and_wrap(berthd):
    server = berthd("--first-transmission-id", 2**32 - 2)
    client = server.connect()
    client.send_messages(b"a", b"b", b"c", b"d")
    assert [client.read_reply()[0] for _ in range(4)] == [2**32 - 2, 2**32 - 1, 0, 1]


@pytest.mark.parametrize("count", [1, 4096, 5000])
def test_a_batch_of_any_size_keeps_the_count(berthd, count):
    server = berthd("--reply", f"every:{count}")
    client = server.connect()
    client.send_messages(*(b"%d" % number for number in range(3 * count)))
    client.read_replies(*(b"%d" % (count * number - 1) for number in range(1, 4)))
