"""The other framings (PROTOCOL.md 3 to 6 and 8), with ids where they carry them (M2.11, M2.12)."""

import pytest

from peer import Delimiter, FIRST_ID, Fixed, Length, Varint

SHORT = [b"", b"x", b"hello", bytes(range(256)), b"y" * 127, b"z" * 128]
TEXTS = [b"", b"x", b"hello", b"\r", b"\n", b"a\rb\nc", b"\0\xff"]
PACKED = Length(4, "little", offset=4, itself=True, adjust=-4)

FRAMINGS = {
    "length:2:be": (Length(2, "big"), SHORT),
    "length:1": (Length(1), [b"", b"x", b"hello", b"y" * 251]),
    "length:8:be": (Length(8, "big"), SHORT),
    "length:4:le:offset=4:itself:adjust=-4": (PACKED, SHORT),
    "varint": (Varint(), SHORT + [b"w" * 16380, b"v" * 16379]),
    "delimiter:\\r\\n": (Delimiter(b"\r\n"), TEXTS),
    "delimiter:\\0": (Delimiter(b"\0"), [b"", b"x", b"hello"]),
    "fixed:16": (Fixed(16), [b"0123456789abcdef", bytes(16)]),
    "fixed:1": (Fixed(1), [b"a", b"\0"]),
}


def start(berthd, name):
    maximum = 251 if name == "length:1" else 20000
    return berthd("--frame", name, "--max-message", maximum)


@pytest.mark.parametrize("name", FRAMINGS)
def test_replies_have_the_framing_of_the_requests(berthd, name):
    framing, messages = FRAMINGS[name]
    client = start(berthd, name).connect(framing=framing)
    ids = client.ask(*messages, *messages)
    if framing.carries_id:
        assert ids == list(range(FIRST_ID, FIRST_ID + len(ids)))


@pytest.mark.parametrize("name", FRAMINGS)
def test_frames_may_be_cut_anywhere(berthd, name):
    """M1.1, M5.2: byte by byte, kept apart by the replies to another client."""
    framing, messages = FRAMINGS[name]
    server = start(berthd, name)
    client, other = server.connect(framing=framing), server.connect(framing=framing)
    short = [message for message in messages if len(message) <= 16]
    for byte in b"".join(map(framing.encode, short)):
        client.send(bytes([byte]))
        other.ask(short[-1])
    client.read_replies(*short)


def test_the_id_is_little_endian_whatever_the_length_is(berthd):
    """M2.11"""
    client = berthd("--frame", "length:2:be").connect(framing=Length(2, "big"))
    client.send(bytes.fromhex("00 02 68 69"))
    assert client.stream.take(8) == bytes.fromhex("00 06 11 27 00 00 68 69")


@pytest.mark.parametrize("field", ["ff ff ff ff ff", "80 00", "a1 9c 01"])
def test_a_wrong_varint_is_refused(berthd, field):
    """M4.1 to M4.3: never ending, padded, above the maximum of 20,000."""
    server = start(berthd, "varint")
    client = server.connect(framing=Varint())
    client.send(Varint().encode(b"right so far") + bytes.fromhex(field))
    client.read_replies(b"right so far")
    client.read_end()
    client.close()
    server.wait_for(field)


def test_a_missing_delimiter_is_refused(berthd):
    """M5.3: the maximum is allowed, one more byte is not."""
    server = berthd("--frame", "delimiter:\\n", "--max-message", 100)
    client = server.connect(framing=Delimiter(b"\n"))
    client.ask(b"x" * 100)
    client.send(b"y" * 101)
    client.read_end()


def test_empty_messages_are_refused_if_told_so(berthd):
    """M1.4"""
    client = berthd("--frame", "length:4:nonempty").connect()
    client.ask(b"x")
    client.send(bytes(4))
    client.read_end()


def test_a_length_below_zero_is_refused(berthd):
    """M3.1"""
    client = berthd("--frame", "length:2:itself").connect(framing=Length(2, itself=True))
    client.ask(b"", b"hello")
    client.send(b"\x01\x00")
    client.read_end()
